"""Bond correlation function."""

import numpy as np
from scipy.sparse import csr_array

from .coordination import default_cutoff, default_pair
from .dataset import dataset, described
from .displacements import checked
from .lags import chosen_lags, frame_pairs
from .neighbours import batches, bonds
from .statistics import block_count, block_sums, jackknife


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
        frames = np.union1d(mine.first, mine.second)
        rows, bond = [], []
        for k, frame in enumerate(frames):
            i, j, _ = bonds(np.asarray(replica.positions[frame], np.float64), replica.cells[frame], cutoff)
            chosen = (replica.species[i] == centre) & (replica.species[j] == neighbour)
            found = np.unique(i[chosen] * replica.n_atoms + j[chosen])
            rows.append(np.full(len(found), k))
            bond.append(found)
        rows, bond = np.concatenate(rows), np.concatenate(bond)
        known, column = np.unique(bond, return_inverse=True)
        there = csr_array((np.ones(len(rows)), (rows, column)), (len(frames), len(known)))
        first, second = np.searchsorted(frames, mine.first), np.searchsorted(frames, mine.second)
        number = np.bincount(rows, minlength=len(frames)).astype(float)
        kept = [(there[first[p]] * there[second[p]]).sum(1) for p in batches(len(first), 4 * replica.n_atoms)]
        pairs.append(mine)
        values.append(np.stack([np.concatenate(kept), number[first]]))
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
