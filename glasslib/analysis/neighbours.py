"""Distances between atoms of one frame, and bonds within a cutoff."""

import numpy as np
import vesin
from numba import njit, prange

from ..errors import GlasslibError

MOST_FRAMES = 50  # frames that structure is averaged over, spread evenly; neighbouring frames are nearly alike


def spread(n_frames, wanted=MOST_FRAMES):
    """Indices of at most `wanted` frames, evenly over a trajectory; None: all."""
    if wanted is None or wanted >= n_frames:
        return np.arange(n_frames)
    if int(wanted) < 1:
        raise GlasslibError(f"frames must be at least 1, not {wanted!r}")
    return np.unique(np.linspace(0, n_frames - 1, int(wanted)).astype(int))


def pair_names(names):
    """Unordered pairs of species, as "Na-O"; the first in the alphabet first."""
    return [f"{a}-{b}" for k, a in enumerate(names) for b in names[k:]]


def half_width(cell):
    """Half of the smallest distance between opposite faces of a cell: up to there the nearest image is the only one, Å."""
    return 0.5 / np.linalg.norm(np.linalg.inv(cell), axis=0).max()


def fractional(positions, cell):
    """Positions in units of the cell vectors, folded to [0, 1)."""
    inside = positions @ np.linalg.inv(cell)
    return inside - np.floor(inside)


@njit(parallel=True, cache=True)
def distance_histogram(a, b, kind_a, kind_b, kinds, cell, low, width, bins, same, groups):
    """Histograms of minimum-image distances from every atom of `a` to every other of `b` [kinds, kinds, bins].

    `a` and `b` are fractional coordinates [3, atoms]; an atom is not paired with itself. With `same`, b is a, pairs are counted once.
    """
    n = a.shape[1]
    out = np.zeros((groups, kinds, kinds, bins), np.int64)
    for g in prange(groups):
        square = np.empty(n)
        for i in range(g, n, groups):  # interleaved: with `same`, early atoms have more partners
            ax, ay, az = a[0, i], a[1, i], a[2, i]
            begin = i + 1 if same else 0
            for j in range(begin, n):
                sx, sy, sz = b[0, j] - ax, b[1, j] - ay, b[2, j] - az
                sx -= np.floor(sx + 0.5)
                sy -= np.floor(sy + 0.5)
                sz -= np.floor(sz + 0.5)
                x = sx * cell[0, 0] + sy * cell[1, 0] + sz * cell[2, 0]
                y = sx * cell[0, 1] + sy * cell[1, 1] + sz * cell[2, 1]
                z = sx * cell[0, 2] + sy * cell[1, 2] + sz * cell[2, 2]
                square[j] = x * x + y * y + z * z
            most = (low + bins * width) ** 2
            for j in range(begin, n):
                if square[j] < most and j != i:
                    k = int(np.floor((np.sqrt(square[j]) - low) / width))
                    if 0 <= k < bins:
                        out[g, kind_a[i], kind_b[j], k] += 1
    return out


def bonds(positions, cell, cutoff):
    """All neighbours within a cutoff, every image counted.

    Returns
    -------
    (i, j int arrays [bonds], vector [bonds, 3])
        Both directions, sorted by i; vector from i to j, Å.
    """
    calculator = vesin.NeighborList(cutoff=float(cutoff), full_list=True, sorted=True)
    i, j, vector = calculator.compute(points=positions, box=cell, periodic=True, quantities="ijD")
    return i.astype(np.int64), j.astype(np.int64), vector


def first_minimum(r, g, smooth=0.15):
    """Position of the first minimum of a pair distribution after its first peak, Å.

    g is smoothed by a Gaussian of width `smooth`, Å; the first peak is the first maximum above half of the highest one.
    """
    width = r[1] - r[0]
    offsets = np.arange(-int(3 * smooth / width), int(3 * smooth / width) + 1) * width
    window = np.exp(-0.5 * (offsets / smooth) ** 2)
    soft = np.convolve(np.pad(g, len(offsets) // 2, mode="edge"), window / window.sum(), mode="valid")
    peaks = np.flatnonzero((soft[1:-1] >= soft[:-2]) & (soft[1:-1] > soft[2:]) & (soft[1:-1] > 0.5 * soft.max())) + 1
    if len(peaks) == 0:
        raise GlasslibError("no first peak in g(r), so no cutoff can be read from it: give cutoff in Å")
    rising = np.flatnonzero(np.diff(soft[peaks[0] :]) > 0)
    if len(rising) == 0:
        raise GlasslibError("g(r) has no minimum after its first peak: give cutoff in Å")
    start = end = peaks[0] + rising[0]
    # A gap without any pair is flat: its middle.
    while end + 1 < len(g) and soft[end + 1] <= soft[start] + 1e-9:
        end += 1
    low = start
    while low > peaks[0] and soft[low - 1] <= soft[start] + 1e-9:
        low -= 1
    return float(0.5 * (r[low] + r[end]))
