"""Single-particle dynamics: closed forms of random walks, wells and jumps, and brute force."""

import inspect
import re

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose

from glasslib import GlasslibError, Trajectory, analysis
from glasslib.analysis.lags import ticks


def trajectory(positions, species=None, dt=0.1, time=None, **options):
    frames, atoms, _ = positions.shape
    time = np.arange(frames) * dt if time is None else time
    return Trajectory(positions, species or ["Na"] * atoms, np.eye(3) * 20.0, time, **options)


def walk(frames, atoms, d=0.5, dt=0.1, seed=0):
    steps = np.random.default_rng(seed).normal(0, np.sqrt(2 * d * dt), (frames, atoms, 3))
    return np.cumsum(steps, 0)


def log_times(blocks=12, block=100):
    offsets = np.array([0, 1, 2, 4, 8, 16, 32, 64])
    return np.unique((np.arange(blocks)[:, None] * block + offsets).ravel())


def brute(x, time, lag):
    """Displacements of all pairs of frames that are `lag` apart."""
    return np.array(
        [x[j] - x[i] for i in range(len(x)) for j in range(i + 1, len(x)) if abs(time[j] - time[i] - lag) < 1e-9]
    )


@pytest.fixture(scope="module")
def log_run():
    ticks = log_times()
    x = walk(ticks[-1] + 1, 40, dt=0.002, seed=3)[ticks]
    return trajectory(x, ["Na"] * 15 + ["O"] * 25, time=ticks * 0.002)


