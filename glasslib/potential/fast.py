"""PaiNN on a CPU: energy, forces and stress in seven sweeps over the atoms, compiled by Numba (`kernels.py`, `geometry.py`).

What makes it fast, and the same for any number of threads:

* Atoms are worked on in fixed blocks, one thread a block; an atom gathers from its neighbours in list order, so every sum is private.
* A filter depends on the distance alone and is tabulated, value and slope, at nodes with a cubic between them; its derivative is that
  of the cubic, so that forces are exactly those of the tabulated energy.
* The adjoint gathers, too: what reaches an atom through the messages it sent comes over the same list, seen from the other end.
* With q = φ₃ ∘ v the messages are Δs_i = Σ W₁ φ₁_j and Δv_i = Σ W₂ φ₂_j r̂ + W₃ q_j: five rows of F numbers from each neighbour.
* The first layer's vectors are zero and its scalars depend on the species alone; the last layer's vectors are never needed.
"""

from importlib import import_module

import numpy as np
from threadpoolctl import ThreadpoolController

from ..errors import GlasslibError
from . import compiled, geometry, kernels
from .kernels import LANES
from .neighbours import Neighbours
from .painn import floored

PIECES_PER_ANGSTROM = 96
_BLAS = None


def blas_on_one_thread():
    """Context in which BLAS keeps to the calling thread: the blocks are already spread over the cores."""
    global _BLAS
    if _BLAS is None:
        import_module("scipy.linalg.cython_blas")  # loads the BLAS that Numba calls, so that the controller finds it
        _BLAS = ThreadpoolController()
    return _BLAS.limit(limits=1, user_api="blas")


