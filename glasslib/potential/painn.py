"""PaiNN, the polarizable atom interaction network: Schütt, Unke & Gastegger, ICML (2021), arXiv:2102.03150.

Every atom i carries F scalar features s_i [F] and F vector features v_i [3, F]. Three times over, atoms within the cutoff exchange
messages and every atom then mixes its own features; the energy of an atom is read from its final scalars. Scalars are built from
scalars, norms and inner products only, vectors from vectors and bond directions times scalars, so energies are invariant, and vectors
turn with the system, exactly.

    message   Δs_i = Σ_j φ₁(s_j) ∘ W₁(r_ij)
              Δv_i = Σ_j φ₂(s_j) ∘ W₂(r_ij) r̂_ij + φ₃(s_j) ∘ W₃(r_ij) ∘ v_j        r_ij = r_j − r_i
    update    Δv_i = a_vv ∘ U v_i
              Δs_i = a_ss + a_sv ∘ ⟨U v_i, V v_i⟩                                     a = a(s_i, ‖V v_i‖)

Departures from the article: Bessel functions are cut off by a polynomial with two continuous derivatives, not by a cosine with one, so
that forces are smooth where neighbours come and go; below distances that training frames hold, filters stay as they are there (`floored`), for the
network would extrapolate to any number; the bond direction points from the centre to its neighbour.
"""

import math
from dataclasses import asdict, dataclass

import torch
from ase.data import atomic_numbers
from torch import nn

from ..errors import GlasslibError, shown

MOST_WEIGHTS = 10**8
NEAR = 0.1  # of the shortest distance, on either side of it: where `floored` bends


@dataclass(frozen=True)
class PaiNNConfig:
    """Sizes of the network: F features, number of interactions, number of radial functions, cutoff in Å; and the shortest distance that it tells, Å."""

    species: tuple = ("O", "Na", "Si")
    features: int = 64
    interactions: int = 3
    radial: int = 20
    cutoff: float = 5.0
    shortest: float = 1.0

    def __post_init__(self):
        for name in ("features", "interactions", "radial"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise GlasslibError(f"PaiNN's {name} must be a whole number above zero, not {shown(value)}")
        if self.interactions * self.features * (13 * self.features + 3 * self.radial) > MOST_WEIGHTS:
            raise GlasslibError(
                f"PaiNN of these features, interactions and radial has over {MOST_WEIGHTS:.0e} weights: lower them"
            )
        if not (isinstance(self.cutoff, (int, float)) and 0 < self.cutoff < 50):
            raise GlasslibError(f"PaiNN's cutoff must be between 0 and 50 Å, not {shown(self.cutoff)}")
        if not (isinstance(self.shortest, (int, float)) and 0 < (1 + NEAR) * self.shortest < self.cutoff):
            raise GlasslibError(
                f"PaiNN's shortest distance must be above zero and below its cutoff, not {shown(self.shortest)}"
            )
        known = isinstance(self.species, (tuple, list)) and all(
            isinstance(s, str) and atomic_numbers.get(s, 0) > 0 for s in self.species
        )
        if not known or not self.species or len(set(self.species)) < len(self.species):
            raise GlasslibError(f"PaiNN's species must be different chemical symbols, not {shown(self.species)}")


def floored(distance, shortest):
    """A distance as the network takes it, and its derivative: itself from 1.1 `shortest` on, `shortest` below 0.9, smooth to the second derivative between.

    Parameters
    ----------
    distance : torch.Tensor or np.ndarray
        Å.
    shortest : float
        Å.
    """
    low, width = (1 - NEAR) * shortest, 2 * NEAR * shortest
    u = ((low + width - distance) / width).clip(0, 1)
    return distance.clip(min=low) + width * (u**3 - u**4 / 2), 1 - 3 * u**2 + 2 * u**3


class RadialBasis(nn.Module):
    """Bessel functions √(2/c) sin(nπr/c)/r, n = 1 … radial (Gasteiger, Groß & Günnemann, ICLR, 2020), and the cutoff function."""

    def __init__(self, radial, cutoff, shortest=1.0):
        super().__init__()
        self.cutoff, self.shortest = cutoff, shortest
        self.register_buffer("wave", torch.arange(1, radial + 1) * (math.pi / cutoff), persistent=False)

    def forward(self, distance):
        """distance [edges] → basis [edges, radial] and cutoff function [edges]: zero with two derivatives at r = c."""
        distance = floored(distance, self.shortest)[0]
        x = (distance / self.cutoff).clamp(max=1.0)
        cut = 1 - x**3 * (10 - 15 * x + 6 * x**2)
        basis = math.sqrt(2 / self.cutoff) * torch.sin(distance[:, None] * self.wave) / distance[:, None]
        return basis, cut


class Message(nn.Module):
    """Sum over the neighbours of each atom, filtered by distance."""

    def __init__(self, features, radial):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(features, features), nn.SiLU(), nn.Linear(features, 3 * features))
        self.filter = nn.Linear(radial, 3 * features)

    def forward(self, s, v, centre, neighbour, unit, basis, cut):
        """s [atoms, F], v [atoms, 3, F], unit [edges, 3] → Δs, Δv."""
        x = self.phi(s)[neighbour] * (self.filter(basis) * cut[:, None])
        x1, x2, x3 = x.chunk(3, dim=-1)
        ds = torch.zeros_like(s).index_add(0, centre, x1)
        dv = torch.zeros_like(v).index_add(0, centre, unit[:, :, None] * x2[:, None] + v[neighbour] * x3[:, None])
        return ds, dv


