"""Temperature, pressure, energy and density of a run, from its log."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked
from .statistics import block_count

QUANTITIES = {
    "temperature": ("K", "kinetic temperature"),
    "pressure": ("GPa", "pressure"),
    "potential_energy": ("eV", "potential energy of an atom"),
    "density": ("g/cm³", "density"),
}
DALTON = 1.66053907  # g/cm³ of one dalton in each Å³


def thermodynamics(trajectory_or_replicas, *, n_blocks=None):
    """Means of temperature (K), pressure (GPa), potential energy an atom (eV) and density (g/cm³) over the time of the recorded frames.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
        With a log, as `simulate` and `run_classical` keep it.
    n_blocks : int, optional
        Blocks of time of each replica for the errors; default 8, or 1 from five replicas on.

    Returns
    -------
    xarray.Dataset
        Each quantity of the log with its standard error over blocks, NaN for a single one. Entries count for the time between them.
    """
    replicas = checked(trajectory_or_replicas)
    blocks = block_count(replicas, n_blocks)
    names = [name for name in QUANTITIES if all(name in values(t) for t in replicas)]
    if not names:
        raise GlasslibError(
            "the trajectory has no log of temperature, pressure, energy or volume: only runs of glasslib keep one"
        )
    parts = []
    for replica in replicas:
        log = values(replica)
        time = log["time"]
        weight = np.gradient(time) if len(time) > 1 else np.ones(1)
        edges = np.linspace(replica.time[0], replica.time[-1], blocks + 1)
        block = np.clip(np.searchsorted(edges, time, "right") - 1, 0, blocks - 1)
        each = np.bincount(block, weight, blocks)
        with np.errstate(invalid="ignore"):
            parts.append([np.bincount(block, weight * log[name], blocks) / each for name in names])
    parts = np.concatenate(parts, axis=1)
    parts = parts[:, np.isfinite(parts).all(0)]
    n = parts.shape[1]
    error = parts.std(1, ddof=1) / n**0.5 if n > 1 else np.full(len(names), np.nan)
    found = {
        name: ((), value, sem, *QUANTITIES[name]) for name, value, sem in zip(names, parts.mean(1), error, strict=True)
    }
    return dataset(found, {}, described("thermodynamics", replicas, {"n_blocks": n_blocks}, blocks=n))


def values(run):
    """Entries of the log during the recorded frames, in our units, with their times."""
    log = run.log
    if "time" not in log or "volume" not in log:
        return {}
    inside = (log["time"] >= run.time[0] - 1e-9) & (log["time"] <= run.time[-1] + 1e-9)
    found = {name: log[name][inside] for name in ("time", "temperature", "pressure", "potential_energy") if name in log}
    if not inside.any():
        return {}
    found["density"] = run.masses.sum() * DALTON / log["volume"][inside]
    if "potential_energy" in found:
        found["potential_energy"] = found["potential_energy"] / run.n_atoms
    return {name: array for name, array in found.items() if np.isfinite(array).all()}
