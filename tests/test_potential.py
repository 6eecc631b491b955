"""Exact symmetries and derivatives of the potential, in double precision."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.optimize import FIRE
from scipy.spatial.transform import Rotation

from glasslib import GlasslibError, load_potential, random_structure
from glasslib.potential.calculator import PaiNNCalculator
from glasslib.potential.graph import build
from glasslib.potential.model import ROOM, Potential, bounded
from glasslib.potential.painn import PaiNN, RadialBasis, floored
from glasslib.potential.repulsion import OUTER, Repulsion
from glasslib.potential.storage import load_model, save_model


def potential(features=16, cutoff=4.0, seed=0):
    """A network with random weights, large enough that nothing is accidentally small."""
    torch.manual_seed(seed)
    network = PaiNN(features=features, cutoff=cutoff, radial=8)
    with torch.no_grad():
        for w in network.parameters():
            w.mul_(1.5)
    return Potential(network, [-1.0, -2.0, -3.0], 2.0)


@pytest.fixture(scope="module")
def calculator():
    return PaiNNCalculator([potential().double()], "reference", torch.float64)


@pytest.fixture
def melt():
    return random_structure("NS2", 27, seed=4)


def evaluate(atoms, calculator):
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)


@pytest.mark.parametrize("improper", [False, True], ids=["rotation", "reflection"])
def test_forces_turn_with_the_system(calculator, melt, improper):
    turn = Rotation.random(random_state=1).as_matrix() * (-1 if improper else 1)
    energy, forces, stress = evaluate(melt, calculator)
    turned = melt.copy()
    turned.set_cell(melt.cell.array @ turn.T, scale_atoms=False)
    turned.positions = melt.positions @ turn.T
    energy2, forces2, stress2 = evaluate(turned, calculator)
    assert energy2 == pytest.approx(energy, abs=1e-10)
    assert np.abs(forces).max() > 0.1
    np.testing.assert_allclose(forces2, forces @ turn.T, atol=1e-10)
    np.testing.assert_allclose(stress2, turn @ stress @ turn.T, atol=1e-12)


def test_translation_and_whole_cells_change_nothing(calculator, melt):
    energy, forces, _ = evaluate(melt, calculator)
    moved = melt.copy()
    moved.positions += [0.3, -7.1, 2.2]
    moved.positions[5] += 3 * melt.cell.array[0] - 2 * melt.cell.array[2]
    energy2, forces2, _ = evaluate(moved, calculator)
    assert energy2 == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(forces2, forces, atol=1e-10)


def test_permutation_permutes_forces(calculator, melt):
    order = np.random.default_rng(0).permutation(len(melt))
    energy, forces, _ = evaluate(melt, calculator)
    energy2, forces2, _ = evaluate(melt[order], calculator)
    assert energy2 == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(forces2, forces[order], atol=1e-10)


def test_a_supercell_has_a_multiple_of_the_energy_though_the_cell_is_smaller_than_the_cutoff(calculator):
    small = random_structure("NS", 6, seed=2)
    assert small.cell[0, 0] < calculator.cutoff * 1.2
    energy, forces, stress = evaluate(small, calculator)
    energy2, forces2, stress2 = evaluate(small.repeat((3, 2, 1)), calculator)
    assert energy2 == pytest.approx(6 * energy, abs=1e-9)
    np.testing.assert_allclose(forces2, np.tile(forces, (6, 1)), atol=1e-10)
    np.testing.assert_allclose(stress2, stress, atol=1e-12)


def test_forces_are_the_negative_gradient(calculator, melt):
    _, forces, _ = evaluate(melt, calculator)
    for i, k in ((0, 0), (7, 1), (20, 2)):
        values = []
        for sign in (1, -1):
            moved = melt.copy()
            moved.positions[i, k] += sign * 1e-4
            values.append(evaluate(moved, calculator)[0])
        assert forces[i, k] == pytest.approx(-(values[0] - values[1]) / 2e-4, abs=1e-6)


def test_stress_is_the_derivative_with_respect_to_strain(calculator, melt):
    _, _, stress = evaluate(melt, calculator)
    for a in range(3):
        for b in range(a + 1):
            values = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[a, b] += sign * 5e-5
                strain[b, a] += sign * 5e-5
                strained = melt.copy()
                strained.set_cell(melt.cell.array @ strain, scale_atoms=True)
                values.append(evaluate(strained, calculator)[0])
            assert stress[a, b] == pytest.approx((values[0] - values[1]) / 2e-4 / melt.get_volume(), abs=1e-7)


def test_energy_and_two_derivatives_vanish_at_the_cutoff(calculator):
    def energy(r):
        return evaluate(Atoms("SiO", [[0, 0, 0], [r, 0, 0]]), calculator)[0] if r < 20 else None

    def evaluate(atoms, calc):
        atoms.calc = calc
        return atoms.get_potential_energy(), None

    c, h = calculator.cutoff, 0.01
    apart = energy(c + 1)
    inside = np.array([energy(c - k * h) - apart for k in range(1, 5)])
    # a function with a triple zero at the cutoff: halving the distance to it divides the value by eight
    assert inside[3] / inside[1] == pytest.approx(8, rel=0.1)
    assert energy(c) == pytest.approx(apart, abs=1e-12)


def test_radial_functions_match_their_formula():
    basis, cut = RadialBasis(4, 5.0, shortest=0.5)(torch.tensor([0.7, 2.5, 5.0], dtype=torch.float64))
    r = np.array([0.7, 2.5, 5.0])
    expected = np.sqrt(2 / 5) * np.sin(np.arange(1, 5) * np.pi * r[:, None] / 5) / r[:, None]
    np.testing.assert_allclose(basis.numpy(), expected, atol=1e-6)
    assert cut[2] == 0 and cut[1] == pytest.approx(0.5)


def test_distances_level_off_below_the_shortest_and_only_there():
    r = torch.linspace(0, 3, 6001, dtype=torch.float64)
    near, slope = floored(r, 1.2)
    assert torch.equal(near[r >= 1.32], r[r >= 1.32]) and near[r <= 1.08].numpy() == pytest.approx(1.2, abs=1e-15)
    np.testing.assert_allclose(np.gradient(near.numpy(), r.numpy())[1:-1], slope.numpy()[1:-1], atol=1e-5)
    assert np.abs(np.diff(slope.numpy())).max() < 0.004  # smooth: no step in the slope
    with pytest.raises(GlasslibError, match="shortest"):
        PaiNN(cutoff=1.0, shortest=1.0)


@pytest.mark.parametrize("name", ["default", "committee"])
@pytest.mark.parametrize("distance", [1e-3, 0.35, 0.4, 0.7, 0.95, 1.05])
def test_networks_stay_finite_where_atoms_nearly_coincide(melt, name, distance):
    """In a melt, of any pair, and the compiled kernel like the readable model."""
    calculators = load_potential(name, "reference"), load_potential(name, "numba")
    for pair in ("OO", "OSi", "NaO", "SiSi", "NaNa", "NaSi"):
        atoms = melt.copy()
        first, second = Atoms(pair).get_chemical_symbols()
        symbols = np.array(atoms.get_chemical_symbols())
        i = np.flatnonzero(symbols == first)[0]
        j = np.flatnonzero(symbols == second)[-1]
        atoms.positions[j] = atoms.positions[i] + [0, 0, distance]
        for calculator in calculators:
            for member in calculator.potentials:
                graph = build([atoms], member.species, member.cutoff)
                of_network = member.network(graph.species, graph.centre, graph.neighbour, graph.vector)
                assert of_network.abs().max() < 1e4
        expected, found = (evaluate(atoms, calculator) for calculator in calculators)
        assert found[0] == pytest.approx(expected[0], rel=1e-4)
        scale = np.abs(expected[1]).max()
        np.testing.assert_allclose(found[1], expected[1], atol=2e-3 * scale)


@pytest.mark.parametrize("pair", ["OO", "SiO", "NaO", "SiSi", "NaSi", "NaNa"])
def test_the_core_repels_more_and_more(pair):
    model = potential().double().repulsion
    symbols = ["O", "Na", "Si"]
    a, b = (symbols.index(s) for s in Atoms(pair).get_chemical_symbols())
    r = torch.linspace(0.3, 2.2, 400, dtype=torch.float64)
    index = torch.full((400,), a), torch.full((400,), b)
    energy = model.pair(*index, r).numpy()
    outer = OUTER["".join(sorted((symbols[a], symbols[b])))]
    assert np.all(np.diff(energy[r.numpy() < outer - 0.01]) < 0)
    assert np.all(energy[r.numpy() >= outer] == 0)
    assert energy[np.searchsorted(r.numpy(), 0.5)] > 50


def test_species_that_were_not_trained_are_named(calculator):
    with pytest.raises(GlasslibError, match="H"):
        evaluate(molecule("H2O", vacuum=5, pbc=True), calculator)


def test_bad_geometry_is_named(calculator, melt):
    melt.positions[3, 1] = np.nan
    with pytest.raises(GlasslibError, match="atom 3"):
        evaluate(melt, calculator)
    flat = Atoms("Si", cell=[5, 5, 0], pbc=True)
    with pytest.raises(GlasslibError, match="volume"):
        evaluate(flat, calculator)


def test_isolated_atoms_have_no_forces_and_one_energy(calculator):
    energies = []
    for shift in (6.0, 9.0):
        atoms = Atoms("SiO", [[0, 0, 0], [shift, 0, 0]])
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        assert np.all(atoms.get_forces() == 0)
    assert energies[0] == energies[1]


def test_energies_between_the_bounds_stay_and_others_level_off():
    x = torch.linspace(-60, 60, 24001, dtype=torch.float64)
    y = bounded(x, (-4.0, 8.0))
    inside = (x >= -4) & (x <= 8)
    assert torch.equal(y[inside], x[inside]) and bounded(x, None) is x
    assert y[0] == pytest.approx(-4 - ROOM * 12) and y[-1] == pytest.approx(8 + ROOM * 12)
    slope = np.gradient(y.numpy(), x.numpy())
    assert (np.diff(y.numpy()) >= 0).all() and np.abs(np.diff(slope)).max() < 0.005  # smooth: no step in the slope
    assert bounded(torch.tensor(-1e36), (-4.0, 8.0)) == pytest.approx(-7.0)


@pytest.mark.parametrize("pair", ["OO", "OSi", "NaO", "SiSi", "NaNa", "NaSi"])
def test_the_shipped_potential_lets_no_pair_fall_together(pair):
    atoms = Atoms(pair, [[0, 0, 0], [0, 0, 1]])
    atoms.calc = load_potential()

    def energy(distance):
        atoms.positions[1, 2] = distance
        return atoms.get_potential_energy()

    outside = min(energy(r) for r in np.arange(1.0, 5.0, 0.05))
    assert min(energy(r) for r in np.arange(0.3, 1.0, 0.02)) > outside + 10


def test_models_survive_storage_and_damage_is_noticed(tmp_path):
    model = potential()
    model.bounds = -4.0, 8.0
    model.repulsion = Repulsion(model.species, {"NaNa": 2.1})
    save_model(tmp_path / "m", model, {"made": "here"})
    again = load_model(tmp_path / "m.json")
    crystal = bulk("Si")
    assert again.bounds == model.bounds
    assert again.repulsion.radii == model.repulsion.radii == OUTER | {"NaNa": 2.1}
    results = [evaluate(crystal, PaiNNCalculator([m], "reference"))[0] for m in (model, again)]
    assert results[0] == results[1]
    weights = tmp_path / "m.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GlasslibError, match="m.safetensors"):
        load_model(tmp_path / "m")
    model.network.embedding.weight.data += 1
    save_model(tmp_path / "other", model)
    weights.write_bytes((tmp_path / "other.safetensors").read_bytes())
    with pytest.raises(GlasslibError, match="m.safetensors and .*m.json are of two models"):
        load_model(tmp_path / "m")
    weights.write_bytes(whole)
    (tmp_path / "m.json").write_text((tmp_path / "m.json").read_text().replace('"features": 16', '"features": 32'))
    with pytest.raises(GlasslibError, match="does not fit"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("name", ["nowhere", "missing/model.json"])
def test_unknown_potentials_are_refused(name):
    with pytest.raises(GlasslibError, match="no potential"):
        load_potential(name)


@pytest.mark.parametrize("name", [None, 5, ["default"], "x" * 300])
def test_what_names_no_potential_is_refused_in_one_short_line(name):
    with pytest.raises(GlasslibError, match="potential") as caught:
        load_potential(name)
    assert len(str(caught.value)) < 200


def test_committee_is_the_mean_and_knows_its_spread(melt):
    members = [potential(seed=s) for s in (1, 2, 3)]
    alone = [evaluate(melt, PaiNNCalculator([m], "reference")) for m in members]
    committee = PaiNNCalculator(members, "reference")
    energy, forces, _ = evaluate(melt, committee)
    assert energy == pytest.approx(np.mean([a[0] for a in alone]), abs=1e-4)
    every = np.array([a[1] for a in alone])
    np.testing.assert_allclose(forces, every.mean(0), atol=1e-5)
    np.testing.assert_allclose(committee.results["force_spread"], np.sqrt(every.var(0, ddof=1).sum(1)), atol=1e-5)


@pytest.mark.parametrize("fault", ["raises", "wrong"])
def test_a_gpu_that_fails_its_first_comparison_is_not_used(fault):
    from glasslib.potential import load_potential
    from glasslib.systems import random_structure

    class Broken:
        def compute(self, atoms, kinds):
            if fault == "raises":
                raise RuntimeError("no kernel image")
            return np.zeros(len(atoms)), np.zeros((len(atoms), 3)), np.zeros((3, 3))

    melt = random_structure("NS2", atoms=27, seed=3)
    calculator = load_potential()
    calculator.engines, calculator.kernel, calculator.unproven = [Broken()], "triton", True
    melt.calc = calculator
    with pytest.warns(UserWarning, match="not used on this GPU"):
        forces = melt.get_forces()
    assert calculator.kernel == "numba"
    melt.calc = load_potential()
    np.testing.assert_allclose(forces, melt.get_forces())


@pytest.mark.parametrize("composition", ["NS", "NS2", "NS3", "NS4", "NS6", "SiO2"])
def test_the_shipped_potential_has_no_holes_in_random_starts(composition):
    """Where runs begin: forces stay of the size that core repulsion gives, and steps downhill do not end in a pit."""
    melt = random_structure(composition, 300, temperature=3000, seed=5)
    melt.calc = load_potential()
    assert np.abs(melt.get_forces()).max() < 60
    FIRE(melt, logfile=None).run(fmax=3.0, steps=100)
    assert np.abs(melt.get_forces()).max() < 60
    assert -9 < melt.get_potential_energy() / len(melt) < -3  # labelled melts and crystals: -8 to -5 eV an atom


def test_a_name_with_a_point_is_not_that_of_another_model(tmp_path):
    first, second = (Potential(PaiNN(features=f, interactions=1), np.zeros(3), 1.0) for f in (16, 32))
    save_model(tmp_path / "model.v2", first)
    save_model(tmp_path / "model", second)
    assert load_potential(tmp_path / "model.v2").potentials[0].network.config.features == 16
    (tmp_path / "model.safetensors").unlink()
    assert load_potential(tmp_path / "model.v2").potentials[0].network.config.features == 16
