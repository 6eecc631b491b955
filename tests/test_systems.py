import numpy as np
import pytest
from ase import units

from glasslib import GlasslibError, composition, density, random_structure
from glasslib.systems import shortest


@pytest.mark.parametrize(
    ("name", "size", "na2o"), [("NS2", 9, 1 / 3), ("NS4", 15, 0.2), ("NS6", 21, 1 / 7), ("SiO2", 3, 0), ("NS", 6, 0.5)]
)
def test_formula_units_of_sodium_silicates(name, size, na2o):
    mixture = composition(name)
    assert mixture.unit_size == size
    assert mixture.fraction("Na2O") == pytest.approx(na2o)
    charges = {"Na": 1, "Si": 4, "O": -2}
    assert sum(charges[s] * n for s, n in mixture.unit.items()) == 0


def test_mole_fractions_and_names_agree():
    assert composition({"Na2O": 0.2, "SiO2": 0.8}).unit == composition("NS4").unit == composition("20Na2O-80SiO2").unit
    assert composition({"Na2O": 33.3333, "SiO2": 66.6667}).unit == composition("NS2").unit


def test_three_thousand_atoms_are_exact_only_for_ns4():
    assert {name: sum(composition(name).counts(3000).values()) for name in ("NS2", "NS4", "NS6")} == {
        "NS2": 2997,
        "NS4": 3000,
        "NS6": 3003,
    }


@pytest.mark.parametrize(
    "bad",
    [
        "NX2",
        "",
        "NS-2",
        "2Fe",
        {"Na2O": -1},
        {"XO": 1},
        {},
        {"SiO2": 0},
        7,
        {"SiO2": float("nan")},
    ],
)
def test_unknown_compositions_are_refused(bad):
    with pytest.raises(GlasslibError):
        composition(bad)


def test_density_interpolates_the_table_and_expands_with_temperature():
    assert density("SiO2") == 2.200
    assert density("NS4") == pytest.approx(2.385)
    assert 2.494 < density("NS2") < 2.550
    assert density("NS2", 2300) * (1 + 6e-5 * 2000) == pytest.approx(density("NS2"))


@pytest.mark.parametrize("bad", ["50K2O-50SiO2", "80Na2O-20SiO2"])
def test_density_outside_the_table_is_refused(bad):
    with pytest.raises(GlasslibError, match="density"):
        density(bad)


@pytest.mark.parametrize("name", ["NS2", "SiO2"])
def test_random_structure_has_the_density_and_no_overlap(name):
    atoms = random_structure(name, 150, seed=3)
    mass = atoms.get_masses().sum() * units._amu * 1e3
    assert mass / (atoms.get_volume() * 1e-24) == pytest.approx(density(name))
    distances, symbols = atoms.get_all_distances(mic=True), atoms.get_chemical_symbols()
    least = min(distances[i, j] / shortest(symbols[i], symbols[j]) for i in range(len(atoms)) for j in range(i))
    assert least >= 0.68
    assert atoms.info["rounding"] == len(atoms) - 150


def test_random_structure_is_seeded_and_mixed():
    a, b, c = (random_structure("NS2", 90, seed=s) for s in (1, 1, 2))
    assert np.array_equal(a.positions, b.positions) and not np.array_equal(a.positions, c.positions)
    assert len(set(a.get_chemical_symbols()[:20])) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"atoms": 0},
        {"atoms": 2.5},
        {"density": -1},
        {"density": float("nan")},
        {"density": 12.0},
        {"temperature": -5},
        {"density": True},
        {"seed": -1},
        {"seed": 1.5},
        {"temperature": "hot"},
    ],
)
def test_impossible_structures_are_refused(options):
    with pytest.raises(GlasslibError):
        random_structure("NS2", **options)