def interleave(array):
    """[…, rows, F] → […, rows · F] in groups of 16 lanes: group by group, row by row."""
    *front, rows, size = array.shape
    grouped = array.reshape(*front, rows, size // LANES, LANES)
    return np.ascontiguousarray(np.moveaxis(grouped, -3, -2)).reshape(*front, rows * size)


class Fast:
    """A trained potential, ready for dynamics.

    Parameters
    ----------
    potential : Potential
        Its number of features must be a multiple of 16.
    skin : float
        Of the neighbour list, Å.
    """

    def __init__(self, potential, skin=0.8):
        compiled.once()
        network = potential.network
        self.size, self.cutoff, self.species = network.config.features, float(potential.cutoff), potential.species
        self.shortest = network.config.shortest
        if self.size % LANES:
            raise GlasslibError(
                f"the numba kernel needs a multiple of {LANES} features, not {self.size}: use kernel='reference'"
            )
        self.neighbours = Neighbours(self.cutoff, skin, curve=True)
        self.scale, self.species_energies = potential.scale, potential.species_energies.numpy().copy()
        self.bounds = potential.bounds or (-np.inf, np.inf)
        repulsion = potential.repulsion
        self.repulsion = [x.double().numpy().copy() for x in (repulsion.charge, repulsion.length, repulsion.outer)]
        self.pieces = round(PIECES_PER_ANGSTROM * self.cutoff)
        self.layers = [self._layer(m, u) for m, u in zip(network.messages, network.updates, strict=True)]
        last = network.readout[2]
        self.readout = (*_linear(network.readout[0]), _flat(last.weight[0]), float(last.bias.detach()))
        self.embedding = _flat(network.embedding.weight)
        with blas_on_one_thread():  # by NumPy: what PyTorch gives may depend, in the last bit, on where memory begins
            self.tables = [self._table(m.filter) for m in network.messages]
            self.first_sends = self._first_sends(network)
        self._atoms = self._edges = -1

    def _layer(self, message, update):
        mix, mix_t = (_flat(w) for w in (update.mix.weight.T, update.mix.weight))
        gate1, gate1_t, bias1 = _linear(update.gate[0])
        gate2, gate2_t, bias2 = _linear(update.gate[2])
        phi1, phi1_t, b1 = _linear(message.phi[0])
        phi2, phi2_t, b2 = _linear(message.phi[2])
        return {
            "up": (mix, gate1, bias1, gate2, bias2),
            "down": (mix, mix_t, gate1_t, gate2, bias2, gate2_t),
            "turn": (mix_t, gate1_t, gate2_t),
            "send": (phi1, b1, phi2, b2),
            "unsend": (phi1_t, phi2_t),
        }

    def _table(self, linear):
        """Filter times cutoff function, and its slope, at equally spaced nodes from zero to the cutoff."""
        weight, bias = _double(linear.weight), _double(linear.bias)
        wave = np.arange(1, weight.shape[1] + 1) * (np.pi / self.cutoff)
        r, bend = floored(np.linspace(0, self.cutoff, self.pieces + 1)[:, None], self.shortest)
        front, x = (2 / self.cutoff) ** 0.5, r / self.cutoff
        bessel = front * np.sin(r * wave) / r
        slope = front * (wave * np.cos(r * wave) / r - np.sin(r * wave) / r**2)
        cut, cut_slope = 1 - x**3 * (10 - 15 * x + 6 * x**2), -30 * x**2 * (1 - x) ** 2 / self.cutoff
        value = bessel @ weight.T + bias
        values, slopes = value * cut, (slope @ weight.T * cut + value * cut_slope) * bend
        nodes = np.stack([values, slopes * (self.cutoff / self.pieces)], 1).reshape(self.pieces + 1, 2, 3, self.size)
        return interleave(nodes.swapaxes(1, 2).reshape(self.pieces + 1, 6, self.size).astype(np.float32))

    def _first_sends(self, network):
        """What the first layer's atoms send: it depends on the species alone, and their vectors are zero."""
        dense1, _, dense2 = network.messages[0].phi
        hidden = _double(network.embedding.weight) @ _double(dense1.weight).T + _double(dense1.bias)
        hidden /= 1 + np.exp(-hidden)
        phi = (hidden @ _double(dense2.weight).T + _double(dense2.bias)).reshape(-1, 3, self.size)
        return interleave(np.concatenate([phi[:, :2], np.zeros_like(phi)], 1).astype(np.float32))

    def _room(self, atoms, edges):
        """Memory for so many atoms and listed edges; grown when needed, with some to spare."""
        F, L = self.size, len(self.layers)
        if atoms != self._atoms:
            self._atoms = atoms

            def rows(width, count=L - 1):
                return [np.empty((atoms, width), np.float32) for _ in range(count)]

            self.vectors = [v.reshape(3 * atoms, F) for v in rows(3 * F, L)]
            self.gate_hidden = rows(F)
            self.phi_hidden, self.phi3 = [None, *rows(F)], [None, *rows(F)]
            self.sends = [self.first_sends, *rows(5 * F)]
            (self.grads,) = rows(4 * F, 1)
            self.count = np.empty(atoms, np.int64)
        if edges > self._edges:
            self._edges = edges = int(1.1 * edges) + 64
            self.to, self.kind, self.piece, self.where = (np.empty(edges, np.int32) for _ in range(4))
            self.part, self.unit, self.g = (np.empty(shape, np.float32) for shape in (edges, (edges, 4), (edges, 3)))

    def compute(self, atoms, kinds):
        """Energies, forces and virial.

        Parameters
        ----------
        atoms : ase.Atoms
        kinds : np.ndarray [atoms], int64
            Index of each atom's species.

        Returns
        -------
        energies [atoms] eV, forces [atoms, 3] eV/Å, virial [3, 3] eV (dE/dε)
        """
        self.neighbours.update(atoms)
        n, first, order = len(atoms), self.neighbours.first, self.neighbours.order
        kinds = kinds[order]
        self._room(n, len(self.neighbours.neighbour))
        energy, forces, virials = np.empty(n), np.empty((n, 3)), np.empty((-(-n // geometry.SUMMED), 3, 3))
        geometry.edges(
            atoms.positions[order], np.ascontiguousarray(atoms.cell.array), kinds, first, self.neighbours.neighbour,
            self.neighbours.shift, self.cutoff, self.pieces, *self.repulsion, self.to, self.kind, self.unit, self.piece, self.part,
            self.where, self.count, self.g, energy,
        )  # fmt: skip
        s = self.embedding[kinds]
        last = len(self.layers) - 1
        places = self.unit, self.piece, self.part
        per_length, scale = np.float32(self.pieces / self.cutoff), np.float32(self.scale)
        with blas_on_one_thread():
            for k, layer in enumerate(self.layers):
                to = self.kind if k == 0 else self.to
                received = (
                    k > 0, first, self.count, to, *places, self.tables[k], self.sends[k], s, self.vectors[k]
                )  # fmt: skip
                if k == last:
                    kernels.turn(
                        *received, *layer["up"], *layer["turn"], *self.readout, scale, *self.bounds, self.grads, energy
                    )
                    break
                kernels.interact(
                    *received, self.gate_hidden[k], *layer["up"], *self.layers[k + 1]["send"], self.vectors[k + 1],
                    self.phi_hidden[k + 1], self.phi3[k + 1], self.sends[k + 1],
                )  # fmt: skip
            grads = self.grads
            for k in range(last, 0, -1):
                below = self.sends[k]  # whose own rows are the last thing that needs them
                kernels.return_messages(
                    first, self.count, self.to, *places, per_length, self.tables[k], self.sends[k], grads, self.g, self.phi3[k],
                    self.phi_hidden[k], *self.layers[k]["unsend"], self.vectors[k - 1], self.gate_hidden[k - 1],
                    *self.layers[k - 1]["down"], below,
                )  # fmt: skip
                grads = below
        kernels.return_first(
            first, self.count, self.to, *places, per_length, self.tables[0], self.sends[0], kinds, grads, self.g
        )  # fmt: skip
        geometry.collect(first, self.count, self.where, self.neighbours.back, self.unit, self.g, forces, virials)
        virial = virials.sum(0)
        energies, theirs = np.empty(n), np.empty((n, 3))  # in the caller's numbering
        energies[order], theirs[order] = energy + self.species_energies[kinds], forces
        return energies, theirs, (virial + virial.T) / 2


def _double(weight):
    return weight.detach().double().numpy()


def _flat(weight):
    return np.ascontiguousarray(weight.detach().float().numpy())


def _linear(layer):
    """Weights [in, out], their transpose, and the bias of a dense layer."""
    return _flat(layer.weight.T), _flat(layer.weight), _flat(layer.bias)
