"""Queues of structures, the choice among them, and the whole chain on a tiny case."""

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator

from glasslib.errors import GlasslibError
from glasslib.potential.classical import Classical
from glasslib.reference import chain, gpaw, sampling
from glasslib.reference.chain import _voice, tiny
from glasslib.reference.frames import read_plain
from glasslib.reference.labelling import names
from glasslib.reference.sampling import COMPOSITIONS, State, melt, states
from glasslib.reference.selection import CENTRES, farthest, fingerprint, force_spread, select
from glasslib.systems import density, random_structure


def test_longer_queue_begins_with_the_shorter_one():
    assert states(200, seed=3)[:37] == states(37, seed=3)
    assert states(37, seed=4) != states(37, seed=3)


@pytest.mark.parametrize("count", [12, 30, 60, 150, 300])
def test_every_first_part_of_the_queue_is_balanced(count):
    queue = states(count)
    numbers = Counter(s.composition for s in queue)
    assert max(numbers[c] for c in COMPOSITIONS) - min(numbers[c] for c in COMPOSITIONS) <= 1
    numbers = Counter(s.potential for s in queue)
    assert abs(numbers["pmmcs"] - numbers["shik"]) <= 6
    if count >= 60:  # eight temperatures and four quarters of density
        expected = count / 8
        for share in Counter(s.temperature for s in queue).values():
            assert 0.5 * expected < share < 1.6 * expected
        quarters = Counter(min(3, int((s.scale - 0.88) / 0.06)) for s in queue)
        assert all(0.6 * count / 4 < quarters[q] < 1.4 * count / 4 for q in range(4))


def test_each_composition_meets_all_temperatures():
    queue = states(300)
    for name in COMPOSITIONS:
        assert len({s.temperature for s in queue if s.composition == name}) == 8


def test_every_state_has_a_trajectory_of_its_own():
    queue = states(400, seed=1)
    assert len({s.parent for s in queue}) == 400


def test_melt_is_the_same_from_the_same_seed_and_has_its_density():
    state = State("NS2", 3000, 0.95, "pmmcs", 7)
    one, two = (melt(state, 54, melt_ps=0.2, hold_ps=0.2) for _ in range(2))
    np.testing.assert_array_equal(one.positions, two.positions)
    assert one.info == {
        "composition": "NS2",
        "temperature_K": 3000,
        "density_scale": 0.95,
        "parent": "pmmcs-NS2-3000-0.95-s7",
    }
    assert one.get_masses().sum() * 1.66053907 / one.get_volume() == pytest.approx(0.95 * density("NS2"), rel=1e-4)
    d = one.get_all_distances(mic=True)[np.triu_indices(len(one), 1)]
    assert 1.2 < d.min() < 1.75  # bonds, and nothing on top of each other
    other = melt(State("NS2", 3000, 0.95, "pmmcs", 8), 54, melt_ps=0.2, hold_ps=0.2)
    assert np.abs(other.positions - one.positions).max() > 0.5


class Constant(Calculator):
    implemented_properties = ("energy", "forces")

    def __init__(self, force):
        super().__init__()
        self.force = force

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms, properties, system_changes)
        x = 1.0 if len(atoms) == 3 else 3.0
        self.results = {"energy": 0.0, "forces": np.outer(np.arange(len(atoms)), [1.0, 0, 0]) * self.force * x}


def line(n):
    return Atoms("O" * n, [(1.5 * i, 0, 0) for i in range(n)], cell=[20] * 3, pbc=True)


def test_force_spread_is_the_largest_standard_deviation_over_the_committee():
    frames, forces = [line(3), line(4)], [0.1, 0.2, 0.6]
    expected = [np.std(forces, ddof=1) * 2 * 1, np.std(forces, ddof=1) * 3 * 3]
    np.testing.assert_allclose(force_spread(frames, [Constant(f) for f in forces]), expected)


def test_one_potential_is_no_committee():
    with pytest.raises(GlasslibError, match="committee"):
        force_spread([line(3)], [Constant(1.0)])
    with pytest.raises(GlasslibError, match="committee"):
        force_spread([line(3)], Constant(1.0))


def test_farthest_points_of_a_line_are_its_ends_then_its_middle():
    points = np.linspace(0, 1, 11)[:, None] ** 1.0
    points[-1] = 1.01
    assert farthest(points, 3) == [10, 0, 5]
    assert farthest(points, 1, start=[[1.0]]) == [0]


def test_farthest_agrees_with_brute_force():
    rng = np.random.default_rng(0)
    points, start = rng.normal(size=(30, 3)), rng.normal(size=(4, 3))
    chosen = []
    for _ in range(10):
        have = np.vstack([start, points[chosen]])
        gap = [-1 if i in chosen else min(np.linalg.norm(points[i] - h) for h in have) for i in range(30)]
        chosen.append(int(np.argmax(gap)))
    assert farthest(points, 10, start) == chosen


