"""Temperature, pressure, energy and density of a run, from its log."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked
from .statistics import block_count, jackknife

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
        With a log, as `simulate` and `run_classical` keep it; of a view of some species, those of the whole.
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
    sums, weights = [], []
    for replica in replicas:
        log = values(replica)
        time = log["time"]
        weight = np.gradient(time) if len(time) > 1 else np.ones(1)
        if len(time) > 1:
            weight[[0, -1]] /= 2  # half an interval lies on their other side
        edges = np.linspace(replica.time[0], replica.time[-1], blocks + 1)
        block = np.clip(np.searchsorted(edges, time, "right") - 1, 0, blocks - 1)
        weights.append(np.bincount(block, weight, blocks))
        sums.append(np.array([np.bincount(block, weight * log[name], blocks) for name in names]).T)
    weights, sums = np.concatenate(weights), np.concatenate(sums)
    filled = weights > 0
    n = int(filled.sum())
    value, error = jackknife(sums[filled][:, :, None], weights[filled][:, None])
    found = {
        name: ((), mean, sem, *QUANTITIES[name])
        for name, mean, sem in zip(names, value[:, 0], error[:, 0], strict=True)
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
    found["density"] = run.whole.masses.sum() * DALTON / log["volume"][inside]
    if "potential_energy" in found:
        found["potential_energy"] = found["potential_energy"] / run.whole.n_atoms
    return {name: array for name, array in found.items() if np.isfinite(array).all()}
