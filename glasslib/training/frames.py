"""Labelled frames made ready for training: pairs and targets once, batches by putting them together."""

from dataclasses import dataclass

import numpy as np
import torch
from vesin import NeighborList

from ..errors import GlasslibError
from ..potential.graph import check_geometry, species_index


@dataclass(frozen=True)
class Frame:
    """One labelled frame, or several put together.

    Attributes
    ----------
    species : torch.Tensor [atoms]
        Index into the potential's species.
    left, right : torch.Tensor [pairs]
        The two atoms of each pair closer than the cutoff, every pair once (again for each periodic image).
    vector : torch.Tensor [pairs, 3]
        From left to right, Å.
    edge : torch.Tensor [2 pairs]
        Both directions of the pairs, sorted by the atom that they lead from: twice the pair, plus one from right to left.
    degree : torch.Tensor [atoms]
        How many of them belong to each atom.
    n_atoms, n_pairs : torch.Tensor [frames]
    energy, forces, virial : torch.Tensor [frames], [atoms, 3], [frames, 3, 3]
        Labels, eV and eV/Å; the virial is dE/dε.
    has_virial : torch.Tensor [frames]
        1 where the frame has a stress label, else 0.
    """

    species: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    vector: torch.Tensor
    edge: torch.Tensor
    degree: torch.Tensor
    n_atoms: torch.Tensor
    n_pairs: torch.Tensor
    energy: torch.Tensor
    forces: torch.Tensor
    virial: torch.Tensor
    has_virial: torch.Tensor


def labels(atoms, name="frame"):
    """Energy (eV), forces (eV/Å) and virial dE/dε (eV, None without a stress label) that a frame carries.

    Raises
    ------
    GlasslibError
        If energy or forces are missing, anything is not finite, or the stress is a raw one of plane waves.
    """
    if atoms.info.get("stress_kind") == "raw":
        raise GlasslibError(
            f"{name} has a raw stress, off by gigapascals for its finite basis: correct it by glasslib.reference.stress.correct(frame), or its file by `glasslib collect`"
        )
    results = atoms.calc.results if atoms.calc is not None else {}
    for key in ("energy", "forces"):
        if key not in results:
            raise GlasslibError(f"{name} has no {key}: label it, or leave it out")
    periodic = (
        atoms.pbc.all() and "stress" in results
    )  # the stress of a slab or a molecule depends on how much vacuum is counted
    virial = atoms.get_stress(voigt=False) * atoms.get_volume() if periodic else None
    for key, value in (("energy", results["energy"]), ("forces", results["forces"]), ("stress", virial)):
        if value is not None and not np.all(np.isfinite(value)):
            raise GlasslibError(f"{name} has a {key} that is not finite: leave it out")
    return float(results["energy"]), np.asarray(results["forces"], float), virial


def prepare(frames, species, cutoff, dtype=torch.float32):
    """A list of Frame, one for each ase.Atoms of `frames`.

    Parameters
    ----------
    frames : list of ase.Atoms
        With a calculator that holds energy, forces and, if there is one, stress.
    species : sequence of str
    cutoff : float
        Å.
    """
    return [_prepare(atoms, f"frame {i}", species, cutoff, dtype) for i, atoms in enumerate(frames)]


def _prepare(atoms, name, species, cutoff, dtype):
    check_geometry(atoms, name)
    kinds = species_index(atoms, species, name)
    energy, forces, virial = labels(atoms, name)
    left, right, vector = NeighborList(cutoff=cutoff, full_list=False).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=atoms.pbc, quantities="ijD"
    )
    order = np.lexsort((right, left))
    left, right, vector = left[order].astype(np.int64), right[order].astype(np.int64), vector[order]
    ends = np.concatenate([left, right])
    code = np.concatenate([2 * np.arange(len(left)), 2 * np.arange(len(left)) + 1])

    def tensor(values):
        return torch.tensor(np.asarray(values), dtype=dtype)

    return Frame(
        species=torch.tensor(kinds),
        left=torch.tensor(left),
        right=torch.tensor(right),
        vector=tensor(vector),
        edge=torch.tensor(code[np.argsort(ends, kind="stable")]),
        degree=torch.tensor(np.bincount(ends, minlength=len(atoms))),
        n_atoms=torch.tensor([len(atoms)]),
        n_pairs=torch.tensor([len(left)]),
        energy=torch.tensor([energy], dtype=torch.float64),
        forces=tensor(forces),
        virial=tensor(np.zeros((1, 3, 3)) if virial is None else virial[None]),
        has_virial=tensor([float(virial is not None)]),
    )


def collate(parts):
    """Several Frames as one, atoms and pairs numbered through."""
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in Frame.__dataclass_fields__}
    atoms = torch.tensor([len(part.species) for part in parts])
    pairs = torch.tensor([len(part.left) for part in parts])
    offset = torch.repeat_interleave(atoms.cumsum(0) - atoms, pairs)
    joined["left"] = joined["left"] + offset
    joined["right"] = joined["right"] + offset
    joined["edge"] = joined["edge"] + 2 * torch.repeat_interleave(pairs.cumsum(0) - pairs, 2 * pairs)
    return Frame(**joined)


def species_energies(frames, species):
    """Energy of an atom of each species that fits the frames' energies best, eV.

    Least squares of E/N against the atomic fractions; of the many solutions where compositions do not tell the species apart
    (stoichiometric oxides leave one direction free) the shortest.

    Parameters
    ----------
    frames : list of Frame
    species : int or sequence
        Species, or their number.

    Returns
    -------
    np.ndarray [species]
    """
    number = species if isinstance(species, int) else len(species)
    fractions = np.array(
        [np.bincount(frame.species.numpy(), minlength=number) / len(frame.species) for frame in frames]
    )
    energies = np.array([float(frame.energy) / len(frame.species) for frame in frames])
    return np.linalg.lstsq(fractions, energies, rcond=1e-8)[0]


def force_rms(frames):
    """Root of the mean square of all force components, eV/Å."""
    return float(torch.cat([frame.forces.reshape(-1) for frame in frames]).double().square().mean().sqrt())
