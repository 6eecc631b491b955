"""Neighbour lists with a skin, for dynamics: rebuilt only when an atom has moved far enough to matter.

Atoms are numbered along a curve through the cell, so that what a block of them gathers from its neighbours lies close together in memory. The numbering is
chosen once and kept until `forget`, and every list is put in one canonical order (centre, neighbour, image): so forces do not depend, bit for bit, on
when it was last rebuilt. Positions are never wrapped; atoms may wander any number of cells.
"""

import numba
import numpy as np
from ase.geometry import complete_cell
from vesin import NeighborList

from ..errors import GlasslibError
from .graph import check_geometry

FEW = 1000  # atoms whose list one thread makes sooner than several


@numba.njit(parallel=True, cache=True)
def _rows(centre, neighbour, shift, low, spans, n):
    """The edges as rows, one for each centre, each in the order of (neighbour, image): first, neighbour, shift."""
    first = np.zeros(n + 1, np.int64)
    for e in range(len(centre)):
        first[centre[e] + 1] += 1
    for i in range(n):
        first[i + 1] += first[i]
    free, scattered = first[:-1].copy(), np.empty(len(centre), np.int32)
    for e in range(len(centre)):
        scattered[free[centre[e]]] = e
        free[centre[e]] += 1
    neighbours, shifts = np.empty(len(centre), np.int32), np.empty((len(centre), 3), np.int16)
    for i in numba.prange(n):
        row = scattered[first[i] : first[i + 1]]
        keys = np.empty(len(row), np.int64)
        for k in range(len(row)):
            e = row[k]
            key = np.int64(neighbour[e])
            for c in range(3):
                key = key * spans[c] + (shift[e, c] - low[c])
            at = k
            while at > 0 and keys[at - 1] > key:  # some dozen edges: nothing sorts them faster
                keys[at], row[at] = keys[at - 1], row[at - 1]
                at -= 1
            keys[at], row[at] = key, e
        for k in range(len(row)):
            neighbours[first[i] + k] = neighbour[row[k]]
            for c in range(3):
                shifts[first[i] + k, c] = shift[row[k], c]
    return first, neighbours, shifts


@numba.njit(parallel=True, cache=True)
def _reverse(first, neighbour, shift):
    """Index of the edge that leads back, for every edge; the list is symmetric and its rows are sorted by (neighbour, image)."""
    back = np.empty(len(neighbour), np.int32)
    for i in numba.prange(len(first) - 1):
        for e in range(first[i], first[i + 1]):
            j = neighbour[e]
            low, high = first[j], first[j + 1]
            while low < high:
                middle = (low + high) // 2
                less = neighbour[middle] < i
                if neighbour[middle] == i:
                    for k in range(3):
                        if shift[middle, k] != -shift[e, k]:
                            less = shift[middle, k] < -shift[e, k]
                            break
                if less:
                    low = middle + 1
                else:
                    high = middle
            back[e] = low
    return back


def along_curve(positions, cell):
    """Order of atoms along Morton's curve (bits of three grid indices interleaved) through a grid of some 2.5 Å."""
    cell = complete_cell(cell)
    inside = np.linalg.solve(cell.T, positions.T).T % 1.0
    bits = np.clip(np.ceil(np.log2(np.linalg.norm(cell, axis=1) / 2.5)), 1, 20).astype(np.int64)
    grid = np.minimum(inside * 2**bits, 2**bits - 1).astype(np.int64)
    key = np.zeros(len(positions), np.int64)
    for bit in range(bits.max() - 1, -1, -1):
        for axis in range(3):
            if bit < bits[axis]:
                key = 2 * key + (grid[:, axis] >> bit & 1)
    return np.argsort(key, kind="stable")


class Neighbours:
    """The directed edges of a configuration, as rows that start at `first`.

    Parameters
    ----------
    cutoff : float
        Å.
    skin : float
        Å by which the list reaches further; it holds as long as no two atoms can have come closer by more than that.
    curve : bool
        Number the atoms along a curve, in place of the caller's numbering.

    Attributes
    ----------
    order : np.ndarray [atoms], int64
        The caller's numbers of the atoms in the list's numbering, which everything below is in.
    first : np.ndarray [atoms + 1], int64
        Where each atom's edges begin.
    neighbour : np.ndarray [edges], int32
    shift : np.ndarray [edges, 3], int16
        Periodic image in units of the cell: r = positions[neighbour] − positions[centre] + shift · cell.
    back : np.ndarray [edges], int32
        The same bond seen from the other end.
    rebuilds : int
        How often the list was made.
    """

    def __init__(self, cutoff, skin=0.6, curve=False):
        self.cutoff, self.skin, self.curve = cutoff, skin, curve
        self.rebuilds = 0
        self.forget()

    def update(self, atoms):
        """Rebuild the list if `atoms` needs it; returns whether it did."""
        if self._holds(atoms):
            return False
        check_geometry(atoms)
        positions, cell, periodic = atoms.positions, atoms.cell.array, atoms.pbc
        if self.order is None or len(self.order) != len(atoms):
            self.order = along_curve(positions, cell) if self.curve else np.arange(len(atoms))
        # room for the new ones; without positions no half list passes for a whole one where this is broken off
        self.neighbour = self.shift = self.back = self.positions = None
        threads = numba.get_num_threads() if len(atoms) > FEW else 1
        search = NeighborList(cutoff=self.cutoff + self.skin, full_list=True, n_threads=threads)
        found = search.compute(positions[self.order], cell, periodic, "ijS", copy=False)
        centre, neighbour, shift = (part.astype(np.int32) for part in found)
        del found, search  # frees the memory that `found` shows
        low = shift.min(0, initial=0)
        spans = shift.max(0, initial=0).astype(np.int64) - low + 1
        if np.prod([float(len(atoms)), *spans.astype(float)]) > 2.0**62 or spans.max() >= 2**15:
            raise GlasslibError(
                "atoms lie too many cells apart for a neighbour list: wrap the positions before the run"
            )
        self.first, self.neighbour, self.shift = _rows(centre, neighbour, shift, low, spans, len(atoms))
        self.back = _reverse(self.first, self.neighbour, self.shift)
        self.positions, self.cell, self.periodic = positions.copy(), cell.copy(), periodic.copy()
        self.rebuilds += 1
        return True

    def forget(self):
        """Make the next `update` rebuild the list and number the atoms anew."""
        self.positions = self.order = None

    def _holds(self, atoms):
        if self.positions is None or len(self.positions) != len(atoms) or np.any(self.periodic != atoms.pbc):
            return False
        cell = atoms.cell.array
        if np.array_equal(cell, self.cell):
            moved, room = atoms.positions - self.positions, self.skin
        else:  # what the cell's strain moves is not counted as motion; it costs a part of the skin
            deformation = np.linalg.solve(complete_cell(self.cell), complete_cell(cell))
            strain = np.linalg.norm(deformation - np.eye(3), 2)
            moved = atoms.positions - self.positions @ deformation
            room = self.skin - strain * (self.cutoff + self.skin)
        largest = np.einsum("ij,ij->i", moved, moved).max(initial=0.0)
        return bool(room > 0 and 4 * largest < room**2)  # False also where a position is not a number
