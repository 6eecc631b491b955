"""Distillation: the mean of two kinds of teachers, and a chain that goes on where it was stopped."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ase.calculators.calculator import Calculator, all_changes
from safetensors.numpy import load, load_file
from test_training_foundation import needs_sevenn
from test_training_xtb import cell, needs_tblite, zero

from glasslib.errors import GlasslibError
from glasslib.files import read_json, sha256
from glasslib.potential.storage import load_model
from glasslib.provenance import record_path
from glasslib.reference.frames import read_plain
from glasslib.training import TrainConfig, evaluate
from glasslib.training.distillation import WEIGHT, _bases, distil
from glasslib.training.foundation import REFINE
from glasslib.training.lessons import Teachers, calculator_of, labels_of, mean_of, spread_of, taught
from glasslib.training.xtb import labelled, xtb


class Constant(Calculator):
    """The same energy, force component and stress component everywhere."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, value):
        super().__init__()
        self.value = value

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": self.value,
            "forces": np.full((len(self.atoms), 3), self.value),
            "stress": np.full(6, self.value),
        }


class Base:
    """Stands for GFN1-xTB with its correction: labels of 10 everywhere."""

    def label(self, atoms, base):
        return everywhere(atoms, 10.0)


class Refined:
    """Stands for a refined network."""

    def __init__(self, value):
        self.value = value

    def label(self, atoms):
        return everywhere(atoms, self.value)


class Pairs:
    """Stands for its pair potential: 0.5 more."""

    def label(self, atoms, base):
        return everywhere(atoms, base.get_potential_energy() + 0.5)


def everywhere(atoms, value):
    return labelled(atoms, value, np.full((len(atoms), 3), value), np.full(6, value))


def stand_ins():
    # what the base lacks: −3 and +1 → 7 and 11, mean 9; refined with pairs: 1, 2 and 6, mean 3; the second kind counts twice: 5
    return Teachers(Base(), [Constant(-3.0), Constant(1.0)], [Refined(0.5), Refined(1.5), Refined(5.5)], Pairs())


def word(teachers, atoms):
    kinds = teachers.answers(atoms, zero(atoms))
    return mean_of(atoms, kinds), spread_of(kinds)


def test_where_teachers_disagree_the_refined_network_has_the_word():
    atoms, teachers = cell(0), stand_ins()
    kinds = teachers.answers(atoms, zero(atoms))
    mean, agreed = teachers.word(atoms, zero(atoms), kinds, most=1e9)
    assert agreed and mean.get_potential_energy() == mean_of(atoms, kinds).get_potential_energy()
    alone, agreed = teachers.word(atoms, zero(atoms), kinds, most=0.0)
    assert not agreed and alone.get_potential_energy() == kinds[1][0][0] != mean.get_potential_energy()


def test_the_mean_gives_refined_networks_twice_the_weight():
    atoms = cell(0)
    made, spread = word(stand_ins(), atoms)
    assert made.get_potential_energy() == pytest.approx(5.0)
    assert np.allclose(made.get_forces(), 5.0) and np.allclose(made.get_stress(), 5.0)
    assert spread == pytest.approx(np.std([7.0, 11.0, 1.0, 2.0, 6.0]))


def test_teachers_of_one_kind_are_enough():
    made, _ = word(Teachers(Base(), [Constant(-3.0), Constant(1.0)]), cell(0))
    assert made.get_potential_energy() == pytest.approx(9.0)


def test_members_of_the_committee_have_teachers_of_their_own_of_both_kinds_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr("glasslib.training.lessons.SPREAD", 1e9)
    melts = [zero(cell(seed)) for seed in range(3)]
    for atoms, parent in zip(melts, ("p0", "p0", "p1"), strict=True):
        atoms.info["parent"] = parent
    monkeypatch.setattr("glasslib.training.lessons.PART", 2)
    paths = taught(tmp_path, stand_ins, melts, 6, "key")
    of_first = [read_plain(path)[0].get_potential_energy() for path in paths]
    assert of_first == pytest.approx([5.0, 7.0, 1.0, 11.0, 2.0, 7.0, 6.0])
    assert all(np.allclose([a.positions for a in read_plain(path)], [a.positions for a in melts]) for path in paths)
    asked = []

    def counted():
        known = stand_ins()
        answers = known.answers
        known.answers = lambda *given: asked.append(1) or answers(*given)
        return known

    more = [zero(cell(7)), *melts]
    assert len(read_plain(taught(tmp_path, counted, more, 6, "key")[0])) == 4
    assert len(asked) == 1  # for the new one
    assert taught(tmp_path, None, more, 6, "key")  # all is there
    monkeypatch.setattr("glasslib.training.lessons.SPREAD", 0.5)  # where they disagree the refined network has the word
    paths = taught(tmp_path, stand_ins, melts, 2, "another key")
    assert [read_plain(path)[0].get_potential_energy() for path in paths] == pytest.approx([1.0, 1.0, 1.0])

    def without():
        known = stand_ins()
        return Teachers(known.base, known.deltas)

    paths = taught(tmp_path, without, melts, 2, "a third key")  # or, where there is none, what the networks correct
    assert [read_plain(path)[0].get_potential_energy() for path in paths] == pytest.approx([10.0, 10.0, 10.0])


