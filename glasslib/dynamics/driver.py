"""The loop around the potential: stages, frames, observables, checkpoints, guards."""

import dataclasses
import functools
import hashlib
import json
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
from ase import units

from ..errors import GlasslibError
from ..files import atomic
from ..progress import Progress, clock
from ..provenance import RunRecord
from ..trajectory import Trajectory
from ..trajectory.h5md import Writer
from .cost import seconds_per_step
from .evaluate import Evaluator
from .guard import Guard, Watch
from .integrators import build, conserved, deform, degrees, draw_momenta, get_state, rest, set_state, set_targets
from .schedule import read_schedule, total_length
from .store import LOG, Store, set_aside, work_folder

DEFORM_EVERY = 10  # steps: each change of the cell costs one more evaluation of the forces


def run(atoms, calculator, schedule, out, seed=0, *, checkpoint_every=500, log_every=10, guard=None, inputs=(), attrs=None, quiet=False):
    """Run molecular dynamics, or go on with a run that was interrupted.

    The same call after a kill, a crash or a full disk goes on from the last checkpoint, and every later frame is bit for bit that of an
    unbroken run. The call of a run that is complete returns at once.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic start. Momenta are kept where there are any, else drawn from Maxwell–Boltzmann; the centre of mass is brought to rest.
    calculator : ase Calculator
        Energy, forces and, for npt, stress. Its `reset()` must forget all that depends on earlier positions, neighbour lists included: it
        is called at every checkpoint, so that a run does not depend on whether it was interrupted.
    schedule : list of dict or Stage
        See Stage.
    out : path
        H5MD file, written in one step at the end; until then all is kept in `<out>.run/` (see so_far, final_state).
    seed : int
        Of momenta and thermostats.
    checkpoint_every : int
        Steps between checkpoints.
    log_every : int
        Steps between entries of the log: temperature (K), energies (eV), pressure (GPa), volume (Å³), conserved energy (eV).
    guard : Guard or dict, optional
        Limits that stop the run.
    inputs : iterable of paths
        Files of the potential, for the record of where the trajectory came from.
    attrs : dict, optional
        What else the file should say, e.g. {"composition": "NS2"}.
    quiet : bool
        Without plan and progress.

    Returns
    -------
    Path
        `out`, with `<out>.record.json` beside it.

    Raises
    ------
    GlasslibError
        For a wrong schedule or start, a guard that tripped (why, where, which atoms, how to go on), a disk that is full.

    Examples
    --------
    >>> run(atoms, calculator, [
    ...     {"name": "melt", "ensemble": "nvt", "thermostat": "langevin", "temperature": 4500, "length": 2},
    ...     {"name": "cool", "ensemble": "nvt", "temperature": [4500, 3000], "rate": 500},
    ...     {"name": "produce", "ensemble": "nvt", "temperature": 3000, "length": 20, "output": "log", "block": 2},
    ... ], "run.h5", seed=1)
    """
    stages = read_schedule(schedule)
    guard = guard if isinstance(guard, Guard) else _guard(guard)
    for name, value in (("checkpoint_every", checkpoint_every), ("log_every", log_every)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise GlasslibError(f"{name} must be a whole number of steps of at least 1, not {value!r}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise GlasslibError(f"seed must be a whole number of at least 0, not {seed!r}")
    _check_start(atoms, stages)
    return _Run(atoms, calculator, stages, Path(out), int(seed), checkpoint_every, log_every, guard, list(inputs), attrs, quiet).go()


class _Run:
    def __init__(self, atoms, calculator, stages, out, seed, checkpoint_every, log_every, guard, inputs, attrs, quiet):
        self.start, self.stages, self.out = atoms, stages, out
        self.calculator = Evaluator(calculator, stress=any(stage.ensemble == "npt" for stage in stages))
        self.checkpoint_every, self.log_every, self.guard = checkpoint_every, log_every, guard
        self.inputs, self.quiet, self.seed = inputs, quiet, seed
        self.parameters = {
            "schedule": [{k: v for k, v in dataclasses.asdict(s).items() if v is not None} for s in stages],
            "checkpoint_every": checkpoint_every,
            "log_every": log_every,
            "start": _digest(atoms),
        }
        identity = json.dumps([self.parameters, seed], sort_keys=True)
        self.identity = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.attrs = self._attributes() | dict(attrs or {})
        self.total = sum(stage.steps for stage in stages)

    def go(self):
        record = RunRecord("dynamics", self.parameters, inputs=self.inputs, seeds={"run": self.seed})
        self.atoms = self.start.copy()
        self.atoms.calc = self.calculator
        self.masses = self.atoms.get_masses()
        highest = max((max(np.atleast_1d(s.temperature)) for s in self.stages if s.temperature is not None), default=0.0)
        self.watch = Watch(self.guard, self.atoms, highest)
        self._refuse_overlap()
        self.probe = self._probe()
        if self._complete():
            self._say(f"{self.out} is already complete")
            return self.out
        with self._open_store() as self.store:
            if not self._resume():
                self._begin()
            wall = self._loop()
            self._write(record, wall)
            self.store.remove()
        return self.out

    # Beginning, resuming

    def _open_store(self):
        store = Store(self.out, len(self.atoms))
        self.loaded = store.load()
        if self.loaded is None or (self.loaded[0]["identity"] == self.identity and np.allclose(self.loaded[0]["probe"], self.probe, rtol=1e-3)):
            return store
        store.__exit__()
        set_aside(self.out)
        self.loaded = None
        return Store(self.out, len(self.atoms))

    def _begin(self):
        self.rng = np.random.default_rng(self.seed)
        self.step = self.index = self.local = 0
        self.time = self.stage_time = self.wall = 0.0
        self.sessions, self.last_frame = 1, -1
        self.stage_cell = self.atoms.cell.array.copy()
        temperature = next((s.first("temperature") for s in self.stages if s.temperature is not None), None)
        if not self.atoms.has("momenta") or not self.atoms.get_momenta().any():
            if self.stages[0].temperature is None:
                raise GlasslibError("the atoms are at rest and the first stage is nve: give them momenta, or begin with an nvt stage")
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
        self.stage_time, self.wall, self.sessions, self.last_frame = meta["stage_time"], meta["wall"], meta["sessions"] + 1, meta["last_frame"]
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
        started = self.clock = time.monotonic()
        with Progress(self.total, self.out.name, "steps", done=self.step, stream=_Nowhere() if self.quiet else None) as self.bar:
            self.first = self.step
            while self.index < len(self.stages):
                self._stage(self.stages[self.index])
        return time.monotonic() - started

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
        self.index, self.local, self.stage_cell, self.stage_time = self.index + 1, 0, self.atoms.cell.array.copy(), self.time
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
        raise GlasslibError(
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
        if not self.out.exists() or work_folder(self.out).exists():
            return False
        try:
            known = Trajectory.open(self.out).attrs
        except GlasslibError:
            return False
        return known.get("run") == self.identity and np.allclose(known.get("probe", 0.0), self.probe, rtol=1e-3)

    def _write(self, record, wall):
        log = self.store.log.read()
        columns = {name: np.array(log[name]) for name in LOG if np.isfinite(log[name]).any()}
        columns["step"] = columns["step"].astype(np.int64)
        columns |= {
            "final_positions": self.atoms.positions, "final_momenta": self.atoms.get_momenta(), "final_cell": self.atoms.cell.array,
        }  # fmt: skip
        frames = self.store.frames.read()
        attrs = self.attrs | {"run": self.identity, "probe": self.probe}
        masses = self.masses if self.start.has("masses") else None
        size = max(1, 64_000_000 // frames.itemsize)
        with Writer(self.out, self.atoms.get_chemical_symbols(), masses=masses, attrs=attrs, log=columns) as writer:
            for start in range(0, len(frames), size):
                part = frames[start : start + size]
                writer.append(part["positions"], part["cell"], part["time"], part["step"])
        record.save(beside=self.out, run_seconds=round(self.wall, 3), sessions=self.sessions)

    # Words

    def _attributes(self):
        stage = [s for s in self.stages if s.output != "none"][-1]
        varies = any(s.ensemble == "npt" or s.deformed for s in self.stages if s.output != "none")
        known = {
            "ensemble": "NPT" if varies else stage.ensemble.upper(), "temperature": stage.temperature, "pressure": stage.pressure,
            "thermostat": stage.thermostat, "timestep": stage.timestep, "seed": self.seed, "schedule": self.parameters["schedule"],
            "potential": name_of(self.calculator.calculator),
            "composition": self.start.info.get("composition"),
        }  # fmt: skip
        return {key: value for key, value in known.items() if value is not None}

    def _probe(self):
        """Numbers by which another potential is known: sizes of the forces on the start."""
        forces = self.atoms.get_forces()
        if forces.shape != (len(self.atoms), 3) or not np.isfinite(forces).all():
            raise GlasslibError("the potential gives no finite forces for the start: start from another structure or check the potential")
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
        return f"{stage.name or stage.ensemble} {2 * kinetic / (degrees(self.atoms) * units.kB):.0f} K, {rate:.3g} ns/day"

    def _say(self, text):
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


class _Nowhere:
    """A stream that swallows the progress of a quiet run."""

    def isatty(self):
        return False

    def write(self, _):
        return None

    def flush(self):
        return None


def _guard(values):
    if values is None:
        return Guard()
    known = [field.name for field in dataclasses.fields(Guard)]
    if not isinstance(values, dict) or any(key not in known for key in values):
        raise GlasslibError(f"guard must be a mapping with some of {', '.join(known)}, not {values!r}")
    return Guard(**values)


def _check_start(atoms, stages):
    if len(atoms) < 2 or not atoms.pbc.all() or abs(atoms.cell.volume) < 1e-6:
        raise GlasslibError("the start needs at least two atoms in a cell that is periodic in three directions")
    if atoms.constraints:
        raise GlasslibError("the start has constraints: remove them, runs do not support them")
    if not np.isfinite(atoms.positions).all() or (atoms.has("momenta") and not np.isfinite(atoms.get_momenta()).all()):
        raise GlasslibError("positions or momenta of the start are not finite: start from another structure")
    if len(atoms) < 3 and any(s.ensemble != "nve" for s in stages):
        raise GlasslibError("a thermostat needs at least three atoms")


def name_of(calculator):
    """What a potential calls itself."""
    return str(getattr(calculator, "name", None) or type(calculator).__name__)


def _digest(atoms):
    """Hash of a start."""
    digest = hashlib.sha256(atoms.numbers.tobytes())
    momenta = atoms.get_momenta() if atoms.has("momenta") else np.zeros(0)
    for array in (atoms.positions, atoms.cell.array, momenta, atoms.get_masses()):
        digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return digest.hexdigest()[:16]
