"""The pair potential that labels frames for pre-training: exact derivatives, and what it was fitted to comes back."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from test_training import frame

from glasslib.errors import GlasslibError
from glasslib.training import PairTeacher


@pytest.fixture(scope="module")
def teacher():
    return PairTeacher([frame(seed) for seed in range(8)], shortest=1.0, spacing=0.4, cutoff=4.5, reach=6.0)


def test_forces_and_stress_are_derivatives_of_the_energy(teacher):
    atoms, h = frame(20), 1e-5
    made = teacher.label(atoms)
    for i, k in ((0, 0), (3, 1), (8, 2)):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, k] += sign * h
            ends.append(teacher.label(moved).get_potential_energy())
        assert made.get_forces()[i, k] == pytest.approx(-(ends[0] - ends[1]) / (2 * h), abs=1e-5)
    for i, k in ((0, 0), (2, 1)):
        ends = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, k] += sign * h / 2
            strain[k, i] += sign * h / 2
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            ends.append(teacher.label(moved).get_potential_energy())
        slope = (ends[0] - ends[1]) / (2 * h) / atoms.get_volume()
        assert made.get_stress(voigt=False)[i, k] == pytest.approx(slope, abs=1e-6)


def test_a_sum_of_pair_potentials_is_matched_on_unseen_frames():
    # the Morse atoms of `frame` interact by pairs alone, whatever their species
    known = [frame(seed) for seed in range(40)]
    teacher = PairTeacher(known, shortest=1.0, spacing=0.2, cutoff=4.0, reach=6.0, smooth=1e-4, closest=0)
    unseen = [frame(seed) for seed in range(50, 56)]
    error = np.concatenate([teacher.label(made).get_forces() - made.get_forces() for made in unseen])
    scale = np.concatenate([made.get_forces() for made in unseen])
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(scale**2))
    energy = [(teacher.label(made).get_potential_energy() - made.get_potential_energy()) / len(made) for made in unseen]
    assert np.sqrt(np.mean(np.square(energy))) < 0.03


def test_charges_are_recovered_from_a_coulomb_term_alone():
    truth = PairTeacher([frame(0)], cutoff=4.5, reach=6.0, closest=0)
    truth.coefficients = np.zeros_like(truth.coefficients)
    width = truth.splines + 1
    truth.coefficients[: len(truth.pairs) * width : width] = [3.0, -1.0, -6.0, 0.5, 2.0, 11.0]
    fitted = PairTeacher(
        [truth.label(frame(seed)) for seed in range(10)], cutoff=4.5, reach=6.0, smooth=1e-6, closest=0
    )
    unseen = truth.label(frame(60))
    np.testing.assert_allclose(fitted.label(unseen).get_forces(), unseen.get_forces(), atol=0.02)


def test_where_data_end_a_wall_begins(teacher):
    distances = np.linspace(0.4, 1.2, 9)
    for symbols in ("O2", "SiO", "Na2"):
        energies, forces = [], []
        for r in distances:
            pair = Atoms(symbols, [[0, 0, 0], [r, 0, 0]], cell=[30, 30, 30], pbc=True)
            made = teacher.label(pair)
            energies.append(made.get_potential_energy())
            forces.append(made.get_forces()[1, 0])
        assert np.all(np.diff(energies) < 0) and np.all(np.diff(forces) < 0) and forces[-1] > 0
        slope = np.gradient(energies, distances, edge_order=2)[4]
        assert -slope == pytest.approx(forces[4], rel=0.05)


def test_matching_nothing_is_refused():
    with pytest.raises(GlasslibError, match="no frames"):
        PairTeacher([])
    bare = frame(0)
    bare.calc = SinglePointCalculator(bare, energy=0.0)
    with pytest.raises(GlasslibError, match="frame 0 has no forces"):
        PairTeacher([bare])
