"""Whole training runs: they learn, survive kill -9 bit for bit, and do not depend on the number of processes."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from safetensors.numpy import load_file
from test_training import SMALL, frame

from glasslib.errors import GlasslibError
from glasslib.files import alone, read_json
from glasslib.potential.calculator import PaiNNCalculator
from glasslib.potential.graph import build
from glasslib.potential.storage import load_model
from glasslib.provenance import key_of, record_path
from glasslib.training import TrainConfig, evaluate, train
from glasslib.training.checkpoint import load_checkpoint, save_checkpoint
from glasslib.training.distributed import together
from glasslib.training.loop import Training
from glasslib.training.optimiser import OPTIMISERS

TINY = dataclasses.replace(SMALL, epochs=12, batch=2, rate=3e-3, warmup=5, average=0.8, huber=0.0)

SCRIPT = """
    import dataclasses, sys
    import torch
    torch.set_num_threads(1)
    from glasslib.training import train
    from test_training import frame
    from test_training_runs import TINY
    config = dataclasses.replace(TINY, epochs=int(sys.argv[2]), optimiser=sys.argv[3])
    train([frame(s) for s in range(5)], [frame(7), frame(8)], sys.argv[1], config)
"""


def command(out, epochs, optimiser="adamw"):
    return [sys.executable, "-c", textwrap.dedent(SCRIPT), str(out), str(epochs), optimiser]


def environment():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, os.path.join(root, "tests")]),
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }


def weights(out):
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_few_frames_can_be_learnt_by_heart(tmp_path, optimiser):
    frames = [frame(seed) for seed in range(3)]
    rate = {"adamw": 1e-2, "muon": 5e-2}[optimiser]
    config = dataclasses.replace(TINY, features=16, epochs=250, batch=3, rate=rate, average=0.9, optimiser=optimiser)
    model = load_model(train(frames, [], tmp_path, config))
    table = evaluate(model, frames)
    spread = np.concatenate([made.get_forces() for made in frames]).std() * 1000
    assert table.loc[("all", "all")].force_rmse < 0.1 * spread
    assert table.loc[("all", "all")].energy_rmse < 30


def test_a_trained_model_is_bounded_by_the_energies_of_its_frames(tmp_path):
    frames = [frame(seed) for seed in range(4)]
    model = load_model(train(frames, [], tmp_path, dataclasses.replace(TINY, epochs=2)))
    batch = build(frames, model.species, model.cutoff)
    energies = (model.scale * model.network(batch.species, batch.centre, batch.neighbour, batch.vector)).detach()
    low, high = model.bounds
    span = max(float(energies.max() - energies.min()), model.scale)
    assert low == pytest.approx(float(energies.min()) - span / 10, abs=1e-4)
    assert high == pytest.approx(float(energies.max()) + span / 2, abs=1e-4)


def test_both_engines_follow_the_same_loss_curve(tmp_path):
    curves = []
    for engine in ("reference", "fast"):
        config = dataclasses.replace(TINY, engine=engine)
        train([frame(s) for s in range(5)], [frame(7)], tmp_path / engine, config)
        curves.append([row["loss"] for row in json.loads((tmp_path / engine / "history.json").read_text())])
    np.testing.assert_allclose(curves[1], curves[0], rtol=0.01)
    assert curves[0][-1] < 0.9 * curves[0][0]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_run_killed_twice_ends_bit_for_bit_as_an_unbroken_one(tmp_path, optimiser):
    epochs = 60
    subprocess.run(command(tmp_path / "whole", epochs, optimiser), env=environment(), check=True, capture_output=True)
    broken = tmp_path / "broken"
    for survived in (3, 20):
        process = subprocess.Popen(command(broken, epochs, optimiser), env=environment(), stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(
            int(path.stem.split("-")[1]) >= survived for path in broken.glob("checkpoints/checkpoint-*.json")
        ):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (broken / "model.safetensors").exists(), "killed too late to show anything"
    subprocess.run(command(broken, epochs, optimiser), env=environment(), check=True, capture_output=True)
    whole, again = weights(tmp_path / "whole"), weights(broken)
    assert whole.keys() == again.keys()
    assert all(np.array_equal(whole[name], again[name]) for name in whole)
    first, second = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("whole", "broken"))
    for row in first + second:
        del row["seconds"]
    assert first == second and len(first) == epochs


def test_a_run_older_than_a_parameter_counts_as_one_with_its_default(tmp_path):
    frames = [frame(seed) for seed in range(2)]
    train(frames, [], tmp_path, TINY)
    number, tensors, state = load_checkpoint(tmp_path / "checkpoints")
    del state["identity"]["config"]["optimiser"]
    save_checkpoint(tmp_path / "checkpoints", number, tensors, state)
    before = (tmp_path / "model.safetensors").stat().st_mtime_ns
    train(frames, [], tmp_path, TINY)
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == before  # finished, and nothing is done again
    with pytest.raises(GlasslibError, match="other parameters"):
        train(frames, [], tmp_path, dataclasses.replace(TINY, optimiser="muon"))


def test_two_processes_train_as_one_does(tmp_path):
    subprocess.run(command(tmp_path / "one", 4), env=environment(), check=True, capture_output=True)
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
        str(tmp_path / "two"),
        "4",
        "adamw",
    ]
    subprocess.run(launch, env=environment(), check=True, capture_output=True)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=2e-5, err_msg=name)
    curves = [
        [row["loss"] for row in json.loads((tmp_path / name / "history.json").read_text())] for name in ("one", "two")
    ]
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-5)


def test_processes_started_here_train_as_one_does(tmp_path):
    frames = [frame(seed) for seed in range(5)]
    train(frames, [], tmp_path / "one", TINY)
    assert together(2, train, frames, [], tmp_path / "two", TINY) == tmp_path / "two" / "model"
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=2e-5, err_msg=name)
    with pytest.raises(GlasslibError, match="other parameters"):
        together(2, train, frames, [], tmp_path / "two", dataclasses.replace(TINY, seed=1))


def test_training_stops_when_validation_no_longer_improves(tmp_path):
    config = dataclasses.replace(TINY, epochs=400, patience=3, rate=0.03, average=0.0)
    train([frame(0)], [frame(7)], tmp_path, config)
    history = json.loads((tmp_path / "history.json").read_text())
    values = [row["validation_loss"] for row in history]
    assert len(values) < 400
    assert int(np.argmin(values)) == len(values) - 1 - 3


def test_a_model_tells_the_errors_of_the_weights_that_it_holds(tmp_path):
    config = dataclasses.replace(TINY, epochs=30, rate=0.03, patience=3)
    train([frame(0), frame(1)], [frame(5)], tmp_path, config)
    rows = json.loads((tmp_path / "history.json").read_text())
    best = min(rows, key=lambda row: row["validation_loss"])
    assert best["epoch"] < rows[-1]["epoch"]
    told = json.loads((tmp_path / "model.json").read_text())["metadata"]
    assert {name: told[name] for name in ("energy_rmse", "force_rmse")} == {
        n: best[n] for n in ("energy_rmse", "force_rmse")
    }
    found = evaluate(load_model(tmp_path / "model"), [frame(5)])
    assert float(found.force_rmse.iloc[-1]) == pytest.approx(1000 * best["force_rmse"], rel=1e-3)


def test_refining_starts_from_the_model_with_new_species_energies(tmp_path):
    frames = [frame(seed) for seed in range(4)]
    config = dataclasses.replace(TINY, epochs=80, rate=1e-2)
    first = train(frames, [], tmp_path / "first", config)
    for made in frames:
        made.calc.results["energy"] += 40.0 * len(made)
    refined = train(frames, [], tmp_path / "second", dataclasses.replace(TINY, epochs=1, rate=1e-9), initial=first)
    before = evaluate(load_model(first), [frame(seed) for seed in range(4)])
    after = evaluate(load_model(refined), frames)
    row, other = after.loc[("all", "all")], before.loc[("all", "all")]
    assert row.force_rmse == pytest.approx(other.force_rmse, rel=1e-3)
    assert row.energy_rmse < 3 * other.energy_rmse + 50


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    train([frame(0)], [], tmp_path, dataclasses.replace(TINY, epochs=1))
    with pytest.raises(GlasslibError, match="other parameters"):
        train([frame(0)], [], tmp_path, dataclasses.replace(TINY, epochs=2))
    train([frame(0)], [], tmp_path, dataclasses.replace(TINY, epochs=2), resume=False)


def test_a_run_of_other_frames_can_be_replaced_and_one_of_the_same_is_kept(tmp_path):
    config = dataclasses.replace(TINY, epochs=2)
    train([frame(0)], [], tmp_path, dataclasses.replace(TINY, epochs=3))
    train([frame(1)], [], tmp_path, config, resume="same")
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.json")) == [
        "checkpoint-000001.json",
        "checkpoint-000002.json",
    ]
    before = (tmp_path / "checkpoints" / "checkpoint-000002.json").stat().st_mtime_ns
    train([frame(1)], [], tmp_path, config, resume="same")
    assert (tmp_path / "checkpoints" / "checkpoint-000002.json").stat().st_mtime_ns == before


def test_training_on_nothing_is_refused(tmp_path):
    with pytest.raises(GlasslibError, match="no frames"):
        train([], [], tmp_path, TrainConfig())


def test_a_learning_curve_keeps_what_is_trained_and_falls(tmp_path):
    from glasslib.training.curve import learning_curve, nested

    frames = [frame(seed) for seed in range(8)]
    chosen = [atoms.positions.tobytes() for atoms in nested(frames, 5)]
    assert [atoms.positions.tobytes() for atoms in nested(frames, 3)] == chosen[:3]
    starts = {"random weights": (None, {}), "short": (None, {"epochs": 1})}
    held = [frame(20), frame(21)]
    for atoms, temperature in zip(held, (1500, 3000), strict=True):
        atoms.info["temperature_K"] = np.int64(temperature)  # as files give it
    table = learning_curve(frames, held, [1, 8], tmp_path / "curve.csv", starts, TINY)
    assert len(table) == 4 and (tmp_path / "curve.csv").exists()
    error = table.set_index(["start", "frames"]).force_rmse
    assert error["random weights", 8] < error["short", 8]
    before = (tmp_path / "curve-models/random weights-8-0/model.safetensors").read_bytes()
    again = learning_curve(frames, held, [1, 8], tmp_path / "curve.csv", starts, TINY, workers=2)
    assert (tmp_path / "curve-models/random weights-8-0/model.safetensors").read_bytes() == before
    assert again.equals(table)
    with pytest.raises(GlasslibError, match="differ"):
        learning_curve(frames, frames[:1], [1], tmp_path / "curve.csv", starts, TINY, seeds=(0, 0))
    with pytest.raises(GlasslibError, match="seed of 'lucky' has no effect"):
        learning_curve(frames, frames[:1], [1], tmp_path / "curve.csv", {"lucky": (None, {"seed": 3})}, TINY)
    told = read_json(record_path(tmp_path / "curve.csv"))["parameters"]["test"]
    assert told == {"frames": 2, "key": key_of(held), "temperatures": [1500, 3000]}
    with pytest.raises(GlasslibError, match="between 1 and 8"):
        learning_curve(frames, frames[:1], [9], tmp_path / "curve.csv", starts, TINY)


def test_a_training_that_is_finished_keeps_its_record(tmp_path):
    path = train([frame(0)], [], tmp_path, TINY)
    record = record_path(path.with_suffix(".safetensors"))
    before = record.read_bytes()
    assert train([frame(0)], [], tmp_path, TINY) == path
    assert record.read_bytes() == before


def test_other_labels_are_another_run(tmp_path):
    config, made = dataclasses.replace(TINY, epochs=2), []
    for change in (0.0, 0.1):
        other = frame(0)
        other.calc.results["stress"] = other.calc.results["stress"] + change
        made.append(weights(train([other], [], tmp_path, config, resume="same").parent))
    assert any(not np.array_equal(made[0][name], made[1][name]) for name in made[0])
    with pytest.raises(GlasslibError, match="other parameters or frames"):
        train([frame(0)], [], tmp_path, config)


def test_a_run_killed_before_its_model_is_written_does_not_return_the_one_before(tmp_path, monkeypatch):
    long, short = dataclasses.replace(TINY, epochs=3), dataclasses.replace(TINY, epochs=1)
    train([frame(0)], [], tmp_path, short)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "_finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt()))
        train([frame(0)], [], tmp_path, long, resume="same")
    train([frame(0)], [], tmp_path, long, resume="same")
    train([frame(0)], [], tmp_path / "whole", long)
    for name, values in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(tmp_path)[name], values)


def test_lone_atoms_may_be_among_the_frames(tmp_path):
    lone = Atoms("O", cell=[20] * 3, pbc=True)
    lone.calc = SinglePointCalculator(lone, energy=-1.0, forces=np.zeros((1, 3)))
    path = train([frame(0), lone], [], tmp_path, dataclasses.replace(TINY, epochs=2, batch=1))
    assert np.isfinite(evaluate(load_model(path), [frame(0)]).to_numpy(float)).any()
    still = train([lone], [], tmp_path / "still", dataclasses.replace(TINY, epochs=1))
    assert load_model(still).scale > 0


def test_odd_sizes_are_refined_by_the_readable_engine_only(tmp_path):
    odd = dataclasses.replace(TINY, epochs=1, features=8, engine="reference")
    start = train([frame(0)], [], tmp_path / "odd", odd)
    with pytest.raises(GlasslibError, match="engine='reference'"):
        train([frame(0)], [], tmp_path / "fast", TrainConfig(epochs=1), initial=start)


def test_slabs_and_molecules_are_evaluated_without_stress(tmp_path):
    path = train([frame(0)], [], tmp_path, dataclasses.replace(TINY, epochs=1))
    slab = frame(1)
    slab.pbc = (True, True, False)
    table = evaluate(PaiNNCalculator([load_model(path)]), [slab])
    assert np.isfinite(table.loc[("all", "all")].force_rmse)


def test_sizes_that_contradict_the_initial_model_are_refused_and_its_own_are_recorded(tmp_path):
    first = train([frame(0)], [], tmp_path / "first", dataclasses.replace(TINY, epochs=1, cutoff=4.5))
    for key, value in (("features", 128), ("cutoff", 4.0), ("species", ("Na", "O", "Si"))):
        wrong = dataclasses.replace(TrainConfig(epochs=1), **{key: value})
        with pytest.raises(GlasslibError, match=f"initial model has {key}"):
            train([frame(0)], [], tmp_path / "wrong", wrong, initial=first)
    path = train([frame(0)], [], tmp_path / "next", TrainConfig(epochs=1), initial=first)
    told = read_json(path.with_suffix(".json"))
    for key in ("features", "interactions", "cutoff"):
        assert told["metadata"]["training"][key] == told["network"][key]
    assert told["network"]["cutoff"] == 4.5


def test_a_folder_is_trained_in_by_one_process_at_a_time(tmp_path):
    config = dataclasses.replace(TINY, epochs=1)
    with alone(tmp_path), pytest.raises(GlasslibError, match="another process is training in"):
        train([frame(0)], [], tmp_path, config)
    assert train([frame(0)], [], tmp_path, config).with_suffix(".safetensors").exists()


@pytest.mark.parametrize("lost", ["model.safetensors", "model.json", "altered"])
def test_a_model_that_was_lost_is_written_again_from_the_last_checkpoint(tmp_path, lost):
    train([frame(0)], [], tmp_path, TINY)
    before = weights(tmp_path)
    if lost == "altered":
        (tmp_path / "model.safetensors").write_bytes(b"not what was trained")
    else:
        (tmp_path / lost).unlink()
    load_model(train([frame(0)], [], tmp_path, TINY))
    for name, values in before.items():
        np.testing.assert_array_equal(weights(tmp_path)[name], values)
