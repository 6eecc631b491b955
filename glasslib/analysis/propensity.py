"""Isoconfigurational propensity."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, drift_of, symbols
from .statistics import positive

SAME = 1e-3  # Å: runs started from one configuration, also where a file has rounded it
MOST_TIMES = 24


def propensity(replicas, *, time=None, drift=None):
    """Mean distance that each atom moves over runs from one configuration with different velocities.

    Parameters
    ----------
    replicas : list of Trajectory
        At least two, with the same first frame.
    time : float or sequence, optional
        ps; the nearest times that all runs have are taken. Default: at most 24, evenly in the logarithm.
    drift : bool, optional
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `propensity` (time, atom), Å, with error; `explained` (species, time) with error: share of the variance of the distances within
        a species that lies between atoms, hence in the configuration, and not between runs: 0 where every atom is like the next and 1
        where the configuration decides all; `symbol` along atom and `position` (atom, axis), Å, of the first frame.

    Notes
    -----
    The variance between the atoms' means contains that of the mean over few runs, which is subtracted: `explained` may come out
    slightly negative.

    References
    ----------
    A. Widmer-Cooper, P. Harrowell, H. Fynewever, Phys. Rev. Lett. 93, 135701 (2004); L. Berthier, R. L. Jack, Phys. Rev. E 76, 041509 (2007).
    """
    runs = checked(replicas)
    constant_cell(runs)
    if len(runs) < 2:
        raise GlasslibError("propensity needs two runs at least, from one configuration with different velocities")
    first = np.asarray(runs[0].positions[0], np.float64)
    for k, run in enumerate(runs):
        moved_away = np.abs(np.asarray(run.positions[0], np.float64) - first).max() > SAME
        if moved_away or not np.array_equal(run.species, runs[0].species):
            raise GlasslibError(
                f"run {k} starts from another configuration than run 0: propensity needs one configuration, new velocities"
            )
    times, frames = shared(runs, time)
    distance = np.array([moved(run, own, drift) for run, own in zip(runs, frames, strict=True)])
    n = len(runs)
    names = symbols(runs)
    explained = np.array([share(distance[:, :, runs[0].species == s]) for s in names])
    error = np.full(explained.shape, np.nan)
    if n > 2:
        without = np.array(
            [[share(np.delete(distance, k, 0)[:, :, runs[0].species == s]) for s in names] for k in range(n)]
        )
        error = np.sqrt((n - 1) / n * ((without - without.mean(0)) ** 2).sum(0))
    made = dataset(
        {
            "propensity": (
                ("time", "atom"),
                distance.mean(0),
                distance.std(0, ddof=1) / np.sqrt(n),
                "Å",
                "mean distance moved",
            ),
            "explained": (
                ("species", "time"),
                explained,
                error,
                "1",
                "share of the variance that the configuration explains",
            ),
            "position": (("atom", "axis"), runs[0].atoms(0).positions, None, "Å", "position in the cell"),
        },
        {"time": times, "atom": np.arange(runs[0].n_atoms), "axis": ["x", "y", "z"], "species": names},
        described("propensity", runs, {"time": time, "drift": drift}),
    )
    return made.assign_coords(symbol=("atom", runs[0].species))


def shared(runs, time):
    """Times since the start that all runs have [times], and the frames of each run."""
    since = [run.time[1:] - run.time[0] for run in runs]
    common = since[0]
    for other in since[1:]:
        near = np.abs(common[:, None] - other[None]).min(1) if len(other) else np.full(len(common), np.inf)
        common = common[near <= 1e-6 * common]
    if not len(common):
        raise GlasslibError("the runs have no time in common: write their frames at the same times")
    if time is not None:
        wanted = positive("time", time)
    else:
        wanted = np.geomspace(common[0], common[-1], MOST_TIMES)
    common = common[np.unique(np.abs(common[None] - wanted[:, None]).argmin(1))]
    return common, [np.abs(own[None] - common[:, None]).argmin(1) + 1 for own in since]


def moved(run, frames, drift):
    """Distance of each atom from the first frame [times, atoms], Å."""
    start, shift = np.asarray(run.positions[0], np.float64), drift_of(run, drift)
    out = np.empty((len(frames), run.n_atoms))
    for k, frame in enumerate(frames.tolist()):
        out[k] = np.linalg.norm(np.asarray(run.positions[frame], np.float64) - start - shift[frame], axis=1)
    return out


def share(distance):
    """Variance between atoms over all variance, from distances [runs, times, atoms] (one-way analysis of variance)."""
    runs = len(distance)
    within = distance.var(0, ddof=1).mean(-1)
    if distance.shape[2] < 2:
        return np.full(distance.shape[1], np.nan)
    between = distance.mean(0).var(-1, ddof=1) - within / runs
    with np.errstate(invalid="ignore", divide="ignore"):
        return between / (between + within)
