"""PaiNN on a GPU: Triton kernels (`triton_kernels.py`) and matrix products, replayed as one CUDA graph.

The structure is that of `fast.py`, whose tables and weights serve here, too. Every shape is fixed by the number of
atoms and the width of the neighbour list, so the whole evaluation is captured once and replayed; a step copies
positions in and results out. Without a GPU the same code runs, slowly, in Triton's interpreter: that is how it is
tested.
"""

import numpy as np
import torch
import triton
from torch.nn.functional import silu

from ..errors import GlasslibError
from . import triton_kernels as kernels
from .fast import Fast
from .gpu_neighbours import DeviceNeighbours
from .kernels import LANES
from .model import ROOM, bounded
from .repulsion import INNER, TERMS

# Numbers, edges · features, that a program holds of each quantity at a time; the interpreter is faster with more.
TILE = {"cuda": 512, "cpu": 2048}


def device():
    """The current GPU; the CPU where the kernels were loaded for Triton's interpreter."""
    compiled = isinstance(kernels.receive, triton.JITFunction)
    if compiled and not torch.cuda.is_available():
        raise GlasslibError(
            "kernel 'triton' finds no CUDA GPU: use kernel='numba', or set TRITON_INTERPRET=1 before Python starts"
        )
    return torch.device("cuda", torch.cuda.current_device()) if compiled else torch.device("cpu")


