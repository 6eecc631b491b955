"""The loop around the potential: stages, frames, observables, checkpoints, guards."""

import dataclasses
import functools
import sys
import time

import ase.io
import numpy as np
from ase import units

from ..errors import GlasslibError, StoppedError
from ..files import atomic
from ..progress import Progress, clock
from ..provenance import RunRecord
from ..trajectory.h5md import plain
from .cost import seconds_per_step
from .evaluate import Evaluator
from .guard import Watch
from .integrators import build, conserved, deform, degrees, draw_momenta, get_state, rest, set_state, set_targets
from .schedule import total_length
from .store import Store, digest, finished, identity_of, same_run, set_aside, work_folder

DEFORM_EVERY = 10  # steps: each change of the cell costs one more evaluation of the forces


class Simulation:
    """One run: its state, and how it is begun, resumed, stopped and finished. For the arguments see `run`."""

    def __init__(self, atoms, calculator, stages, out, seed, checkpoint_every, log_every, guard, inputs, attrs, quiet):
        self.start, self.stages, self.out = atoms, stages, out
        self.calculator = Evaluator(calculator, stress=any(stage.ensemble == "npt" for stage in stages))
        self.checkpoint_every, self.log_every, self.guard = checkpoint_every, log_every, guard
        self.inputs, self.quiet, self.seed = inputs, quiet, seed
        self.parameters = {
            "schedule": [{k: v for k, v in dataclasses.asdict(s).items() if v is not None} for s in stages],
            "checkpoint_every": checkpoint_every,
            "log_every": log_every,
            "start": digest(atoms),
        }
        self.identity = identity_of([self.parameters, seed])
        self.attrs = plain(self._attributes() | dict(attrs or {}))
        self.total = sum(stage.steps for stage in stages)

    def go(self):
        record = RunRecord("dynamics", self.parameters, inputs=self.inputs, seeds={"run": self.seed})
        self.atoms = self.start.copy()
        self.atoms.calc = self.calculator
        self.masses = self.atoms.get_masses()
        highest = max(
            (max(np.atleast_1d(s.temperature)) for s in self.stages if s.temperature is not None), default=0.0
        )
        self.watch = Watch(self.guard, self.atoms, highest)
        self._refuse_overlap()
        self.probe = self._probe()
        if self._complete():
            self._say(f"{self.out} is already complete")
            return self.out
        with self._open_store() as self.store:
            if self.loaded is None and self._complete():
                self.store.remove()
                self._say(f"{self.out} was completed by another process")
                return self.out
            if not self._resume():
                self._begin()
            self._loop()
            self._write(record)
            self.store.remove()
        return self.out

    # Beginning, resuming

    def _open_store(self):
        store = Store(self.out, len(self.atoms))
        self.loaded = store.load()
        if self.loaded is None or (
            self.loaded[0]["identity"] == self.identity and np.allclose(self.loaded[0]["probe"], self.probe, rtol=1e-3)
        ):
            return store
        set_aside(work_folder(self.out))
        store.__exit__()
        return self._open_store()

    def _begin(self):
        self.rng = np.random.default_rng(self.seed)
        self.step = self.index = self.local = 0
        self.time = self.stage_time = self.wall = 0.0
        self.sessions, self.last_frame = 1, -1
        self.stage_cell = self.atoms.cell.array.copy()
        temperature = next((s.first("temperature") for s in self.stages if s.temperature is not None), None)
        if not self.atoms.has("momenta") or not self.atoms.get_momenta().any():
            if self.stages[0].temperature is None:
                raise GlasslibError(
                    "the atoms are at rest and the first stage is nve: give them momenta, or begin with an nvt stage"
                )
            draw_momenta(self.atoms, temperature, self.rng)
        rest(self.atoms)
        self.integrator_state = {}
        self._save()
        self._plan()

    def _resume(self):
        if self.loaded is None:
            return False
        meta, arrays = self.loaded
        self.rng = np.random.default_rng()
        self.rng.bit_generator.state = meta["rng"]
        self.step, self.index, self.local, self.time = (meta[k] for k in ("step", "stage", "local", "time"))
        self.stage_time, self.wall, self.sessions, self.last_frame = (
            meta["stage_time"],
            meta["wall"],
            meta["sessions"] + 1,
            meta["last_frame"],
        )
        self.stage_cell = arrays["stage_cell"]
        self.atoms.set_cell(arrays["cell"])
        self.atoms.positions[:] = arrays["positions"]
        self.atoms.set_momenta(arrays["momenta"])
        self.integrator_state = {name[11:]: value for name, value in arrays.items() if name.startswith("integrator:")}
        self._say(f"{self.out}: going on at step {self.step} of {self.total} ({self.time:g} ps)")
        return True

    def _save(self):
        """Checkpoint of all that decides the next step; `integrator_state` is empty at the start of a stage."""
        meta = {
            "identity": self.identity, "probe": self.probe, "step": self.step, "stage": self.index, "local": self.local,
            "time": self.time, "stage_time": self.stage_time, "last_frame": self.last_frame, "rng": self.rng.bit_generator.state, "wall": self.wall,
            "sessions": self.sessions, "symbols": self.atoms.get_chemical_symbols(), "attrs": self.attrs,
        }  # fmt: skip
        arrays = {
            "positions": self.atoms.positions, "momenta": self.atoms.get_momenta(), "cell": self.atoms.cell.array,
            "masses": self.masses, "stage_cell": self.stage_cell,
        }  # fmt: skip
        self.store.save(meta, arrays | {f"integrator:{name}": value for name, value in self.integrator_state.items()})

    # The loop

    def _loop(self):
        self.clock = time.monotonic()
        with Progress(self.total, self.out.name, "steps", done=self.step, quiet=self.quiet) as self.bar:
            self.first = self.step
            while self.index < len(self.stages):
                self._stage(self.stages[self.index])

    def _stage(self, stage):
        frames = stage.frames()
        integrator = self._integrator(stage)
        if self.local == 0:
            self.atoms.get_forces()
            if stage.output != "none":
                self._frame()
            if self.step == 0:
                self._log(integrator)
        note = functools.partial(self._note, stage)
        upcoming = int(np.searchsorted(frames, self.local, side="right"))
        calculator, watch = self.calculator, self.watch
        index = self.index
        while self.index == index:  # the checkpoint at the end of the stage moves on to the next one
            if stage.ramped:
                set_targets(integrator, stage.at("temperature", self.local), stage.at("pressure", self.local))
            if stage.deformed and self.local % DEFORM_EVERY == 0:
                target = min(self.local + DEFORM_EVERY, stage.steps)
                deform(integrator, stage.cell_at(target, self.stage_cell, self.masses.sum()))
            try:
                integrator.step()
            except Exception as error:
                self._failed(stage, error)
            self.local += 1
            self.step += 1
            self.time = self.stage_time + self.local * stage.timestep / 1000
            results = calculator.results
            due = self.step % self.checkpoint_every == 0 or self.local == stage.steps
            if due or self.step % watch.every == 0 or not np.isfinite(results.get("energy", 0.0)):
                problem = watch.trouble(self.atoms, results)
                if problem:
                    self._stop(stage, *problem)
            if upcoming < len(frames) and frames[upcoming] == self.local:
                self._frame()
                upcoming += 1
            if self.step % self.log_every == 0:
                self._log(integrator)
            self.bar.update(note=note)
            if due:
                integrator = self._checkpoint(stage, integrator)

    def _integrator(self, stage):
        """The integrator as a restart makes it, so that an unbroken run and a resumed one take the same way through the code."""
        self.calculator.reset()
        integrator = build(stage, self.atoms, self.rng)
        if self.integrator_state:
            set_state(integrator, self.integrator_state)
        return integrator

    def _checkpoint(self, stage, integrator):
        now = time.monotonic()
        self.wall, self.clock = self.wall + now - self.clock, now
        if self.local < stage.steps:
            self.integrator_state = get_state(integrator)
            self._save()
            return self._integrator(stage)
        self.integrator_state = {}
        self.index, self.local, self.stage_cell, self.stage_time = (
            self.index + 1,
            0,
            self.atoms.cell.array.copy(),
            self.time,
        )
        self._save()
        return integrator

    def _frame(self):
        if self.last_frame == self.step:  # the end of one stage is the start of the next
            return
        frame = np.zeros((), self.store.frames.kind)
        frame["step"], frame["time"] = self.step, self.time
        frame["cell"], frame["positions"] = self.atoms.cell.array, self.atoms.positions
        self.store.frames.append(frame)
        self.last_frame = self.step

    def _log(self, integrator):
        results = self.calculator.results
        potential = results["energy"]
        kinetic, volume = self.atoms.get_kinetic_energy(), self.atoms.get_volume()
        pressure = np.nan
        if results.get("stress") is not None:
            stress = np.asarray(results["stress"])
            trace = stress[:3].sum() if stress.ndim == 1 else np.trace(stress)
            pressure = (-trace / 3 + 2 * kinetic / (3 * volume)) / units.GPa
        spread = results.get("force_spread")
        values = (
            self.step, self.time, 2 * kinetic / (degrees(self.atoms) * units.kB), potential, kinetic, pressure, volume,
            conserved(integrator, potential, kinetic), np.nan if spread is None else np.max(spread),
        )  # fmt: skip
        self.store.log.append(np.array([values], self.store.log.kind))

    # Trouble

    def _failed(self, stage, error):
        """The potential or the integrator raised: where the atoms are to blame, say so."""
        problem = self.watch.trouble(self.atoms, {}) if np.isfinite(self.atoms.positions).all() else None
        if problem is None and not np.isfinite(self.atoms.positions).all():
            problem = self.watch.trouble(self.atoms, {})
        if problem is None:
            raise error
        self._stop(stage, *problem)

    def _stop(self, stage, why, which):
        place = self.out.with_name(self.out.name + ".stopped.extxyz")
        broken = self.atoms.copy()
        broken.info = {"why": why, "which": " ".join(map(str, which)), "step": self.step, "time": self.time}
        with atomic(place) as temporary:
            ase.io.write(temporary, broken, format="extxyz")
        name = f" ({stage.name})" if stage.name else ""
        raise StoppedError(
            f"{self.out} stopped at step {self.step}, {self.time:.4g} ps, stage {self.index + 1}{name}: {why}. The structure is in {place}, the last "
            f"good state in {work_folder(self.out)}: go on from dynamics.final_state({str(self.out)!r}) with a shorter timestep or a gentler "
            "stage, teach the potential that structure, or widen the guard and run the same again"
        )

    def _refuse_overlap(self):
        close = self.watch.overlap(self.atoms)
        if close:
            i, j, distance, limit = close
            names = self.watch.symbols
            raise GlasslibError(
                f"atoms {i} ({names[i]}) and {j} ({names[j]}) of the start are {distance:.2f} Å apart, less than {limit:.2f} Å: "
                "start from another structure, or set the guard's distance"
            )

    # End

    def _complete(self):
        """Whether `out` is the result of this very run."""
        return same_run(finished(self.out), {"run": self.identity, "probe": self.probe})

    def _write(self, record):
        columns = self.store.columns() | {
            "final_positions": self.atoms.positions, "final_momenta": self.atoms.get_momenta(), "final_cell": self.atoms.cell.array,
            "final_time": np.array([self.time]),
        }  # fmt: skip
        attrs = self.attrs | {"run": self.identity, "probe": self.probe}
        masses = self.masses if self.start.has("masses") else None
        self.store.write(self.atoms.get_chemical_symbols(), attrs, columns, masses)
        record.save(beside=self.out, run_seconds=round(self.wall, 3), sessions=self.sessions)

    # Words

    def _attributes(self):
        stage = [s for s in self.stages if s.output != "none"][-1]
        varies = any(s.ensemble == "npt" or s.deformed for s in self.stages if s.output != "none")
        known = {
            "ensemble": "NPT" if varies else stage.ensemble.upper(), "temperature": stage.temperature, "pressure": stage.pressure,
            "thermostat": stage.thermostat, "timestep": stage.timestep, "seed": self.seed, "schedule": self.parameters["schedule"],
            "potential": name_of(self.calculator.calculator), "weights": getattr(self.calculator.calculator, "weights", None),
            "composition": self.start.info.get("composition"),
        }  # fmt: skip
        return {key: value for key, value in known.items() if value is not None}

    def _probe(self):
        """Numbers by which another potential is known: sizes of the forces on the start."""
        forces = self.atoms.get_forces()
        if forces.shape != (len(self.atoms), 3) or not np.isfinite(forces).all():
            raise GlasslibError(
                "the potential gives no finite forces for the start: start from another structure or check the potential"
            )
        return [float(np.sqrt((forces**2).mean())), *np.linalg.norm(forces[:4], axis=1).tolist()]

    def _plan(self):
        if self.quiet:
            return
        frames = sum(len(stage.frames()) for stage in self.stages)
        size = frames * self.store.frames.kind.itemsize / 1e6
        price = seconds_per_step(self.atoms, self.calculator)
        self._say(
            f"{self.out}: {len(self.stages)} stage(s), {total_length(self.stages):g} ps in {self.total} steps of {len(self.atoms)} atoms, {frames} frames "
            f"({size:.3g} MB); about {clock(price * self.total)} at {1000 * price:.3g} ms a step (timed now)"
        )

    def _note(self, stage):
        spent = max(time.monotonic() - self.bar.start, 1e-9)
        rate = 86.4 * (self.step - self.first) * stage.timestep / 1000 / spent
        kinetic = self.atoms.get_kinetic_energy()
        return (
            f"{stage.name or stage.ensemble} {2 * kinetic / (degrees(self.atoms) * units.kB):.0f} K, {rate:.3g} ns/day"
        )

    def _say(self, text):
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def name_of(calculator):
    """What a potential calls itself."""
    for known in (getattr(calculator, "label", None), getattr(calculator, "name", None)):
        if isinstance(known, str) and known:
            return known
    return type(calculator).__name__
