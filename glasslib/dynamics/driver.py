"""The way in: checks of what is asked, then the run."""

import dataclasses
from pathlib import Path

import numpy as np

from ..errors import GlasslibError
from .guard import Guard
from .schedule import read_schedule
from .simulation import Simulation
from .store import checked_seed


def run(
    atoms,
    calculator,
    schedule,
    out,
    seed=0,
    *,
    checkpoint_every=500,
    log_every=10,
    guard=None,
    inputs=(),
    attrs=None,
    quiet=False,
):
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
    seed = checked_seed(seed)
    _check_start(atoms, stages)
    return Simulation(
        atoms, calculator, stages, Path(out), seed, checkpoint_every, log_every, guard, list(inputs), attrs, quiet
    ).go()


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
