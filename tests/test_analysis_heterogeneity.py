"""Observables of dynamic heterogeneity against closed forms."""

import numpy as np
import pytest

from glasslib import GlasslibError, Trajectory, analysis

CELL = np.eye(3) * 30.0


def steps(seed, frames, atoms, sigma=0.3):
    return np.random.default_rng(seed).normal(0, sigma, (frames, atoms, 3))


def test_chi_4_of_independent_atoms_is_that_of_a_binomial():
    run = Trajectory(np.cumsum(steps(1, 3000, 60), 0), ["O"] * 60, CELL, np.arange(3000.0))
    data = analysis.four_point_susceptibility(run, a=1.0, time=[1, 2, 3, 4, 6], drift=False, origins=None)
    z = ((data.chi_4 - data.independent) / data.chi_4_sem).values
    assert (np.abs(z) < 4).all()
    np.testing.assert_allclose(data.chi_4, data.independent, atol=0.04)


def test_chi_4_of_atoms_that_move_in_groups_grows_with_the_group():
    """N/m groups of m atoms that move as one: variance of Q is Q(1 − Q) m/N."""
    group = 5
    moved = np.repeat(np.cumsum(steps(2, 4000, 12), 0), group, axis=1)
    run = Trajectory(moved, ["Na"] * 60, CELL, np.arange(4000.0))
    data = analysis.four_point_susceptibility(run, a=1.0, time=[2, 3, 4], drift=False, origins=None)
    np.testing.assert_allclose(data.chi_4 / data.independent, group, rtol=0.15)


def test_chi_4_has_no_value_without_two_independent_blocks():
    run = Trajectory(np.cumsum(steps(3, 50, 20), 0), ["O"] * 20, CELL, np.arange(50.0))
    data = analysis.four_point_susceptibility(run, a=3.0)
    assert np.isnan(data.chi_4.values[..., data.time.values > 26]).all()
    assert np.isfinite(data.chi_4.values[..., 0]).all()


