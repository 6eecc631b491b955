"""Crystals, close contacts and melts that a trained potential goes on with."""

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list
from ase.units import kB

from glasslib.errors import GlasslibError
from glasslib.reference.variants import carry_on, close_contact, crystal
from glasslib.systems import random_structure


@pytest.mark.parametrize("name, atoms, density", [("quartz", 72, 2.646), ("cristobalite", 48, 2.332)])
def test_crystals_are_fully_connected_tetrahedra_of_the_published_density(name, atoms, density):
    # densities: 2.65 and 2.33 g/cm³ from the papers' cells (3 and 4 SiO2 of 60.083 u in 113.13 and 171.10 Å³)
    made = crystal(name, rattle=0, strain=0)
    centre, neighbour, distance = neighbor_list("ijd", made, 2.0)
    count = np.bincount(centre, minlength=atoms)
    assert len(made) == atoms
    assert set(count[made.symbols == "Si"]) == {4} and set(count[made.symbols == "O"]) == {2}
    assert all(made[i].symbol != made[j].symbol for i, j in zip(centre, neighbour, strict=True))
    assert distance.min() > 1.595 and distance.max() < 1.62
    assert made.get_masses().sum() / made.get_volume() * 1.66053906892 == pytest.approx(density, rel=2e-3)


@pytest.mark.parametrize(
    "name, atoms, density, bridges", [("metasilicate", 48, 2.644, 1 / 3), ("disilicate", 72, 2.500, 3 / 5)]
)
def test_silicates_are_chains_and_sheets_of_tetrahedra(name, atoms, density, bridges):
    """Chains have two bridging oxygens a tetrahedron (1 of 3), sheets three halves and one more (3 of 5); densities from cells of 4 units."""
    made = crystal(name, rattle=0, strain=0)
    centre, neighbour = neighbor_list("ij", made, {("Si", "O"): 2.0})
    count = np.bincount(centre, minlength=atoms)
    assert len(made) == atoms
    assert set(count[made.symbols == "Si"]) == {4} and set(count[made.symbols == "O"]) == {1, 2}
    assert (count[made.symbols == "O"] == 2).mean() == pytest.approx(bridges)
    sodium = neighbor_list("d", made, {("Na", "O"): 2.8})
    assert 2.2 < sodium.min() < 2.5
    assert made.get_masses().sum() / made.get_volume() * 1.66053906892 == pytest.approx(density, rel=2e-3)


def test_rattle_and_strain_have_the_size_asked_for():
    still = crystal("quartz", 0, 0)
    moved = crystal("quartz", 0.1, 0, seed=3)
    step = np.linalg.solve(still.cell.array.T, (moved.positions - still.positions).T).T
    step = (step - np.round(step)) @ still.cell.array
    assert np.sqrt((step**2).mean()) == pytest.approx(0.1, rel=0.15)
    strained = crystal("quartz", 0, 0.04, seed=3)
    change = np.linalg.solve(still.cell.array, strained.cell.array) - np.eye(3)
    assert 1e-3 < np.abs(change).max() <= 0.04
    np.testing.assert_allclose(change, change.T, atol=1e-12)
    assert crystal("quartz", seed=1).info["parent"] != crystal("quartz", seed=2).info["parent"]


@pytest.mark.parametrize("fraction", [0.6, 0.8])
def test_a_close_contact_shortens_one_atoms_shortest_distance_to_the_fraction(fraction):
    atoms = random_structure("NS2", 54, seed=4)
    atoms.info["parent"] = "melt"
    near = close_contact(atoms, fraction, seed=5)
    before, after = (a.get_all_distances(mic=True) + 99 * np.eye(len(atoms)) for a in (atoms, near))
    moved = np.flatnonzero(np.linalg.norm((near.positions - atoms.positions) % atoms.cell.lengths(), axis=1) > 1e-9)
    centre = max(moved, key=lambda i: before[i].min() - after[i].min())
    assert after[centre].min() == pytest.approx(fraction * before[centre].min(), rel=1e-9)
    assert near.info["parent"] == "close-melt" and atoms.info["parent"] == "melt"


def test_a_carried_on_melt_moves_at_its_temperature_and_says_what_drove_it():
    atoms = crystal("quartz", 0.05, 0)
    atoms.info |= {"temperature_K": 1000, "parent": "pmmcs-SiO2-1000-1.20-s1"}
    calculator = LennardJones(epsilon=0.2, sigma=1.45, rc=4.0)
    kinetic = []

    class Watched(LennardJones):
        def calculate(self, atoms=None, *args, **kwargs):
            super().calculate(atoms, *args, **kwargs)
            kinetic.append(atoms.get_kinetic_energy())

    after = carry_on(atoms, Watched(epsilon=0.2, sigma=1.45, rc=4.0), "lj", duration=0.2, seed=1)
    assert after.info["parent"] == "lj-SiO2-1000-1.20-s1" and atoms.info["parent"].startswith("pmmcs")
    assert (
        np.abs(after.positions - atoms.positions).max() > 0.05 and after.calc is None and "momenta" not in after.arrays
    )
    assert np.mean(kinetic[50:]) / (1.5 * len(atoms) * kB) == pytest.approx(1000, rel=0.25)
    again = carry_on(atoms, calculator, "lj", duration=0.2, seed=1)
    np.testing.assert_array_equal(after.positions, again.positions)


@pytest.mark.parametrize("call", [
    lambda: crystal("diamond"), lambda: crystal("quartz", rattle=2), lambda: crystal("quartz", strain=float("nan")),
    lambda: close_contact(random_structure("SiO2", 9), 0.1),
])  # fmt: skip
def test_senseless_variants_are_refused(call):
    with pytest.raises(GlasslibError):
        call()
