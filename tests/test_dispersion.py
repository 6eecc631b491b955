"""D3(BJ): against simple-dftd3, a direct sum over images, finite differences, and in a run."""

import importlib.util

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, make_supercell
from ase.calculators.singlepoint import SinglePointCalculator

import glasslib
from glasslib.errors import GlasslibError
from glasslib.potential.dispersion import PBE, Dispersion, without_dispersion
from glasslib.reference import read_frames

needs_dftd3 = pytest.mark.skipif(not importlib.util.find_spec("dftd3"), reason="dftd3 is not installed")
FRAMES = read_frames("data/frames/seed.extxyz")[::7]


def found(atoms, calculator):
    """Energy, forces and, in a cell, stress."""
    work = atoms.copy()
    work.calc = calculator
    return work.get_potential_energy(), work.get_forces(), work.get_stress() if atoms.pbc.all() else 0.0


def peer(**cutoffs):
    from dftd3.ase import DFTD3

    return DFTD3(method="PBE", damping="d3bj", params_tweaks={"method": "PBE", "atm": False}, realspace_cutoff=cutoffs)


@needs_dftd3
@pytest.mark.parametrize("pair", ["O2", "SiO", "NaO", "Na2", "Si2", "LiO", "B2O", "AlO", "CaO"])
def test_a_molecule_has_the_energy_of_simple_dftd3(pair):
    atoms = Atoms(pair, [[0.1, 0, 0], [0.3, 0.2, 2.1], [1.5, 2.0, 0.3]][: len(Atoms(pair))])
    ours, theirs = found(atoms, Dispersion()), found(atoms, peer())
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-7)


@needs_dftd3
@pytest.mark.parametrize("frame", FRAMES, ids=lambda atoms: atoms.info["parent"])
def test_melts_agree_with_a_long_sum_of_simple_dftd3(frame):
    ours, theirs = found(frame, Dispersion()), found(frame, peer(disp2=95 * units.Bohr, cn=40 * units.Bohr))
    assert abs(ours[0] - theirs[0]) / len(frame) < 5e-5  # of 0.1 eV; theirs lacks what lies beyond 50 Å
    np.testing.assert_allclose(ours[1], theirs[1], atol=5e-4)
    np.testing.assert_allclose(ours[2], theirs[2], atol=0.002 * units.GPa)


