"""SevenNet-0 as a teacher: the same numbers as its own calculator, exact derivatives, and a refinement that learns and survives a kill."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training_xtb import cell, displaced, strained, zero

from glasslib.errors import GlasslibError
from glasslib.training import foundation
from glasslib.training.distributed import together
from glasslib.training.engine import response
from glasslib.training.foundation import REFINE, Foundation, Refinement, installed, refine
from glasslib.training.loop import one_thread
from glasslib.training.loss import loss_terms
from glasslib.training.xtb import labelled

needs_sevenn = pytest.mark.skipif(not installed(), reason="SevenNet is not installed")
SHORT = replace(REFINE, epochs=4, batch=1, warmup=1, average=0.0)


@pytest.fixture(scope="module")
def teacher():
    return Foundation()


@pytest.fixture
def plain(monkeypatch):
    """With SevenNet's own convolutions, which can be differentiated twice."""
    monkeypatch.setattr(foundation, "fuse", lambda network: None)
    return Foundation()


@pytest.fixture(autouse=True)
def alone():
    with one_thread():
        yield


def target(teacher, seed):
    """Labels near those of the network: forces a fifth smaller, energies 0.05 eV an atom higher."""
    atoms = cell(seed)
    made = teacher.label(atoms)
    energy = made.get_potential_energy() + 0.05 * len(atoms)
    return labelled(atoms, energy, 0.8 * made.get_forces(), 0.8 * made.get_stress())


@needs_sevenn
def test_labels_are_those_of_sevennets_own_calculator(teacher):
    from sevenn.calculator import SevenNetCalculator

    atoms = cell(0)
    made = teacher.label(atoms)
    atoms.calc = SevenNetCalculator("7net-0", device="cpu")
    assert made.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    assert np.allclose(made.get_forces(), atoms.get_forces(), atol=1e-4)
    assert np.allclose(made.get_stress(), atoms.get_stress(), atol=1e-5)


@needs_sevenn
def test_labels_are_derivatives_of_the_energy(teacher):
    atoms, h = cell(3), 0.01
    made = teacher.label(atoms)
    ends = [teacher.label(displaced(atoms, 4, 1, sign * h)).get_potential_energy() for sign in (1, -1)]
    assert made.get_forces()[4, 1] == pytest.approx(-(ends[0] - ends[1]) / (2 * h), rel=0.01, abs=0.02)
    for i, k, voigt in ((0, 0, 0), (1, 2, 3), (0, 2, 4), (0, 1, 5)):  # every element where it belongs
        ends = [teacher.label(strained(atoms, i, k, sign * h)).get_potential_energy() for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * h) / atoms.get_volume()
        assert made.get_stress()[voigt] == pytest.approx(slope, rel=0.02, abs=3e-4), voigt


@needs_sevenn
def test_gradients_of_two_first_order_passes_are_those_of_differentiating_twice(tmp_path, plain, teacher):
    run = Refinement([target(teacher, 1), target(teacher, 2)], [], tmp_path, SHORT, None, 0, 1, ())
    norm = {"frames": 2, "atoms": 18, "virials": 2}
    terms = run._gradients(run.train, norm)
    found = torch.cat([w.grad.reshape(-1) for w in run.weights])
    sums = dict.fromkeys(terms, 0.0)
    for one in run.train:
        exact = loss_terms(*response(plain.energies, one, create_graph=True), one, run.config, norm)
        sum(exact.values()).backward()
        sums = {name: sums[name] + float(exact[name].detach()) for name in sums}
    expected = torch.cat([w.grad.reshape(-1) for w in plain.network.parameters() if w.requires_grad])
    assert terms == pytest.approx(sums, rel=1e-3)
    assert float((found - expected).norm() / expected.norm()) < 0.03


@needs_sevenn
def test_convolutions_in_one_pass_are_those_of_sevennet(plain, teacher):
    atoms, outcome = cell(5), []
    assert 2 * len(teacher.graph(atoms)["first"]) == len(teacher.graph(atoms)["pair"])
    for each in (plain, teacher):
        each.network.zero_grad(set_to_none=False)
        outcome.append([x.detach() for x in response(each.energies, each.frame(atoms), keep_weights=True)])
        outcome[-1] += [w.grad.clone() for w in each.network.parameters() if w.requires_grad]
    assert len(outcome[0]) > 30
    for one, other in zip(*outcome, strict=True):
        assert float((one - other).abs().max()) <= 1e-5 * float(one.abs().max()) + 1e-9


@needs_sevenn
def test_refinement_learns_its_frames_and_a_killed_one_ends_as_an_unbroken_one(tmp_path, monkeypatch, teacher):
    frames = [target(teacher, 1), target(teacher, 2)]
    path = refine(frames, tmp_path / "whole", SHORT)
    losses = [row["loss"] for row in json.loads((tmp_path / "whole/history.json").read_text())]
    assert losses[-1] < 0.5 * losses[0], losses

    kept = Refinement._keep

    def killed(self):
        kept(self)
        if self.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Refinement, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        refine(frames, tmp_path / "broken", SHORT)
    monkeypatch.setattr(Refinement, "_keep", kept)
    again = refine(frames, tmp_path / "broken", SHORT)
    one, other = load_file(path), load_file(again)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    truth, start, end = frames[0].get_forces(), teacher.label(frames[0]), Foundation(path).label(frames[0])
    assert np.abs(end.get_forces() - truth).mean() < 0.7 * np.abs(start.get_forces() - truth).mean()


@needs_sevenn
def test_processes_that_share_a_refinement_end_where_a_single_one_does(tmp_path, teacher):
    frames = [target(teacher, seed) for seed in (1, 2, 3)]  # the last batch leaves one of the two without a frame
    settings = replace(SHORT, batch=2, epochs=2)
    refine(frames, tmp_path / "one", settings)
    together(2, refine, frames, tmp_path / "two", settings)
    one, two = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("one", "two"))
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=0.02)
    assert [row["gradient"] for row in two] == pytest.approx([row["gradient"] for row in one], rel=0.05)


@needs_sevenn
def test_foreign_weights_are_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(GlasslibError, match="no weights of SevenNet-0"):
        Foundation(tmp_path / "model.safetensors")


def test_without_sevennet_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(foundation, "installed", lambda: False)
    with pytest.raises(GlasslibError, match="pip install"):
        Foundation()


def test_frames_without_labels_are_refused(tmp_path):
    atoms = zero(cell(0))
    atoms.calc = None
    with pytest.raises(GlasslibError):
        refine([atoms], tmp_path, SHORT)
