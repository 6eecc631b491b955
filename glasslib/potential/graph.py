"""Which atoms see each other: neighbour lists of configurations as tensors."""

from dataclasses import dataclass

import numpy as np
import torch
from ase.data import atomic_numbers
from vesin import NeighborList

from ..errors import GlasslibError

WIDEST = 10_000.0  # Å: vesin ends the process for atoms, or a long cell, of some hundred times that
SHORTEST = 1.0  # Å, of a periodic cell vector: no two atoms come so close as an atom and its image would


@dataclass(frozen=True)
class Batch:
    """Configurations put together, atoms numbered through.

    Attributes
    ----------
    species : torch.Tensor [atoms]
        Index into the potential's species.
    centre, neighbour : torch.Tensor [edges]
        Sorted by centre; both directions of every bond, once for each periodic image.
    vector : torch.Tensor [edges, 3]
        r_neighbour − r_centre, Å.
    frame : torch.Tensor [atoms]
        Configuration that the atom belongs to.
    volume : torch.Tensor [frames]
        Å³; zero where a direction is not periodic.
    n_atoms : torch.Tensor [frames]
    """

    species: torch.Tensor
    centre: torch.Tensor
    neighbour: torch.Tensor
    vector: torch.Tensor
    frame: torch.Tensor
    volume: torch.Tensor
    n_atoms: torch.Tensor


def species_index(atoms, species, name="configuration"):
    """Index of each atom's species; GlasslibError for one that is not among `species`."""
    index = np.full(119, -1)
    index[[atomic_numbers[symbol] for symbol in species]] = np.arange(len(species))
    kinds = index[atoms.numbers]
    if np.any(kinds < 0):
        stranger = atoms.symbols[int(np.argmin(kinds))]
        raise GlasslibError(
            f"{name} holds {stranger}, which this potential does not know: it was trained on {', '.join(species)}"
        )
    return kinds


def check_geometry(atoms, name="configuration"):
    """GlasslibError for positions or a cell that no neighbour list can be made of."""
    if not np.all(np.isfinite(atoms.positions)):
        bad = int(np.argmax(~np.isfinite(atoms.positions).all(1)))
        raise GlasslibError(f"{name}: the position of atom {bad} is not finite: go back to an earlier frame")
    if not np.all(np.isfinite(atoms.cell.array)):
        raise GlasslibError(f"{name}: the cell is not finite")
    heights = [np.linalg.norm(atoms.cell.array[k]) for k in range(3) if atoms.pbc[k]]
    extent = 0.0 if all(atoms.pbc) or len(atoms) == 0 else np.ptp(atoms.positions, axis=0).max()
    if max([extent, *heights]) > WIDEST:
        raise GlasslibError(
            f"{name}: atoms or cell reach over {max([extent, *heights]):.3g} Å, more than {WIDEST:g}: bring the atoms together"
        )
    if heights and (min(heights) < 1e-6 or (all(atoms.pbc) and atoms.get_volume() < 1e-6)):
        raise GlasslibError(
            f"{name}: the cell has no volume in a periodic direction: give it one or switch periodicity off"
        )
    if heights and (min(heights) < SHORTEST or (all(atoms.pbc) and len(atoms) > 8 * atoms.get_volume())):
        raise GlasslibError(
            f"{name}: {len(atoms)} atoms lie on top of their own images: the cell is too small for them"
        )


def edges(atoms, cutoff, name="configuration"):
    """Centre, neighbour, vector of all directed edges within `cutoff` (Å), sorted by centre; several images in small cells."""
    check_geometry(atoms, name)
    centre, neighbour, vector = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=atoms.pbc, quantities="ijD"
    )
    order = np.argsort(centre, kind="stable")
    return centre[order].astype(np.int64), neighbour[order].astype(np.int64), vector[order]


def build(configurations, species, cutoff, dtype=torch.float32):
    """A Batch of ase.Atoms.

    Raises
    ------
    GlasslibError
        For an unknown species, positions that are not finite, or a cell without volume.
    """
    parts, offset = [], 0
    for k, atoms in enumerate(configurations):
        name = f"configuration {k}"
        kinds = species_index(atoms, species, name)
        centre, neighbour, vector = edges(atoms, cutoff, name)
        volume = atoms.get_volume() if all(atoms.pbc) else 0.0
        parts.append((kinds, centre + offset, neighbour + offset, vector, np.full(len(atoms), k), volume, len(atoms)))
        offset += len(atoms)
    kinds, centre, neighbour, vector, frame, volume, n_atoms = zip(*parts, strict=True)

    def joined(arrays, kind=torch.long):
        return torch.as_tensor(np.concatenate(arrays)).to(kind)

    return Batch(
        joined(kinds), joined(centre), joined(neighbour), joined(vector, dtype), joined(frame),
        torch.tensor(volume, dtype=torch.float64), torch.tensor(n_atoms),
    )  # fmt: skip
