"""Self part of the van Hove function."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, histogram, species_parts, symbols
from .lags import chosen_lags, frame_pairs
from .statistics import block_count, jackknife, numbers

R = np.arange(0.05, 12.0, 0.1)  # Å


def bins(r):
    """Lower edge, width and number of the bins around evenly spaced centres `r`, Å."""
    r = np.asarray(r, float)
    if r.ndim != 1 or len(r) < 2:
        raise GlasslibError("r must hold at least two bin centres, Å")
    width = np.diff(r).mean()
    if not width > 0 or not np.allclose(np.diff(r), width, rtol=1e-6, atol=0) or r[0] < 0:
        raise GlasslibError("r must hold evenly spaced, increasing bin centres, Å, none of them below zero")
    return r[0] - width / 2, width, len(r)


def edges(r):
    """Borders of the bins, Å; what a bin around zero would have below it is not there."""
    low, width, count = bins(r)
    return np.clip(low + width * np.arange(count + 1), 0, None)


def shells(r):
    """Volumes of the spherical shells of the bins, Å³."""
    return 4 / 3 * np.pi * np.diff(edges(r) ** 3)


def van_hove_self(trajectory_or_replicas, *, r=None, time=None, origins=1000, n_blocks=None, drift=None):
    """Self part of the van Hove function of each species, G_s(r, t) = ⟨δ(r − |Δr(t)|)⟩ / 4πr², so that ∫ 4πr² G_s dr = 1.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    r : array, optional
        Evenly spaced bin centres, Å; default 0.05, 0.15, … 11.95. A bin around zero is half as wide.
    time, origins, n_blocks, drift
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `G_s` (species, time, r), 1/Å³, mean over the spherical shell of a bin; `P` = 4πr² G_s averaged over the bin, 1/Å; `beyond`
        (species, time), the fraction of atoms outside the bins; each with `_sem`.

    References
    ----------
    L. van Hove, Phys. Rev. 95, 249 (1954).
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    r = R if r is None else numbers("r", r)
    low, width, count = bins(r)
    lags = chosen_lags(replicas, time)
    names = symbols(replicas)
    blocks = block_count(replicas, n_blocks)
    sums, counts = [], []
    for replica in replicas:
        pairs = frame_pairs(replica, lags, origins)
        cell_of_pair = pairs.blocks(blocks) * len(lags) + pairs.index
        cells = blocks * len(lags)
        frames, first, second = pairs.used()
        total = np.zeros((len(names), cells, count))
        for name, positions in species_parts(replica, frames, drift):
            found = histogram(positions, first, second, cell_of_pair, cells, low, width, count, 8)
            total[names.index(name)] += found.sum(0)
        atoms = np.array([(replica.species == name).sum() for name in names])
        total = (total / atoms[:, None, None]).reshape(len(names), blocks, len(lags), count)
        sums.append(np.moveaxis(total, (1, 2), (0, 3)))
        counts.append(np.bincount(cell_of_pair, minlength=cells).reshape(blocks, len(lags)))
    fraction, sem = jackknife(np.concatenate(sums), np.concatenate(counts))
    beyond, beyond_sem = jackknife(np.concatenate(sums), np.concatenate(counts), lambda mean: 1 - mean.sum(1))
    fraction, sem, volume = np.moveaxis(fraction, 1, 2), np.moveaxis(sem, 1, 2), shells(r)
    dims = ("species", "time", "r")
    options = {
        "r": [float(r[0]), float(r[-1]), len(r)],
        "time": time,
        "origins": origins,
        "n_blocks": n_blocks,
        "drift": drift,
    }
    return dataset(
        {
            "G_s": (dims, fraction / volume, sem / volume, "1/Å³", "self part of the van Hove function"),
            "P": (
                dims,
                fraction / np.diff(edges(r)),
                sem / np.diff(edges(r)),
                "1/Å",
                "distribution of the distance moved",
            ),
            "beyond": (("species", "time"), beyond, beyond_sem, "1", "fraction of atoms outside the bins"),
        },
        {"species": names, "time": frame_pairs(replicas[0], lags, 1).lag, "r": r},
        described("van_hove_self", replicas, options),
    )
