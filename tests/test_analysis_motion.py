"""Observables of single-atom motion against closed forms, brute force and other packages."""

import json

import numba
import numpy as np
import pytest
import xarray as xr

from glasslib import GlasslibError, Trajectory, analysis
from glasslib.analysis.lags import chosen_lags, frame_pairs, ticks
from glasslib.dynamics.schedule import log_frames

CELL = np.eye(3) * 20.0


def walk(seed, frames=400, atoms=60, sigma=0.3, time=None):
    rng = np.random.default_rng(seed)
    positions = np.cumsum(rng.normal(0, sigma, (frames, atoms, 3)), 0)
    time = np.arange(frames) * 0.5 if time is None else time
    return Trajectory(positions, ["O"] * (atoms // 2) + ["Na"] * (atoms - atoms // 2), CELL, time)


def log_walk(seed, steps=2000, block=200, atoms=60, sigma=0.1):
    whole = walk(seed, steps + 1, atoms, sigma, np.arange(steps + 1) * 0.001)
    frames = log_frames(steps, block)
    return Trajectory(whole.positions[frames], whole.species, CELL, whole.time[frames], step=frames)


def found_lags(run):
    """Lag times in ticks of the run, their unit in ps, and the pairs."""
    lags = chosen_lags([run])
    return lags, ticks(run)[1], frame_pairs(run, lags)


def brute_moment(run, lag, power):
    """Mean of r^power over all pairs of frames at one lag time, by a double loop."""
    total = {s: [] for s in set(run.species.tolist())}
    for i in range(len(run)):
        for j in range(i + 1, len(run)):
            if abs(run.time[j] - run.time[i] - lag) < 1e-9:
                r = np.linalg.norm(run.positions[j] - run.positions[i], axis=1)
                for s, values in total.items():
                    values.append(np.mean(r[run.species == s] ** power))
    return {s: np.mean(v) for s, v in total.items()}


@pytest.mark.parametrize("make", [lambda: walk(1, 60), lambda: log_walk(1, 400, 100)])
def test_msd_and_alpha_2_equal_a_double_loop_over_frames(make):
    run = make()
    msd = analysis.mean_squared_displacement(run, drift=False)
    alpha = analysis.non_gaussian(run, drift=False)
    for lag in msd.time.values[:: max(1, len(msd.time) // 8)]:
        two, four = brute_moment(run, lag, 2), brute_moment(run, lag, 4)
        for s in two:
            assert float(msd.msd.sel(time=lag, species=s)) == pytest.approx(two[s], rel=1e-10)
            assert float(alpha.alpha_2.sel(time=lag, species=s)) == pytest.approx(
                3 * four[s] / (5 * two[s] ** 2) - 1, abs=1e-9
            )


def test_msd_equals_tidynamics():
    import tidynamics

    run = walk(3, 100, 4)
    data = analysis.mean_squared_displacement(run, drift=False)
    other = np.mean([tidynamics.msd(run.positions[:, a]) for a in range(2)], axis=0)
    steps = np.round(data.time.values / 0.5).astype(int)
    np.testing.assert_allclose(data.msd.sel(species="O"), other[steps], rtol=1e-9)


def test_msd_equals_mdanalysis():
    import MDAnalysis
    from MDAnalysis.analysis.msd import EinsteinMSD

    run = walk(4, 50, 6)
    universe = MDAnalysis.Universe.empty(6, trajectory=True)
    universe.load_new(run.positions.astype(np.float32), order="fac")
    other = EinsteinMSD(universe, select="index 0:2", fft=False).run().results.timeseries
    data = analysis.mean_squared_displacement(run, drift=False)
    np.testing.assert_allclose(
        data.msd.sel(species="O"), other[np.round(data.time.values / 0.5).astype(int)], rtol=1e-5
    )


def test_lag_times_are_those_of_log_output_and_cover_it():
    run = log_walk(5)
    have = {int(b - a) for k, a in enumerate(run.step.tolist()) for b in run.step.tolist()[k + 1 :]}
    lags, _, pairs = found_lags(run)
    assert set(lags.tolist()) <= have
    assert lags[0] == 1 and lags[-1] > 1500 and (np.diff(lags) > 0).all()
    assert (run.step[pairs.second] - run.step[pairs.first] == lags[pairs.index]).all()
    assert np.bincount(pairs.index)[0] >= 10  # one pair a block at least


def test_every_pair_of_the_chosen_lag_times_is_found():
    run = log_walk(5, 400, 100)
    lags, _, pairs = found_lags(run)
    steps = run.step
    difference = steps[None, :] - steps[:, None]
    assert np.bincount(pairs.index).tolist() == [int((difference == lag).sum()) for lag in lags]


def test_long_uneven_output_finds_the_repeated_lag_times():
    time = np.concatenate([k * 100.0 + np.array([0, 1, 3, 10, 30]) for k in range(800)])
    lags, unit, pairs = found_lags(Trajectory(np.zeros((len(time), 1, 3)), ["O"], CELL, time))
    assert {1.0, 3.0, 10.0, 100.0} <= set(np.round(lags * unit, 9).tolist())  # 27, 29 and 30 occur equally often
    assert (np.bincount(pairs.index)[:5] > 400).all()


def test_times_rounded_by_a_writer_still_pair():
    time = np.round(np.arange(50) / 3, 7)
    _, _, pairs = found_lags(Trajectory(np.zeros((50, 1, 3)), ["O"], CELL, time))
    assert np.bincount(pairs.index)[0] == 49


def test_gaussian_walk_has_vanishing_alpha_2_within_its_error():
    data = analysis.non_gaussian([walk(s) for s in range(8)], drift=False)
    z = (data.alpha_2 / data.alpha_2_sem).values
    assert np.isfinite(z).all()
    assert np.sqrt(np.mean(z**2)) < 2.5 and abs(float(data.alpha_2[0, 0])) < 0.02


def test_gaussian_walk_scatters_as_exp_of_minus_q_squared_msd_over_six():
    runs = [walk(s, sigma=0.2) for s in range(6)]
    data = analysis.self_intermediate_scattering(runs, q=[0.7, 1.7], drift=False)
    expected = np.exp(-data.q * data.q * data.time / 0.5 * 0.2**2 / 2)
    error = (data.F_s - expected).transpose("time", "species", "q")
    assert float(abs(error).max()) < 0.1 and float(abs(error[:3]).max()) < 0.01
    assert float(((error / data.F_s_sem)[:10] ** 2).mean()) ** 0.5 < 2.5


def test_two_populations_have_the_closed_alpha_2():
    rng = np.random.default_rng(6)
    sigma = np.where(np.arange(4000) % 2, 0.1, 0.4)
    run = Trajectory(
        np.cumsum(rng.normal(size=(20, 4000, 3)) * sigma[:, None], 0), ["Na"] * 4000, CELL, np.arange(20.0)
    )
    two, four = np.mean(sigma**2), np.mean(sigma**4)
    data = analysis.non_gaussian(run, drift=False)
    np.testing.assert_allclose(data.alpha_2[0, :4], four / two**2 - 1, rtol=0.08)


def test_lattice_jumps_have_the_closed_alpha_2_and_van_hove_function():
    """Poisson jumps of length 3 Å along ±x, ±y, ±z: ⟨r²⟩ = n b², ⟨r⁴⟩ = b⁴ (n + 5n²/3), hence α₂ = 3 / (5n)."""
    rng = np.random.default_rng(7)
    frames, atoms, rate, jump = 30, 3000, 0.1, 3.0
    net = sum(rng.poisson(rate / 6, (frames, atoms, 3)) * s for s in (1, -1)) * jump
    run = Trajectory(np.cumsum(net, 0).astype(float), ["Na"] * atoms, CELL, np.arange(float(frames)))
    data = analysis.non_gaussian(run, drift=False)
    n = rate * data.time.values
    np.testing.assert_allclose(data.alpha_2[0, :5], 0.6 / n[:5], rtol=0.08)
    g = analysis.van_hove_self(run, drift=False)
    density = g.P.isel(species=0, time=0)
    stay = np.exp(-rate) * np.i0(rate / 3) ** 3  # each axis: difference of two Poisson numbers, mean rate/6 each
    assert float(density[0]) * 0.1 == pytest.approx(stay, abs=0.004)
    step = float(density.sel(r=slice(2.9, 3.1)).sum()) * 0.1
    from scipy.special import iv

    assert step == pytest.approx(6 * np.exp(-rate) * iv(1, rate / 3) * iv(0, rate / 3) ** 2, abs=0.004)


def test_oscillators_stay_at_the_closed_plateau():
    rng = np.random.default_rng(8)
    keep, width = 0.8, 0.2
    x = [rng.normal(0, width, (500, 3))]
    for _ in range(300):
        x.append(keep * x[-1] + np.sqrt(1 - keep**2) * rng.normal(0, width, (500, 3)))
    run = Trajectory(np.array(x), ["Si"] * 500, CELL, np.arange(301) * 0.1)
    data = analysis.mean_squared_displacement(run, drift=False)
    expected = 6 * width**2 * (1 - keep ** (data.time.values / 0.1))
    few = data.time.values < 20
    np.testing.assert_allclose(data.msd[0, few], expected[few], rtol=0.025)
    flags = analysis.diffusion_coefficient(run)
    assert int(flags.diffusive[0]) == 0 and float(flags.slope[0]) < 0.3
    tau = analysis.relaxation_time(analysis.self_intermediate_scattering(run, q=1.7))
    assert int(tau.reached[0, 0]) == 0 and np.isnan(float(tau.tau[0, 0]))


def test_van_hove_density_integrates_to_one_and_equals_a_histogram():
    run = walk(9, 40)
    data = analysis.van_hove_self(run, drift=False)
    np.testing.assert_allclose(data.P.sum("r") * 0.1 + data.beyond, 1, atol=1e-12)
    np.testing.assert_allclose(data.P, 4 * np.pi * (data.r**2 + 0.1**2 / 12).values * data.G_s, rtol=1e-9)
    lag = 2
    r = np.linalg.norm(run.positions[lag:, :30] - run.positions[:-lag, :30], axis=2)
    counts = np.histogram(r, np.arange(121) * 0.1)[0] / r.size / 0.1
    np.testing.assert_allclose(data.P.sel(species="O", time=1.0), counts, atol=1e-9)


def test_overlap_equals_counting():
    run = walk(10, 40)
    data = analysis.overlap(run, a=[0.5, 1.0], drift=False)
    r = np.linalg.norm(run.positions[3:, 30:] - run.positions[:-3, 30:], axis=2)
    np.testing.assert_allclose(data.Q.sel(species="Na", time=1.5), [(r < 0.5).mean(), (r < 1.0).mean()], rtol=1e-12)


def test_far_from_the_origin_nothing_changes():
    near = walk(11, 60)
    far = Trajectory(near.positions + 1e6, near.species, CELL, near.time)
    a, b = analysis.mean_squared_displacement(near), analysis.mean_squared_displacement(far)
    np.testing.assert_allclose(a.msd, b.msd, rtol=1e-8)


def test_drift_of_the_centre_of_mass_is_removed_with_masses():
    run = walk(12, 60)
    moving = Trajectory(run.positions + np.linspace(0, 500, 60)[:, None, None], run.species, CELL, run.time)
    a, b = analysis.mean_squared_displacement(run, drift=True), analysis.mean_squared_displacement(moving)
    np.testing.assert_allclose(a.msd, b.msd, rtol=1e-8)
    assert float(analysis.mean_squared_displacement(moving, drift=False).msd[0, 0]) > 2 * float(b.msd[0, 0])
    weights = run.masses / run.masses.sum()
    still = run.positions - np.einsum("a,fac->fc", weights, run.positions)[:, None]
    by_hand = Trajectory(still, run.species, CELL, run.time)
    np.testing.assert_allclose(a.msd, analysis.mean_squared_displacement(by_hand, drift=False).msd, rtol=1e-8)


def test_result_does_not_depend_on_threads_nor_on_portions(monkeypatch):
    from glasslib.analysis import displacements

    run = log_walk(13)
    before = numba.get_num_threads()
    results = []
    for threads in (1, before):
        numba.set_num_threads(threads)
        results.append(analysis.van_hove_self(run))
    numba.set_num_threads(before)
    assert results[0].identical(results[1])
    whole = analysis.mean_squared_displacement(run)
    monkeypatch.setattr(displacements, "MEMORY_BYTES", 24 * len(run) * 7)
    monkeypatch.setattr(displacements, "LEAST", 1)
    np.testing.assert_allclose(analysis.mean_squared_displacement(run).msd, whole.msd, rtol=1e-12)


def test_a_file_gives_what_memory_gives(tmp_path):
    run = log_walk(14)
    run.save(tmp_path / "run.h5", dtype="float64")
    assert analysis.overlap(Trajectory.open(tmp_path / "run.h5")).Q.equals(analysis.overlap(run).Q)


def test_breathing_cell_is_refused():
    cells = np.array([CELL * (1 + 0.01 * k) for k in range(10)])
    run = Trajectory(np.zeros((10, 2, 3)), ["O", "Na"], cells, np.arange(10.0))
    for observable in (analysis.mean_squared_displacement, analysis.van_hove_self, analysis.overlap):
        with pytest.raises(GlasslibError, match="cell changes"):
            observable(run)


def test_bad_options_are_named():
    run = walk(15, 10)
    with pytest.raises(GlasslibError, match="q must"):
        analysis.self_intermediate_scattering(run, q=-1)
    with pytest.raises(GlasslibError, match="a must"):
        analysis.overlap(run, a="large")
    with pytest.raises(GlasslibError, match="two frames"):
        analysis.mean_squared_displacement(run[:1])
    with pytest.raises(GlasslibError, match="fit_range"):
        analysis.diffusion_coefficient(run, fit_range=(5, 1))
    with pytest.raises(GlasslibError, match="same atoms"):
        analysis.overlap([run, walk(1, 10, 40)])


def test_error_is_nan_without_independent_blocks_and_matches_the_spread_of_walks():
    one = analysis.mean_squared_displacement(walk(16, 200), drift=False)
    assert np.isnan(one.msd_sem.values[:, one.time.values > 0.51 * 199 * 0.5]).all()
    many = [analysis.mean_squared_displacement(walk(100 + s, 200), drift=False) for s in range(40)]
    spread = np.std([m.msd.values[:, :12] for m in many], axis=0, ddof=1)
    stated = np.sqrt(np.mean([m.msd_sem.values[:, :12] ** 2 for m in many], axis=0))
    assert 0.7 < np.mean(stated / spread) < 1.5


def test_confidence_interval_of_D_covers_the_truth_in_about_95_of_100_walks():
    """Binomial(100, 0.95): 89 … 99 hold it with probability above 0.98."""
    truth, covered = 0.3**2 / 2 / 0.5, 0
    for seed in range(100):
        data = analysis.diffusion_coefficient(walk(1000 + seed, 300, 10), drift=False)
        covered += bool((data.D_low[0] < truth) and (truth < data.D_high[0]))
    assert 88 <= covered <= 100
    runs = [
        analysis.diffusion_coefficient([walk(5000 + 6 * s + k, 100, 10) for k in range(5)], drift=False)
        for s in range(40)
    ]
    # Binomial(40, 0.95): 33 or more with probability 0.998
    assert 33 <= sum(bool((d.D_low[0] < truth) and (truth < d.D_high[0])) for d in runs)


def test_frames_as_runs_keep_them_leave_five_blocks_for_the_error_of_D():
    """Recorded times as of a production run, 200 blocks: thinning pairs of frames to 1,000 may not empty any block."""
    log = np.unique(np.round(np.geomspace(1, 250, 30)).astype(int))
    step = np.unique((250 * np.arange(200)[:, None] + np.r_[0, log]).ravel())
    jumps = 0.05 * np.random.default_rng(3).normal(size=(step[-1] + 1, 5, 3))
    run = Trajectory(np.cumsum(jumps, 0)[step], ["Na"] * 5, np.eye(3) * 20, step * 0.002)
    data = analysis.diffusion_coefficient(run, drift=False)
    assert data.attrs["blocks"] == 5 and np.isfinite(data.D_sem).all()


def test_arrhenius_recovers_the_energy_of_exact_data_and_skips_what_does_not_diffuse():
    import xarray as xr

    k = 8.617333262e-5
    points = {}
    for t in (1500.0, 2000.0, 2500.0, 3000.0):
        d = 40 * np.exp(-0.7 / (k * t))
        points[t] = xr.Dataset(
            {"D": ("species", [d]), "D_sem": ("species", [0.01 * d]), "diffusive": ("species", [1])},
            {"species": ["Na"]},
        )
    fit = analysis.arrhenius(points)
    assert float(fit.E[0]) == pytest.approx(0.7, abs=1e-9) and float(fit.D_0[0]) == pytest.approx(40, rel=1e-8)
    points[1000.0] = xr.Dataset(
        {"D": ("species", [1.0]), "D_sem": ("species", [0.1]), "diffusive": ("species", [0])}, {"species": ["Na"]}
    )
    assert int(analysis.arrhenius(points).points[0]) == 4


def test_relaxation_time_of_an_exponential_is_its_time():
    import xarray as xr

    time = np.geomspace(0.1, 100, 200)
    curve = xr.Dataset(
        {
            "Q": (("time", "species"), np.exp(-time / 7)[:, None]),
            "Q_sem": (("time", "species"), np.full((200, 1), 0.01)),
        },
        {"time": time, "species": ["O"]},
    )
    tau = analysis.relaxation_time(curve)
    assert float(tau.tau[0]) == pytest.approx(7, rel=1e-3)
    assert float(tau.tau_sem[0]) == pytest.approx(0.01 * np.e * 7, rel=0.05)  # dτ = dQ / |dQ/dt|
    early = analysis.relaxation_time(curve.isel(time=slice(150, None)))
    assert int(early.reached[0]) == -1 and np.isnan(float(early.tau[0]))


def test_the_order_of_atoms_may_differ_between_replicas():
    """Every random start shuffles its atoms; runs from several are replicas all the same."""
    first, second = walk(1, 40), walk(2, 40)
    order = np.random.default_rng(5).permutation(second.n_atoms)
    shuffled = Trajectory(second.positions[:, order], second.species[order], CELL, second.time)
    assert not np.array_equal(shuffled.species, first.species)
    for function, options in (
        (analysis.mean_squared_displacement, {}),
        (analysis.overlap, {}),
        (analysis.four_point_susceptibility, {}),
        (analysis.coherent_intermediate_scattering, {"q": 1.0}),
        (analysis.van_hove_distinct, {}),
        (analysis.radial_distribution, {}),
        (analysis.structure_factor, {"radiation": None}),
        (analysis.bond_correlation, {"pair": "O-Na", "cutoff": 4.0}),
        (analysis.hops, {"interval": 0.5, "window": 2}),
        (analysis.dynamic_length, {"time": 1.0}),
    ):
        a, b = function([first, second], **options), function([first, shuffled], **options)
        for name in a.data_vars:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-9, err_msg=f"{function.__name__} {name}")
    with pytest.raises(GlasslibError, match="another configuration"):
        analysis.propensity([second, shuffled])


def boxed(D, sem, length, atoms):
    """A result of diffusion_coefficient in a cube."""
    data = {"D": ("species", D), "D_sem": ("species", sem), "diffusive": ("species", [1, 0])}
    attrs = {"volume_A3": length**3, "atoms": json.dumps({"Na": atoms // 3, "O": atoms - atoms // 3})}
    return xr.Dataset(data, {"species": ["Na", "O"]}, attrs)


def test_finite_size_recovers_the_law_of_exact_data():
    limit, s = np.array([3.0, 0.3]), np.array([6.0, 2.0])
    boxes = [boxed(limit - s / L, [0.1, 0.01], L, n) for L, n in ((28.0, 1500), (16.0, 300), (21.0, 600))]
    data = analysis.finite_size(boxes)
    np.testing.assert_allclose(data.D_infinite, limit)
    np.testing.assert_allclose(data.D_s, s)
    assert data.atoms.values.tolist() == [300, 600, 1500] and data.D_whole.values.tolist() == [[1] * 3, [0] * 3]
    pair = analysis.finite_size(boxes[1:])  # a line through two points: D_∞ = (L₂D₂ − L₁D₁) / (L₂ − L₁)
    assert float(pair.D_infinite_sem[0]) == pytest.approx(0.1 * np.hypot(16, 21) / 5)
    assert np.isnan(pair.D_misfit).all()


def test_finite_size_of_what_some_boxes_do_not_reach():
    boxes = [boxed([3.0 - 6 / L, np.nan if L < 18 else 2.0], [0.1, 0.1], L, 300) for L in (28.0, 16.0, 21.0)]
    boxes = [box.rename(D="tau", D_sem="tau_sem", diffusive="reached") for box in boxes]
    data = analysis.finite_size(boxes, variable="tau")
    np.testing.assert_allclose(data.tau_infinite, [3.0, 2.0])
    np.testing.assert_allclose(data.tau_s, [6.0, 0.0], atol=1e-9)
    lonely = analysis.finite_size([b.assign(tau=b.tau.where(b.species == "Na")) for b in boxes], variable="tau")
    assert np.isnan(lonely.tau_infinite[1]) and np.isfinite(lonely.tau_infinite[0])
    by_q = [box.expand_dims(q=[1.0, 2.0]) for box in boxes]
    with pytest.raises(GlasslibError, match="choose q"):
        analysis.finite_size(by_q, variable="tau")


def test_intervals_of_the_infinite_system_cover_the_truth():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(300):
        boxes = [
            boxed((2 - 5 / L + 0.05 * rng.normal()) * np.ones(2), [0.05] * 2, L, 300) for L in (16.0, 21.0, 28.0, 36.0)
        ]
        found = analysis.finite_size(boxes).isel(species=0)
        inside.append(float(found.D_low) < 2 < float(found.D_high))
    assert 0.9 < np.mean(inside) <= 1


def test_finite_size_needs_two_sizes():
    box = boxed([1.0, 1.0], [0.1, 0.1], 16.0, 300)
    for given in ([box], [box, box], [xr.Dataset()]):
        with pytest.raises(GlasslibError, match="finite_size"):
            analysis.finite_size(given)