def test_forces_and_stress_are_derivatives_of_the_energy():
    atoms = FRAMES[1].copy()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + [[0, 0.1, 0], [0, 0, -0.07], [0, 0, 0.02]]), scale_atoms=True)
    calculator = Dispersion(cutoff=11.0)
    _, forces, stress = found(atoms, calculator)
    for atom, axis in ((0, 0), (len(atoms) // 2, 1), (-1, 2)):
        ends = []
        for step in (1e-3, -1e-3):
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            ends.append(found(moved, calculator)[0])
        assert forces[atom, axis] == pytest.approx(-(ends[0] - ends[1]) / 2e-3, abs=1e-6)
    for voigt, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        ends = []
        for step in (1e-4, -1e-4):
            strain = np.eye(3)
            strain[i, j] += step / 2
            strain[j, i] += step / 2
            pulled = atoms.copy()
            pulled.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            ends.append(found(pulled, calculator)[0])
        assert stress[voigt] == pytest.approx((ends[0] - ends[1]) / 2e-4 / atoms.get_volume(), abs=1e-7)


def test_nothing_depends_on_the_choice_of_cell():
    crystal = bulk("NaO", "rocksalt", a=4.7)
    crystal.rattle(0.05, seed=1)
    energy, forces, stress = found(crystal, Dispersion())
    skewed = make_supercell(crystal, [[2, 0, 0], [1, 1, 0], [0, 1, 3]])
    skewed.positions += 17.3  # atoms outside the cell
    again = found(skewed, Dispersion())
    assert again[0] == pytest.approx(len(skewed) / 2 * energy)
    np.testing.assert_allclose(np.sort(again[1][:, 0]), np.sort(np.tile(forces[:, 0], len(skewed) // 2)), atol=1e-10)
    np.testing.assert_allclose(again[2], stress, atol=1e-10)
    energies = Dispersion().compute(crystal)[0]
    assert energies.sum() == pytest.approx(energy)


def test_what_lies_beyond_the_cutoff_is_there():
    near, far = found(FRAMES[0], Dispersion(cutoff=12.0)), found(FRAMES[0], Dispersion(cutoff=30.0))
    assert abs(near[0] - far[0]) / len(FRAMES[0]) < 5e-5
    np.testing.assert_allclose(near[2], far[2], atol=0.004 * units.GPa)


def test_energy_ends_smoothly():
    r = np.arange(
        7.0, 15.5, 0.01
    )  # past the distances where counting fades, 8 to 10 Å, and where the sum does, 12 to 15
    ends = [found(Atoms("Na2", [[0, 0, 0], [x, 0, 0]]), Dispersion()) for x in r]
    energy, force = np.array([e for e, *_ in ends]), np.array([f[1, 0] for _, f, _ in ends])
    assert (energy[r > 15] == 0).all() and (energy[r < 14.9] < 0).all()
    np.testing.assert_allclose(-np.gradient(energy, r)[1:-1], force[1:-1], atol=1e-4 * np.abs(force).max())
    assert np.abs(np.diff(force)).max() < 0.02 * np.abs(force).max()


def test_the_free_energy_is_the_energy_with_dispersion():
    atoms = FRAMES[0].copy()
    atoms.calc = glasslib.load_potential("default", dispersion=True)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_a_melt_keeps_its_energy_with_dispersion_on(tmp_path):
    calculator = glasslib.load_potential("default", dispersion=True)
    melt = glasslib.random_structure("NS2", 60, temperature=3000, seed=3)
    warm = {"ensemble": "nvt", "thermostat": "langevin", "damping": 0.02, "temperature": 3000, "length": 0.3}
    free = {"ensemble": "nve", "length": 0.4, "timestep": 1.0, "output": "linear"}
    path = glasslib.dynamics.run(melt, calculator, [warm, free], tmp_path / "a.h5", seed=1, log_every=1, quiet=True)
    log = glasslib.Trajectory.open(path).log
    late = log["time"] > 0.3
    kinetic = log["kinetic_energy"][late]
    total = log["potential_energy"][late] + kinetic
    assert np.ptp(total) < 0.1 * kinetic.std()
    assert abs(total[-130:].mean() - total[:130].mean()) < 0.02 * kinetic.std()


def test_it_is_added_to_a_potential_and_hands_on_what_else_that_tells():
    frame = FRAMES[0]
    alone, bare = found(frame, Dispersion()), found(frame, glasslib.load_potential("committee"))
    calculator = glasslib.load_potential("committee", dispersion=True)
    both = found(frame, calculator)
    for one, two, total in zip(alone, bare, both, strict=True):
        np.testing.assert_allclose(total, one + two, rtol=1e-6, atol=1e-6)
    assert calculator.results["force_spread"].shape == (len(frame),)
    assert calculator.results["energies"].sum() == pytest.approx(both[0])
    assert calculator.weights.endswith("D3(BJ)")


def test_labels_lose_what_is_to_be_added():
    frame = FRAMES[0].copy()
    energy, forces, stress = found(frame, Dispersion())
    frame.calc = SinglePointCalculator(frame, energy=energy - 5.0, forces=forces + 1.0, stress=stress)
    (bare,) = without_dispersion([frame])
    assert bare.get_potential_energy() == pytest.approx(-5.0)
    np.testing.assert_allclose(bare.get_forces(), 1.0)
    np.testing.assert_allclose(bare.get_stress(), 0.0, atol=1e-12)
    assert frame.get_potential_energy() == pytest.approx(energy - 5.0)  # the frame itself is as it was


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: glasslib.load_potential("default", dispersion="False"), "dispersion must be True or False"),
        (lambda: glasslib.load_potential("pmmcs", dispersion=True), "without D3"),
        (lambda: Dispersion(cutoff=5.0), "between 10 and 60"),
        (lambda: Dispersion(potential="default"), "ASE Calculator"),
        (lambda: Dispersion(parameters={"s6": 1.0}), "s6, s8, a1, a2"),
        (lambda: found(Atoms("Xe2", [[0, 0, 0], [0, 0, 3]]), Dispersion()), "no reference data of D3 for Xe"),
        (lambda: found(Atoms("O", cell=[9, 9, 9], pbc=[True, True, False]), Dispersion()), "all directions or in none"),
    ],
)
def test_what_cannot_be_is_said(make, said):
    with pytest.raises(GlasslibError, match=said):
        make()


def test_parameters_scale_the_parts():
    frame = FRAMES[0]
    whole, six = (found(frame, Dispersion(parameters=PBE | change))[0] for change in ({}, {"s8": 0.0}))
    eight = found(frame, Dispersion(parameters=PBE | {"s6": 0.0}))[0]
    assert six < 0 and eight < 0 and six + eight == pytest.approx(whole, rel=1e-9)