def test_every_self_observable_equals_a_double_loop_on_log_spaced_frames(log_run):
    x, options = log_run.positions, {"drift": False, "origins": None}
    q, a = [1.7, 3.0], [0.3, 0.6]
    r = np.arange(0.02, 1.5, 0.04)
    msd = analysis.mean_squared_displacement(log_run, **options)
    alpha = analysis.non_gaussian(log_run, **options)
    fs = analysis.self_intermediate_scattering(log_run, q=q, **options)
    overlap = analysis.overlap(log_run, a=a, **options)
    gs = analysis.van_hove_self(log_run, r=r, **options)
    for k in (0, 3, len(msd.time) // 2, len(msd.time) - 1):
        for name in ("Na", "O"):
            moved = np.linalg.norm(brute(x[:, log_run.species == name], log_run.time, float(msd.time[k])), axis=-1)
            here = {"species": name, "time": msd.time[k]}
            assert_allclose(msd.msd.sel(here), (moved**2).mean(), rtol=1e-11)
            assert_allclose(alpha.alpha_2.sel(here), 0.6 * (moved**4).mean() / (moved**2).mean() ** 2 - 1, atol=1e-11)
            assert_allclose(fs.F_s.sel(here), [np.sinc(v * moved / np.pi).mean() for v in q], atol=1e-12)
            assert_allclose(overlap.Q.sel(here), [(moved < v).mean() for v in a], atol=1e-12)
            counts = np.histogram(moved, 38, (0, 38 * 0.04))[0] / moved.size
            volume = 4 / 3 * np.pi * np.diff((np.arange(39) * 0.04) ** 3)
            assert_allclose(gs.G_s.sel(here), counts[: len(r)] / volume[: len(r)], atol=1e-9)
            assert_allclose(gs.P.sel(here).sum() * 0.04 + gs.beyond.sel(here), 1, atol=1e-12)


def test_lag_times_are_differences_of_frame_times(log_run):
    possible = np.unique(np.round(np.subtract.outer(log_run.time, log_run.time), 9))
    time = analysis.mean_squared_displacement(log_run).time.values
    assert len(time) > 20 and np.isin(np.round(time, 9), possible).all() and (time > 0).all()
    assert {0.002, 0.004, 0.008, 0.016, 0.032, 0.2, 0.4} <= set(np.round(time, 9).tolist())


def test_steps_tell_the_lag_times_of_frames_whose_times_are_in_single_precision(log_run):
    step = np.concatenate([log_times(10, 100) + 1000 * k for k in range(1000)])
    time = (step * 0.001).astype(np.float32).astype(float)
    run = trajectory(np.zeros((len(step), 1, 3)), time=time, step=step)
    found, unit = ticks(run)
    assert (found == step - step[0]).all() and unit == pytest.approx(0.001, rel=1e-7)


@pytest.mark.parametrize("jitter", [0, 1e-7])
def test_linear_frames_have_every_lag_and_irregular_ones_only_theirs(jitter):
    x = walk(20, 5)
    time = np.arange(20) * 0.1 + jitter * np.random.default_rng(0).uniform(-1, 1, 20)
    assert_allclose(
        analysis.mean_squared_displacement(trajectory(x, time=time)).time, np.arange(1, 20) * 0.1, atol=1e-6
    )
    few = analysis.mean_squared_displacement(trajectory(x[:4], time=np.array([0.0, 0.3, 0.35, 2.0])))
    assert_allclose(few.time, [0.05, 0.3, 0.35, 1.65, 1.7, 2.0], atol=1e-9)
    steps = np.array([0, 5, 15, 40])
    counted = analysis.mean_squared_displacement(trajectory(x[:4], time=7.0 + steps * 1e-3, step=steps + 1000))
    assert_allclose(counted.time, [0.005, 0.01, 0.015, 0.025, 0.035, 0.04], atol=1e-12)


@pytest.mark.parametrize("time", [
    np.logspace(-2, 2, 40), np.append(0, np.geomspace(1e-3, 10, 40)), np.cumsum(np.random.default_rng(5).uniform(0.5, 1.5, 40)),
])  # fmt: skip
def test_lag_times_of_frames_without_a_common_step_are_what_lies_between_them(time):
    found = analysis.mean_squared_displacement(trajectory(walk(len(time), 3), time=time))
    possible = np.subtract.outer(time, time)[np.tril_indices(len(time), -1)]
    nearest = np.abs(possible[None] - found.time.values[:, None]).min(1)
    assert (nearest < 1e-2 * np.diff(time).min()).all() and (nearest < 1e-12).mean() > 0.3


@pytest.mark.parametrize("frames", [2, 3, 5, 19, 20])
def test_a_short_run_has_a_diffusion_coefficient_too(frames):
    found = analysis.diffusion_coefficient(trajectory(walk(frames, 400, d=0.5, dt=0.1)))
    assert np.isfinite(found.D).all() or frames == 2
    if frames > 5:
        assert_allclose(found.D, 0.5, rtol=0.2)
    if frames < 20:
        assert found.attrs["fit_rule"] == "shortest lag times"


@pytest.mark.parametrize("call", [
    lambda run: analysis.relaxation_time(3), lambda run: analysis.relaxation_time(analysis.overlap(run).Q),
    lambda run: analysis.relaxation_time(analysis.overlap(run), level="half"), lambda run: analysis.coordination(run, frames="20"),
    lambda run: analysis.coordination(run, frames=2.5), lambda run: analysis.diffusion_coefficient(run, level=95),
    lambda run: analysis.bond_angles(run, triplets=3), lambda run: analysis.q_speciation(run, former=3), lambda run: run.select(3),
    lambda run: run["a"], lambda run: run[[10_000]], lambda run: analysis.propensity([run, run], time=-1.0), lambda run: analysis.arrhenius({"a": 1}),
    lambda run: analysis.arrhenius({300: 1}), lambda run: run.save("x.h5", dtype="foo"), lambda run: Trajectory.open(None),
])  # fmt: skip
def test_what_is_no_option_is_named_too(log_run, call):
    with pytest.raises(GlasslibError):
        call(log_run)


def test_bins_may_begin_around_zero_and_shells_of_waves_where_one_likes(log_run):
    r, time = np.linspace(0, 2, 101), 0.2
    found = analysis.van_hove_self(log_run, r=r, time=time, drift=False, origins=None)
    moved = np.linalg.norm(brute(log_run.positions[:, :15], log_run.time, time), axis=-1)
    counts = np.histogram(moved, np.append(0, r + 0.01))[0] / moved.size
    width = np.append(0.01, np.full(100, 0.02))
    assert_allclose(found.P.sel(species="Na").sel(time=time, method="nearest"), counts / width, atol=1e-9)
    apart, alone = [0.95, 1.7, 2.05], analysis.structure_factor(log_run, q=1.7)
    assert_allclose(analysis.structure_factor(log_run, q=apart).S[1], alone.S[0])


def test_long_linear_runs_are_thinned_to_lags_that_occur():
    time = analysis.mean_squared_displacement(trajectory(walk(700, 2))).time.values
    assert len(time) < 80
    assert_allclose(time / 0.1, np.rint(time / 0.1), atol=1e-6)


def test_brownian_motion_is_gaussian_with_known_scattering_and_overlap():
    d, dt = 0.5, 0.1
    run = trajectory(walk(500, 400, d, dt, seed=1), dt=dt)
    options = {"drift": False, "time": np.array([0.1, 0.5, 2.0, 5.0])}
    t = np.array([0.1, 0.5, 2.0, 5.0])
    checks = [
        (analysis.mean_squared_displacement(run, **options).msd, 6 * d * t),
        (analysis.non_gaussian(run, **options).alpha_2, 0 * t),
        (analysis.self_intermediate_scattering(run, q=1.2, **options).F_s[:, 0], np.exp(-(1.2**2) * d * t)),
    ]
    sems = [
        analysis.mean_squared_displacement(run, **options).msd_sem,
        analysis.non_gaussian(run, **options).alpha_2_sem,
        analysis.self_intermediate_scattering(run, q=1.2, **options).F_s_sem[:, 0],
    ]
    for (found, exact), sem in zip(checks, sems, strict=True):
        assert (np.abs(found.values[0] - exact) < 5 * sem.values[0] + 1e-3).all()
        assert (sem.values > 0).all()
    from scipy.special import erf

    a, width = 1.0, np.sqrt(4 * d * t)
    exact = erf(a / width) - 2 / np.sqrt(np.pi) * a / width * np.exp(-((a / width) ** 2))
    found = analysis.overlap(run, a=a, **options)
    assert (np.abs(found.Q.values[0, 0] - exact) < 5 * found.Q_sem.values[0, 0]).all()


def test_replicas_narrow_the_error_and_are_pooled():
    replicas = [trajectory(walk(200, 20, seed=s)) for s in range(4)]
    one = analysis.diffusion_coefficient(replicas[0], drift=False)
    all_four = analysis.diffusion_coefficient(replicas, drift=False)
    each = [float(analysis.diffusion_coefficient(r, drift=False).D[0]) for r in replicas]
    assert_allclose(float(all_four.D[0]), np.mean(each), rtol=1e-9)
    assert all_four.D_high[0] - all_four.D_low[0] < one.D_high[0] - one.D_low[0]


def test_a_slope_that_is_too_uncertain_is_not_called_diffusive():
    few = [analysis.diffusion_coefficient(trajectory(walk(60, 1, seed=k)), drift=False) for k in range(30)]
    unsure = [d for d in few if d.slope_sem[0] > 0.05]
    assert len(unsure) > 20 and not any(d.diffusive[0] for d in unsure)


def test_a_rattling_atom_is_not_called_diffusive():
    well = np.random.default_rng(0).normal(0, 0.3, (200, 30, 3))
    result = analysis.diffusion_coefficient(trajectory(well), drift=False)
    assert not bool(result.diffusive[0]) and result.attrs["not_diffusive"] == "Na"
    assert bool(analysis.diffusion_coefficient(trajectory(walk(200, 30)), drift=False).diffusive[0])


def test_centre_of_mass_drift_is_removed_and_can_be_kept():
    still = np.random.default_rng(1).normal(0, 0.1, (50, 30, 3))
    drifting = still + np.arange(50)[:, None, None] * np.array([0.2, 0.0, 0.0])
    run, moving = trajectory(still), trajectory(drifting)
    assert_allclose(
        analysis.mean_squared_displacement(moving).msd,
        analysis.mean_squared_displacement(run, drift=True).msd,
        rtol=1e-9,
    )
    kept = analysis.mean_squared_displacement(moving, drift=False)
    assert_allclose(kept.msd[0, -1], (0.2 * 49) ** 2, rtol=0.1)


@pytest.mark.parametrize("atoms", [1, 2, 10, 300])
def test_the_own_motion_of_independent_atoms_is_no_drift(atoms):
    steps = walk(200, atoms, seed=3)
    free = analysis.mean_squared_displacement(trajectory(steps), origins=None)
    plain = analysis.mean_squared_displacement(trajectory(steps), drift=False, origins=None)
    assert_allclose(free.msd, plain.msd, rtol=1e-12)
    straight = np.arange(20)[:, None, None] * np.random.default_rng(2).normal(size=(atoms, 3))  # an ideal gas
    lag = np.arange(1, 20)
    assert_allclose(
        analysis.mean_squared_displacement(trajectory(straight)).msd[0], lag**2 * (straight[1] ** 2).sum(1).mean()
    )


def test_results_do_not_depend_on_the_number_of_threads(log_run):
    results = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        results.append(
            [
                f(log_run)
                for f in (
                    analysis.mean_squared_displacement,
                    analysis.self_intermediate_scattering,
                    analysis.van_hove_self,
                )
            ]
        )
    for a, b in zip(*results, strict=True):
        assert a.equals(b)


def test_a_file_read_in_small_parts_gives_what_memory_gives(log_run, tmp_path, monkeypatch):
    from glasslib.analysis import displacements
    from glasslib.trajectory import trajectory as module

    log_run.save(tmp_path / "run.h5", dtype="float64")
    whole = analysis.mean_squared_displacement(log_run)
    monkeypatch.setattr(displacements, "PART_BYTES", 20_000)
    monkeypatch.setattr(module, "BLOCK_BYTES", 5_000)
    parts = analysis.mean_squared_displacement(Trajectory.open(tmp_path / "run.h5"))
    assert_allclose(parts.msd, whole.msd, rtol=1e-9)
    assert_allclose(parts.msd_sem, whole.msd_sem, rtol=1e-6)


def test_a_single_block_has_no_error_instead_of_zero():
    last = analysis.mean_squared_displacement(trajectory(walk(30, 4))).msd_sem.values[0]
    assert np.isnan(last[-1]) and np.isfinite(last[0])


KNOWN = {"composition": "NS2", "temperature": 2000.0, "potential": "default", "weights": "cd34"}


@pytest.mark.parametrize(
    ("attrs", "length", "message"),
    [
        ({"temperature": 3500.0}, 20.0, r"\(temperature 2000.0 and 3500.0\): analyse them one by one"),
        ({"composition": "NS4"}, 20.0, "composition 'NS2' and 'NS4'"),
        ({"weights": "ab12"}, 20.0, "weights 'cd34' and 'ab12'"),
        (
            {"potential": "pmmcs", "temperature": 2500},
            20.0,
            "temperature 2000.0 and 2500; potential 'default' and 'pmmcs'",
        ),
        ({}, 20.4, "volume 8000 and 8490 Å³"),
        ({"temperature": 2000, "seed": 7}, 20.05, None),
        (dict.fromkeys(KNOWN), 20.0, None),
    ],
)
def test_replicas_of_different_states_are_refused(attrs, length, message):
    silent = trajectory(walk(30, 4, seed=0))
    first = trajectory(walk(30, 4, seed=1), attrs=KNOWN)
    other = Trajectory(walk(30, 4, seed=2), ["Na"] * 4, np.eye(3) * length, first.time, attrs=KNOWN | attrs)
    for replicas in ([first, other], [other, silent, first], [silent, first, other]):
        if message is None:
            assert np.isfinite(analysis.mean_squared_displacement(replicas).msd).all()
            continue
        with pytest.raises(GlasslibError, match="differ in their state") as caught:
            analysis.mean_squared_displacement(replicas)
        if replicas[0] is not other:
            assert re.search(message, str(caught.value))


def test_replicas_of_changing_cells_may_have_other_volumes():
    x = walk(30, 4) % 20
    cells = np.eye(3) * np.linspace(20, 20.1, 30)[:, None, None]
    both = [Trajectory(x, ["Na"] * 4, c, np.arange(30.0)) for c in (cells, cells * 1.02)]
    assert np.isfinite(analysis.radial_distribution(both).g).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: analysis.mean_squared_displacement(t[:1]), "at least two frames"),
        (lambda t: analysis.mean_squared_displacement([]), "empty"),
        (lambda t: analysis.mean_squared_displacement("run.h5"), "must be a Trajectory"),
        (lambda t: analysis.mean_squared_displacement([t, t.select("Na")]), "same atoms"),
        (lambda t: analysis.self_intermediate_scattering(t, q=-1), "q must be"),
        (lambda t: analysis.overlap(t, a="wide"), "a must be"),
        (lambda t: analysis.diffusion_coefficient(t, fit_range=(3, 1)), "fit_range"),
        (lambda t: analysis.van_hove_self(t, r=[0.1, 0.5, 0.6]), "evenly spaced"),
        (lambda t: analysis.relaxation_time(analysis.mean_squared_displacement(t)), "no correlation function"),
        (lambda t: analysis.mean_squared_displacement(t, time=-1), "time must be"),
    ],
)
def test_bad_input_is_named(log_run, call, message):
    with pytest.raises(GlasslibError, match=message):
        call(log_run)


