"""Active learning: what is explored, where it stops, and what is chosen."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from glasslib import load_potential
from glasslib.dynamics.guard import Guard, Watch
from glasslib.errors import GlasslibError
from glasslib.potential.calculator import PaiNNCalculator
from glasslib.reference import active
from glasslib.reference.labelling import names
from glasslib.reference.sampling import State


class Collapse(Calculator):
    """Everything falls towards the centre of the cell."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """A harmonic well."""
        super().calculate(atoms, properties, system_changes)
        away = self.atoms.positions - self.atoms.cell.sum(0) / 2
        self.results = {"energy": 0.05 * (away**2).sum(), "forces": -0.1 * away}


def test_candidates_have_the_fields_of_a_queue_and_one_parent():
    state = State("NS2", 3000, 0.95, "painn9", 7)
    found = active.explore(load_potential(), state, atoms=18, melt_ps=0.02, hold_ps=0.2, every_ps=0.05)
    assert len(found) == 3 and len(set(names(found))) == 3
    assert {atoms.info["parent"] for atoms in found} == {"painn9-NS2-3000-0.95-s7"}
    assert all(atoms.calc is None and "momenta" not in atoms.arrays for atoms in found)
    assert not np.allclose(found[0].positions, found[-1].positions)


def test_a_melt_that_falls_apart_gives_the_configuration_before():
    found = active.explore(Collapse(), State("NS2", 3000, 0.95, "bad", 1), atoms=18, melt_ps=5.0, hold_ps=1.0)
    assert len(found) == 1
    last = found[0].copy()
    last.arrays["momenta"] = np.zeros((len(last), 3))
    assert Watch(Guard(), last, 3000).trouble(last, {}) is None


def test_a_round_chooses_where_the_committee_disagrees():
    member = load_potential().potentials[0]
    other = load_potential("pretrained").potentials[0]
    committee = PaiNNCalculator([member, other])
    where = {"compositions": ("NS2", "SiO2"), "temperatures": (3000,)}
    chosen = active.propose(committee, 2, runs=3, name="painn9", atoms=18, quiet=True, **where)
    assert len(chosen) == 2 and all(atoms.info["force_spread"] > 0 for atoms in chosen)


def test_known_distances_are_those_that_several_frames_hold():
    frames = [Atoms("ONaO", [[0, 0, 0], [d, 0, 0], [d + 2.5, 0, 0]], cell=[20] * 3, pbc=True) for d in (1.9, 2.2, 2.1)]
    known = active.shortest_known(frames)
    assert known == pytest.approx({("Na", "O"): 2.2})  # the oxygens are beyond 4 Å
    assert active.shortest_known(frames[:2]) == {}


def test_collisions_closer_than_known_are_proposed_at_their_closest():
    state, closer = State("NS2", 4000, 0.95, "painn9", 7), {("O", "O"): 2.6, ("Na", "O"): 1.0}
    found = active.explore(load_potential(), state, atoms=18, melt_ps=0.02, hold_ps=0.3, every_ps=0.1, closer=closer)
    contacts = [atoms for atoms in found if "contact" in atoms.info]
    assert contacts and len(set(names(found))) == len(found)
    for atoms in contacts:
        pair, distance = atoms.info["contact"].split()
        oxygens = atoms[[atom.index for atom in atoms if atom.symbol == "O"]]
        distances = oxygens.get_all_distances(mic=True)[np.triu_indices(len(oxygens), 1)]
        assert pair == "O-O" and np.abs(distances - float(distance)).min() < 0.0051 and float(distance) < 2.6


def test_a_round_takes_as_many_contacts_as_asked_for():
    where = {"compositions": ("NS2",), "temperatures": (4000,), "atoms": 18, "quiet": True}
    far = Atoms("OONaNaSiSi", np.arange(6)[:, None] * [2.8, 0, 0], cell=[40, 30, 30], pbc=True)
    chosen = active.propose(load_potential(), 5, runs=2, known=[far] * 3, contacts=2, **where)
    assert len(chosen) == 5 and ["contact" in atoms.info for atoms in chosen] == [True, True, False, False, False]


def test_contacts_need_labelled_frames_and_are_no_more_than_the_number_asked_for():
    with pytest.raises(GlasslibError, match="labelled frames"):
        active.propose(Collapse(), 1, contacts=1)
    where = {"compositions": ("NS2",), "temperatures": (4000,), "atoms": 18, "quiet": True}
    far = Atoms("OONaNaSiSi", np.arange(6)[:, None] * [2.8, 0, 0], cell=[40, 30, 30], pbc=True)
    assert len(active.propose(load_potential(), 1, runs=1, known=[far] * 3, contacts=3, **where)) == 1


def test_the_name_of_a_round_must_be_fit_for_a_file():
    with pytest.raises(GlasslibError, match="letters and digits"):
        active.propose(Collapse(), 1, name="../x")


def test_what_is_kept_of_the_hot_stage_says_so():
    state, closer = State("NS2", 1500, 0.95, "painn9", 7), {("O", "O"): 2.6}
    found = active.explore(load_potential(), state, atoms=18, melt_ps=0.3, hold_ps=0.02, every_ps=0.02, closer=closer)
    contacts = [atoms.info["temperature_K"] for atoms in found if "contact" in atoms.info]
    assert contacts and active.HOT in contacts
    assert {atoms.info["temperature_K"] for atoms in found if "contact" not in atoms.info} == {1500}
    (last,) = active.explore(Collapse(), State("NS2", 3000, 0.95, "bad", 1), atoms=18, melt_ps=5.0, hold_ps=1.0)
    assert last.info["temperature_K"] == active.HOT


def test_a_run_that_ends_after_a_kept_configuration_has_it_once(monkeypatch):
    class Ends(Watch):
        looks = 0

        def trouble(self, atoms, results):
            self.looks += 1
            return "enough" if self.looks > 4 else None  # one look at the hot melt, then 5 to 30 fs of the other

    monkeypatch.setattr(active, "Watch", Ends)
    found = active.explore(
        load_potential(), State("NS2", 2000, 0.95, "p", 1), 18, melt_ps=0.01, hold_ps=0.06, every_ps=0.01
    )
    assert len(found) == 1
