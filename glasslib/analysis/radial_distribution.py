"""Pair distribution functions."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, symbols
from .neighbours import MOST_FRAMES, batches, folded, half_width, pair_histogram, pair_names, spread
from .statistics import jackknife, numbers, whole
from .van_hove_self import bins, shells

MOST_BINS = 100_000  # of each pair of species: up to 5000 Å by 0.05 Å


def radial_distribution(trajectory_or_replicas, *, r=None, frames=MOST_FRAMES, n_blocks=None):
    """Pair distribution function of each pair of species, g_ab(r) = V / (N_a N_b) ⟨Σ_ij δ(r − r_ij)⟩ / 4πr²; i ≠ j.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
        The cell may be triclinic and may change with time.
    r : array, optional
        Evenly spaced bin centres, Å, up to half the smallest width of the cell. Default: steps of 0.05 Å up to there.
    frames : int or None
        At most so many frames of each replica, spread evenly.
    n_blocks : int, optional
        Blocks of time for the standard error; default 5 a replica.

    Returns
    -------
    xarray.Dataset
        `g` (pair, r), no unit, `g_sem`, and `n` (pair, r): running mean number of atoms of the pair's second species within the outer
        edge of the bin (NaN where r does not begin at zero) around one of the first. Pairs are "Na-O" and so on, in alphabetical order. For equal species the normalisation is
        N(N − 1), so that an ideal gas has g = 1 in a box of any size.

    Raises
    ------
    GlasslibError
        Where r goes beyond half the width of the cell, or takes more than 100 000 bins.
    """
    replicas = checked(trajectory_or_replicas)
    names = symbols(replicas)
    widest = min(half_width(cell) for t in replicas for cell in (t.cell[None] if t.constant_cell else t.cell))
    r = None if r is None else numbers("r", r)
    if (widest / 0.05 if r is None else len(r)) > MOST_BINS:
        raise GlasslibError(
            f"r takes more than {MOST_BINS} bins in a cell {2 * widest:.3g} Å wide: give r up to fewer Å"
        )
    r = np.arange(0.025, widest - 0.025 + 1e-9, 0.05) if r is None else r
    low, width, count = bins(r)
    if low + width * count > widest * (1 + 1e-9):
        raise GlasslibError(
            f"r goes to {low + width * count:.2f} Å, beyond half the width of the cell ({widest:.2f} Å): shorten it or use more atoms"
        )
    sums, counts = [], []
    for replica in replicas:
        kind = np.searchsorted(names, replica.species)
        number = np.bincount(kind, minlength=len(names)).astype(float)
        possible = np.outer(number, number) - np.diag(number)
        chosen = spread(len(replica), frames)
        blocks = min(5 if n_blocks is None else whole("n_blocks", n_blocks), len(chosen))
        total = np.zeros((blocks, len(names), len(names), count))
        block = np.arange(len(chosen)) * blocks // len(chosen)
        for part in batches(len(chosen), replica.n_atoms):
            inside, cells = folded(replica, chosen[part])
            volume = np.abs(np.linalg.det(cells))
            found = pair_histogram(
                inside, cells, volume, block[part], blocks, kind, len(names), low, width, count, 16
            ).sum(0)
            with np.errstate(invalid="ignore", divide="ignore"):
                total += (found + found.transpose(0, 2, 1, 3)) / possible[..., None] / shells(r)
        sums.append(total)
        counts.append(np.repeat(np.bincount(block)[:, None], count, 1))
    g, sem = jackknife(np.concatenate(sums), np.concatenate(counts))
    volume = np.mean([np.mean(replica.volume) for replica in replicas])
    partners = number[None, :] - np.eye(len(names))
    running = np.cumsum(g * shells(r), -1) * (partners / volume)[..., None]
    if low > 1e-6 * width:  # what lies before the first bin is not counted
        running[:] = np.nan
    upper = np.triu_indices(len(names))
    dims = ("pair", "r")
    return dataset(
        {
            "g": (dims, g[upper], sem[upper], "1", "pair distribution function"),
            "n": (dims, running[upper], None, "1", "running coordination number of the first species by the second"),
        },
        {"pair": pair_names(names), "r": r},
        described(
            "radial_distribution",
            replicas,
            {"r": [float(r[0]), float(r[-1]), count], "frames": frames, "n_blocks": n_blocks},
        ),
    )
