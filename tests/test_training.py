"""Training: configuration, loss, gradients, checkpoints, averages and error tables against closed forms and finite differences."""

import dataclasses
import json
import math
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.morse import MorsePotential
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from glasslib.errors import GlasslibError
from glasslib.potential.graph import build
from glasslib.training import TrainConfig, checkpoint, evaluate, parity
from glasslib.training.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from glasslib.training.engine import gradients, response
from glasslib.training.frames import collate, force_rms, prepare, species_energies
from glasslib.training.loop import average, learning_rate
from glasslib.training.loss import loss_terms
from glasslib.training.messages import Gather, interleave, messages
from glasslib.training.network import fixed_part, new_potential, pair_energies

SPECIES = ("O", "Na", "Si")
SMALL = TrainConfig(features=16, interactions=2, radial=6, cutoff=4.0, huber=0.3, virial_weight=3.0)


def frame(seed, atoms=9, edge=6.2, stress=True):
    """A labelled random frame, Morse atoms standing in for ab initio ones."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[rng.permutation(27)[:atoms]] / 3
    made = Atoms(
        rng.choice(SPECIES, atoms), scaled_positions=grid, cell=np.eye(3) * edge + rng.normal(0, 0.1, (3, 3)), pbc=True
    )
    made.positions += rng.normal(0, 0.15, (atoms, 3))
    made.calc = MorsePotential(epsilon=0.8, r0=2.2, rho0=3.0, rcut1=1.3, rcut2=1.75)
    results = {"energy": made.get_potential_energy() - 3.0 * atoms, "forces": made.get_forces()}
    if stress:
        results["stress"] = made.get_stress()
    made.calc = SinglePointCalculator(made, **results)
    made.info.update(
        composition="NS2" if seed % 2 else "SiO2", temperature_K=1500 + 1000 * (seed % 3), parent=f"run-{seed}"
    )
    return made


def setting(config, frames, dtype=torch.float64):
    """Potential, and the frames as one batch of targets for its network, in `dtype`."""
    torch.manual_seed(1)
    prepared = prepare(frames, config.species, config.cutoff, dtype)
    potential = new_potential(config, None, species_energies(prepared, config.species), force_rms(prepared)).to(dtype)
    batch = collate([fixed_part(potential, one) for one in prepared])
    norm = {"frames": len(frames), "atoms": len(batch.species), "virials": float(batch.has_virial.sum())}
    return potential, batch, norm


def flat_gradient(potential):
    return torch.cat(
        [torch.zeros_like(w).flatten() if w.grad is None else w.grad.flatten() for w in potential.network.parameters()]
    )


def topology(left, right, atoms_of_frames):
    """Edges of atoms in the order of their pairs, as `Gather` takes them."""
    atoms = sum(atoms_of_frames)
    lists = [[] for _ in range(atoms)]
    for p, (i, j) in enumerate(zip(left, right, strict=True)):
        lists[i].append(2 * p)
        lists[j].append(2 * p + 1)
    begin, frames = (np.concatenate([[0], np.cumsum(counts)]) for counts in ([len(x) for x in lists], atoms_of_frames))
    return begin, np.concatenate(lists).astype(np.int64), np.array(left), np.array(right), frames


# in the first frame some pairs are an atom and its own image
PAIRS = [0, 0, 0, 1, 2, 3, 3], [1, 2, 0, 2, 2, 4, 4]


def test_message_sums_and_their_adjoint_agree_with_finite_differences():
    rng = np.random.default_rng(0)
    inputs = [torch.tensor(rng.normal(size=shape), requires_grad=True) for shape in ((5, 80), (7, 48), (7, 3))]
    edges = topology(*PAIRS, (3, 2))
    assert torch.autograd.gradcheck(lambda *x: Gather.apply(*x, edges), inputs, fast_mode=True)


def test_messages_are_sums_over_both_directions():
    rng = np.random.default_rng(1)
    size = 32
    phi, v, w, unit = (torch.tensor(rng.normal(size=s)) for s in ((5, 3 * size), (5, 3, size), (7, 3, size), (7, 3)))
    ds, dv = messages(phi, v, interleave(w), unit, topology(*PAIRS, (3, 2)))
    ds_brute, dv_brute = torch.zeros_like(ds), torch.zeros_like(dv)
    for p, (i, j) in enumerate(zip(*PAIRS, strict=True)):
        for to, other, sign in ((i, j, 1), (j, i, -1)):
            x = [part * w[p, k] for k, part in enumerate(phi[other].split(size))]
            ds_brute[to] += x[0]
            dv_brute[to] += sign * unit[p][:, None] * x[1] + x[2] * v[other]
    torch.testing.assert_close(ds, ds_brute)
    torch.testing.assert_close(dv, dv_brute)


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_loss_gradient_agrees_with_finite_differences_in_the_weights(engine):
    config = dataclasses.replace(SMALL, engine=engine)
    potential, batch, norm = setting(config, [frame(0), frame(1), frame(2, stress=False)])
    potential.zero_grad()
    gradients(potential, batch, config, norm)
    gradient = flat_gradient(potential)
    rng, weights = np.random.default_rng(0), torch.cat([w.detach().flatten() for w in potential.network.parameters()])

    def loss(vector):
        torch.nn.utils.vector_to_parameters(vector, potential.network.parameters())
        return float(
            sum(loss_terms(*response(partial(pair_energies, potential), batch), batch, config, norm).values()).detach()
        )

    for _ in range(5):
        direction = torch.tensor(rng.normal(size=len(weights)))
        h = 1e-5
        slope = (loss(weights + h * direction) - loss(weights - h * direction)) / (2 * h)
        assert float(gradient @ direction) == pytest.approx(
            slope, rel=2e-3 if engine == "fast" else 1e-5, abs=1e-3 * float(gradient.norm())
        )


def test_fast_gradient_in_float32_is_the_reference_gradient():
    frames = [frame(seed) for seed in range(4)]
    config = dataclasses.replace(SMALL, features=16, interactions=3)
    exact, batch, norm = setting(dataclasses.replace(config, engine="reference"), frames)
    gradients(exact, batch, dataclasses.replace(config, engine="reference"), norm)
    single, batch32, _ = setting(config, frames, torch.float32)
    single.network.load_state_dict({k: v.float() for k, v in exact.network.state_dict().items()})
    gradients(single, batch32, config, norm)
    wanted, found = flat_gradient(exact), flat_gradient(single).double()
    assert float((found - wanted).norm() / wanted.norm()) < 5e-3


def test_forces_and_virial_are_derivatives_of_the_energy():
    atoms = frame(3)
    potential, batch, _ = setting(SMALL, [atoms])
    _, forces, virial = response(partial(pair_energies, potential), batch)

    def energy(made):
        made = made.copy()
        made.calc = SinglePointCalculator(made, energy=0.0, forces=np.zeros((len(made), 3)))
        one = prepare([made], SPECIES, SMALL.cutoff, torch.float64)[0]
        return float(response(partial(pair_energies, potential), one)[0])

    h = 1e-4
    for i, k in ((0, 0), (4, 1), (8, 2)):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, k] += sign * h
            ends.append(energy(moved))
        assert float(forces[i, k]) == pytest.approx(-(ends[0] - ends[1]) / (2 * h), abs=1e-6)
    for i, k in ((0, 0), (0, 1), (2, 1)):
        ends = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, k] += sign * h / 2
            strain[k, i] += sign * h / 2
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            ends.append(energy(moved))
        assert float(virial[0, i, k]) == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-5)


def test_response_does_not_depend_on_the_batch_a_frame_is_in():
    potential, batch, _ = setting(SMALL, [frame(0), frame(1, atoms=5), frame(2)])
    together = response(partial(pair_energies, potential), batch)
    one = fixed_part(potential, prepare([frame(1, atoms=5)], SPECIES, SMALL.cutoff, torch.float64)[0])
    alone = response(partial(pair_energies, potential), one)
    torch.testing.assert_close(together[0][1:2], alone[0])
    torch.testing.assert_close(together[1][9:14], alone[1])
    torch.testing.assert_close(together[2][1:2], alone[2])


def test_training_sees_the_same_forces_and_stress_as_the_potential():
    frames = [frame(0), frame(1)]
    frames[1].positions[3] = frames[1].positions[2] + [0.0, 0.9, 0.6]  # close enough for the core repulsion
    frames[1].calc = SinglePointCalculator(frames[1], energy=-20.0, forces=np.ones((9, 3)), stress=np.full(6, 0.01))
    potential, batch, _ = setting(SMALL, frames)
    energy, forces, virial = (x.detach().numpy() for x in response(partial(pair_energies, potential), batch))
    found = potential(build(frames, SPECIES, SMALL.cutoff, torch.float64))
    volumes = np.array([made.get_volume() for made in frames])
    for made, of_labels, of_network in zip(frames, batch.energy.numpy(), energy, strict=True):
        made.info["error"] = of_network - of_labels
    np.testing.assert_allclose(
        [made.info["error"] for made in frames],
        found["energy"].detach().numpy() - [m.get_potential_energy() for m in frames],
        atol=1e-8,
    )
    labelled = np.concatenate([m.get_forces() for m in frames])
    np.testing.assert_allclose(forces - batch.forces.numpy(), found["forces"].detach().numpy() - labelled, atol=1e-8)
    stress = np.array([m.get_stress(voigt=False) for m in frames])
    wanted = (found["stress"].detach().numpy() - stress) * volumes[:, None, None]
    np.testing.assert_allclose(virial - batch.virial.numpy(), wanted, atol=1e-7)


def test_loss_terms_are_the_written_sums():
    rng = np.random.default_rng(0)
    energy, forces, virial = (torch.tensor(rng.normal(size=s)) for s in ((2,), (5, 3), (2, 3, 3)))
    target = SimpleNamespace(
        energy=torch.zeros(2),
        forces=torch.zeros(5, 3),
        virial=torch.zeros(2, 3, 3),
        n_atoms=torch.tensor([2, 3]),
        has_virial=torch.tensor([1.0, 0.0]),
    )
    config = TrainConfig(energy_weight=2.0, force_weight=3.0, virial_weight=5.0, huber=0.5)
    terms = loss_terms(energy, forces, virial, target, config, {"frames": 2, "atoms": 5, "virials": 1.0})
    assert float(terms["energy"]) == pytest.approx(
        2 * sum((float(e) / n) ** 2 for e, n in zip(energy, (2, 3), strict=True)) / 2
    )
    huber = [x * x if abs(x) < 0.5 else 2 * 0.5 * abs(x) - 0.25 for x in forces.numpy().flatten()]
    assert float(terms["forces"]) == pytest.approx(3 * sum(huber) / 15)
    assert float(terms["virial"]) == pytest.approx(5 * sum((x / 2) ** 2 for x in virial[0].numpy().flatten()) / 9)


def test_moving_average_is_the_closed_form():
    values, decay = [torch.tensor([float(k) ** 2]) for k in range(6)], 0.7
    averages = [values[0].clone()]
    for value in values[1:]:
        average(averages, [value], decay)
    wanted = decay**5 * values[0] + sum((1 - decay) * decay ** (5 - k) * values[k] for k in range(1, 6))
    torch.testing.assert_close(averages[0], wanted)


def test_learning_rate_rises_linearly_and_falls_as_half_a_cosine():
    config = TrainConfig(rate=2.0, rate_floor=0.1, warmup=10)
    assert learning_rate(4, 110, config) == pytest.approx(1.0)
    assert learning_rate(10, 110, config) == pytest.approx(2.0)
    assert learning_rate(60, 110, config) == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))
    assert learning_rate(110, 110, config) == pytest.approx(0.2)


def test_species_energies_recover_a_sum_over_atoms():
    frames, truth = [], np.array([-5.0, -1.5, -7.25])
    for seed in range(6):
        made = frame(seed, atoms=7 + seed)
        counts = np.array([made.symbols.count(s) for s in SPECIES])
        made.calc = SinglePointCalculator(made, energy=float(counts @ truth), forces=np.zeros((len(made), 3)))
        frames.append(made)
    np.testing.assert_allclose(species_energies(prepare(frames, SPECIES, 4.0), SPECIES), truth, atol=1e-6)


def test_species_energies_of_one_composition_still_give_its_energy():
    made = [frame(0), frame(0)]
    fitted = species_energies(prepare(made, SPECIES, 4.0), SPECIES)
    counts = np.array([made[0].symbols.count(s) for s in SPECIES])
    assert counts @ fitted == pytest.approx(made[0].get_potential_energy(), abs=1e-6)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"epoch": 3}, "epoch"),
        ({"epochs": 2.5}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"rate": "fast"}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"batch": 0}, "batch"),
        ({"average": 1.0}, "average"),
        ({"engine": "warp"}, "engine"),
        ({"species": []}, "species"),
        ({"features": 40}, "features"),
        ({"energy_weight": 0, "force_weight": 0, "virial_weight": 0}, "energy_weight"),
    ],
)
def test_wrong_parameters_are_named(parameters, named):
    with pytest.raises(GlasslibError, match=f"'{named}'"):
        TrainConfig.of(parameters)


def test_config_survives_json():
    config = TrainConfig(features=32, species=("O", "Si"))
    assert TrainConfig.of(json.loads(json.dumps(config.asdict()))) == config


@pytest.mark.parametrize(
    "damage", ["truncated tensors", "flipped byte", "truncated state", "altered state", "missing tensors"]
)
def test_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path, damage):
    for number in (1, 2, 3):
        save_checkpoint(tmp_path, number, {"x": torch.full((50,), float(number))}, {"epoch": number})
    assert load_checkpoint(tmp_path)[0] == 3
    weights, state = tmp_path / "checkpoint-000003.safetensors", tmp_path / "checkpoint-000003.json"
    raw = bytearray(weights.read_bytes())
    if damage == "truncated tensors":
        weights.write_bytes(raw[:-20])
    elif damage == "flipped byte":
        raw[-5] ^= 1
        weights.write_bytes(raw)
    elif damage == "truncated state":
        state.write_text(state.read_text()[:40])
    elif damage == "altered state":
        state.write_text(state.read_text().replace('"epoch": 3', '"epoch": 4'))
    else:
        weights.unlink()
    warned = []
    number, tensors, content = load_checkpoint(tmp_path, warned.append)
    assert (number, float(tensors["x"][0]), content) == (2, 2.0, {"epoch": 2})
    assert len(warned) == 1
    assert not list(tmp_path.glob("checkpoint-000001*")), "only the last two are kept"


def test_nothing_but_damaged_checkpoints_is_an_error(tmp_path):
    save_checkpoint(tmp_path, 1, {"x": torch.zeros(3)}, {})
    (tmp_path / "checkpoint-000001.safetensors").write_bytes(b"")
    with pytest.raises(GlasslibError, match="every checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("gone", range(4))
def test_a_removal_killed_at_any_moment_leaves_no_damaged_checkpoint(tmp_path, monkeypatch, gone):
    for number in (1, 2):
        save_checkpoint(tmp_path, number, {"x": torch.full((3,), float(number))}, {})
    unlink, steps = type(tmp_path).unlink, iter(range(gone))

    def killed(path, *_, **__):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        unlink(path)

    monkeypatch.setattr(type(tmp_path), "unlink", killed)
    monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda folder, **_: [killed(f) for f in sorted(folder.iterdir())])
    with suppress(KeyboardInterrupt):
        remove_checkpoints(tmp_path)
    found = load_checkpoint(tmp_path)
    assert found is None or found[1]["x"][0] == found[0]
    assert (found is None) == (gone >= 2)


def test_no_checkpoint_is_no_error(tmp_path):
    assert load_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("spoil", "named"), [("energy", "no energy"), ("forces", "no forces"), ("nan", "not finite"), ("species", "K")]
)
def test_unusable_frames_are_refused_by_number_and_reason(spoil, named):
    made = frame(1)
    results = dict(made.calc.results)
    if spoil == "nan":
        results["forces"] = np.full((len(made), 3), np.nan)
    elif spoil == "species":
        made.symbols[2] = "K"
    else:
        del results[spoil]
    made.calc = SinglePointCalculator(made, **results)
    with pytest.raises(GlasslibError, match=f"frame 1 .*{named}"):
        prepare([frame(0), made], SPECIES, 4.0)


class Shifted(MorsePotential):
    """Morse with known errors: the energy off by 0.002 eV an atom, forces of Si by 0.05 eV/Å along x, stress by 0.001 eV/Å³."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=("positions",)):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] += (0.002 - 3.0) * len(atoms)
        self.results["forces"] = self.results["forces"] + np.outer(atoms.symbols == "Si", [0.05, 0, 0])
        self.results["stress"] = self.results["stress"] + np.array([0.001, 0.001, 0.001, 0, 0, 0])