def test_labels_of_other_levels_are_kept_whatever_frames_come_next(tmp_path, monkeypatch):
    monkeypatch.setattr("glasslib.training.distillation.KEEP", 2)
    frames, asked = [cell(seed) for seed in range(5)], []

    def label(atoms):
        asked.append(1)
        if len(asked) == 4:
            raise GlasslibError("no labels today")
        return zero(atoms)

    frames[3].info["parent"] = "the fourth"
    with pytest.raises(GlasslibError, match="the fourth.*no labels today"):
        _bases(frames, tmp_path / "a.extxyz", label)
    assert len(read_plain(tmp_path / "a.extxyz")) == 2  # kept
    assert np.allclose(_bases(frames[3:], tmp_path / "a.extxyz", label)[0].positions, frames[3].positions)
    assert [len(found) for found in _bases(frames, tmp_path / "a.extxyz", label)] == [len(atoms) for atoms in frames]
    assert len(asked) == 2 + 2 + 2 + 1  # the failed one once more, nothing else twice but the third


@needs_tblite
@needs_sevenn
def test_the_chain_ends_in_a_model_whatever_the_workers_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    frames, melts = [xtb(cell(seed)) for seed in range(3)], [xtb(cell(seed)) for seed in range(10, 13)]
    small = TrainConfig(features=16, interactions=1, cutoff=3.5, epochs=2, batch=2, warmup=2)
    refinement = replace(REFINE, epochs=1)
    settings = {
        "deltas": 1,
        "refined": 1,
        "members": 2,
        "delta": small,
        "refinement": refinement,
        "member": small,
        "student": replace(small, epochs=3),
    }
    monkeypatch.setattr("glasslib.training.lessons.SPREAD", 1e9)
    path = distil(frames, melts, tmp_path / "d", test=frames, **settings)
    errors = pd.read_csv(tmp_path / "d" / "errors.csv", index_col=0)
    (row,) = evaluate(load_model(path), frames).loc[[("all", "all")]].to_dict("records")
    assert errors.correlation.iloc[2] == pytest.approx(1) and (errors.correlation.abs() <= 1 + 1e-9).all()
    for column in errors.columns.drop(["correlation", "force_median"]):
        assert errors.loc["student", column] == pytest.approx(row[column], rel=1e-3)
    wrong = [(labels_of(atoms, calculator_of(path))[1] - atoms.get_forces()).ravel() for atoms in frames]
    median = 1000 * np.median([np.sqrt(np.mean(one**2)) for one in wrong])
    assert errors.loc["student", "force_median"] == pytest.approx(median, rel=1e-3)
    record = read_json(record_path(tmp_path / "d" / "errors.csv"))
    assert record["parameters"]["student"]["epochs"] == 3 and record["parameters"]["weight"] == WEIGHT
    own = read_json(record_path(tmp_path / "d" / "member2" / "model.safetensors"))["inputs"]
    assert sha256(tmp_path / "d" / "teacher2.extxyz") in own.values()
    assert sha256(tmp_path / "d" / "teacher.extxyz") not in own.values()
    weights = path.with_suffix(".safetensors").read_bytes()
    assert load_model(path).network.config.features == 16
    parts = (
        "bases.extxyz",
        "foundation.extxyz",
        "delta1",
        "refined1",
        "teacher.extxyz",
        "teacher2.extxyz",
        "student",
        "member1",
        "member2",
    )
    for part in parts:
        assert (tmp_path / "d" / part).exists()
    held = xtb(cell(14))  # a melt of a test trajectory is not learned from
    held.info["parent"] = "held"
    shared = distil(frames, [*melts, held], tmp_path / "shared", test=[held], workers=2, **settings)
    for name, tensor in load_file(shared.with_suffix(".safetensors")).items():  # of sums in another order
        np.testing.assert_allclose(tensor, load(weights)[name], rtol=1e-3, atol=2e-5, err_msg=name)
    more = [*melts, xtb(cell(13))]
    monkeypatch.setattr("glasslib.training.distillation.xtb", None)  # nothing is labelled again
    assert distil(frames, melts, tmp_path / "d", **settings).with_suffix(".safetensors").read_bytes() == weights
    assert distil(frames, more, tmp_path / "d", **settings).with_suffix(".safetensors").read_bytes() != weights
    assert len(read_plain(tmp_path / "d" / "teacher.extxyz")) == 4


def test_nothing_to_learn_from_is_said(tmp_path):
    with pytest.raises(GlasslibError, match="at least one"):
        distil([], [], tmp_path)


@needs_tblite
def test_melts_that_cannot_teach_are_refused_before_anything_is_trained(tmp_path):
    frames, bare = [zero(cell(0))], cell(1)
    with pytest.raises(GlasslibError, match="melt 0 has no energy"):
        distil(frames, [bare], tmp_path)
    silent = zero(cell(1))
    del silent.calc.results["stress"]
    with pytest.raises(GlasslibError, match="melt 0 has no stress"):
        distil(frames, [silent], tmp_path)
    with pytest.raises(GlasslibError, match="at least one teacher"):
        distil(frames, frames, tmp_path, deltas=0, refined=0)
    frames[0].info["parent"] = "held"
    with pytest.raises(GlasslibError, match="test part"):
        distil(frames, frames, tmp_path, test=frames)
    assert not list(tmp_path.iterdir())
