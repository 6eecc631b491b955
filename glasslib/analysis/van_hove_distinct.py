"""Distinct part of the van Hove function."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, drift_of, symbols
from .lags import chosen_lags, few_lags, frame_pairs
from .neighbours import batches, distance_histogram, folded, half_width, pair_names
from .statistics import block_count, jackknife, numbers
from .van_hove_self import bins, shells

LAGS = 9  # default number of lag times


def van_hove_distinct(trajectory_or_replicas, *, r=None, time=None, origins=40, n_blocks=None, drift=None):
    """Distinct part of the van Hove function, G_d(r, t) = (1/N_a) ⟨Σ_{j≠i} δ(r − |r_j(t) − r_i(0)|)⟩ / 4πr² for species pairs a, b.

    At t = 0 it is ρ_b g_ab(r); far away or late it is ρ_b. A peak that grows at r = 0 means that an atom has jumped to where another was.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    r : array, optional
        Evenly spaced bin centres, Å; default steps of 0.1 Å up to 10 Å or half the smallest width of the cell.
    time : float or sequence, optional
        Lag times, ps, nearest that occur; default nine between the shortest and a quarter of the run, evenly in the logarithm.
    origins : int or None
        At most so many pairs of frames for each lag time.
    n_blocks, drift
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `G_d` (pair, time, r), 1/Å³, `G_d_sem`, and `density` (pair), 1/Å³, the number density of the pair's second species (N_b, or
        N_b − 1 for equal species, over V), so that G_d / density tends to 1.

    References
    ----------
    L. van Hove, Phys. Rev. 95, 249 (1954).
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    names = symbols(replicas)
    widest = min(half_width(t.cell) for t in replicas)
    r = np.arange(0.05, min(10.0, widest) - 0.05 + 1e-9, 0.1) if r is None else numbers("r", r)
    low, width, count = bins(r)
    if low + width * count > widest * (1 + 1e-9):
        raise GlasslibError(f"r goes beyond half the width of the cell ({widest:.2f} Å): shorten it or use more atoms")
    lags = chosen_lags(replicas, time) if time is not None else few_lags(replicas, LAGS)
    blocks = block_count(replicas, n_blocks)
    sums, counts = [], []
    for replica in replicas:
        pairs = frame_pairs(replica, lags, origins)
        kind = np.searchsorted(names, replica.species)
        number = np.bincount(kind, minlength=len(names)).astype(float)
        shift = drift_of(replica, drift)
        slot = pairs.blocks(blocks) * len(lags) + pairs.index
        slots = blocks * len(lags)
        total = np.zeros((slots, len(names), len(names), count))
        for part in batches(len(slot), replica.n_atoms):
            a, cells = folded(replica, pairs.first[part], shift)
            b, _ = folded(replica, pairs.second[part], shift)
            total += distance_histogram(
                a, b, cells, np.ones(len(a)), slot[part], slots, kind, len(names), low, width, count, 16
            ).sum(0)
        # Both orders of a pair of species describe the same function up to the density.
        total = 0.5 * (total + total.transpose(0, 2, 1, 3)) / number[:, None, None]
        total = np.moveaxis(total.reshape(blocks, len(lags), *total.shape[1:]), 1, -1)
        seen = np.bincount(slot, minlength=slots).reshape(blocks, len(lags))
        sums.append(total)
        counts.append(seen)
    value, sem = jackknife(np.concatenate(sums), np.concatenate(counts))
    upper = np.triu_indices(len(names))
    value, sem = (np.moveaxis(x[upper], 1, 2) / shells(r) for x in (value, sem))
    density = (number[None, :] - np.eye(len(names))) / np.mean([t.volume for t in replicas])
    options = {
        "r": [float(r[0]), float(r[-1]), count],
        "time": time,
        "origins": origins,
        "n_blocks": n_blocks,
        "drift": drift,
    }
    return dataset(
        {
            "G_d": (("pair", "time", "r"), value, sem, "1/Å³", "distinct part of the van Hove function"),
            "density": (("pair",), density[upper], None, "1/Å³", "number density of the second species"),
        },
        {"pair": pair_names(names), "time": frame_pairs(replicas[0], lags, 1).lag, "r": r},
        described("van_hove_distinct", replicas, options),
    )
