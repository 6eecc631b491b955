"""Classical trajectories, all of them inside LAMMPS."""

import numpy as np

from ..errors import GlasslibError
from ..potential.classical import Engine
from ..provenance import RunRecord
from ..trajectory import Trajectory
from .schedule import log_frames


def run_classical(
    atoms, name, temperature, equilibrate_ps, produce_ps, timestep_fs=1.0, out=None, seed=0, *,
    frames=None, melt_ps=0.0, melt_temperature=4500.0, pressure=None, thermostat="nvt", attrs=None,
):  # fmt: skip
    """Melt, equilibrate and produce a trajectory with a classical potential, all inside LAMMPS.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic start; a random one wants `melt_ps` of a few ps.
    name : "pmmcs" or "shik"
    temperature : float
        K.
    equilibrate_ps, produce_ps : float
        Langevin dynamics without output, then `thermostat` with output.
    timestep_fs : float
    out : path, optional
        H5MD file to write, with its record beside it.
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
    for key, value in values.items():
        if not np.isfinite(value) or value < 0 or (value == 0 and key not in ("equilibrate_ps", "melt_ps")):
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
    record = RunRecord(
        "classical dynamics",
        values | {"name": name, "pressure": pressure, "thermostat": thermostat},
        seeds={"dynamics": int(seed)},
    )
    engine = Engine(name, atoms)
    try:
        _equilibrate(engine, values, int(seed), pressure)
        positions, cells, log = _produce(engine, frames, temperature, timestep_fs, pressure, thermostat)
    finally:
        engine.close()
    ensemble = "NPT" if pressure is not None else thermostat.upper()
    known = {
        "potential": name,
        "temperature": float(temperature),
        "ensemble": ensemble,
        "timestep": float(timestep_fs),
        "seed": int(seed),
    }
    if "composition" in atoms.info:
        known["composition"] = atoms.info["composition"]
    run = Trajectory(
        positions, engine.symbols, cells, log["time"], step=frames, attrs=known | dict(attrs or {}), log=log
    )
    if out is not None:
        run.save(out)
        record.save(beside=out)
    return run


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


def _produce(engine, frames, temperature, timestep_fs, pressure, thermostat):
    heat = f"temp {temperature} {temperature} 0.1"
    kind = "nve" if thermostat == "nve" else f"nvt {heat}"
    engine.do(
        f"fix move all {kind}"
        if pressure is None
        else f"fix move all npt {heat} iso {pressure * 1e4} {pressure * 1e4} 1.0"
    )
    engine.do("run 0 post no")
    positions, cells, log, done = [], [], {k: [] for k in ("temperature", "potential_energy", "pressure", "volume")}, 0
    for step in frames.tolist():
        if step > done:
            # a fresh start of each piece keeps the neighbour list and thermo output right at its end
            engine.do(f"run {step - done} pre yes post no")
        done = step
        x, cell = engine.state()
        if not np.isfinite(x).all():
            raise GlasslibError(
                f"{engine.name}: atoms were lost at step {step}: start from another structure or shorten the time step"
            )
        positions.append(x)
        cells.append(cell)
        for key, name, factor in (
            ("temperature", "temp", 1),
            ("potential_energy", "pe", 1),
            ("pressure", "press", 1e-4),
            ("volume", "vol", 1),
        ):
            log[key].append(engine.lammps.get_thermo(name) * factor)
    log = {"step": frames.astype(np.int64), "time": frames * timestep_fs / 1000} | {
        k: np.array(v) for k, v in log.items()
    }
    return np.array(positions), np.array(cells), log
