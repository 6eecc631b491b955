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
        Trajectory(np.concatenate([two_speeds(s, 4.0), two_speeds(50 + s, 1.5)], 1), ["Na"] * 400 + ["Si"] * 400, CELL, np.arange(200.0))
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
