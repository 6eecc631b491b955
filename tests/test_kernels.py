"""The compiled kernel computes what the readable model computes."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet

from glasslib import GlasslibError, load_potential, random_structure, reference
from glasslib.potential import kernels
from glasslib.potential.calculator import PaiNNCalculator
from glasslib.potential.graph import edges, species_index
from glasslib.potential.model import Potential
from glasslib.potential.neighbours import Neighbours, along_curve
from glasslib.potential.painn import PaiNN


def potential(features, cutoff=5.0, interactions=3):
    torch.manual_seed(features)
    return Potential(PaiNN(features=features, cutoff=cutoff, interactions=interactions), [-3.0, -1.0, -2.0], 2.0)


def crystal():
    atoms = bulk("NaO", "rocksalt", 4.8, cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def close_pair():
    atoms = random_structure("NS2", 63, seed=6)
    atoms.positions[4] = atoms.positions[9] + [0.9, 0.3, 0]
    return atoms


def slab():
    atoms = random_structure("NS4", 60, seed=8)
    atoms.pbc = [True, True, False]
    return atoms


CASES = {
    "melt": lambda: random_structure("NS2", 198, seed=1),
    "dense melt": lambda: random_structure("SiO2", 60, density=2.9, seed=2),
    "small cell with several images": lambda: random_structure("NS", 6, seed=3),
    "crystal": crystal,
    "close contact": close_pair,
    "sheared cell": lambda: sheared(random_structure("NS6", 63, seed=5)),
    "slab": slab,
    "isolated atoms": lambda: Atoms("OSiNa", [[0, 0, 0], [20, 0, 0], [0, 20, 0]]),
    "dimer": lambda: Atoms("SiO", [[0, 0, 0], [1.6, 0, 0]]),
    "one atom": lambda: Atoms("O", cell=[30, 30, 30], pbc=True),
}


def sheared(atoms):
    atoms.set_cell(atoms.cell.array @ [[1, 0.2, 0], [0, 1.1, -0.3], [0, 0, 1]], scale_atoms=True)
    return atoms


@pytest.mark.parametrize("features", [32, 64])
@pytest.mark.parametrize("case", CASES)
def test_compiled_and_readable_models_agree(case, features):
    atoms = CASES[case]()
    model = potential(features)
    compiled = PaiNNCalculator([model], "numba")
    compiled.calculate(atoms)
    readable = PaiNNCalculator([model.double()], "reference", torch.float64)
    readable.calculate(atoms)
    a, b = compiled.results, readable.results
    largest = max(1.0, np.abs(b["forces"]).max())
    assert a["energy"] == pytest.approx(b["energy"], abs=1e-5 * len(atoms) * largest)
    np.testing.assert_allclose(a["energies"], b["energies"], atol=1e-5 * largest)
    assert np.sqrt(np.mean((a["forces"] - b["forces"]) ** 2)) < 1e-4 * largest
    assert np.abs(a["forces"] - b["forces"]).max() < 1e-3 * largest
    assert ("stress" in a) == ("stress" in b) == bool(atoms.pbc.all())
    if "stress" in a:
        np.testing.assert_allclose(a["stress"], b["stress"], atol=1e-5 * largest)


@pytest.mark.parametrize("name", ["default", "committee"])
def test_the_shipped_potentials_are_the_same_in_both_on_labelled_frames(name):
    compiled, readable = load_potential(name, "numba"), load_potential(name, "reference")
    for atoms in reference.split(reference.read_frames("data/frames"))["test"][:: 7 if name == "default" else 35]:
        compiled.calculate(atoms)
        readable.calculate(atoms)
        a, b = compiled.results, readable.results
        assert a["energy"] == pytest.approx(b["energy"], abs=2e-6 * len(atoms))
        np.testing.assert_allclose(a["forces"], b["forces"], atol=3e-4)
        np.testing.assert_allclose(a["stress"], b["stress"], atol=1e-6)


def beyond(model, atoms):
    """The model with bounds that the energies of a third of the atoms lie above, and of a third below."""
    plain = PaiNNCalculator([model], "reference", torch.float64)
    plain.calculate(atoms)
    energies = plain.results["energies"] - np.array([-3.0, -1.0, -2.0])[species_index(atoms, model.species)]
    model.bounds = tuple(np.quantile(energies, (1 / 3, 2 / 3)).tolist())
    return model


def agree_beyond_the_bounds(kernel, atoms):
    """Check that a kernel computes what the readable model does where bounds hold atoms back, and that these matter."""
    model = beyond(potential(32).double(), atoms)
    readable = PaiNNCalculator([model], "reference", torch.float64)
    readable.calculate(atoms)
    ours = PaiNNCalculator([model.float()], kernel)
    ours.calculate(atoms)
    a, b = ours.results, readable.results
    np.testing.assert_allclose(a["energies"], b["energies"], atol=1e-5)
    np.testing.assert_allclose(a["forces"], b["forces"], atol=1e-3 * min(1.0, np.abs(b["forces"]).max()))
    np.testing.assert_allclose(a["stress"], b["stress"], atol=1e-5)
    model.bounds = None
    free = PaiNNCalculator([model], kernel)
    free.calculate(atoms)
    assert np.abs(free.results["forces"] - a["forces"]).max() > 0.05 * np.abs(b["forces"]).max()


def test_compiled_and_readable_models_agree_beyond_the_bounds():
    agree_beyond_the_bounds("numba", random_structure("NS2", 198, seed=1))


def test_other_depths_and_cutoffs_agree():
    atoms = random_structure("NS2", 54, seed=1)
    for model in (potential(16, 4.0, 2), potential(48, 6.0, 4)):
        forces = []
        for kernel in ("numba", "reference"):
            calculator = PaiNNCalculator([model], kernel)
            calculator.calculate(atoms)
            forces.append(calculator.results["forces"])
        np.testing.assert_allclose(forces[0], forces[1], atol=1e-3)


def test_results_are_the_same_bits_for_one_and_two_threads():
    code = (
        "import numba, sys, hashlib; numba.set_num_threads(int(sys.argv[1]))\n"
        "import torch; torch.manual_seed(0)\n"
        "from glasslib import random_structure\n"
        "from glasslib.potential.painn import PaiNN; from glasslib.potential.model import Potential\n"
        "from glasslib.potential.calculator import PaiNNCalculator\n"
        "c = PaiNNCalculator([Potential(PaiNN(features=64))], 'numba')\n"
        "c.calculate(random_structure('NS2', 300, seed=1))\n"
        "r = c.results\n"
        "print(hashlib.sha256(r['forces'].tobytes() + r['stress'].tobytes() + r['energies'].tobytes()).hexdigest())"
    )
    digests = {
        subprocess.check_output([sys.executable, "-c", code, threads], env=_environment(), text=True)
        for threads in "12"
    }
    assert len(digests) == 1


def _environment():
    return os.environ | {"NUMBA_NUM_THREADS": "2"}


def test_the_list_may_age_without_changing_a_bit():
    atoms = random_structure("NS2", 99, seed=2)
    model = potential(32)
    aged, fresh = PaiNNCalculator([model], "numba"), PaiNNCalculator([model], "numba")
    rng = np.random.default_rng(0)
    rebuilds = []
    for _ in range(12):
        atoms.positions += rng.normal(0, 0.04, atoms.positions.shape)
        aged.calculate(atoms)
        fresh.engines[0].neighbours.positions = None  # made anew, with the same numbering
        fresh.calculate(atoms)
        assert np.array_equal(aged.results["forces"], fresh.results["forces"])
        rebuilds.append(aged.engines[0].neighbours.rebuilds)
    assert 1 < rebuilds[-1] < 12


def test_atoms_along_the_curve_are_near_each_other_and_the_numbering_changes_nothing():
    atoms = random_structure("NS2", 999, seed=2)
    order = along_curve(atoms.positions, atoms.cell.array)
    assert sorted(order) == list(range(len(atoms)))

    def reach(order):  # mean extent of blocks of 64 atoms
        blocks = [atoms.positions[order[k : k + 64]] for k in range(0, 960, 64)]
        return np.mean([np.ptp(block, axis=0).mean() for block in blocks])

    assert reach(order) < 0.75 * reach(np.arange(len(atoms)))
    shuffled = atoms[np.random.default_rng(0).permutation(len(atoms))]
    results = []
    for one in (atoms, shuffled):
        calculator = PaiNNCalculator([potential(32)], "numba")
        calculator.calculate(one)
        back = np.lexsort(one.positions.T)
        results.append([calculator.results[key][back] for key in ("forces", "energies")])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("strain", [0.0, 0.01, -0.02])
def test_an_aged_list_holds_every_edge_within_the_cutoff(strain):
    atoms = random_structure("NS2", 54, seed=3)
    listed = Neighbours(4.0, 0.8)
    listed.update(atoms)
    atoms.positions += np.random.default_rng(1).uniform(-0.1, 0.1, atoms.positions.shape)
    atoms.set_cell(atoms.cell.array * (1 + strain), scale_atoms=True)
    listed.update(atoms)
    centre = np.repeat(np.arange(len(atoms)), np.diff(listed.first))
    vectors = atoms.positions[listed.neighbour] - atoms.positions[centre] + listed.shift @ atoms.cell.array
    near = np.linalg.norm(vectors, axis=1) < 4.0
    assert near.sum() == len(edges(atoms, 4.0)[0])


def test_every_edge_leads_back():
    atoms = random_structure("NS", 12, seed=3)
    listed = Neighbours(5.0)
    listed.update(atoms)
    centre = np.repeat(np.arange(len(atoms)), np.diff(listed.first))
    assert np.array_equal(listed.neighbour[listed.back], centre)
    assert np.array_equal(listed.shift[listed.back], -listed.shift)
    assert np.array_equal(listed.back[listed.back], np.arange(len(centre)))


def test_sigmoid_is_exact_to_single_precision():
    @numba.njit
    def many(x):
        return np.array([kernels.sigmoid(v) for v in x])

    x = np.linspace(-30, 30, 20001).astype(np.float32)
    exact = 1 / (1 + np.exp(-x.astype(float)))
    np.testing.assert_allclose(many(x), exact, rtol=1e-6, atol=1e-12)


def test_features_that_do_not_fit_the_kernel_fall_back_or_are_refused():
    model = potential(24)
    assert PaiNNCalculator([model], "auto").kernel == "reference"
    with pytest.raises(GlasslibError, match="multiple of 16"):
        PaiNNCalculator([model], "numba")
    with pytest.raises(GlasslibError, match="unknown kernel"):
        PaiNNCalculator([model], "cuda")


@pytest.fixture
def one_thread():
    """Steps of small systems are short against the wait for a second thread on a busy machine."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def test_energy_is_conserved_to_second_order_in_the_time_step(one_thread):
    """Velocity Verlet's energy error falls with the square of the step only if forces are the gradient of the energy."""
    spread = []
    for step in (1.0, 0.5):
        atoms = random_structure("NS2", 54, seed=2)
        atoms.calc = PaiNNCalculator([potential(32)], "numba")
        width = np.sqrt(atoms.get_masses()[:, None] * units.kB * 1500)
        atoms.set_momenta(width * np.random.default_rng(0).normal(size=(len(atoms), 3)))
        dynamics = VelocityVerlet(atoms, step * units.fs)
        totals = []
        for _ in range(round(80 / step)):
            dynamics.run(1)
            totals.append(atoms.get_total_energy())
        spread.append(np.std(totals))
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.35)
    assert spread[1] < 0.01 * atoms.get_kinetic_energy()