def two_speeds(seed, fast, atoms=400, frames=200, exchange=30):
    """Atoms of which half move `fast` times as far; who is fast is drawn anew every `exchange` frames."""
    rng = np.random.default_rng(seed)
    sigma = np.where(rng.random((frames // exchange + 1, atoms)) < 0.5, 0.1, 0.1 * fast)
    sigma = np.repeat(sigma, exchange, 0)[:frames]
    return np.cumsum(rng.normal(size=(frames, atoms, 3)) * sigma[..., None], 0)


def test_peak_of_alpha_2_finds_the_order_of_the_species():
    runs = [
        Trajectory(
            np.concatenate([two_speeds(s, 4.0), two_speeds(50 + s, 1.5)], 1),
            ["Na"] * 400 + ["Si"] * 400,
            CELL,
            np.arange(200.0),
        )
        for s in range(5)
    ]
    closed = 0.5 * (1 + 4.0**4) / (0.5 * (1 + 4.0**2)) ** 2 - 1
    peak = analysis.non_gaussian_peak(runs, smallest_time=1.0, drift=False)
    assert float(peak.height.sel(species="Na")) == pytest.approx(closed, rel=0.15)
    assert float(peak.height.sel(species="Na")) > float(peak.height.sel(species="Si"))
    order = analysis.species_order(runs, smallest_time=1.0, drift=False)
    assert order.pair.values.tolist() == ["Na-Si"] and float(order.difference[0]) > 0 and float(order.p[0]) < 0.01


def test_equal_species_are_told_apart_by_chance_only():
    p = []
    for seed in range(40):
        whole = np.cumsum(steps(100 + seed, 120, 80), 0)
        run = Trajectory(whole, ["Na"] * 40 + ["Si"] * 40, CELL, np.arange(120.0))
        p.append(float(analysis.species_order(run, smallest_time=1.0, drift=False).p[0]))
    assert sum(x < 0.05 for x in p) <= 8


def test_too_short_a_run_for_a_peak_is_an_error_that_says_so():
    run = Trajectory(np.cumsum(steps(4, 6, 5), 0), ["O"] * 5, CELL, np.arange(6.0))
    with pytest.raises(GlasslibError, match="lag time"):
        analysis.non_gaussian_peak(run)


def jumpers(seed, number, length=3.0, width=0.3, frames=2, atoms=6000):
    """Frames far apart in which every atom has a new place in its cage, and has jumped a random number of times."""
    rng = np.random.default_rng(seed)
    cage = rng.normal(0, width / np.sqrt(2), (frames, atoms, 3))
    times = rng.poisson(number, atoms)
    for jump in range(times.max()):
        direction = rng.normal(size=(atoms, 3))
        cage[1:] += (times > jump)[:, None] * direction * length / np.linalg.norm(direction, axis=1, keepdims=True)
    return Trajectory(cage, ["Na"] * atoms, CELL, np.arange(float(frames)))


@pytest.mark.parametrize("number", [0.2, 1.0])
def test_jumps_of_three_angstrom_show_as_a_significant_second_maximum(number):
    runs = [jumpers(s, number) for s in range(5)]
    data = analysis.bimodality(runs, drift=False).isel(species=0, time=0)
    assert int(data.bimodal) == 1 and float(data.second) == pytest.approx(3.0, abs=0.15)
    for name, exact in (
        ("hop_number", number),
        ("hop_fraction", 1 - np.exp(-number)),
        ("hop_length", 3.0),
        ("stay_width", 0.3),
    ):
        error = float(data[f"{name}_sem"])
        assert abs(float(data[name]) - exact) < 4 * error + 0.01 * exact and error < 0.06 * exact, name
    assert float(data.hop_width) < 0.2 and float(data.improvement) > 10
    far = [np.linalg.norm(run.positions[1] - run.positions[0], axis=1) > float(data.minimum) + 0.05 for run in runs]
    assert float(data.moved) == pytest.approx(np.mean(far), abs=1e-9) and 0 < float(data.moved_sem) < 0.01


def test_a_length_that_its_own_width_hides_is_none():
    """A wide cloud beside a narrow one is no shell."""
    rng = np.random.default_rng(1)
    far = np.where(rng.random(6000) < 0.3, 1.2, 0.3)[:, None] * rng.normal(size=(6000, 3))
    cloud = Trajectory(np.array([0 * far, far]), ["Na"] * 6000, CELL, np.arange(2.0))
    data = analysis.bimodality(cloud, drift=False).isel(species=0, time=0)
    for name in ("hop_length", "hop_number", "hop_fraction", "hop_width", "stay_width"):
        assert np.isnan(data[name]) and np.isnan(data[f"{name}_sem"])


def test_a_gaussian_walk_is_not_bimodal():
    runs = [Trajectory(np.cumsum(steps(200 + s, 60, 400), 0), ["Na"] * 400, CELL, np.arange(60.0)) for s in range(5)]
    data = analysis.bimodality(runs, drift=False)
    assert int(data.bimodal.sum()) == 0


def test_second_maxima_of_noise_are_significant_as_rarely_as_their_p_says():
    p = []
    for seed in range(60):  # as few atoms and as overlapping origins as a short run has
        run = Trajectory(np.cumsum(steps(500 + seed, 200, 40), 0), ["Na"] * 40, CELL, np.arange(200.0))
        p.append(analysis.bimodality(run, time=[20.0, 45.0], drift=False).p.values.ravel())
    p = np.concatenate(p)
    assert np.mean(p < 0.05) < 0.08 and np.nanmin(p) > 1e-4


def test_a_bump_on_the_flank_of_one_maximum_is_no_second_maximum():
    from glasslib.analysis.bimodality import R, rise
    from glasslib.analysis.jump_diffusion import caged

    rng, wide = np.random.default_rng(3), caged(R, 2.0, 2.0, 0.0)
    groups = wide + rng.normal(0, 0.03, (16, len(R))) * np.sqrt(wide)
    assert rise(R, groups)[2] > 0.05
    groups += 0.15 * np.exp(-0.5 * ((R - 6.0) / 0.4) ** 2)
    depth, error, p = rise(R, groups)
    assert p < 1e-3 and depth > 3 * error


def test_the_distribution_of_jumps_is_that_of_sampled_ones():
    from glasslib.analysis.jump_diffusion import caged, distribution

    rng, atoms, edges = np.random.default_rng(5), 400_000, np.arange(0, 8.01, 0.1)
    r = (edges[1:] + edges[:-1]) / 2
    where = rng.normal(size=(atoms, 3)) * np.where(rng.random(atoms) < 0.3, 0.7, 0.35)[:, None]
    counts = np.histogram(np.linalg.norm(where, axis=1), edges)[0] / atoms / 0.1
    np.testing.assert_allclose(caged(r, 0.35, 0.7, 0.3), counts, atol=0.02)
    np.testing.assert_allclose(distribution(r, 2.5, 0.0, 0.4, 0.35, 0.7, 0.3), caged(r, 0.35, 0.7, 0.3), atol=1e-5)
    times = rng.poisson(1.4, atoms)
    for jump in range(times.max()):
        step = rng.normal(size=(atoms, 3))
        step *= 2.5 / np.linalg.norm(step, axis=1, keepdims=True)
        where += (times > jump)[:, None] * (step + rng.normal(0, 0.4, (atoms, 3)))
    counts = np.histogram(np.linalg.norm(where, axis=1), edges)[0] / atoms / 0.1
    np.testing.assert_allclose(distribution(r, 2.5, 1.4, 0.4, 0.35, 0.7, 0.3), counts, atol=0.02)


def cages(seed, rate, back, atoms=200, frames=1500, length=3.0, width=0.15, apart=12):
    """Vibration in cages; jumps by `length` along x, at least `apart` frames from each other, a share `back` of which undo the last."""
    rng = np.random.default_rng(seed)
    place, jumps, returns, later = np.zeros((frames, atoms)), 0, 0, 0
    for atom in range(atoms):
        f, x, last = 0, 0.0, 0.0
        while True:
            step = apart + rng.geometric(rate)
            place[f : f + step, atom] = x
            f += step
            if f > frames - apart:
                place[f - step :, atom] = x
                break
            undo = last != 0 and rng.random() < back
            direction = -last if undo else last or rng.choice([-1.0, 1.0])
            x, jumps, returns, later = x + length * direction, jumps + 1, returns + undo, later + (last != 0)
            last = direction
    positions = rng.normal(0, width, (frames, atoms, 3))
    positions[..., 0] += place
    return Trajectory(positions, ["Na"] * atoms, CELL, np.arange(frames) * 0.1), jumps, returns / later


def test_planted_jumps_are_counted_with_their_length_waiting_time_and_returns():
    run, jumps, returns = cages(6, 0.01, 0.3)
    data = analysis.hops(run, drift=False).isel(species=0)
    assert int(data.number) == pytest.approx(jumps, rel=0.03)
    assert float(data.length) == pytest.approx(3.0, abs=0.1)
    assert float(data.returned) == pytest.approx(returns, abs=0.03)
    assert float(data.rate) == pytest.approx(jumps / (200 * 150.0), rel=0.04)
    assert float(data.waiting) < 1 / float(data.rate)  # a finite run shows short waits only
    assert float(data.P_length.sum() * 0.1) == pytest.approx(1, abs=0.01)


def test_waits_and_returns_of_jumps_too_rare_for_the_run_are_not_told():
    data = analysis.hops(cages(6, 0.002, 0.3)[0], drift=False).isel(species=0)
    assert 0 < float(data.rate) * 150 < 5 and np.isfinite(data.length)
    assert np.isnan(data.waiting) and np.isnan(data.returned)


def test_a_walk_without_cages_jumps_at_the_rate_that_hops_states_for_one():
    run = Trajectory(np.cumsum(steps(21, 3000, 40, 3.0), 0), ["Na"] * 40, CELL, np.arange(3000.0) * 0.2)
    data = analysis.hops(run, drift=False)
    assert float(data.rate[0]) == pytest.approx(float(data.walk_rate[0]), abs=4 * float(data.rate_sem[0]))
    reuse = analysis.site_reuse(run, drift=False)
    for unknown in (data.length, data.waiting, data.returned, data.P_length, reuse.other, reuse.same):
        assert np.isnan(unknown).all()  # nothing to be told of jumps that follow each other like this


def test_vibrations_alone_are_no_jumps():
    run = Trajectory(np.random.default_rng(7).normal(0, 0.25, (600, 50, 3)), ["Si"] * 50, CELL, np.arange(600) * 0.1)
    assert int(analysis.hops(run, drift=False).number[0]) == 0


def test_hops_use_the_even_frames_of_log_output():
    from glasslib.dynamics.schedule import log_frames

    run, jumps, _ = cages(8, 0.01, 0.0, atoms=60)
    keep = log_frames(1499, 3)
    part = Trajectory(run.positions[keep], run.species, CELL, run.time[keep], step=keep)
    assert int(analysis.hops(part, interval=0.3, window=3, drift=False).number[0]) == pytest.approx(jumps, rel=0.05)


def test_mobility_is_the_distance_moved_at_frames_that_exist():
    run = Trajectory(np.cumsum(steps(9, 40, 30), 0) + 12.0, ["O"] * 20 + ["Na"] * 10, CELL, np.arange(40) * 0.5)
    data = analysis.mobility(run, time=[2.0, 7.4], start=3, drift=False)
    assert data.time.values.tolist() == [2.0, 7.5]
    np.testing.assert_allclose(
        data.distance[1], np.linalg.norm(run.positions[18] - run.positions[3], axis=1), rtol=1e-12
    )
    assert data.symbol.values.tolist() == run.species.tolist()
    for name in ("O", "Na"):
        np.testing.assert_allclose(data.relative[:, data.symbol == name].mean("atom"), 1, rtol=1e-12)
    assert (data.position >= 0).all() and (data.position <= 30).all()


def test_propensity_recovers_the_planted_share_of_the_configuration():
    """Every atom's distance has a mean of its own (variance 0.04) and a scatter between runs (variance 0.12): share 1/4."""
    rng = np.random.default_rng(10)
    own, runs = rng.normal(3, 0.2, 3000), []
    for _ in range(6):
        distance = own + rng.normal(0, np.sqrt(0.12), 3000)
        direction = rng.normal(size=(3000, 3))
        end = direction / np.linalg.norm(direction, axis=1, keepdims=True) * distance[:, None]
        runs.append(Trajectory(np.array([np.zeros((3000, 3)), end]), ["Na"] * 3000, CELL, [0.0, 1.0]))
    data = analysis.propensity(runs, drift=False)
    assert float(data.explained[0, 0]) == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(data.propensity[0].mean(), own.mean(), atol=0.02)
    alike = [
        Trajectory(np.concatenate([np.zeros((1, 500, 3)), steps(20 + k, 1, 500)]), ["O"] * 500, CELL, [0.0, 1.0])
        for k in range(5)
    ]
    assert abs(float(analysis.propensity(alike, drift=False).explained[0, 0])) < 0.06


def test_propensity_refuses_runs_from_different_configurations():
    runs = [Trajectory(np.cumsum(steps(k, 5, 5), 0), ["O"] * 5, CELL, np.arange(5.0)) for k in range(2)]
    with pytest.raises(GlasslibError, match="another configuration"):
        analysis.propensity(runs)
    with pytest.raises(GlasslibError, match="two runs"):
        analysis.propensity(runs[:1])


def test_gaussian_walks_give_the_ratio_of_their_steps_squared():
    """D ∝ σ²; F_s = exp(−q² D t), so τ ∝ 1/σ² and q² D τ = 1."""
    runs = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sigma = np.r_[np.full(150, 0.2), np.full(150, 0.1)]
        runs.append(
            Trajectory(
                np.cumsum(rng.normal(size=(400, 300, 3)) * sigma[:, None], 0),
                ["Na"] * 150 + ["O"] * 150,
                CELL,
                np.arange(400.0),
            )
        )
    data = analysis.decoupling(runs, q=1.0, drift=False)
    assert data.pair.values.tolist() == ["Na/O"]
    assert float(data.D_ratio[0]) == pytest.approx(4, rel=0.15) and float(data.tau_ratio[0]) == pytest.approx(
        0.25, rel=0.05
    )
    np.testing.assert_allclose(data.D_tau, 1, rtol=0.12)
    assert (
        data.diffuses.values.tolist() == [1, 1] and int(data.diffusive[0]) == 1 and np.isfinite(data.D_ratio_sem).all()
    )


def test_s_4_of_independent_atoms_is_flat_and_has_no_length():
    rng = np.random.default_rng(11)
    start = rng.uniform(0, 30, (400, 3))
    run = Trajectory(start + np.cumsum(steps(11, 600, 400), 0), ["O"] * 400, CELL, np.arange(600.0))
    data = analysis.dynamic_length(run, a=1.0, time=3.0, drift=False)
    q = analysis.overlap(run, a=1.0, time=3.0, drift=False).Q.item()
    np.testing.assert_allclose(data.S_4.values.ravel(), q * (1 - q), rtol=0.25)
    assert float(data.S_4.mean()) == pytest.approx(q * (1 - q), rel=0.03)


def test_independent_atoms_that_stay_and_jump_are_hardly_ever_given_a_length():
    resolved = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        jump = rng.random((200, 150, 1)) < 0.02
        moves = 1.5 * rng.normal(size=(200, 150, 3)) * jump + 0.05 * rng.normal(size=(200, 150, 3))
        places = rng.uniform(0, 14, (150, 3)) + np.cumsum(moves, 0)
        run = Trajectory(places, ["O"] * 150, np.eye(3) * 14, np.arange(200) * 0.5)
        resolved.append(analysis.dynamic_length(run, drift=False).resolved.values.ravel())
    assert np.mean(resolved) < 0.05  # 0.025 at most is meant, of 60


def test_s_4_equals_a_direct_sum_over_atoms():
    rng = np.random.default_rng(12)
    run = Trajectory(
        rng.uniform(0, 12, (1, 50, 3)) + np.cumsum(steps(12, 2, 50, 0.5), 0), ["Na"] * 50, np.eye(3) * 12, [0.0, 1.0]
    )
    data = analysis.dynamic_length(run, a=0.8, time=1.0, drift=False)
    stay = np.linalg.norm(run.positions[1] - run.positions[0], axis=1) < 0.8
    w = stay - stay.mean()
    k = 2 * np.pi / 12
    by_hand = np.mean([np.abs((w * np.exp(1j * k * run.positions[0][:, c])).sum()) ** 2 / 50 for c in range(3)])
    assert float(data.S_4[0, 0, 0]) == pytest.approx(by_hand, rel=1e-9) and float(data.q[0]) == pytest.approx(k)


def test_a_length_at_a_lag_time_that_fits_into_the_run_once_has_no_error():
    x = np.random.default_rng(3).uniform(0, 12, (1, 50, 3)) + np.cumsum(steps(3, 100, 50, 0.2), 0)
    run = Trajectory(x, ["Na"] * 50, np.eye(3) * 12, np.arange(100) * 0.1)
    data = analysis.dynamic_length(run, a=0.8, time=[0.5, 2.0, 4.0], drift=False)
    assert np.isfinite(data.S_4).all()
    assert np.isfinite(data.S_4_sem.values[0]).all(1).tolist() == [True, True, False]


@pytest.mark.parametrize("length, strength", [(2.0, 1.5), (3.0, 3.0)])
def test_a_field_of_mobility_has_its_length_and_strength(length, strength):
    """Atoms of an ideal gas move with a probability p(r) = 1/2 + h(r), h a Gaussian field of spectrum P / (1 + ξ²q²): S₄ = 1/4 + ρ P / (1 + ξ²q²)."""
    side, atoms, runs = 36.0, 4000, []
    rng = np.random.default_rng(13)
    n = np.array(np.meshgrid(*[np.arange(-6, 7)] * 3)).reshape(3, -1)
    n = n[:, ((n**2).sum(0) > 0) & ((n**2).sum(0) < 40)]  # all waves that are fitted
    q = 2 * np.pi / side * n
    power = strength / 4 * side**3 / atoms / (1 + length**2 * (q**2).sum(0))
    for _ in range(30):
        start = rng.uniform(0, side, (atoms, 3))
        size = np.sqrt(power / side**3) * rng.normal(size=power.size)
        field = np.sqrt(2) * np.cos(start @ q + rng.uniform(0, 2 * np.pi, power.size)) @ size
        end = start + np.where(rng.random(atoms) < 0.5 + field, 3.0, 0.0)[:, None] * np.array([1.0, 0, 0])
        runs.append(Trajectory(np.array([start, end]), ["Na"] * atoms, np.eye(3) * side, [0.0, 1.0]))
    data = analysis.dynamic_length(runs, time=1.0, drift=False).isel(species=0, time=0)
    assert float(data.independent) == pytest.approx(0.25, abs=0.01)
    assert abs(float(data.xi_4) - length) < min(3 * float(data.xi_4_sem), 0.3 * length)
    assert abs(float(data.S_4_0 - data.independent) - strength / 4) < min(3 * float(data.S_4_0_sem), 0.15 * strength)
    assert int(data.resolved) == 1


def test_sites_in_a_ring_are_taken_by_the_next_atom():
    """Atoms that all advance by one site of a row around the box at once: every site left is taken by the atom behind."""
    rng = np.random.default_rng(14)
    frames, atoms = 400, 10
    place = np.arange(atoms) * 3.0 + np.repeat(np.arange(4) * 3.0, 100)[:, None]
    positions = rng.normal(0, 0.1, (frames, atoms, 3))
    positions[..., 0] += place
    data = analysis.site_reuse(Trajectory(positions, ["Na"] * atoms, CELL, np.arange(frames) * 0.1), drift=False).isel(
        species=0
    )
    assert int(data.number) >= 20 and data.other.values[0] == 1.0 and data.same.values[0] == 0.0
    alone = positions.copy()
    alone[..., 1] += np.arange(atoms) * 2.9  # rows of their own: nobody follows
    alone[..., 0] = alone[..., 0] - place + np.repeat(np.arange(4) * 3.0, 100)[:, None]
    data = analysis.site_reuse(Trajectory(alone, ["Na"] * atoms, CELL, np.arange(frames) * 0.1), drift=False).isel(
        species=0
    )
    assert int(data.number) >= 20 and data.other.values[0] == 0.0
