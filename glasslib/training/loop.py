"""The training loop: `train(frames_train, frames_validation, out_dir, config)`."""

import csv
import hashlib
import math
import time
from contextlib import contextmanager, nullcontext

import numba
import numpy as np
import torch

from ..errors import GlasslibError
from ..files import alone, atomic, folder, read_json, sha256, write_json
from ..potential.storage import load_model, model_files, save_model
from ..progress import Progress
from ..provenance import RunRecord, record_path
from .checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from .config import TrainConfig
from .distributed import meet, processes, share, total
from .engine import assess, gradients
from .frames import collate, force_rms, prepare, species_energies
from .network import as_started, fixed_part, new_potential, pair_energies
from .optimiser import Optimiser

TERMS = ("energy", "forces", "virial")
BELOW, ABOVE = 0.1, 0.5  # of the range of the training frames' energies of atoms, by which the bounds lie beyond it


def learning_rate(step, steps, config):
    """Learning rate of a step: linear warm-up, then half a cosine down to `rate_floor` (Loshchilov and Hutter, ICLR, 2017)."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, steps - config.warmup)
    return config.rate * (config.rate_floor + (1 - config.rate_floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def train(frames_train, frames_validation, out_dir, config=None, initial=None, resume=True, inputs=()):
    """Train a potential, or refine one.

    A run that was killed goes on from its last checkpoint when called again with the same arguments, and ends with the same
    weights, bit for bit, as an unbroken one. It takes one core; in a group (`distributed.together`, `torchrun`) every process takes its share of each batch.

    Parameters
    ----------
    frames_train, frames_validation : list of ase.Atoms
        Labelled with energy (eV), forces (eV/Å) and, where periodic, stress (eV/Å³). Without validation frames the last averaged
        weights are kept, otherwise those with the smallest validation loss.
    out_dir : path
        Gets `model.safetensors` and `model.json`, `history.csv`, `history.json`, a run record, and `checkpoints/` while under way.
    config : TrainConfig
    initial : path, optional
        Model to start from, whose species and sizes the config may leave at their defaults but must not contradict; its species energies are
        fitted again to these frames.
    resume : bool or "same"
        False removes the checkpoints of an earlier run in `out_dir` (its model stays until this one ends); "same" does so only where
        that run had other parameters or frames.
    inputs : list of paths
        Files the frames came from, for the record.

    Returns
    -------
    pathlib.Path
        `out_dir/model`, as `glasslib.potential.storage.load_model` takes it.

    Raises
    ------
    GlasslibError
        For unlabelled frames, unknown species, or a folder that holds a run with other parameters or is in use by one.
    """
    config = TrainConfig() if config is None else config
    if resume not in (True, False, "same"):
        raise GlasslibError(f"resume must be True, False or 'same', not {resume!r}")
    if not frames_train:
        raise GlasslibError("no frames to train on: give at least one labelled frame")
    out = folder(out_dir)
    with session(out, resume) as (rank, size):
        return Training(
            frames_train, frames_validation, out, config, initial, rank, size, inputs, resume == "same"
        ).run()


@contextmanager
def one_thread():
    """One thread for PyTorch and Numba: small matrices gain nothing from more, two pools of waiting threads cost dearly, and results
    cannot depend on the number of cores. More cores are for more processes."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


@contextmanager
def session(out, resume):
    """Join the group that the environment describes, on one thread each, and hold the folder of a training, which keeps its checkpoints only with `resume`.

    Yields (rank, number of processes).
    """
    busy = f"another process is training in {out}: wait for it, stop it, or choose another folder"
    with one_thread(), processes() as (rank, size), alone(out, busy) if rank == 0 else nullcontext():
        if not resume and rank == 0:
            remove_checkpoints(out / "checkpoints")
        meet()
        yield rank, size


