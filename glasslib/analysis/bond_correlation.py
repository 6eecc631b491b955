"""Bond correlation function."""

import numpy as np
from numba import njit, prange

from .coordination import default_cutoff, default_pair
from .dataset import dataset, described
from .displacements import checked
from .lags import chosen_lags, frame_pairs
from .neighbours import bonds
from .statistics import block_count, block_sums, jackknife


@njit(parallel=True, cache=True)
def common(bond, start, first, second):
    """How many bonds two frames share, for each pair of frames; `bond` holds the sorted bonds of frame f from `start[f]` on."""
    shared = np.zeros(len(first), np.int64)
    for p in prange(len(first)):
        a, b = start[first[p]], start[second[p]]
        while a < start[first[p] + 1] and b < start[second[p] + 1]:
            shared[p] += bond[a] == bond[b]
            a, b = a + (bond[a] <= bond[b]), b + (bond[b] <= bond[a])
    return shared


def bond_correlation(trajectory_or_replicas, *, pair=None, cutoff=None, time=None, origins=50, n_blocks=None):
    """Bond correlation function C_B(t): the fraction of bonds that are there again, or still, a time t later (intermittent).

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
        The cell may change: bonds, not displacements, are compared.
    pair : str or (str, str), optional
        Default "Si-O".
    cutoff : float, optional
        Å; default: first minimum of g(r) of the pair.
    time, n_blocks
        As of mean_squared_displacement.
    origins : int or None
        At most so many pairs of frames for each lag time.

    Returns
    -------
    xarray.Dataset
        `C_B` (time), no unit, and `C_B_sem`; the pair and its cutoff in the attributes.

    References
    ----------
    D. C. Rapaport, Mol. Phys. 50, 1151 (1983), the intermittent definition.
    """
    replicas = checked(trajectory_or_replicas)
    centre, neighbour = default_pair(replicas, pair)
    cutoff = default_cutoff(replicas, centre, neighbour, cutoff)
    lags = chosen_lags(replicas, time)
    pairs, values = [], []
    for replica in replicas:
        mine = frame_pairs(replica, lags, origins)
        frames, first, second = mine.used()
        code = np.int32 if replica.n_atoms**2 < 2**31 else np.int64
        found = []
        for frame in frames:
            i, j, _ = bonds(np.asarray(replica.positions[frame], np.float64), replica.cells[frame], cutoff)
            chosen = (replica.species[i] == centre) & (replica.species[j] == neighbour)
            found.append(np.unique(i[chosen].astype(code) * code(replica.n_atoms) + j[chosen].astype(code)))
        start = np.concatenate([[0], np.cumsum([len(one) for one in found])])
        kept = common(np.concatenate(found), start, first, second)
        pairs.append(mine)
        values.append(np.stack([kept, np.diff(start)[first]]).astype(float))
    sums, counts = block_sums(pairs, values, block_count(replicas, n_blocks))
    value, sem = jackknife(sums, counts, lambda mean: mean[0] / mean[1])
    options = {
        "pair": f"{centre}-{neighbour}",
        "cutoff": cutoff,
        "time": time,
        "origins": origins,
        "n_blocks": n_blocks,
    }
    return dataset(
        {"C_B": (("time",), value, sem, "1", "bond correlation function")},
        {"time": pairs[0].lag},
        described("bond_correlation", replicas, options, pair=f"{centre}-{neighbour}", cutoff_A=cutoff),
    )
