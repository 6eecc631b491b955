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


@numba.njit(cache=True)
def _reverse(first, neighbour, shift):
    """Index of the edge that leads back, for every edge; the list is symmetric and sorted by (neighbour, image)."""
    back = np.empty(len(neighbour), np.int32)
    for i in range(len(first) - 1):
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


def _canonical(centre, neighbour, shift, n):
    """One integer for each edge, in the order of (centre, neighbour, image)."""
    low = shift.min(0, initial=0)
    spans = shift.max(0, initial=0) - low + 1
    key = centre.astype(np.int64) * n + neighbour.astype(np.int64)
    if np.prod([float(n), float(n), *spans.astype(float)]) > 2.0**62 or np.abs(shift).max(initial=0) >= 2**15:
        raise GlasslibError("atoms lie too many cells apart for a neighbour list: wrap the positions before the run")
    for k in range(3):
        key = key * spans[k] + (shift[:, k] - low[k])
    return key


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
        # One thread: the order within a row is then the same on every machine, and sorting makes it canonical.
        if self.order is None or len(self.order) != len(atoms):
            self.order = along_curve(positions, cell) if self.curve else np.arange(len(atoms))
        self.neighbour = self.shift = self.back = None  # room for the new ones
        search = NeighborList(cutoff=self.cutoff + self.skin, full_list=True)
        centre, neighbour, shift = search.compute(
            points=positions[self.order], box=cell, periodic=periodic, quantities="ijS"
        )
        order = np.argsort(_canonical(centre, neighbour, shift, len(atoms)))
        self.neighbour = neighbour[order].astype(np.int32)
        self.shift = shift[order].astype(np.int16)
        self.first = np.concatenate([[0], np.bincount(centre, minlength=len(atoms)).cumsum()]).astype(np.int64)
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
