"""Neighbour lists of fixed width on a GPU: those of `neighbours.py`, in the same order, by a cell list in PyTorch.

All that a step needs stays on the device: the host sends positions, and reads one flag that tells whether the list
still holds.
"""

import numpy as np
import torch
from ase.geometry import complete_cell

from ..errors import GlasslibError
from .graph import check_geometry

PAIRS_AT_ONCE = 4_000_000  # candidates looked at together: bounds the memory that a rebuild takes
WIDTH = 16  # rows are a multiple of so many neighbours wide


def pairs(positions, cell, periodic, reach):
    """Every directed edge within `reach` (Å), in the order of (centre, neighbour, image), and where its reverse is.

    Parameters
    ----------
    positions : torch.Tensor [atoms, 3]
        Float64, Å; not wrapped.
    cell : np.ndarray [3, 3]
        Å; complete, also along directions that are not periodic.
    periodic : np.ndarray [3], bool

    Returns
    -------
    centre, neighbour, shift, reverse : torch.Tensor [edges], [edges], [edges, 3], [edges]
        r = positions[neighbour] − positions[centre] + shift · cell; int64.
    """
    device, n = positions.device, len(positions)
    inverse = np.linalg.inv(cell)
    lattice, wraps = torch.as_tensor(cell, device=device), torch.as_tensor(periodic, device=device)
    fractional = positions @ torch.as_tensor(inverse, device=device)
    wrap = torch.where(wraps, fractional.floor(), 0.0)
    inside, fractional = positions - wrap @ lattice, fractional - wrap
    low = torch.where(wraps, 0.0, fractional.amin(0))
    span = torch.where(wraps, 1.0, (fractional.amax(0) - low).clamp_min(1e-9))
    heights = span.cpu().numpy() / np.linalg.norm(inverse, axis=0)
    most = int(np.ceil(2 * n ** (1 / 3)))  # so that a few atoms in a large box do not make many empty bins
    bins = np.clip(np.floor(heights / reach), 1, most).astype(int)
    around = np.where(periodic, np.ceil(reach * bins / heights), np.minimum(bins - 1, 1)).astype(int)
    counts = torch.as_tensor(bins, device=device)
    place = ((fractional - low) / span * counts).long().clamp(max=counts - 1).clamp_min(0)
    stride = torch.tensor([bins[1] * bins[2], bins[2], 1], device=device)
    home = (place * stride).sum(1)
    order = torch.argsort(home, stable=True)
    population = torch.bincount(home, minlength=int(bins.prod()))
    starts, most = population.cumsum(0) - population, int(population.max())
    members = torch.full((len(population), most), -1, dtype=torch.long, device=device)
    members[home[order], torch.arange(n, device=device) - starts[home[order]]] = order

    offsets = torch.cartesian_prod(*(torch.arange(-a, a + 1, device=device) for a in around))
    chunk = max(1, PAIRS_AT_ONCE // (n * most))
    found = []
    for some in offsets.split(chunk):
        target = place[:, None] + some  # [atoms, offsets, 3]
        image = target.div(counts, rounding_mode="floor")
        allowed = (wraps | (image == 0)).all(-1)
        candidate = members[((target - image * counts) * stride).sum(-1)]  # [atoms, offsets, most]
        shift = image.double()
        away = shift[..., :1] * lattice[0] + shift[..., 1:2] * lattice[1] + shift[..., 2:] * lattice[2]
        vector = (inside[candidate] - inside[:, None, None]) + away[
            :, :, None
        ]  # exactly opposite, seen from the other end
        near = (vector.square().sum(-1) < reach**2) & (candidate >= 0) & allowed[..., None]
        itself = (candidate == torch.arange(n, device=device)[:, None, None]) & (image == 0).all(-1)[..., None]
        i, o, m = (near & ~itself).nonzero(as_tuple=True)
        found.append((i, candidate[i, o, m], image[i, o]))
    centre, neighbour, image = (torch.cat(part) for part in zip(*found, strict=True))
    shift = image + (wrap[centre] - wrap[neighbour]).long()
    return _sorted(centre, neighbour, shift, n)


def _sorted(centre, neighbour, shift, n):
    """Edges in canonical order, and the index of each one's reverse."""
    if len(centre) == 0:
        return centre, neighbour, shift, centre
    largest = shift.abs().amax(0)
    spans = [2 * s + 1 for s in largest.tolist()]
    if np.prod([float(n), float(n), *map(float, spans)]) > 2.0**62:
        raise GlasslibError("atoms lie too many cells apart for a neighbour list: wrap the positions before the run")

    def key(i, j, images):
        number = i * n + j
        for k in range(3):
            number = number * spans[k] + images[:, k] + largest[k]
        return number

    keys, order = torch.sort(key(centre, neighbour, shift))
    centre, neighbour, shift = centre[order], neighbour[order], shift[order]
    return centre, neighbour, shift, torch.searchsorted(keys, key(neighbour, centre, -shift))


class DeviceNeighbours:
    """The directed edges of a configuration as rows of fixed width; rebuilt when an atom moved half the skin.

    Parameters
    ----------
    cutoff : float
        Å.
    skin : float
        Å by which the list reaches further.
    device : torch.device

    Attributes
    ----------
    positions, cell : torch.Tensor [atoms, 3], [3, 3]
        Of the configuration last given, float64, Å.
    width : int
        K; a row's places beyond its own neighbours are not used. Grows, never shrinks.
    listed : torch.Tensor [atoms], int32
        Neighbours in each row.
    neighbour, shift : torch.Tensor [atoms, K], [atoms, K, 3], int32
        r = positions[neighbour] − positions[centre] + shift · cell.
    back : torch.Tensor [atoms, K], int64
        Number (row · K + place) of the same bond seen from the other end.
    generation : int
        Counts how often the tensors were replaced by others; between, they are filled anew in place.
    rebuilds : int
        How often the list was made.
    """

    def __init__(self, cutoff, skin=0.6, device="cpu"):
        self.cutoff, self.skin, self.device = cutoff, skin, torch.device(device)
        self.width = self.generation = self.rebuilds = 0
        self.positions = self._known = None

    def update(self, atoms):
        """Take over the positions of `atoms` and rebuild the list if they need it; returns whether they did."""
        if self.positions is None or len(self.positions) != len(atoms):
            self._known = None
            self._room(len(atoms), self.width)
        cell = complete_cell(atoms.cell.array)
        self._host.numpy()[:] = atoms.positions
        self.positions.copy_(self._host, non_blocking=True)
        if self._holds(cell, atoms.pbc):
            return False
        check_geometry(atoms)
        self._take_cell(cell)
        self._rebuild(cell, np.array(atoms.pbc))
        return True

    def forget(self):
        """Make the next `update` rebuild the list."""
        self._known = None

    def _room(self, atoms, width):
        """Tensors for so many atoms and neighbours of each."""
        whole = {"dtype": torch.int32, "device": self.device}
        self._host = torch.empty(atoms, 3, dtype=torch.float64, pin_memory=self.device.type == "cuda")
        self.positions = torch.empty(atoms, 3, dtype=torch.float64, device=self.device)
        self.cell = torch.zeros(3, 3, dtype=torch.float64, device=self.device)
        self.listed, self.neighbour = torch.zeros(atoms, **whole), torch.zeros(atoms, width, **whole)
        self.shift = torch.zeros(atoms, width, 3, **whole)
        self.back = torch.zeros(atoms, width, dtype=torch.long, device=self.device)
        self.width, self._cell = width, None
        self.generation += 1

    def _take_cell(self, cell):
        if not np.array_equal(cell, self._cell):
            self._cell = cell
            self.cell.copy_(torch.as_tensor(cell))

    def _holds(self, cell, periodic):
        if self._known is None or np.any(self._known[1] != periodic):
            return False
        made, room, reference = self._known[0], self.skin, self._reference
        if not np.array_equal(
            cell, made
        ):  # what the cell's strain moves is not counted as motion; it costs a part of the skin
            deformation = np.linalg.solve(made, cell)
            room -= np.linalg.norm(deformation - np.eye(3), 2) * (self.cutoff + self.skin)
            reference = reference @ torch.as_tensor(deformation, device=self.device)
        self._take_cell(cell)
        largest = (self.positions - reference).square().sum(1).amax()
        return room > 0 and bool(4 * largest < room**2)  # False also where a position is not a number

    def _rebuild(self, cell, periodic):
        n = len(self.positions)
        centre, neighbour, shift, reverse = pairs(self.positions, cell, periodic, self.cutoff + self.skin)
        listed = torch.bincount(centre, minlength=n)
        widest = int(listed.max())
        if widest > self.width or self.width == 0:
            positions = self.positions
            self._room(n, -(-max(1, int(1.1 * widest)) // WIDTH) * WIDTH)
            self.positions.copy_(positions)
            self._take_cell(cell)
        first = listed.cumsum(0) - listed
        number = centre * self.width + torch.arange(len(centre), device=self.device) - first[centre]
        self.listed.copy_(listed)
        self.neighbour.view(-1)[number] = neighbour.int()
        self.shift.view(-1, 3)[number] = shift.int()
        self.back.view(-1)[number] = number[reverse]
        self._known, self._reference = (cell, periodic), self.positions.clone()
        self.rebuilds += 1