class Update(nn.Module):
    """Mixing of an atom's own scalars and vectors."""

    def __init__(self, features):
        super().__init__()
        self.mix = nn.Linear(features, 2 * features, bias=False)
        self.gate = nn.Sequential(nn.Linear(2 * features, features), nn.SiLU(), nn.Linear(features, 3 * features))

    def forward(self, s, v):
        """s [atoms, F], v [atoms, 3, F] → the same, updated."""
        u, w = self.mix(v).chunk(2, dim=-1)
        norm = torch.sqrt(w.square().sum(1) + 1e-8)  # never quite zero, so that its derivative exists
        a_vv, a_sv, a_ss = self.gate(torch.cat([s, norm], -1)).chunk(3, dim=-1)
        return s + a_ss + a_sv * (u * w).sum(1), v + a_vv[:, None] * u


class PaiNN(nn.Module):
    """The network; keywords are the fields of PaiNNConfig."""

    def __init__(self, **config):
        super().__init__()
        self.config = PaiNNConfig(**config | ({"species": tuple(config["species"])} if "species" in config else {}))
        size, radial = self.config.features, self.config.radial
        self.embedding = nn.Embedding(len(self.config.species), size)
        self.basis = RadialBasis(radial, self.config.cutoff, self.config.shortest)
        self.messages = nn.ModuleList(Message(size, radial) for _ in range(self.config.interactions))
        self.updates = nn.ModuleList(Update(size) for _ in range(self.config.interactions))
        self.readout = nn.Sequential(nn.Linear(size, size // 2 or 1), nn.SiLU(), nn.Linear(size // 2 or 1, 1))

    def forward(self, species, centre, neighbour, vector):
        """Energies of atoms, in units of the potential's scale.

        Parameters
        ----------
        species : torch.Tensor [atoms], integer
            Index into `config.species`.
        centre, neighbour : torch.Tensor [edges], integer
            Both directions of every bond.
        vector : torch.Tensor [edges, 3]
            r_neighbour − r_centre, periodic image included, Å.

        Returns
        -------
        torch.Tensor [atoms]
        """
        distance = vector.norm(dim=1)
        unit = vector / distance[:, None]
        basis, cut = self.basis(distance)
        s = self.embedding(species)
        v = s.new_zeros(len(s), 3, s.shape[1])
        for message, update in zip(self.messages, self.updates, strict=True):
            ds, dv = message(s, v, centre, neighbour, unit, basis, cut)
            s, v = update(s + ds, v + dv)
        return self.readout(s)[:, 0]

    def describe(self):
        """The configuration as plain data."""
        return asdict(self.config) | {"species": list(self.config.species)}
