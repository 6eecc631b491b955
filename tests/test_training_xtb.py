"""The semi-empirical teacher: exact derivatives, a correction that closes the gap to the labels, and frames that survive a stop."""

import importlib.util

import numpy as np
import pytest
from ase.build import molecule

from glasslib import load_potential
from glasslib.errors import GlasslibError
from glasslib.potential.classical import Classical
from glasslib.reference.active import closest_pairs
from glasslib.reference.frames import read_plain
from glasslib.reference.sampling import states
from glasslib.systems import random_structure
from glasslib.training import melts as module
from glasslib.training.melts import configurations, melts
from glasslib.training.xtb import Corrected, FailedError, installed, labelled, xtb

needs_tblite = pytest.mark.skipif(not installed(), reason="tblite is not installed")
SMALL = {"compositions": ("SiO2",), "temperatures": (2000,)}


@pytest.fixture
def short(monkeypatch):
    for name in ("MELT", "HOLD", "RECORD"):
        monkeypatch.setattr(module, name, 0.1)
    monkeypatch.setattr(module, "ATOMS", (18, 24))
    monkeypatch.setattr(module, "COLLIDE", (0.05, 0.2))


def cell(seed):
    return random_structure("NS2", 9, density=1.5, seed=seed)


def displaced(atoms, i, k, step):
    moved = atoms.copy()
    moved.positions[i, k] += step
    return moved


def strained(atoms, i, k, step):
    moved, strain = atoms.copy(), np.eye(3)
    strain[i, k] += step / 2
    strain[k, i] += step / 2
    moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return moved


@needs_tblite
def test_labels_of_the_teacher_are_derivatives_of_its_energy():
    known = [xtb(cell(seed)) for seed in range(4)]
    teacher = Corrected(known, [pair_only(atoms) for atoms in known])
    atoms, h = cell(9), 1e-3

    def label(other):
        return teacher.label(other, xtb(other))

    made = teacher.label(atoms, xtb(atoms))
    ends = [label(displaced(atoms, 4, 1, sign * h)).get_potential_energy() for sign in (1, -1)]
    assert made.get_forces()[4, 1] == pytest.approx(-(ends[0] - ends[1]) / (2 * h), abs=2e-3)
    ends = [label(strained(atoms, 0, 0, sign * h)).get_potential_energy() for sign in (1, -1)]
    assert made.get_stress()[0] == pytest.approx((ends[0] - ends[1]) / (2 * h) / atoms.get_volume(), abs=1e-4)


@needs_tblite
def test_xtb_knows_a_bond_of_water_in_vacuum():
    # GFN1-xTB, Grimme et al. (2017): geometries within some hundredths of an Å of experiment (0.958 Å)
    water = molecule("H2O", vacuum=5.0)
    water.pbc = True
    lengths = np.linspace(0.90, 1.04, 8)
    energies = []
    for length in lengths:
        stretched = water.copy()
        stretched.set_distance(0, 1, length, fix=0)
        stretched.set_distance(0, 2, length, fix=0)
        energies.append(xtb(stretched).get_potential_energy())
    a, b, _ = np.polyfit(lengths, energies, 2)
    assert -b / (2 * a) == pytest.approx(0.958, abs=0.03)


def pair_only(atoms, charge=2.0):
    """The same frame, its labels without those of a pair potential c/r² between all neighbours nearer than 4 Å."""
    energy, forces, virial = 0.0, np.zeros((len(atoms), 3)), np.zeros((3, 3))
    shifts = [np.array([a, b, c]) @ atoms.cell.array for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    for i in range(len(atoms)):
        for j in range(len(atoms)):
            for shift in shifts:
                d = atoms.positions[j] + shift - atoms.positions[i]
                r = np.linalg.norm(d)
                if not 0 < r < 4:
                    continue
                energy += 0.5 * charge * (1 / r - 1 / 4) ** 2
                slope = -2 * charge * (1 / r - 1 / 4) / r**2
                forces[i] += slope * d / r
                virial += 0.5 * slope * np.outer(d, d) / r
    stress = (virial / atoms.get_volume()).reshape(-1)[[0, 4, 8, 5, 2, 1]]
    return labelled(
        atoms, atoms.get_potential_energy() - energy, atoms.get_forces() - forces, atoms.get_stress() - stress
    )


def zero(atoms):
    return labelled(atoms, 0.0, np.zeros((len(atoms), 3)), np.zeros(6))


def test_the_correction_closes_a_gap_made_of_pairs():
    # labels: zero; what the base lacks to them: minus a pair potential that the teacher is not told
    truth = [zero(cell(seed)) for seed in range(12)]
    bases = [pair_only(atoms) for atoms in truth]
    teacher = Corrected(truth[:10], bases[:10], smooth=1e-4, shortest=1.0, spacing=0.2)
    for atoms, base in zip(truth[10:], bases[10:], strict=True):
        gap = np.abs(base.get_forces()).max()
        assert np.abs(teacher.label(atoms, base).get_forces()).max() < 0.05 * gap


def test_without_tblite_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GlasslibError, match="pip install"):
        xtb(cell(0))


