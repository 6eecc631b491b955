"""A pair potential matched to ab initio forces: it labels thousands of frames in seconds, for a network to begin with.

Force matching (Ercolessi and Adams, Europhys. Lett., 1994): energies, forces and virials of pair potentials on cubic B-splines, of a
Coulomb term for each pair of species and of species energies are linear in their coefficients, so the best ones follow from one linear
least-squares problem.
"""

from itertools import combinations_with_replacement

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.interpolate import BSpline
from threadpoolctl import threadpool_limits
from vesin import NeighborList

from ..errors import GlasslibError
from ..potential.graph import species_index
from .frames import labels

WALL = 0.3  # Å over which the force of a wall grows by e


class PairTeacher:
    """Pair potentials V_ab(r) = c_ab S(r)/r + splines, fitted to labelled frames.

    Parameters
    ----------
    frames : list of ase.Atoms
        Labelled.
    species : sequence of str
    cutoff, reach : float
        Å; range of the splines and of the Coulomb term, which is shifted so that it and its force vanish at `reach`.
    spacing : float
        Å between knots, from `shortest` on.
    shortest : float
        Å; splines are flat below it.
    energy_weight, virial_weight : float
        Weight of energies and virials of an atom (eV) against force components (eV/Å).
    smooth : float
        Penalty on second differences of the spline coefficients.
    closest : int
        Pairs of a kind that the frames must hold below a distance for it to count as known. Below the known distances the force
        grows as exp(r / 0.3 Å) inwards, from at least 1 eV/Å on: where data end a wall begins. 0 leaves it out.
    """

    def __init__(
        self, frames, species=("O", "Na", "Si"), cutoff=6.5, reach=10.0, spacing=0.25, shortest=1.1, energy_weight=20.0,
        virial_weight=5.0, smooth=0.02, closest=20,
    ):  # fmt: skip
        if not frames:
            raise GlasslibError("no frames to match a pair potential to: give at least one labelled frame")
        self.species, self.cutoff, self.reach = tuple(species), cutoff, reach
        inner = np.linspace(shortest, cutoff, round((cutoff - shortest) / spacing) + 1)
        self.knots = np.concatenate([[shortest] * 3, inner, [cutoff] * 3])
        # The last three splines are left out: the others vanish at the cutoff with two derivatives.
        self.splines = len(self.knots) - 4 - 3
        self.pairs = list(combinations_with_replacement(range(len(self.species)), 2))
        self.known = self._known(frames, closest)
        rows, values = [], []
        for i, atoms in enumerate(frames):
            energy, forces, virial = labels(atoms, f"frame {i}")
            design, n = self._design(atoms), len(atoms)
            rows += [energy_weight / n * design[0][None], design[1]]
            values += [[energy_weight / n * energy], forces.reshape(-1)]
            if virial is not None:
                rows.append(virial_weight / n * design[2])
                values.append(virial_weight / n * virial.reshape(-1))
        rows.append(self._penalty(smooth * np.sqrt(sum(len(v) for v in values))))
        values.append(np.zeros(len(rows[-1])))
        with threadpool_limits(1):  # the same coefficients to the last bit every time
            self.coefficients = np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=1e-10)[0]

    def _known(self, frames, closest):
        """Shortest distance of each pair of species that the frames tell something about, Å."""
        distances = [[] for _ in self.pairs]
        for atoms in frames:
            for found, (*_, r) in zip(distances, self._pairs(atoms)[1], strict=True):
                found.extend(np.sort(r)[:closest])
        return [np.sort(r)[closest - 1] if 0 < closest <= len(r) else 0.0 for r in distances]

    def _radial(self, r, columns, known):
        """Potential (eV) and its slope (eV/Å) of one pair of species at distances r [n]."""
        values, slopes = (functions @ self.coefficients[columns] for functions in self._functions(np.maximum(r, known)))
        wall = np.maximum(-slopes, 1.0) * np.exp((known - r) / WALL)
        inside = r < known
        values = np.where(inside, values + WALL * (wall - np.maximum(-slopes, 1.0)), values)
        return values, np.where(inside, -wall, slopes)

    def _penalty(self, weight):
        size = len(self.pairs) * (self.splines + 1) + len(self.species)
        second = np.diff(np.eye(self.splines), 2, axis=0)
        penalty = np.zeros((len(self.pairs) * len(second) + size, size))
        for p in range(len(self.pairs)):
            begin = p * (self.splines + 1) + 1
            penalty[p * len(second) : (p + 1) * len(second), begin : begin + self.splines] = weight * second
        penalty[-size:] = 1e-4 * weight * np.eye(size)
        return penalty

    def _pairs(self, atoms):
        """Species of atoms, and for each pair of species its column range, atoms, vectors and distances."""
        kinds = species_index(atoms, self.species)
        left, right, vector = NeighborList(cutoff=self.reach, full_list=False).compute(
            points=atoms.positions, box=atoms.cell.array, periodic=atoms.pbc, quantities="ijD"
        )
        left, right, r = left.astype(int), right.astype(int), np.linalg.norm(vector, axis=1)
        low, high = np.minimum(kinds[left], kinds[right]), np.maximum(kinds[left], kinds[right])
        width, parts = self.splines + 1, []
        for p, (a, b) in enumerate(self.pairs):
            chosen = (low == a) & (high == b)
            parts.append((slice(p * width, (p + 1) * width), left[chosen], right[chosen], vector[chosen], r[chosen]))
        return kinds, parts

    def _design(self, atoms):
        """What energy [k], forces [3 atoms, k] and virial [9, k] are for each coefficient being one."""
        kinds, parts = self._pairs(atoms)
        size = len(self.pairs) * (self.splines + 1) + len(self.species)
        energy, forces, virial = np.zeros(size), np.zeros((len(atoms), 3, size)), np.zeros((3, 3, size))
        for columns, left, right, vector, r in parts:
            values, slopes = self._functions(r)
            energy[columns] = values.sum(0)
            pull = vector[:, :, None] * (slopes / r[:, None])[:, None, :]
            part = np.zeros((len(atoms), 3, self.splines + 1))
            np.add.at(part, left, pull)
            np.add.at(part, right, -pull)
            forces[:, :, columns] = part
            virial[:, :, columns] = np.einsum("pi,pjk->ijk", vector, pull)
        energy[-len(self.species) :] = np.bincount(kinds, minlength=len(self.species))
        return energy, forces.reshape(-1, size), virial.reshape(9, size)

    def _functions(self, r):
        """The Coulomb term and the splines at distances r [n], and their derivatives: two arrays [n, 1 + splines]."""
        values, slopes = np.zeros((len(r), self.splines + 1)), np.zeros((len(r), self.splines + 1))
        values[:, 0] = 1 / r - 2 / self.reach + r / self.reach**2
        slopes[:, 0] = 1 / self.reach**2 - 1 / r**2
        near = r < self.cutoff
        x = np.maximum(r[near], self.knots[0])
        basis = np.eye(len(self.knots) - 4)[: self.splines]
        spline = BSpline(self.knots, basis.T, 3)
        values[near, 1:] = spline(x)
        slopes[near, 1:] = spline.derivative()(x) * (r[near] > self.knots[0])[:, None]
        return values, slopes

    def label(self, atoms):
        """A copy of `atoms` that carries this potential's energy (eV), forces (eV/Å) and stress (eV/Å³)."""
        kinds, parts = self._pairs(atoms)
        energy, forces, virial = (
            self.coefficients[-len(self.species) :][kinds].sum(),
            np.zeros((len(atoms), 3)),
            np.zeros((3, 3)),
        )
        for (columns, left, right, vector, r), known in zip(parts, self.known, strict=True):
            values, slopes = self._radial(r, columns, known)
            pull = vector * (slopes / r)[:, None]
            energy += values.sum()
            np.add.at(forces, left, pull)
            np.add.at(forces, right, -pull)
            virial += vector.T @ pull
        made = atoms.copy()
        voigt = (virial / atoms.get_volume()).reshape(-1)[[0, 4, 8, 5, 2, 1]]
        made.calc = SinglePointCalculator(made, energy=float(energy), forces=forces, stress=voigt)
        made.info["level"] = "pair potential matched to ab initio forces"
        return made