@pytest.mark.parametrize(
    "time",
    [
        np.float32(np.arange(6001) * 0.05),
        np.round(np.arange(3001) / 3, 3),
        np.float32(1e4 + 0.3 * np.arange(3001)),
        np.float32(1000 + 0.02 * np.arange(3001)),
    ],
)
def test_evenly_spaced_times_with_rounding_noise_are_even(time):
    run = Trajectory(np.zeros((len(time), 1, 3)), ["O"], np.eye(3) * 9, np.asarray(time, float))
    tick, unit = ticks(run)
    assert (np.diff(tick) == 1).all()
    assert unit == pytest.approx((run.time[-1] - run.time[0]) / (len(time) - 1), rel=1e-4)


@pytest.mark.parametrize(
    "name, options",
    [
        ("van_hove_self", {"n_blocks": 0}),
        ("van_hove_distinct", {"n_blocks": 0}),
        ("mean_squared_displacement", {"origins": 0}),
        ("overlap", {"n_blocks": 1.5}),
        ("structure_factor", {"n_blocks": -1}),
        ("bond_angles", {"bins": 0}),
        ("coordination", {"cutoff": "wide"}),
        ("coordination", {"pair": 3}),
        ("hops", {"window": 2.5}),
        ("mobility", {"start": "x"}),
        ("radial_distribution", {"r": "x"}),
    ],
)
def test_senseless_options_are_named(log_run, name, options):
    with pytest.raises(GlasslibError, match=next(iter(options))):
        getattr(analysis, name)(log_run, **options)


DRIFT = [name for name in analysis.__all__ if "drift" in inspect.signature(getattr(analysis, name)).parameters]


@pytest.mark.parametrize("name", DRIFT)
def test_a_text_is_not_a_yes(log_run, name):
    with pytest.raises(GlasslibError, match="drift must be True or False, not 'False'"):
        own = {"cutoff": 3.0} if name in ("clusters", "bond_exchange") else {}
        getattr(analysis, name)([log_run, log_run] if name == "propensity" else log_run, drift="False", **own)