def test_configurations_are_of_their_state_and_the_third_is_shaken(short):
    (state,) = states(1, seed=3, potentials=("pmmcs",), **SMALL)
    found = configurations(state)
    assert [atoms.info["frame"] for atoms in found] == [0, 1, 2]
    assert {atoms.info["parent"] for atoms in found} == {state.parent}
    assert np.allclose(found[0].cell, found[1].cell) and not np.allclose(found[1].cell, found[2].cell)
    again = configurations(state)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(found, again, strict=True))


def test_random_starts_are_given_as_they_are_and_some_steps_downhill():
    (state,) = states(1, seed=3, potentials=("random",), **SMALL)
    found = configurations(state, "random")
    energies = []
    for atoms in found:
        atoms.calc = Classical("pmmcs")
        energies.append(atoms.get_potential_energy())
    assert len(found) == 3 and energies[0] > energies[1] > energies[2]


def test_melts_chosen_for_contacts_hold_oxygens_that_close(short):
    (state,) = states(1, seed=3, potentials=("mine",), **(SMALL | {"temperatures": (4000,)}))
    distance = 2.4  # so far that every hot melt has some
    found = configurations(state, "mine", load_potential("pretrained"), distance)
    assert len(found) > 1
    for atoms in found[1:]:
        assert closest_pairs(atoms, 4.0)["O", "O"][0] < distance
    assert all(np.allclose(atoms.cell, found[0].cell) for atoms in found)  # none is strained


@pytest.mark.parametrize(("potential", "contact"), [("pmmcs", 1.9), ("random", 1.9), ("default", 0.0)])
def test_contacts_of_melts_that_no_trained_potential_drives_are_refused(tmp_path, potential, contact):
    with pytest.raises(GlasslibError, match="contacts are of melts"):
        melts(tmp_path / "a.extxyz", 1, potential, contact=contact)


@needs_tblite
def test_melts_of_a_classical_potential_may_have_another_name(short, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "xtb", zero)
    made = melts(tmp_path / "frames.extxyz", 1, "pmmcs", "mine", seed=3, quiet=True, **SMALL)
    assert len(made) == 3 and made[0].info["parent"].startswith("mine-")
    with pytest.raises(GlasslibError, match="another potential"):
        melts(tmp_path / "frames.extxyz", 1, "shik", "mine", seed=3, quiet=True, **SMALL)


@needs_tblite
def test_frames_are_kept_from_one_call_to_the_next(tmp_path, short):
    out = tmp_path / "frames.extxyz"
    first = melts(out, 1, seed=3, quiet=True, **SMALL)
    (kept,) = (tmp_path / "frames-melts").glob("*.extxyz")
    written = kept.stat().st_mtime_ns
    second = melts(out, 2, seed=3, quiet=True, **SMALL)
    assert kept.stat().st_mtime_ns == written  # not made again
    assert len(first) == 3 and len(second) == 6
    for a, b in zip(first, read_plain(out), strict=False):
        assert np.allclose(a.get_forces(), b.get_forces(), atol=1e-6)


def test_a_name_that_is_a_path_is_refused(tmp_path):
    with pytest.raises(GlasslibError, match="letters and digits"):
        melts(tmp_path / "a.extxyz", 1, name="../x")
    with pytest.raises(GlasslibError, match="temperatures must be above zero, not -100"):
        melts(tmp_path / "a.extxyz", 1, temperatures=(300, -100))


def test_melts_without_tblite_are_an_error_and_not_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GlasslibError, match="pip install"):
        melts(tmp_path / "frames.extxyz", 1, "pmmcs", seed=3, quiet=True, **SMALL)
    assert not list(tmp_path.iterdir())


@needs_tblite
def test_melts_of_which_no_frame_has_labels_are_an_error(short, tmp_path, monkeypatch):
    def fails(atoms):
        raise FailedError("no charges")

    monkeypatch.setattr(module, "xtb", fails)
    with pytest.raises(GlasslibError, match="no frame"):
        melts(tmp_path / "frames.extxyz", 1, "pmmcs", seed=3, quiet=True, **SMALL)
    assert not (tmp_path / "frames.extxyz").exists()
