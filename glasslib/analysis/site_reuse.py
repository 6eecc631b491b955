"""Do atoms jump into sites that others have left?"""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, drift_of, parts, symbols
from .hops import DISTANCE, UNCAGED, WINDOW, even_frames, find, uncaged
from .statistics import single, whole

MOST_HOPS = 2000  # of each species and run that are followed
DELAYS = 8


def site_reuse(trajectory_or_replicas, *, radius=1.0, interval=None, distance=None, window=WINDOW, drift=None):
    """Who is found at a site, a time t after an atom has jumped away from it.

    Conduction along channels shows as a probability far above that of a random place that another atom of the species takes the site.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    radius : float
        Å around the mean position before the jump.
    interval, distance, window, drift
        As of hops.

    Returns
    -------
    xarray.Dataset
        `other` and `same` (species, time) with errors: probability that another atom of the species, or the one that left, is within
        `radius` of the site, NaN where jumps are too frequent to be told apart (see hops); `random` (species), mean number of atoms of the species
        around a random place, of which the other atoms take the most; `number` of jumps followed. Errors over replicas, or over blocks of jumps in the
        order of time.
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    radius, window = single("radius", radius), whole("window", window)
    names = symbols(replicas)
    spaced = [even_frames(t, interval, window) for t in replicas]
    shortest = min(len(frames) for frames, _ in spaced)
    delays = np.unique(np.geomspace(window, max(window, shortest // 4), DELAYS).astype(int))
    gap = spaced[0][1]
    if any(abs(g - gap) > 1e-6 * gap for _, g in spaced):
        raise GlasslibError("the replicas have different even spacings: give interval")
    found = [[] for _ in names]
    random, rate = np.zeros((2, len(names)))  # rate: jumps for each atom and frame
    for replica, (frames, _) in zip(replicas, spaced, strict=True):
        for k, name in enumerate(names):
            limit = DISTANCE if distance is None else single("distance", distance)
            mine = np.flatnonzero(replica.species == name)
            random[k] += len(mine) * 4 / 3 * np.pi * radius**3 / replica.volume / len(replicas)
            after, jumps = follow(replica, mine, frames, limit, window, delays, radius, drift)
            found[k].append(after)
            rate[k] += jumps / (len(mine) * (len(frames) - 2 * window + 1)) / len(replicas)
    value, error = np.full((2, len(names), len(delays), 2), np.nan)
    for k, runs in enumerate(found):
        pieces = runs if len(runs) > 1 else np.array_split(runs[0], 5)
        means = np.array([p.mean(0) for p in pieces if len(p)])
        if len(means):
            value[k] = np.concatenate(runs).mean(0)
        if len(means) > 1:
            error[k] = means.std(0, ddof=1) / np.sqrt(len(means))
    blurred = rate > UNCAGED * uncaged(window)
    value[blurred] = error[blurred] = np.nan
    dims = ("species", "time")
    options = {"radius": radius, "interval": interval, "distance": distance, "window": window, "drift": drift}
    return dataset(
        {
            "other": (dims, value[..., 0], error[..., 0], "1", "probability that another atom is at the site"),
            "same": (dims, value[..., 1], error[..., 1], "1", "probability that the atom is back"),
            "random": (("species",), random, None, "1", "atoms of the species around a random place"),
            "number": (("species",), [sum(len(x) for x in runs) for runs in found], None, "1", "jumps followed"),
        },
        {"species": names, "time": delays * gap},
        described("site_reuse", replicas, options, interval_ps=gap),
    )


def follow(replica, mine, frames, limit, window, delays, radius, drift):
    """Whether (another, the same) atom is at each left site after each delay [jumps, delays, 2], in the order of time, and the number of all jumps.

    `mine`: the atoms of a species; `frames`: evenly spaced ones. Positions are streamed, and only those of the jumps that are followed are looked at.
    """
    atoms, at = [], []
    for part, moved in parts(replica, frames, drift, mine, reuse=True):
        count, frame, _, _ = find(moved, window, limit)
        atoms.append(np.repeat(part, count))
        at.append(frame[np.arange(frame.shape[1])[None] < count[:, None]])
    atoms, at = np.concatenate(atoms), np.concatenate(at)
    jumps, keep = len(at), np.flatnonzero(at + delays[-1] < len(frames))
    keep = keep[np.argsort(at[keep], kind="stable")]
    if len(keep) > MOST_HOPS:
        keep = keep[np.linspace(0, len(keep) - 1, MOST_HOPS).astype(int)]
    atoms, at = atoms[keep], at[keep]
    shift = drift_of(replica, drift)
    sites, out = np.zeros((len(keep), 3)), np.zeros((len(keep), len(delays), 2))
    for row, _, x in visited(replica, frames, at, np.arange(-window, 0), shift):
        sites[row] += x[atoms[row]] / window
    inverse = np.linalg.inv(replica.cell)
    for row, column, x in visited(replica, frames, at, delays, shift):
        step = (x[mine] - sites[row]) @ inverse
        near = (((step - np.round(step)) @ replica.cell) ** 2).sum(1) < radius**2
        same = near[np.searchsorted(mine, atoms[row])]
        out[row, column] = near.sum() > same, same
    return out, jumps


def visited(replica, frames, at, delays, shift):
    """(jump, delay, positions of all atoms [atoms, 3]) for the frames at each delay after each jump, in the order of the trajectory."""
    wanted = frames[at[:, None] + delays].ravel()
    order = np.argsort(wanted, kind="stable")
    for span, block in replica.blocks():
        for k in order[slice(*np.searchsorted(wanted[order], (span.start, span.stop)))]:
            yield *divmod(k, len(delays)), block[wanted[k] - span.start] - shift[wanted[k]]
