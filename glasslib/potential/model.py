"""A potential: species energies + network × scale, within bounds, + core repulsion, with forces and stress by differentiation."""

import numpy as np
import torch
from torch import nn

from .repulsion import Repulsion

ROOM = 0.25  # of the width of the bounds, by which an energy can go beyond them


def bounded(energy, bounds):
    """`energy` itself between two bounds; beyond, what levels off with a quarter of their distance to go, smooth to the second derivative.

    Where a network extrapolates it may say anything, of either sign and any size. With its word limited the core repulsion has the last one.

    Parameters
    ----------
    energy : torch.Tensor
        eV.
    bounds : (float, float) or None
        None: no bounds.
    """
    if bounds is None:
        return energy
    inside, room = energy.clamp(*bounds), ROOM * (bounds[1] - bounds[0])
    return inside + room * torch.tanh((energy - inside) / room)


class Potential(nn.Module):
    """Energy, forces and stress of configurations.

    Parameters
    ----------
    network : PaiNN
        Energies of atoms in units of `scale`.
    species_energies : sequence [species]
        Energy of an atom of each species, eV, by least squares over the training frames.
    scale : float
        Energy unit of the network, eV.
    bounds : (float, float), optional
        Energies of an atom, eV, without that of its species, between which the network is trusted; training leaves those of its frames with
        some of their range to spare on either side.
    core : dict of float, optional
        Outer radii of the core repulsion, see `Repulsion`.
    """

    def __init__(self, network, species_energies=None, scale=1.0, bounds=None, core=None):
        super().__init__()
        self.network = network
        self.repulsion = Repulsion(network.config.species, core)
        energies = np.zeros(len(self.species)) if species_energies is None else species_energies
        self.register_buffer("species_energies", torch.as_tensor(np.asarray(energies), dtype=torch.float64))
        self.scale = float(scale)
        self.bounds = bounds

    @property
    def species(self):
        """Chemical symbols that the potential knows."""
        return self.network.config.species

    @property
    def cutoff(self):
        """Reach of one interaction, Å."""
        return self.network.config.cutoff

    def atom_energies(self, batch, vector):
        """Energies [atoms] without the species energies, eV: what depends on positions."""
        edges = batch.species, batch.centre, batch.neighbour, vector
        return bounded(self.scale * self.network(*edges), self.bounds) + self.repulsion(*edges)

    def energies(self, batch):
        """Energies of frames [frames], eV, in double precision."""
        return self._total(batch, self.atom_energies(batch, batch.vector))

    def _total(self, batch, atom_energies):
        frames = torch.zeros(len(batch.n_atoms), dtype=torch.float64)
        whole = atom_energies.double() + self.species_energies[batch.species]
        return frames.index_add(0, batch.frame, whole)

    def forward(self, batch, create_graph=False):
        """Energy, forces and stress.

        All follow from g = dE/dvector on every edge: F_i = Σ g over i's own edges − Σ g over the edges that lead to i;
        stress = Σ vector ⊗ g / V.

        Returns
        -------
        dict
            energy [frames] eV, forces [atoms, 3] eV/Å, stress [frames, 3, 3] eV/Å³ (positive under tension; zero without
            a volume), atom_energy [atoms] eV.
        """
        vector = batch.vector.detach().requires_grad_()
        atom_energy = self.atom_energies(batch, vector)
        if len(vector):
            (g,) = torch.autograd.grad(atom_energy.sum(), vector, create_graph=create_graph)
        else:
            g = vector
        forces = vector.new_zeros(len(batch.species), 3).index_add(0, batch.centre, g).index_add(0, batch.neighbour, -g)
        virial = vector.new_zeros(len(batch.n_atoms), 3, 3)
        virial = virial.index_add(0, batch.frame[batch.centre], vector[:, :, None] * g[:, None])
        virial = (virial + virial.transpose(1, 2)) / 2
        volume = batch.volume.to(virial.dtype)[:, None, None]
        return {
            "energy": self._total(batch, atom_energy),
            "forces": forces,
            "stress": torch.where(volume > 0, virial / volume.clamp_min(1e-12), torch.zeros_like(virial)),
            "atom_energy": atom_energy.double() + self.species_energies[batch.species],
        }