def test_wandering_by_whole_cells_changes_nothing():
    atoms = random_structure("NS2", 54, seed=2)
    model = potential(32)
    calculator = PaiNNCalculator([model], "numba")
    calculator.calculate(atoms)
    forces = calculator.results["forces"]
    far = np.random.default_rng(0).integers(-40, 41, (len(atoms), 3))
    atoms.positions += far @ atoms.cell.array
    calculator.calculate(atoms)
    assert np.abs(forces).max() > 0.1
    np.testing.assert_allclose(calculator.results["forces"], forces, atol=1e-5)
    assert np.array_equal(
        far[0], np.floor(atoms.get_scaled_positions(wrap=False)[0])
    )  # the caller's positions are as they were


def test_a_search_that_is_broken_off_leaves_no_half_list(monkeypatch):
    atoms, found = random_structure("NS2", 90, seed=1), Neighbours(4.0, 0.5)
    found.update(atoms)
    pairs = len(found.neighbour)

    def broken(*others, **options):
        raise KeyboardInterrupt

    moved = atoms.copy()
    moved.positions += np.random.default_rng(0).normal(scale=1.0, size=moved.positions.shape)
    with monkeypatch.context() as patch:
        patch.setattr("glasslib.potential.neighbours.NeighborList", broken)
        with pytest.raises(KeyboardInterrupt):
            found.update(moved)
    found.update(atoms)  # back where the last list was made: it must be made again
    assert len(found.neighbour) == pairs


