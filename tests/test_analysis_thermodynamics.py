"""Means over the log of a run, by hand."""

import numpy as np
import pytest

from glasslib import GlasslibError, analysis
from glasslib.trajectory import Trajectory


def run(time, log, frames=5, species=("Na", "O")):
    places = np.zeros((frames, len(species), 3))
    return Trajectory(
        places, list(species), np.eye(3) * 10.0, np.linspace(2.0, 10.0, frames), log={"time": time, **log}
    )


def test_means_errors_and_units_are_those_of_a_sum_by_hand():
    time = np.linspace(2.0, 10.0, 8001)
    pressure = np.where(time < 6.0, 1.0, 3.0)  # two halves: mean 2, standard error 1
    log = {"pressure": pressure, "volume": np.full(8001, 1000.0), "potential_energy": np.full(8001, -8.0)}
    data = analysis.thermodynamics(run(time, log), n_blocks=2)
    assert float(data.pressure) == pytest.approx(2.0, abs=1e-3) and float(data.pressure_sem) == pytest.approx(
        1, abs=1e-3
    )
    assert float(data.potential_energy) == -4.0 and float(data.potential_energy_sem) == 0.0
    assert float(data.density) == pytest.approx((22.98976928 + 15.999) / 602.214076, rel=1e-6)
    assert "temperature" not in data
    assert np.isnan(analysis.thermodynamics(run(time, log), n_blocks=1).pressure_sem)


def test_entries_count_for_the_time_between_them_and_only_within_the_recorded_frames():
    time = np.r_[
        0.0, 1.0, 2.0 + np.geomspace(1e-6, 8.0, 4000)
    ]  # as of logarithmic output, after two entries of melting
    log = {"pressure": np.r_[99.0, 99.0, time[2:]], "volume": np.full(4002, 1000.0)}
    data = analysis.thermodynamics(run(time, log), n_blocks=1)
    assert float(data.pressure) == pytest.approx(6.0, rel=2e-3)  # mean of t over 2 … 10


def test_few_entries_give_the_integral_over_straight_lines_between_them():
    log = {"pressure": np.array([0.0, 0.0, 10.0]), "volume": np.full(3, 1000.0)}
    data = analysis.thermodynamics(run(np.array([2.0, 3.0, 10.0]), log), n_blocks=1)
    assert float(data.pressure) == pytest.approx(35 / 8)


def test_replicas_are_their_own_blocks_and_a_run_without_a_log_is_named():
    time = np.linspace(2.0, 10.0, 101)
    runs = [run(time, {"pressure": np.full(101, p), "volume": np.full(101, 1e3)}) for p in (1.0, 2, 3, 4, 5)]
    data = analysis.thermodynamics(runs)
    assert float(data.pressure) == pytest.approx(3.0) and float(data.pressure_sem) == pytest.approx((2.5 / 5) ** 0.5)
    with pytest.raises(GlasslibError, match="no log"):
        analysis.thermodynamics(Trajectory(np.zeros((2, 1, 3)), ["Na"], np.eye(3), [0.0, 1.0]))
