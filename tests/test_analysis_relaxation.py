"""What is fitted to time correlation functions: relaxation times, stretched exponentials, activation energies."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.special import gamma
from test_analysis import trajectory, walk

from glasslib import GlasslibError, analysis


def test_relaxation_time_of_an_exponential_with_its_error():
    run = trajectory(walk(800, 300, seed=8))
    decay = analysis.self_intermediate_scattering(run, q=[1.0, 0.05, 20.0], drift=False)
    found = analysis.relaxation_time(decay)
    assert abs(float(found.tau[0, 0]) - 2.0) < 4 * float(found.tau_sem[0, 0]) < 0.5
    assert found.reached.values[0].tolist() == [1, 0, -1]
    assert np.isnan(found.tau.values[0, 1:]).all()
    assert 1.5 < float(found.outlived[0, 0]) < float(found.tau[0, 0]) and float(found.outlived[0, 2]) == 0
    assert float(found.outlived[0, 1]) <= float(found.bound[0, 1])
    blind = decay.copy()
    blind["F_s_sem"] = decay["F_s_sem"].where(decay.time < 1.0)
    assert float(analysis.relaxation_time(blind).outlived[0, 0]) < 1.0


@pytest.mark.parametrize("first", [0.0, 0.01])
@pytest.mark.parametrize("tau", [0.3, 1.5, 6.0])
def test_a_decay_that_begins_at_no_lag_has_a_relaxation_time_too(first, tau):
    t = np.linspace(first, 20, 400)
    decay = xr.Dataset({"F_s": ("time", np.exp(-t / tau)), "F_s_sem": ("time", np.full(len(t), 0.01))}, {"time": t})
    found = analysis.relaxation_time(decay)
    assert_allclose(found.tau, tau, rtol=5e-3)
    assert int(found.reached) == 1
    assert_allclose(found.tau_sem, 0.01 * tau * np.e, rtol=0.2)


def test_a_decay_within_the_first_interval_is_read_off_a_straight_line():
    decay = xr.Dataset({"Q": ("time", [1.0, 0.2, 0.1])}, {"time": [0.0, 1.0, 2.0]})
    assert_allclose(analysis.relaxation_time(decay, level=0.6).tau, 0.5)
    assert int(analysis.relaxation_time(decay.isel(time=slice(1, None)), level=0.6).reached) == -1


def test_stretched_exponential_finds_what_was_put_in():
    t = np.geomspace(0.01, 500, 60)
    y = 0.85 * np.exp(-((t / 12.0) ** 0.6))
    noise = 0.003
    data = xr.Dataset(
        {"Q": ("time", y + np.random.default_rng(0).normal(0, noise, 60)), "Q_sem": ("time", np.full(60, noise))},
        {"time": t},
    )
    found = analysis.stretched_exponential(data)
    for name, exact in (("tau_K", 12.0), ("beta", 0.6), ("amplitude", 0.85)):
        assert abs(float(found[name]) - exact) < 4 * float(found[f"{name}_sem"]) < 0.3 * exact
    assert_allclose(float(found.tau_mean), 12 / 0.6 * gamma(1 / 0.6), rtol=0.05)


@pytest.mark.parametrize(("tau", "beta", "height"), [(12.0, 0.6, 0.7), (40.0, 0.8, 0.8), (3.0, 0.5, 0.6)])
def test_a_stretched_exponential_is_that_of_the_late_decay_not_of_the_rattle_before(tau, beta, height):
    t = np.geomspace(0.002, 500, 90)
    rattle = np.exp(-(1 - height) / height * (1 - np.exp(-((t / 0.1) ** 2))) * 1.2)  # falls ballistically into the cage
    y = rattle * np.exp(-((t / tau) ** beta))
    noisy = y + np.random.default_rng(1).normal(0, 0.002, len(t))
    found = analysis.stretched_exponential(
        xr.Dataset({"Q": ("time", noisy), "Q_sem": ("time", np.full(len(t), 0.002))}, {"time": t})
    )
    plateau = rattle[-1]
    for name, exact in (("tau_K", tau), ("beta", beta), ("amplitude", plateau)):
        assert abs(float(found[name]) - exact) < max(4 * float(found[f"{name}_sem"]), 0.05 * exact), name
        assert float(found[f"{name}_sem"]) < 0.3 * exact


@pytest.mark.parametrize("fit_range", [3, (5,), ("a", "b"), (10, 1)])
def test_a_senseless_range_of_lag_times_is_named(fit_range):
    decay = xr.Dataset({"Q": ("time", np.exp(-np.arange(20.0)))}, {"time": np.arange(20.0)})
    with pytest.raises(GlasslibError, match="fit_range must be two"):
        analysis.stretched_exponential(decay, fit_range=fit_range)


def test_noise_near_one_is_not_taken_for_the_cage():
    t, tau, beta = np.geomspace(0.002, 500, 90), 40.0, 0.8
    y = (0.8 + 0.2 * np.exp(-((t / 0.1) ** 2))) * np.exp(-((t / tau) ** beta))
    noisy = y + np.random.default_rng(1).normal(0, 0.002, len(t))  # above 0.99 its slope has any sign
    found = analysis.stretched_exponential(
        xr.Dataset({"Q": ("time", noisy), "Q_sem": ("time", np.full(len(t), 0.002))}, {"time": t})
    )
    for name, exact in (("tau_K", tau), ("beta", beta), ("amplitude", 0.8)):
        assert abs(float(found[name]) - exact) < 0.03 * exact, name


def test_a_decay_that_would_need_more_than_all_atoms_at_the_start_has_no_stretched_exponential():
    t = np.geomspace(0.01, 100, 60)
    y = np.minimum(1.0, 1.6 * np.exp(-((t / 10) ** 0.7)))
    data = xr.Dataset({"Q": ("time", y), "Q_sem": ("time", np.full(60, 0.001))}, {"time": t})
    assert np.isnan(float(analysis.stretched_exponential(data, fit_range=(3.0, 40.0)).beta))


def test_arrhenius_interval_covers_the_activation_energy():
    rng, covered = np.random.default_rng(0), 0
    temperatures = np.array([2000, 2400, 3000, 3600, 4000.0])
    exact = 20 * np.exp(-0.8 / (8.617333262e-5 * temperatures))
    for _ in range(200):
        values = exact * (1 + 0.05 * rng.normal(size=5))
        results = {
            ("NS2", t): xr.Dataset({"D": ("species", [v]), "D_sem": ("species", [0.05 * v])}, {"species": ["Na"]})
            for t, v in zip(temperatures, values, strict=True)
        }
        fit = analysis.arrhenius(results)
        covered += bool(fit.E_low[0] <= 0.8 <= fit.E_high[0])
    assert 183 <= covered <= 200


def test_arrhenius_takes_like_with_like():
    found = analysis.diffusion_coefficient(trajectory(walk(100, 8), ["Na"] * 4 + ["O"] * 4))
    other = found.assign_coords(species=["K", *found.species.values[1:]])
    with pytest.raises(GlasslibError, match="differ in species"):
        analysis.arrhenius({3000.0: found, 2500.0: other})
    with pytest.raises(GlasslibError, match="one composition"):
        analysis.arrhenius({("NS2", 3000.0): found, ("NS4", 2500.0): found})