class Gpu:
    """A trained potential on the GPU, with the interface of `Fast`.

    Parameters
    ----------
    potential : Potential
        On the CPU; its number of features must be a multiple of 16.
    skin : float
        Of the neighbour list, Å.
    """

    def __init__(self, potential, skin=0.6):
        self.device = device()
        self.size, self.species = potential.network.config.features, potential.species
        self.cutoff = float(potential.cutoff)
        if self.size % LANES:
            raise GlasslibError(
                f"the triton kernel needs a multiple of {LANES} features, not {self.size}: use kernel='reference'"
            )
        fast = Fast(potential, skin)
        self.pieces, self.scale, self.species_energies = fast.pieces, fast.scale, fast.species_energies
        self.bounds = potential.bounds
        self.layers = [
            {
                "update": [self._put(w) for w in layer["up"]],
                "send": [self._put(w) for w in layer["send"]],
                "table": self._put(rows_apart(table, 6)),
            }
            for layer, table in zip(fast.layers, fast.tables, strict=True)
        ]
        out1, _, out_bias, out2, self.constant = fast.readout
        self.readout = self._put(out1), self._put(out_bias), self._put(out2)
        self.embedding, self.first_sends = self._put(fast.embedding), self._put(rows_apart(fast.first_sends, 5))
        self.repulsion = [self._put(x) for x in (*fast.repulsion, np.array(TERMS))]
        self.neighbours = DeviceNeighbours(self.cutoff, skin, self.device)
        self.lanes = triton.next_power_of_2(self.size)
        self.tile = {"F": self.size, "LANES": self.lanes, "EDGES": max(1, TILE[self.device.type] // self.lanes)}
        self._kinds = self._made = self._graph = None

    def _put(self, array):
        return torch.as_tensor(np.ascontiguousarray(array), device=self.device)

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
        try:
            return self._compute(atoms, kinds)
        except torch.OutOfMemoryError:
            self._made = self._graph = None
            raise GlasslibError(
                f"{len(atoms)} atoms do not fit into the GPU's memory: use fewer atoms, another GPU, or kernel='numba'"
            ) from None

    def _compute(self, atoms, kinds):
        self.neighbours.update(atoms)
        n, key = len(atoms), (id(self.neighbours), self.neighbours.generation)
        if self._made != key:
            self._room(n)
            self._made = key
        if not np.array_equal(self._kinds, kinds):
            self._kinds = np.array(kinds)
            self.kinds.copy_(torch.as_tensor(self._kinds))
        if self.device.type == "cuda":
            if self._graph is None:
                self._capture()
            self._graph.replay()
        else:
            self._evaluate()
        results = self.results.cpu().numpy()
        virial = results[4 * n :].reshape(3, 3)
        return results[:n] + self.species_energies[kinds], results[n : 4 * n].reshape(n, 3), (virial + virial.T) / 2

    def _room(self, n):
        """Memory whose addresses the graph keeps: for n atoms and the width of the list."""
        self._graph = self._kinds = None
        slots = n * self.neighbours.width

        def of(dtype, *shape):
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self.kinds, self.rows, self.count = of(torch.int32, n), torch.arange(n, device=self.device), of(torch.int32, n)
        self.to, self.kind, self.piece, self.where = (of(torch.int32, slots) for _ in range(4))
        self.part, self.unit, self.g = (
            of(torch.float32, slots),
            of(torch.float32, slots, 4),
            of(torch.float32, slots, 3),
        )
        self.repelled, self.virials = of(torch.float64, n), of(torch.float64, n, 9)
        self.results = of(torch.float64, 4 * n + 9)  # energies, forces, virial: one copy to the host

    def _capture(self):
        """Record the evaluation as a CUDA graph, after a first one that compiles the kernels."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._evaluate()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._evaluate()

    @torch.no_grad()
    def _evaluate(self):
        """Fill `results` from what the list holds. Sizes depend on nothing but its shape, and nothing is read back."""
        listed, n, F = self.neighbours, len(self.kinds), self.size
        grid, slots = (n,), {"SLOTS": triton.next_power_of_2(listed.width)}
        kernels.edges[grid](
            listed.positions, listed.cell, self.kinds, *self.repulsion, listed.listed, listed.neighbour, listed.shift,
            self.to, self.kind, self.unit, self.piece, self.part, self.where, self.count, self.g, self.repelled,
            listed.width, len(self.species), CUTOFF=self.cutoff, PIECES=self.pieces, INNER=INNER, TERMS=len(TERMS),
            **slots,
        )  # fmt: skip
        s, v, kept = self.embedding[self.kinds], None, []
        sends, to, own = self.first_sends, self.kind, self.kinds
        last = len(self.layers) - 1
        for k, layer in enumerate(self.layers):
            s_message, v_message = torch.empty_like(s), s.new_empty(n, 3, F)
            kernels.receive[grid](
                self.count, to, self.unit, self.piece, self.part, layer["table"], sends, s, s if v is None else v,
                s_message, v_message,
                listed.width, DEEP=k > 0, **self.tile,
            )  # fmt: skip
            keep = {"sends": sends, "own": own, "v": v}
            s, v = self._update(layer["update"], s_message, v_message, keep)
            kept.append(keep)
            if k < last:
                phi1, b1, phi2, b2 = self.layers[k + 1]["send"]
                keep["phi hidden"] = torch.addmm(b1, s, phi1)
                phi = torch.addmm(b2, silu(keep["phi hidden"]), phi2).view(n, 3, F)
                keep["phi3"] = phi[:, 2:]
                sends, to, own = torch.cat([phi[:, :2], phi[:, 2:] * v], 1), self.to, self.rows
        out1, bias, out2 = self.readout
        hidden = torch.addmm(bias, s, out1)
        energy = (silu(hidden).double() @ out2.double() + self.constant) * self.scale
        level, slope = self._bounded(energy)
        self.results[:n] = self.repelled + level
        gs = silu_back(out2 * (self.scale * slope.float()[:, None]), hidden) @ out1.T
        self._return(gs, torch.zeros_like(v_message), kept)
        forces = self.results[n : 4 * n]
        kernels.collect[grid](
            listed.listed, self.where, listed.back, self.unit, self.g, forces, self.virials, listed.width, **slots
        )
        self.results[4 * n :] = self.virials.sum(0)

    def _bounded(self, energy):
        """`model.bounded`, and its derivative."""
        if self.bounds is None:
            return energy, torch.ones_like(energy)
        level, room = bounded(energy, self.bounds), ROOM * (self.bounds[1] - self.bounds[0])
        return level, 1 - ((level - energy.clamp(*self.bounds)) / room) ** 2

    def _update(self, weights, s, v, keep):
        """Mixing of the atoms' own s [atoms, F] and v [atoms, 3, F]; what its adjoint needs goes into `keep`."""
        mix, gate1, bias1, gate2, bias2 = weights
        u, w = (v @ mix).chunk(2, -1)
        norm = torch.sqrt(w.square().sum(1) + 1e-8)
        hidden = torch.addmm(bias1, torch.cat([s, norm], 1), gate1)
        gate, along, plain = torch.addmm(bias2, silu(hidden), gate2).chunk(3, 1)
        dot = (u * w).sum(1)
        keep["update"] = u, w, norm, hidden, gate, along, dot
        return s + plain + along * dot, v + gate[:, None] * u

    def _update_back(self, weights, gs, gv, keep):
        """Gradients [atoms, 4, F] of what came into an update, from those of what left it: gs, gv as s, v."""
        mix, gate1, _, gate2, _ = weights
        u, w, norm, hidden, gate, along, dot = keep["update"]
        back = torch.cat([(gv * u).sum(1), gs * dot, gs], 1) @ gate2.T
        inputs = silu_back(back, hidden) @ gate1.T
        both, away = (gs * along)[:, None], (inputs[:, self.size :] / norm)[:, None]
        mixed = torch.cat([gv * gate[:, None] + both * w, both * u + away * w], -1)
        return torch.cat([(gs + inputs[:, : self.size])[:, None], gv + mixed @ mix.T], 1)

    def _return(self, gs, gv, kept):
        """The adjoint from the top to the edges' vectors: fills `g`."""
        n, F = gs.shape
        for k in range(len(self.layers) - 1, -1, -1):
            layer, keep = self.layers[k], kept[k]
            grads = self._update_back(layer["update"], gs, gv, keep)
            out = grads.new_empty(n, 5, F) if k else grads
            kernels.give_back[(n,)](
                self.count, self.to, self.unit, self.piece, self.part, layer["table"], keep["sends"], keep["own"],
                grads, out, self.g, self.neighbours.width, SCALE=self.pieces / self.cutoff, DEEP=k > 0, **self.tile,
            )  # fmt: skip
            if k:
                phi1, _, phi2, _ = layer["send"]
                below, vectors = kept[k - 1], out[:, 2:]
                back = torch.cat([out[:, :2].flatten(1), (vectors * keep["v"]).sum(1)], 1) @ phi2.T
                gs = grads[:, 0] + silu_back(back, below["phi hidden"]) @ phi1.T
                gv = grads[:, 1:] + below["phi3"] * vectors


def silu_back(gradient, x):
    """`gradient` times the derivative of x σ(x)."""
    return torch.ops.aten.silu_backward(gradient, x)


def rows_apart(array, rows):
    """[…, rows · F] in the groups of 16 lanes of `kernels.py` → […, rows, F], one row after the other."""
    *front, total = array.shape
    grouped = array.reshape(*front, total // (rows * LANES), rows, LANES)
    return np.moveaxis(grouped, -2, -3).reshape(*front, rows, total // rows)