def test_rows_are_in_canonical_order():
    atoms = random_structure("NS2", atoms=90, density=2.3, seed=3)
    atoms.positions += np.random.default_rng(0).integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array  # atoms wander
    found = Neighbours(4.0)
    found.update(atoms)
    centre = np.repeat(np.arange(len(atoms)), np.diff(found.first))
    vector = atoms.positions[found.neighbour] - atoms.positions[centre] + found.shift @ atoms.cell.array
    assert np.linalg.norm(vector, axis=1).max() <= 4.0 + found.skin
    key = np.column_stack([centre, found.neighbour, found.shift])
    assert np.array_equal(np.lexsort(key.T[::-1]), np.arange(len(key)))


def test_atoms_too_many_cells_apart_for_a_list_are_refused():
    far = Atoms("Na2", [[0, 0, 0], [1.0 + 6.0 * 40000, 1, 1]], cell=[6.0] * 3, pbc=True)
    with pytest.raises(GlasslibError, match="wrap the positions"):
        Neighbours(5.0).update(far)


def test_a_committee_shares_one_list_and_gives_its_members_mean():
    atoms = random_structure("NS2", 54, seed=2)
    members = [potential(16), potential(32), potential(48)]
    alone = []
    for member in members:
        calculator = PaiNNCalculator([member], "numba")
        calculator.calculate(atoms)
        alone.append(calculator.results)
    committee = PaiNNCalculator(members, "numba")
    committee.calculate(atoms)
    for key in ("energy", "forces", "stress"):
        np.testing.assert_allclose(committee.results[key], np.mean([r[key] for r in alone], axis=0), rtol=1e-12)
    assert len({id(engine.neighbours) for engine in committee.engines}) == 1


