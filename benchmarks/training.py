"""An epoch of training: compiled first-order passes against the loop that differentiates forces twice.

    python benchmarks/training.py --frames data/frames/melts.extxyz --out training.json

Rounds are interleaved and medians taken. "eager" is plain PyTorch as one writes it: graphs built once, `Potential.forward` with
`create_graph=True`, the loss differentiated again, all cores. "fast" is `glasslib.training` in one process, and under `torchrun` in as
many as there are cores. Agreement is the largest relative difference of the two loss curves over the epochs.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from glasslib.potential.graph import build
from glasslib.provenance import processor
from glasslib.reference import read_frames
from glasslib.training import TrainConfig, train
from glasslib.training.frames import force_rms, labels, prepare, species_energies
from glasslib.training.loop import learning_rate
from glasslib.training.network import new_potential


class Eager:
    """The straightforward loop: same order of frames, same optimiser, same loss."""

    def __init__(self, frames, config):
        torch.manual_seed(config.seed)
        self.config, self.epoch, self.step = config, 0, 0
        prepared = prepare(frames, config.species, config.cutoff)
        self.potential = new_potential(config, None, species_energies(prepared, config.species), force_rms(prepared))
        self.frames, self.labels = frames, [labels(atoms) for atoms in frames]
        self.optimiser = torch.optim.AdamW(self.potential.parameters(), lr=config.rate, weight_decay=config.decay)
        order = [self._order(epoch) for epoch in range(config.epochs)]
        self.batches = [[(chosen, self._build(chosen)) for chosen in epoch] for epoch in order]
        self.steps = sum(len(epoch) for epoch in self.batches)

    def _order(self, epoch):
        order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self.frames))
        return [order[k : k + self.config.batch] for k in range(0, len(order), self.config.batch)]

    def _build(self, chosen):
        return build([self.frames[i] for i in chosen], self.config.species, self.config.cutoff)

    def one_epoch(self):
        """Seconds and mean loss."""
        start, losses = time.perf_counter(), []
        for chosen, batch in self.batches[self.epoch]:
            results = self.potential(batch, create_graph=True)
            energy = torch.tensor([self.labels[i][0] for i in chosen], dtype=torch.float64)
            forces = torch.tensor(np.concatenate([self.labels[i][1] for i in chosen]), dtype=torch.float32)
            virial = torch.tensor(np.array([self.labels[i][2] for i in chosen]), dtype=torch.float32)
            by_atom = (results["stress"] * batch.volume[:, None, None] - virial) / batch.n_atoms[:, None, None]
            loss = self.config.energy_weight * ((results["energy"] - energy) / batch.n_atoms).square().mean()
            loss = loss + self.config.force_weight * (results["forces"] - forces).square().mean()
            loss = loss + self.config.virial_weight * by_atom.square().mean()
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.potential.parameters(), self.config.clip)
            self.optimiser.param_groups[0]["lr"] = learning_rate(self.step, self.steps, self.config)
            self.optimiser.step()
            self.step += 1
            losses.append(float(loss.detach()) * len(chosen) / len(self.frames))
        self.epoch += 1
        return time.perf_counter() - start, sum(losses)


def fast(path, config, processes):
    """Seconds of each epoch and the loss curve of a run in `processes` processes."""
    with tempfile.TemporaryDirectory() as folder:
        launch = (
            ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
        )
        command = [
            sys.executable,
            *launch,
            __file__,
            "--frames",
            str(path),
            "--work",
            folder,
            "--config",
            json.dumps(config.asdict()),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        history = json.loads((Path(folder) / "history.json").read_text())
    return [row["seconds"] for row in history], [row["loss"] for row in history]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--count", type=int, default=16, help="frames in an epoch")
    parser.add_argument("--out", default=None, help="write the numbers as JSON here")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--config", help=argparse.SUPPRESS)
    options = parser.parse_args()
    frames = read_frames(options.frames)
    if options.work:
        config = TrainConfig.of(json.loads(options.config))
        train(frames[: options.count], [], options.work, config)
        return
    frames = frames[: options.count]
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    config = TrainConfig(features=options.features, epochs=options.rounds + 1, batch=4)
    eager = Eager(frames, config)
    eager.one_epoch()
    times = {"eager": [], "fast": [], "fast, one process a core": []}
    curve = []
    for _ in range(options.rounds):
        seconds, _ = eager.one_epoch()
        times["eager"].append(seconds)
        for name, processes in (("fast", 1), ("fast, one process a core", cores)):
            spent, curve = fast(options.frames, dataclasses.replace(config, epochs=3), processes)
            times[name].append(median(spent[1:]))
    _, curve = fast(options.frames, config, 1)
    reference = Eager(frames, config)
    wanted = [reference.one_epoch()[1] for _ in range(config.epochs)]
    result = {
        "case": f"{len(frames)} frames, {np.mean([len(f) for f in frames]):.0f} atoms each, F = {options.features}, {config.cutoff} Å",
        "seconds": {name: round(median(values), 4) for name, values in times.items()},
        "rounds": options.rounds,
        "loss_curve_difference": float(np.max(np.abs(np.array(curve) / wanted - 1))),
        "machine": {"processor": processor(), "cores": cores},
    }
    best = result["seconds"]
    print(f"{result['case']}: s an epoch, median of {options.rounds}")
    for name, value in best.items():
        print(f"  {name:28s} {value:8.3f}   {best['eager'] / value:5.1f}×")
    print(f"  loss curves agree within {result['loss_curve_difference']:.1e}")
    if options.out:
        Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
