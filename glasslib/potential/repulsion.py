"""Core repulsion: the universal potential of Ziegler, Biersack & Littmark (1985), switched on where no bond is ever that short.

A network knows only distances that its training frames hold; what keeps atoms apart below them is this term. It is zero, exactly and
with two derivatives, from the outer radius of a pair on, which only colliding atoms pass. The radii are kept with a model:
its network has learned beside that core.
"""

import math

import torch
from ase import units
from ase.data import atomic_numbers, covalent_radii

# Distance from which on the repulsion is zero, Å; other pairs: 0.8 times the sum of the covalent radii. Between sodium
# ions the universal potential is too hard, and labelled frames tell down to this radius how they repel each other.
OUTER = {"OO": 1.85, "OSi": 1.28, "NaO": 1.55, "SiSi": 2.0, "NaSi": 1.95, "NaNa": 1.5}
INNER = 0.55  # fraction of the outer radius below which it is whole
COULOMB = units._e / (4 * math.pi * units._eps0) * 1e10  # e²/(4πε₀), eV Å
TERMS = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))


def outer_radius(a, b, radii=None):
    """Distance from which on the repulsion of two species is zero, Å; as `radii` ("NaO" → Å) have it, else as the table above."""
    bonds = covalent_radii[atomic_numbers[a]] + covalent_radii[atomic_numbers[b]]
    return (OUTER | (radii or {})).get("".join(sorted((a, b))), 0.8 * bonds)


class Repulsion(torch.nn.Module):
    """Energy of the core repulsion of each atom, half of every pair's.

    Parameters
    ----------
    species : sequence of str
    radii : dict of float, optional
        Outer radii, Å, of pairs such as "NaO", symbols in alphabetical order; default: those of the table above.
    """

    def __init__(self, species, radii=None):
        super().__init__()
        self.species = tuple(species)
        numbers = torch.tensor([float(atomic_numbers[s]) for s in species], dtype=torch.float64)
        power = numbers**0.23
        length = 0.88534 * units.Bohr / (power[:, None] + power)
        outer = torch.tensor([[outer_radius(a, b, radii) for b in species] for a in species], dtype=torch.float64)
        self.register_buffer("charge", (COULOMB * numbers[:, None] * numbers), persistent=False)
        self.register_buffer("length", length, persistent=False)
        self.register_buffer("outer", outer, persistent=False)

    @property
    def radii(self):
        """Outer radii of all pairs, Å, as `Repulsion` takes them."""
        pairs = [(a, b) for a in range(len(self.species)) for b in range(a, len(self.species))]
        return {"".join(sorted((self.species[a], self.species[b]))): float(self.outer[a, b]) for a, b in pairs}

    def forward(self, species, centre, neighbour, vector):
        """Energies [atoms], eV, of edges as PaiNN takes them."""
        energy = vector.new_zeros(len(species))
        a, b = species[centre], species[neighbour]
        near = (vector.detach().square().sum(1) < self.outer[a, b] ** 2).nonzero()[:, 0]
        if len(near) == 0:
            return energy
        a, b, distance = a[near], b[near], vector[near].norm(dim=1)
        return energy.index_add(0, centre[near], 0.5 * self.pair(a, b, distance))

    def pair(self, a, b, distance):
        """Energy of pairs of species indices a, b at a distance, eV."""
        x = distance / self.length[a, b].to(distance.dtype)
        screened = sum(c * torch.exp(-d * x) for c, d in TERMS)
        outer = self.outer[a, b].to(distance.dtype)
        y = ((distance / outer - INNER) / (1 - INNER)).clamp(0, 1)
        switch = 1 - y**3 * (10 - 15 * y + 6 * y**2)
        return self.charge[a, b].to(distance.dtype) / distance * screened * switch