@pytest.mark.parametrize("kernel", ["numba", "reference"])
def test_atoms_on_top_of_each_other_and_cells_without_room_are_refused(kernel):
    calculator = PaiNNCalculator([potential(16)], kernel)
    atoms = random_structure("NS2", 54, seed=2)
    atoms.positions[7] = atoms.positions[3]
    with pytest.raises(GlasslibError, match="atoms 3 and 7"):
        calculator.calculate(atoms)
    with pytest.raises(GlasslibError, match="too small"):
        calculator.calculate(Atoms("OSi", [[0, 0, 0], [0.01, 0, 0]], cell=[0.1, 0.1, 0.1], pbc=True))
    with pytest.raises(GlasslibError, match="too small"):
        calculator.calculate(Atoms("O", cell=[0.6, 0.6, 0.6], pbc=True))


@pytest.mark.parametrize("kernel", ["numba", "reference"])
@pytest.mark.parametrize("cell", [None, [5, 5, 0], [5, 5, 1e7]])
def test_atoms_beyond_the_reach_of_a_neighbour_list_are_refused(kernel, cell):
    """Which would otherwise end the process."""
    calculator = PaiNNCalculator([potential(16)], kernel)
    near = Atoms("OSi", [[0, 0, 0], [0, 0, 9000.0]], cell=cell and [5, 5, 0], pbc=cell is not None and [1, 1, 0])
    calculator.calculate(near)
    far = Atoms("OSi", [[0, 0, 0], [0, 0, 1e6]], cell=cell, pbc=cell is not None and np.array(cell) > 0)
    with pytest.raises(GlasslibError, match="atoms or cell reach over 1e[+]0[67] Å"):
        calculator.calculate(far)


