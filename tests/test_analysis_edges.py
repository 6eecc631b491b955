"""Cases at the edges of the analysis: views, unequal replicas, functions of which nothing is known."""

import numpy as np
import pytest
import xarray as xr
from ase import Atoms
from test_analysis_motion import walk

from glasslib import GlasslibError, Trajectory, analysis


def with_log(time, temperature, atoms=4):
    rng = np.random.default_rng(len(time))
    positions = np.cumsum(rng.normal(0, 0.1, (len(time), atoms, 3)), 0)
    log = {
        "time": time, "temperature": temperature, "volume": np.full(len(time), 1000.0),
        "potential_energy": np.full(len(time), -10.0 * atoms), "pressure": np.zeros(len(time)),
    }  # fmt: skip
    return Trajectory(positions, ["Na"] + ["O"] * (atoms - 1), np.eye(3) * 10, time, log=log)


def test_a_view_of_a_species_moves_as_it_does_in_the_whole(tmp_path):
    run = walk(3, frames=60, atoms=16)
    for part in (run.select("Na"), run.select("Na")[:60], run[:].select("Na")):
        alone = analysis.mean_squared_displacement(part).msd.sel(species="Na")
        whole = analysis.mean_squared_displacement(run).msd.sel(species="Na")
        np.testing.assert_allclose(alone, whole, rtol=1e-9)
    run.save(tmp_path / "run.h5")
    opened = Trajectory.open(tmp_path / "run.h5").select("Na")[10:50]
    cut = analysis.mean_squared_displacement(run[10:50]).msd.sel(species="Na")
    np.testing.assert_allclose(analysis.mean_squared_displacement(opened).msd.sel(species="Na"), cut, rtol=1e-5)


def test_logs_of_views_are_those_of_the_whole_and_replicas_count_by_their_length():
    long, short = np.linspace(0, 20, 201), np.linspace(0, 1, 11)
    one, other = with_log(long, np.full(201, 1000.0)), with_log(short, np.full(11, 2000.0))
    whole, view = analysis.thermodynamics(one), analysis.thermodynamics(one.select("O"))
    assert float(view.potential_energy) == pytest.approx(float(whole.potential_energy)) == pytest.approx(-10.0)
    assert float(view.density) == pytest.approx(float(whole.density))
    assert float(analysis.thermodynamics([one, other]).temperature) == pytest.approx(22000 / 21, rel=0.01)


def test_jumps_of_unequal_replicas_do_not_depend_on_their_order():
    a, b = walk(1, frames=101, time=np.arange(101) * 0.01), walk(2, frames=801, time=np.arange(801) * 0.01)
    there, back = analysis.hops([a, b]), analysis.hops([b, a])
    for name in ("rate", "length", "walk_rate"):
        np.testing.assert_allclose(there[name], back[name])
    assert there.attrs["interval_ps"] == pytest.approx(back.attrs["interval_ps"])


def test_of_an_unknown_function_no_relaxation_is_told():
    data = xr.Dataset(
        {"F_s": (("species", "time"), np.full((1, 9), np.nan))}, {"species": ["Na"], "time": np.arange(1, 10)}
    )
    found = analysis.relaxation_time(data).isel(species=0)
    assert int(found.reached) == -2 and np.isnan([found.tau, found.bound]).all()


def test_of_atoms_that_rest_no_peak_is_told():
    run = walk(1, frames=200, atoms=40)
    still = np.where((run.species == "Na")[:, None], 0.0, run.positions)
    peak = analysis.non_gaussian_peak(Trajectory(still, run.species, run.cell, run.time), drift=False).sel(species="Na")
    assert np.isnan([peak.height, peak.position]).all() and int(peak.inside) == 0


def test_sizes_are_compared_of_any_result_of_trajectories():
    runs = []
    for edge, seed in ((16.0, 1), (24.0, 2)):
        run = walk(seed)
        runs.append(Trajectory(run.positions, run.species, np.eye(3) * edge, run.time))
    peaks = analysis.finite_size([analysis.non_gaussian_peak(run) for run in runs], variable="height")
    np.testing.assert_allclose(peaks.length, [16.0, 24.0])
    decays = [analysis.self_intermediate_scattering(run, q=[0.5]) for run in runs]
    times = [analysis.relaxation_time(decay).isel(q=0) for decay in decays]
    assert np.isfinite(analysis.finite_size(times, variable="tau").tau_infinite).all()


def test_the_largest_ring_that_is_asked_for_is_found():
    around = np.arange(24) * np.pi / 12
    radius = 1.5 / (2 * np.sin(np.pi / 24))
    circle = np.stack([radius * np.cos(around), radius * np.sin(around), 0 * around], 1) + 25
    ring = Trajectory(circle[None], ["Si", "O"] * 12, np.eye(3) * 50, [0.0])
    for largest in (12, 13):
        found = analysis.rings(ring, cutoff=1.8, largest=largest)
        assert float(found.rings.sel(n=12)) == pytest.approx(1 / 12) and float(found.probability.sel(n=12)) == 1.0


def test_a_running_coordination_number_needs_distances_from_zero_on():
    run = walk(1, frames=20)
    assert np.isfinite(analysis.radial_distribution(run, r=np.arange(0.05, 5, 0.1)).n).all()
    assert np.isnan(analysis.radial_distribution(run, r=np.arange(3.05, 5, 0.1)).n).all()


def test_positions_on_disk_are_indexed_as_those_in_memory(tmp_path):
    run = walk(1, frames=6, atoms=4)
    run.save(tmp_path / "run.h5")
    opened = Trajectory.open(tmp_path / "run.h5")
    for key in (np.s_[..., 0], np.s_[2, ..., 1], np.s_[..., 3, :], np.s_[...], np.s_[1:3, ...], np.s_[:, 2], np.s_[-1]):
        np.testing.assert_allclose(opened.positions[key], run.positions[key], rtol=1e-6)
    for key in (np.s_[None], np.s_[..., None], np.s_[0, 0, 0, 0]):
        with pytest.raises(GlasslibError, match="three indices"):
            opened.positions[key]


def test_a_cut_is_not_the_run_that_it_was_cut_from():
    run = walk(1, frames=10)
    run.attrs |= {"run": "abc", "potential": "pmmcs"}
    run.log["final_momenta"] = np.zeros((run.n_atoms, 3))
    for part in (run[:5], run.select("Na")):
        assert "run" not in part.attrs and "final_momenta" not in part.log and part.attrs["potential"] == "pmmcs"
    assert run[:].attrs["run"] == "abc" and "final_momenta" in run.load().log


def test_isotopes_keep_their_masses():
    images = [Atoms("HO", [[0, 0, 0], [1, 0, 0]], cell=[9, 9, 9], pbc=True, masses=[2.014, 15.999]) for _ in range(2)]
    np.testing.assert_allclose(Trajectory.from_ase(images, time=[0.0, 1.0]).masses, [2.014, 15.999])