class Training:
    """State of one run: potential, optimiser, averaged weights, history."""

    def __init__(self, frames_train, frames_validation, out, config, initial, rank, size, inputs, anew=False):
        self.anew, self.outdated = (
            anew,
            False,
        )  # whether checkpoints of another run are replaced; whether there are such
        self.config, self.out, self.rank, self.size = config, out, rank, size
        torch.manual_seed(config.seed)
        self.network, self.train, self.validation = self._prepared(frames_train, frames_validation, initial)
        named = [(name, w) for name, w in self.network.named_parameters() if w.requires_grad]
        self.names, self.weights = [name for name, _ in named], [w for _, w in named]
        self.optimiser = Optimiser(dict(named), config)
        self.average = [w.detach().clone() for w in self.weights]
        self.best = [w.clone() for w in self.average]
        self.epoch, self.step, self.history = 0, 0, []
        self.least, self.waited, self.stopped = math.inf, 0, False
        self.steps = config.epochs * math.ceil(len(self.train) / config.batch)
        start = model_files(initial) if initial else ()
        self.record = RunRecord(
            "training", config.asdict() | {"processes": size}, [*inputs, *start], {"training": config.seed}
        )
        self.identity = self._identity(start)

    def _prepared(self, frames_train, frames_validation, initial):
        """The network to train, and the frames of both parts in its terms."""
        started = load_model(initial) if initial else None
        if started:
            self.config = as_started(self.config, started)
        species, cutoff = self.config.species, self.config.cutoff
        data = prepare(frames_train, species, cutoff), prepare(frames_validation, species, cutoff)
        least = min((float(one.vector.norm(dim=1).min()) for one in data[0] if len(one.vector)), default=math.inf)
        self.potential = new_potential(
            self.config, started, species_energies(data[0], species), force_rms(data[0]) or 1.0, least
        )
        return self.potential.network, *([fixed_part(self.potential, frame) for frame in part] for part in data)

    def _identity(self, start):
        """What a checkpoint must have in common with this run."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            for one in part:
                for tensor in (one.species, one.vector, one.energy, one.forces, one.virial, one.has_virial):
                    digest.update(tensor.numpy().tobytes())
            digest.update(b"|")
        return {
            "config": self.config.asdict(),
            "frames": digest.hexdigest(),
            "initial": [sha256(path) for path in start],
        }

    def run(self):
        """Train to the end and write the model."""
        self._restore()
        if (self.epoch == self.config.epochs or self.stopped) and self._whole():
            return self.out / "model"  # finished before, and its record tells how
        with Progress(self.config.epochs, "training", "epochs", done=self.epoch, quiet=self.rank > 0) as bar:
            while self.epoch < self.config.epochs and not self.stopped:
                self._one_epoch()
                bar.update(note=self._note)
                if self.rank == 0 and (
                    self.epoch % self.config.keep_every == 0 or self.epoch == self.config.epochs or self.stopped
                ):
                    self._keep()
        return self._finish()

    def _whole(self):
        """Whether the model is there, as its record tells."""
        weights, description = self.out / "model.safetensors", self.out / "model.json"
        if not (weights.exists() and description.exists() and record_path(weights).exists()):
            return False
        return read_json(record_path(weights)).get("sha256") == sha256(weights)

    def _one_epoch(self):
        start = time.perf_counter()
        order = np.random.default_rng([self.config.seed, self.epoch]).permutation(len(self.train))
        sums = dict.fromkeys((*TERMS, "gradient"), 0.0)
        for begin in range(0, len(order), self.config.batch):
            chosen = order[begin : begin + self.config.batch]
            terms = self._step([self.train[i] for i in chosen])
            for name in sums:
                sums[name] += terms[name] * len(chosen) / len(order)
        row = {
            "epoch": self.epoch + 1,
            "rate": self.rate,
            "loss": sum(sums[name] for name in TERMS),
        }
        row |= {f"loss_{name}": sums[name] for name in TERMS} | {"gradient": sums["gradient"]}
        if self.validation:
            row |= self._validate()
        self.epoch += 1
        value = row.get("validation_loss", row["loss"])
        if not math.isfinite(value):
            raise GlasslibError(
                f"training diverged in epoch {self.epoch}: lower `rate` or `clip`, or look for a wrong label"
            )
        if not self.validation or value < self.least:
            self.least, self.waited = value, 0
            for kept, new in zip(self.best, self.average, strict=True):
                kept.copy_(new)
        else:
            self.waited += 1
        self.stopped = 0 < self.config.patience <= self.waited
        row["seconds"] = round(time.perf_counter() - start, 3)
        self.history.append(row)

    def _step(self, frames):
        norm = {
            "frames": len(frames),
            "atoms": sum(len(f.species) for f in frames),
            "virials": float(sum(f.has_virial for f in frames)),
        }
        terms = self._gradients(share(frames, self.rank, self.size), norm)
        values = torch.tensor([terms.get(name, 0.0) for name in TERMS], dtype=torch.float64)
        for w in self.weights:
            w.grad = torch.zeros_like(w) if w.grad is None else w.grad
        total([w.grad for w in self.weights])
        total([values])
        length = float(torch.nn.utils.clip_grad_norm_(self.weights, self.config.clip))
        self.rate = learning_rate(self.step, self.steps, self.config)
        self.optimiser.step(self.rate)
        average(self.average, self.weights, self.config.average)
        self.step += 1
        return dict(zip(TERMS, values.tolist(), strict=True)) | {"gradient": length}

    def _gradients(self, frames, norm):
        """Terms of the loss of these frames; their gradients replace those of the weights."""
        return gradients(self.potential, collate(frames) if frames else None, self.config, norm)

    def _validate(self):
        """Loss and root-mean-square errors of the averaged weights on the validation frames."""
        saved = [w.detach().clone() for w in self.weights]
        self._set(self.average)
        frames = self.validation
        norm = {
            "frames": len(frames),
            "atoms": sum(len(f.species) for f in frames),
            "virials": float(sum(f.has_virial for f in frames)),
        }
        sums = torch.zeros(6, dtype=torch.float64)
        mine = share(frames, self.rank, self.size)
        for begin in range(0, len(mine), self.config.batch):
            sums += assess(self.potential, collate(mine[begin : begin + self.config.batch]), self.config, norm)
        total([sums])
        self._set(saved)
        loss, energy, force, virial = float(sums[:3].sum()), *sums[3:].tolist()
        return {
            "validation_loss": loss,
            "energy_rmse": math.sqrt(energy / norm["frames"]),
            "force_rmse": math.sqrt(force / (3 * norm["atoms"])),
            "virial_rmse": math.sqrt(virial / (9 * max(norm["virials"], 1))),
        }

    def _set(self, values):
        with torch.no_grad():
            for w, value in zip(self.weights, values, strict=True):
                w.copy_(value)

    def _note(self):
        row = self.history[-1]
        errors = (
            f", validation {row['energy_rmse'] * 1e3:.1f} meV/atom, {row['force_rmse'] * 1e3:.0f} meV/Å"
            if self.validation
            else ""
        )
        return f"loss {row['loss']:.4g}{errors}"

    def _keep(self):
        tensors = self.optimiser.tensors()
        for i, name in enumerate(self.names):
            tensors |= {
                f"weights.{name}": self.weights[i],
                f"average.{name}": self.average[i],
                f"best.{name}": self.best[i],
            }
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "least": self.least,
            "waited": self.waited,
            "stopped": self.stopped,
        }
        state |= {"history": self.history, "identity": self.identity}
        if self.outdated:
            remove_checkpoints(self.out / "checkpoints")
            self.outdated = False
        record_path(self.out / "model.safetensors").unlink(missing_ok=True)  # of a training before this one
        save_checkpoint(self.out / "checkpoints", self.epoch, tensors, state)

    def _restore(self):
        found = load_checkpoint(self.out / "checkpoints", warn=print if self.rank == 0 else None)
        if found is None:
            return
        _, tensors, state = found
        before = state["identity"]
        before["config"] = TrainConfig().asdict() | before["config"]  # of a run older than some parameter
        if before != self.identity:
            if self.anew:
                self.outdated = True
                return
            raise GlasslibError(
                f"{self.out} holds a run with other parameters or frames: choose another folder, or remove its checkpoints/"
            )
        for i, name in enumerate(self.names):
            with torch.no_grad():
                self.weights[i].copy_(tensors[f"weights.{name}"])
            self.average[i].copy_(tensors[f"average.{name}"])
            self.best[i].copy_(tensors[f"best.{name}"])
        self.optimiser.restore(tensors, state["step"])
        self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
        self.least, self.waited, self.stopped = state["least"], state["waited"], state["stopped"]

    def _finish(self):
        path = self.out / "model"
        if self.rank == 0:
            self._set(self.best)
            last = min(self.history, key=lambda row: row["validation_loss"]) if self.validation else self.history[-1]
            metadata = {"training": self.config.asdict(), "epochs": self.epoch, "frames": len(self.train)}
            metadata |= {key: last[key] for key in ("energy_rmse", "force_rmse", "virial_rmse") if key in last}
            self._save(path, metadata)
            columns = list(last)
            with atomic(self.out / "history.csv") as temporary, open(temporary, "w", newline="") as stream:
                writer = csv.DictWriter(stream, columns)
                writer.writeheader()
                writer.writerows(self.history)
            write_json(self.out / "history.json", self.history)
            seconds = round(sum(row["seconds"] for row in self.history), 1)  # of all sessions
            self.record.save(path.with_suffix(".safetensors"), history=last, training_seconds=seconds)
        return path

    @torch.no_grad()
    def _bounds(self):
        """Between which energies of atoms the network is trusted, eV: those of the training frames, a tenth of their range below and half of it above.

        Below they end sharply, at the best places that there are: what a network finds much lower is a hole.
        """
        fast, frames = self.config.engine == "fast", map(collate, zip(self.train))
        found = torch.cat([pair_energies(self.potential, frame, frame.vector, fast) for frame in frames])
        low, high = float(found.min()), float(found.max())
        span = max(high - low, self.potential.scale)
        return low - BELOW * span, high + ABOVE * span

    def _save(self, path, metadata):
        self.potential.bounds = self._bounds()
        save_model(path, self.potential, metadata)


def average(averages, weights, decay):
    """One step of the exponential moving average: a ← decay · a + (1 − decay) · w (Polyak and Juditsky, SIAM J. Control Optim., 1992)."""
    with torch.no_grad():
        torch._foreach_lerp_(averages, weights, 1 - decay)