@pytest.mark.parametrize("pair", ["OO", "SiO", "NaO"])
def test_two_atoms_repel_all_the_way_down_to_half_an_angstrom(pair):
    calculator = PaiNNCalculator([potential(32)], "numba")
    energies = []
    for r in np.arange(0.5, 1.0, 0.02):
        calculator.calculate(Atoms(pair, [[0, 0, 0], [r, 0, 0]]))
        energies.append(calculator.results["energy"])
        assert calculator.results["forces"][0, 0] < 0
    assert np.all(np.diff(energies) < 0)


FORCES = """
import hashlib, torch
from glasslib.potential.calculator import PaiNNCalculator
from glasslib.potential.dispersion import Dispersion
from glasslib.potential.model import Potential
from glasslib.potential.painn import PaiNN
from glasslib.systems import random_structure
torch.manual_seed(0)
atoms = random_structure("NS2", 63, seed=3)
atoms.calc = Dispersion(PaiNNCalculator([Potential(PaiNN(features=32), torch.zeros(3, dtype=torch.float64), 1.0)], kernel="numba"))
print(hashlib.sha256(atoms.get_forces().tobytes()).hexdigest())
"""


def test_the_first_process_computes_the_bits_of_all_later_ones(tmp_path):
    # nothing compiled yet: a process that compiled its own kernels would run other versions of them
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", FORCES], env=env, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert "compiling" in first.stderr and "compiling" not in second.stderr
    assert first.stdout == second.stdout
    # kernels of another processor are none of ours; asked where nothing is compiled that is missing
    ask = "from glasslib.potential import compiled; parts = compiled._parallel(); print(len(parts), all(map(compiled._cached, parts)))"
    change = "from numba.core.codegen import JITCPUCodegen as C; C.magic_tuple = lambda self: ('another',); "
    here, other = (
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout.split()
        for code in (ask, change + ask)
    )
    assert int(here[0]) > 8 and here[1] == "True" and other[1] == "False"


def test_one_calculator_follows_a_cell_that_is_not_three_dimensional():
    calculator = load_potential("default")
    molecule_ = Atoms("SiO2", [(0, 0, 0), (1.6, 0, 0), (0, 1.6, 0)])
    for change in (
        lambda a: None,
        lambda a: a.center(vacuum=4.0),
        lambda a: a.set_cell([[6, 0, 0], [0, 6, 0], [0, 0, 0]]),
    ):
        change(molecule_)
        molecule_.calc = calculator
        energy = molecule_.get_potential_energy()
        molecule_.calc = load_potential("default")
        assert energy == pytest.approx(molecule_.get_potential_energy(), abs=1e-4)
    slab = Atoms(
        "SiO2", [(0, 0, 0), (1.6, 0, 0), (0, 1.6, 0)], cell=[6, 6, 0], pbc=(True, True, False), calculator=calculator
    )
    slab.get_potential_energy()
    slab.set_cell([6.01, 6, 0])
    assert np.isfinite(slab.get_potential_energy())
