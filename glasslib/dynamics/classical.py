"""Classical trajectories, all of them inside LAMMPS."""

import numbers
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers

from ..errors import GlasslibError
from ..potential.classical import NEAREST, POINTS, Engine
from ..progress import Progress
from ..provenance import RunRecord
from ..trajectory import Trajectory
from ..trajectory.h5md import plain
from .schedule import log_frames
from .store import LOG, Store, checked_seed, digest, finished, identity_of, set_aside, work_folder

CHECKPOINT = 5000  # steps of the production; LAMMPS reads each checkpoint that it wrote, so that killed and unbroken runs go the same way
PER_PS = 1 / (1000 * units.fs)  # Å/ps in ASE's unit of velocity


def run_classical(
    atoms, name, temperature, equilibrate_ps, produce_ps, timestep_fs=1.0, out=None, seed=0, *,
    frames=None, melt_ps=0.0, melt_temperature=4500.0, pressure=None, thermostat="nvt", attrs=None,
):  # fmt: skip
    """Melt, equilibrate and produce a trajectory with a classical potential, all inside LAMMPS.

    With `out`, the same call after a kill goes on from the last checkpoint of the production, and every later frame is that of an unbroken
    run; the call of a run that is complete returns at once.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic start; a random one wants `melt_ps` of a few ps.
    name : "pmmcs", "shik" or "pmmcs-ewald"
    temperature : float
        K.
    equilibrate_ps, produce_ps : float
        Langevin dynamics without output, then `thermostat` with output.
    timestep_fs : float
    out : path, optional
        H5MD file to write, with its record beside it; until the end all is kept in `<out>.run/` (see so_far, final_state).
    seed : int
    frames : int array, optional
        Steps of the production to keep, increasing; default: `log_frames` with a tenth of the production as block.
    melt_ps, melt_temperature : float
        ps and K of a stage before all others, its first part with limited displacements. The melt is then cooled over half of the
        equilibration.
    pressure : float, optional
        GPa; equilibrate and produce at constant pressure, isotropically.
    thermostat : "nvt" or "nve"
        Of the production at constant volume: Nosé–Hoover chains with 0.1 ps, or none.

    Returns
    -------
    Trajectory
        Positions unwrapped; `log` holds time (ps), temperature (K), potential_energy (eV), pressure (GPa) and volume (Å³) of each frame.
    """
    values = {
        "temperature": temperature,
        "equilibrate_ps": equilibrate_ps,
        "produce_ps": produce_ps,
        "timestep_fs": timestep_fs,
        "melt_ps": melt_ps,
        "melt_temperature": melt_temperature,
    }
    for key, value in (values | ({} if pressure is None else {"pressure": pressure})).items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(value):
            raise GlasslibError(f"{key} must be a finite number, not {value!r}")
    seed = checked_seed(seed)
    for key, value in values.items():
        if value < 0 or (value == 0 and key not in ("equilibrate_ps", "melt_ps")):
            raise GlasslibError(f"{key} must be a number above zero, not {value!r}")
    if thermostat not in ("nvt", "nve"):
        raise GlasslibError(f"thermostat must be 'nvt' or 'nve', not {thermostat!r}")
    steps = max(1, round(produce_ps * 1000 / timestep_fs))
    frames = log_frames(steps, max(1, steps // 10)) if frames is None else np.asarray(frames)
    if (
        frames.dtype.kind not in "iu"
        or frames.ndim != 1
        or len(frames) == 0
        or (np.diff(frames) <= 0).any()
        or frames[0] < 0
        or frames[-1] > steps
    ):
        raise GlasslibError(f"frames must be increasing steps from 0 to {steps}")
    parameters = values | {"name": name, "pressure": pressure, "thermostat": thermostat}
    everything = [parameters, frames.tolist(), digest(atoms), int(seed), POINTS, NEAREST, CHECKPOINT]
    known = {
        "potential": name, "temperature": float(temperature), "ensemble": "NPT" if pressure is not None else thermostat.upper(),
        "timestep": float(timestep_fs), "seed": int(seed), "composition": atoms.info.get("composition"), "run": identity_of(everything),
    }  # fmt: skip
    known = plain({key: value for key, value in known.items() if value is not None} | dict(attrs or {}))
    with tempfile.TemporaryDirectory() as place:  # of a run that nobody keeps
        path = Path(place, "run.h5") if out is None else Path(out)
        if finished(path).get("run") != known["run"]:
            record = RunRecord("classical dynamics", parameters, seeds={"dynamics": int(seed)})
            engine = Engine(name, atoms)
            try:
                _Run(engine, path, known, frames, values, pressure, thermostat, quiet=out is None).go(record)
            finally:
                engine.close()
        run = Trajectory.open(path)
        return run.load() if out is None else run


class _Run:
    """One run on its way to the disk."""

    def __init__(self, engine, out, attrs, frames, values, pressure, thermostat, quiet):
        self.engine, self.out, self.attrs, self.frames, self.values = engine, out, attrs, frames, values
        self.pressure, self.quiet = pressure, quiet
        heat = f"temp {values['temperature']} {values['temperature']} 0.1"
        if pressure is not None:
            self.move = f"fix move all npt {heat} iso {pressure * 1e4} {pressure * 1e4} 1.0"
        else:
            self.move = "fix move all nve" if thermostat == "nve" else f"fix move all nvt {heat}"

    def go(self, record):
        """Begin or go on, and end with the file."""
        with self._open_store() as self.store:
            if self.loaded is None and finished(self.out).get("run") == self.attrs["run"]:  # by another process
                return self.store.remove()
            if self.loaded is None:
                self.step, self.wall, self.sessions, self.clock = -1, 0.0, 1, time.monotonic()
                _equilibrate(self.engine, self.values, self.attrs["seed"], self.pressure)
            else:
                meta, arrays = self.loaded
                self.step, self.wall, self.sessions = meta["step"], meta["wall"], meta["sessions"] + 1
                self.engine.restore(arrays["lammps"].tobytes())
                self.clock = time.monotonic()
            self._produce()
            final = {f"final_{name}": value for name, value in self._state().items() if name != "masses"}
            final["final_time"] = np.array([self._time()])
            self.store.write(self.engine.symbols, self.attrs, self.store.columns() | final)
            record.save(beside=self.out, run_seconds=round(self.wall, 3), sessions=self.sessions)
            self.store.remove()

    def _open_store(self):
        store = Store(self.out, len(self.engine.symbols))
        self.loaded = store.load()
        if self.loaded is None or self.loaded[0]["identity"] == self.attrs["run"]:
            return store
        set_aside(work_folder(self.out))
        store.__exit__()
        return self._open_store()

    def _produce(self):
        last, do = int(self.frames[-1]), self.engine.do
        do(f"timestep {self.values['timestep_fs'] / 1000}", self.move)
        kept, checkpoints = set(self.frames.tolist()), {*range(0, last, CHECKPOINT), last}
        stops = [step for step in sorted(kept | checkpoints) if step > self.step]
        with Progress(last, self.out.name, "steps", done=max(self.step, 0), quiet=self.quiet) as bar:
            for step in stops:
                # a fresh start of each piece keeps the neighbour list and thermo output right at its end
                do(f"run {step - max(self.step, 0)} pre yes post no")
                bar.update(step - max(self.step, 0), note=self._note)
                self.step = step
                if step in kept:
                    self._frame()
                if step in checkpoints:
                    self._checkpoint()

    def _frame(self):
        frame, log = np.zeros((), self.store.frames.kind), dict.fromkeys(LOG, np.nan)
        frame["step"], frame["time"] = self.step, self._time()
        frame["positions"], frame["cell"] = self.engine.state()
        if not np.isfinite(frame["positions"]).all():
            raise GlasslibError(
                f"{self.engine.name}: atoms were lost at step {self.step}: start from another structure or shorten the time step"
            )
        read = self.engine.lammps.get_thermo
        log |= {"step": self.step, "time": self._time(), "temperature": read("temp"), "volume": read("vol")}
        log |= {"potential_energy": self.engine.energy(), "pressure": read("press") * 1e-4}
        self.store.frames.append(frame)
        self.store.log.append(np.array([tuple(log.values())], self.store.log.kind))

    def _checkpoint(self):
        now = time.monotonic()
        self.wall, self.clock = self.wall + now - self.clock, now
        state = self.engine.saved()
        meta = {
            "identity": self.attrs["run"], "step": self.step, "time": self._time(), "symbols": self.engine.symbols, "attrs": self.attrs,
            "wall": self.wall, "sessions": self.sessions,
        }  # fmt: skip
        self.store.save(meta, self._state() | {"lammps": np.frombuffer(state, np.uint8)})
        self.engine.restore(state)
        self.engine.do(f"timestep {self.values['timestep_fs'] / 1000}", self.move)

    def _state(self):
        masses = atomic_masses[[atomic_numbers[s] for s in self.engine.symbols]]
        positions, cell = self.engine.state()
        momenta = masses[:, None] * self.engine.velocities() * PER_PS
        return {"positions": positions, "momenta": momenta, "cell": cell, "masses": masses}

    def _time(self):
        return self.step * self.values["timestep_fs"] / 1000

    def _note(self):
        return f"{self.engine.lammps.get_thermo('temp'):.0f} K"


def _equilibrate(engine, values, seed, pressure):
    """From any start to equilibrium at the temperature wanted, momenta included."""
    do, target, dt = engine.do, values["temperature"], values["timestep_fs"] / 1000
    melt, length = round(values["melt_ps"] / dt), round(values["equilibrate_ps"] / dt)
    seeds = np.random.default_rng(seed).integers(1, 900_000_000, 4)
    hot = values["melt_temperature"] if melt else target
    do(f"timestep {dt}", f"velocity all create {hot} {seeds[0]} mom yes dist gaussian")
    if melt:
        do("min_style cg", "minimize 1e-4 1e-4 200 1000", f"velocity all create {hot} {seeds[1]} mom yes dist gaussian")
        do(
            f"fix heat all langevin {hot} {hot} 0.1 {seeds[1]} zero yes",
            "fix move all nve/limit 0.1",
            f"run {melt // 3}",
            "unfix move",
        )
        do("fix move all nve", f"run {melt - melt // 3}", "unfix move", "unfix heat")
    if length:
        move = "nve" if pressure is None else f"nph iso {pressure * 1e4} {pressure * 1e4} 1.0"
        cool = length // 2 if melt else 0
        do(
            f"fix move all {move}",
            f"fix heat all langevin {hot} {target} 0.1 {seeds[2]} zero yes",
            f"run {cool}",
            "unfix heat",
        )
        do(
            f"fix heat all langevin {target} {target} 0.1 {seeds[3]} zero yes",
            f"run {length - cool}",
            "unfix heat",
            "unfix move",
        )
    do("velocity all zero linear", "set group all image 0 0 0", "reset_timestep 0")
