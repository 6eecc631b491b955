"""Distances between atoms of one frame, and bonds within a cutoff."""

import numpy as np
import vesin
from numba import njit, prange

from ..errors import GlasslibError
from .statistics import whole

MOST_FRAMES = 50  # frames that structure is averaged over, spread evenly; neighbouring frames are nearly alike


def spread(n_frames, wanted=MOST_FRAMES):
    """Indices of at most `wanted` frames, evenly over a trajectory; None: all."""
    if wanted is None or whole("frames", wanted) >= n_frames:
        return np.arange(n_frames)
    return np.unique(np.linspace(0, n_frames - 1, wanted).astype(int))


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


@njit(cache=True)
def squares(point, others, first, cell, out):
    """Squared minimum-image distances, Å², from a point to the atoms from `first` on, all in fractional coordinates [3], [3, atoms]."""
    for j in range(first, others.shape[1]):
        sx, sy, sz = others[0, j] - point[0], others[1, j] - point[1], others[2, j] - point[2]
        sx -= np.floor(sx + 0.5)
        sy -= np.floor(sy + 0.5)
        sz -= np.floor(sz + 0.5)
        x = sx * cell[0, 0] + sy * cell[1, 0] + sz * cell[2, 0]
        y = sx * cell[0, 1] + sy * cell[1, 1] + sz * cell[2, 1]
        z = sx * cell[0, 2] + sy * cell[1, 2] + sz * cell[2, 2]
        out[j] = x * x + y * y + z * z


@njit(parallel=True, cache=True)
def distance_histogram(a, b, cells, weight, slot, slots, kind, kinds, low, width, bins, groups):
    """Histograms of minimum-image distances from every atom in `a` to every other in `b`, summed over frames.

    Parameters
    ----------
    a, b : array [frames, 3, atoms]
        Fractional coordinates; an atom is not paired with itself.
    cells : array [frames, 3, 3]
        Å.
    weight, slot : array [frames]
        What a pair counts, and to which histogram a frame adds.
    kind : int array [atoms]
        Species.
    groups : int
        Parts summed on their own; the result does not depend on the number of threads.

    Returns
    -------
    array [groups, slots, kinds, kinds, bins]
    """
    n = a.shape[2]
    out = np.zeros((groups, slots, kinds, kinds, bins))
    for g in prange(groups):
        square = np.empty(n)
        most = (low + bins * width) ** 2
        for f in range(len(a)):
            cell, counts = cells[f], out[g, slot[f]]
            for i in range(g * n // groups, (g + 1) * n // groups):
                squares(a[f, :, i], b[f], 0, cell, square)
                square[i] = most
                for j in range(n):
                    if square[j] < most:
                        k = int(np.floor((np.sqrt(square[j]) - low) / width))
                        if 0 <= k < bins:
                            counts[kind[i], kind[j], k] += weight[f]
    return out


@njit(parallel=True, cache=True)
def pair_histogram(a, cells, weight, slot, slots, kind, kinds, low, width, bins, groups):
    """`distance_histogram` of `a` with itself, each pair counted once: [groups, slots, kinds, kinds, bins]."""
    n = a.shape[2]
    out = np.zeros((groups, slots, kinds, kinds, bins))
    for g in prange(groups):
        square = np.empty(n)
        most = (low + bins * width) ** 2
        for f in range(len(a)):
            cell, counts = cells[f], out[g, slot[f]]
            for i in range(g, n, groups):  # interleaved: early atoms have more partners
                squares(a[f, :, i], a[f], i + 1, cell, square)
                for j in range(i + 1, n):
                    if square[j] < most:
                        k = int(np.floor((np.sqrt(square[j]) - low) / width))
                        if 0 <= k < bins:
                            counts[kind[i], kind[j], k] += weight[f]
    return out


def batches(count, atoms):
    """Slices of so many frames that their coordinates take some ten MB."""
    size = max(1, 10_000_000 // (24 * atoms))
    return [slice(k, min(k + size, count)) for k in range(0, count, size)]


def folded(trajectory, frames, shift=None):
    """Fractional coordinates [frames, 3, atoms] and cells [frames, 3, 3] of some frames."""
    inside = np.empty((len(frames), 3, trajectory.n_atoms))
    for k, frame in enumerate(frames):
        positions = np.asarray(trajectory.positions[frame], np.float64)
        positions = positions if shift is None else positions - shift[frame]
        inside[k] = fractional(positions, trajectory.cells[frame]).T
    return inside, np.ascontiguousarray(trajectory.cells[frames])


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
