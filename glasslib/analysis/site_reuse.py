"""Do atoms jump into sites that others have left?"""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, parts, symbols
from .hops import DISTANCE, WINDOW, even_frames, find
from .statistics import single, whole

MOST_HOPS = 2000  # of each species and run that are followed
DELAYS = 8


def site_reuse(trajectory_or_replicas, *, radius=1.0, interval=None, distance=None, window=WINDOW, drift=True):
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
        `radius` of the site; `random` (species), mean number of atoms of the species around a random place; `number` of jumps followed.
        Errors over replicas, or over blocks of jumps in the order of time.
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
    random = np.zeros(len(names))
    for replica, (frames, _) in zip(replicas, spaced, strict=True):
        start = np.asarray(replica.positions[0], np.float64)
        for k, name in enumerate(names):
            limit = DISTANCE.get(name, 1.0) if distance is None else single("distance", distance)
            mine = np.flatnonzero(replica.species == name)
            random[k] += len(mine) * 4 / 3 * np.pi * radius**3 / replica.volume / len(replicas)
            moved = np.concatenate([p for _, p in parts(replica, frames, drift, mine)])
            found[k].append(follow(moved, start[mine], replica.cell, limit, window, delays, radius))
    value, error = np.full((2, len(names), len(delays), 2), np.nan)
    for k, runs in enumerate(found):
        pieces = runs if len(runs) > 1 else np.array_split(runs[0], 5)
        means = np.array([p.mean(0) for p in pieces if len(p)])
        if len(means):
            value[k] = np.concatenate(runs).mean(0)
        if len(means) > 1:
            error[k] = means.std(0, ddof=1) / np.sqrt(len(means))
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


def follow(moved, start, cell, limit, window, delays, radius):
    """Whether (another, the same) atom is at each left site after each delay [jumps, delays, 2], in the order of time."""
    frames = moved.shape[2]
    count, frame, _, _ = find(moved, window, limit)
    atoms = np.repeat(np.arange(len(count)), count)
    at = frame[np.arange(frame.shape[1])[None] < count[:, None]]
    keep = np.flatnonzero(at + delays[-1] < frames)
    keep = keep[np.argsort(at[keep], kind="stable")]
    if len(keep) > MOST_HOPS:
        keep = keep[np.linspace(0, len(keep) - 1, MOST_HOPS).astype(int)]
    inverse = np.linalg.inv(cell)
    out = np.zeros((len(keep), len(delays), 2))
    for row, (atom, f) in enumerate(zip(atoms[keep].tolist(), at[keep].tolist(), strict=True)):
        site = start[atom] + moved[atom, :, f - window : f].mean(1)
        for column, delay in enumerate(delays.tolist()):
            step = (start + moved[:, :, f + delay] - site) @ inverse
            near = (((step - np.round(step)) @ cell) ** 2).sum(1) < radius**2
            out[row, column] = near.sum() > near[atom], near[atom]
    return out