def test_fingerprint_does_not_change_under_rotation_permutation_and_shift():
    atoms = random_structure("NS2", 54, seed=1)
    reference = fingerprint(atoms)
    moved = atoms.copy()
    moved.rotate(40, (1, 2, 3), rotate_cell=True)
    moved.positions += 1.3
    moved = moved[np.random.default_rng(0).permutation(len(moved))]
    np.testing.assert_allclose(fingerprint(moved), reference, atol=1e-10)
    np.testing.assert_allclose(fingerprint(atoms.repeat((2, 1, 1))), reference, atol=1e-10)
    assert np.linalg.norm(fingerprint(random_structure("NS2", 54, seed=2)) - reference) > 1e-3


def test_fingerprint_of_a_pair_peaks_at_its_distance():
    pair = Atoms("SiO", [(0, 0, 0), (1.6, 0, 0)], cell=[20] * 3, pbc=True)
    rows = fingerprint(pair).reshape(6, -1)
    here = [k for k, row in enumerate(rows) if row.any()]
    assert here == [2]  # O-O, O-Na, O-Si, …
    assert CENTRES[np.argmax(rows[2] * CENTRES**2)] == pytest.approx(1.6)


def test_selection_takes_what_the_committee_disagrees_about():
    frames = [line(3) for _ in range(5)] + [line(4)]
    chosen = select(frames, 1, [Constant(0.1), Constant(0.2)], shortlist=1)
    assert [len(a) for a in chosen] == [4] and chosen[0].info["force_spread"] > 0


def test_selection_avoids_what_is_known():
    a, b = random_structure("NS2", 27, seed=1), random_structure("SiO2", 27, seed=1)
    assert select([a, b], 1, known=[b])[0].symbols.get_chemical_formula() == a.symbols.get_chemical_formula()


@pytest.mark.skipif(gpaw.missing() is not None, reason=str(gpaw.missing()))
def test_tiny_chain_samples_labels_trains_and_validates(tmp_path, monkeypatch):
    errors = tiny(tmp_path, quiet=True)
    assert np.isfinite(errors.loc[("all", "all"), ["energy_rmse", "force_rmse"]].astype(float)).all()
    assert (tmp_path / "model" / "model.safetensors").exists()
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("labels-*-coarse/*.extxyz")}
    assert len(stamps) == 4
    (tmp_path / "candidates.extxyz").unlink()  # as after a kill: every finished melt is still there
    monkeypatch.setattr(sampling, "melt", None)
    again = tiny(tmp_path, workers=1, quiet=True)  # everything is there: nothing is melted, labelled or trained anew
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("labels-*-coarse/*.extxyz")} == stamps
    assert again.equals(errors)


def test_the_chain_asked_for_something_else_makes_it_anew(tmp_path, monkeypatch):
    def sample(count, seed, *others, **which):
        made = [random_structure("SiO2", 6, seed=100 * seed + k) for k in range(count)]
        for k, atoms in enumerate(made):
            atoms.info = {"composition": "SiO2", "temperature_K": 300, "density_scale": 1.0, "parent": f"s{seed}-{k}"}
        return made

    monkeypatch.setattr(chain, "sample", sample)
    monkeypatch.setattr(gpaw, "missing", lambda: None)
    monkeypatch.setattr(chain, "label_queue", lambda queue, *args, **options: {"left": names(read_plain(queue))})
    for samples, labels, seed in ((6, 3, 0), (6, 3, 0), (6, 4, 0), (10, 8, 5)):
        with pytest.raises(GlasslibError, match=f"{labels} of {labels} frames"):
            chain.chain(tmp_path, samples, labels, seed=seed)
        assert len(read_plain(tmp_path / "candidates.extxyz")) == samples
        assert {atoms.info["parent"].split("-")[0] for atoms in read_plain(tmp_path / "queue.extxyz")} == {f"s{seed}"}


@pytest.mark.parametrize(
    "options, word",
    [({"labels": 0}, "labels must be"), ({"samples": 0}, "samples must be"), ({"workers": 0}, "workers must be"),
     ({"samples": 3, "labels": 4}, "4 labels of 3 samples cannot be")],
)  # fmt: skip
def test_the_chain_refuses_at_once_what_would_fail_later(tmp_path, monkeypatch, options, word):
    monkeypatch.setattr(chain, "sample", None)
    monkeypatch.setattr(gpaw, "missing", lambda: None)
    with pytest.raises(GlasslibError, match=word):
        chain.chain(tmp_path, **options)
    monkeypatch.setattr(gpaw, "missing", lambda: "no GPAW here")
    with pytest.raises(GlasslibError, match="no GPAW here"):
        chain.chain(tmp_path)


def test_committees_are_told_from_each_other_by_what_they_say():
    frames = [random_structure("NS2", 27, seed=seed) for seed in range(2)]
    one, same, other = ([Classical("shik"), Classical(name)] for name in ("pmmcs", "pmmcs", "shik"))
    assert _voice(None, frames) is None
    assert _voice(one, frames) == _voice(same, frames) != _voice(other, frames)