def test_errors_are_those_that_were_put_in():
    frames = [frame(seed) for seed in range(5)]
    model = Shifted(epsilon=0.8, r0=2.2, rho0=3.0, rcut1=1.3, rcut2=1.75)
    data, table = parity(model, frames), evaluate(model, frames)
    silicon = sum(made.symbols.count("Si") for made in frames)
    everything = sum(len(made) for made in frames)
    row = table.loc[("all", "all")]
    assert row.energy_rmse == pytest.approx(2.0) and row.energy_mae == pytest.approx(2.0)
    assert row.force_rmse == pytest.approx(50 * math.sqrt(silicon / everything / 3))
    assert row.force_mae == pytest.approx(50 * silicon / everything / 3)
    assert row.pressure_rmse == pytest.approx(0.001 / GPa)
    assert row.stress_rmse == pytest.approx(0.001 / GPa / math.sqrt(3))
    assert table.loc[("species", "Si")].force_rmse == pytest.approx(50 / math.sqrt(3))
    assert table.loc[("species", "O")].force_rmse == pytest.approx(0.0, abs=1e-9)
    assert table.loc[("composition", "NS2")].frames == 2 and table.loc[("temperature", "1500 K")].frames == 2
    temperatures = [made.info.get("temperature_K", 0) for made in frames]
    assert table.loc[("melts", "1500-3500 K")].frames == sum(1500 <= t <= 3500 for t in temperatures)
    frames[0].info["temperature_K"] = 300
    assert evaluate(model, frames).loc[("melts", "1500-3500 K")].frames == sum(
        1500 <= t <= 3500 for t in temperatures[1:]
    )
    np.testing.assert_allclose(
        data.pressure.sel(source="label"), [-np.trace(made.get_stress(voigt=False)) / 3 / GPa for made in frames]
    )


def test_frames_without_stress_count_for_energy_and_forces_only():
    model = Shifted(epsilon=0.8, r0=2.2, rho0=3.0, rcut1=1.3, rcut2=1.75)
    table = evaluate(model, [frame(0), frame(1, stress=False)])
    assert table.loc[("all", "all")].pressure_rmse == pytest.approx(0.001 / GPa)
    assert table.loc[("all", "all")].frames == 2


def test_evaluating_nothing_is_refused():
    with pytest.raises(GlasslibError, match="no frames"):
        evaluate(MorsePotential(), [])
