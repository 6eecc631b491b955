"""The message step of PaiNN with its hand-written adjoint: compiled loops that make a training step cheap.

Every atom gathers from its neighbours, so each sum is private to one loop and comes out the same whatever the number of threads. Both
directions of a pair share one filter. An atom's numbers of several kinds ("rows") lie interleaved in groups of 16 lanes: one group of
every row is a constant offset away, and loops over lanes become vector instructions.
"""

import numba
import numpy as np
import torch

from .config import LANES

FAST = {"contract", "reassoc", "nsz"}


@numba.njit(parallel=True, fastmath=FAST, cache=True)
def _gather(sends, filters, unit, begin, edge, left, right, out):
    """out = Σ over neighbours of W₁ a₁, W₂ a₂ r̂ (3) + W₃ q (3), from rows a₁, a₂, q (3) of `sends`."""
    groups = filters.shape[1] // (3 * LANES)
    for i in numba.prange(len(begin) - 1):
        mine = out[i]
        for e in range(begin[i], begin[i + 1]):
            p = edge[e] >> 1
            back = edge[e] & 1
            j = left[p] if back else right[p]
            sign = unit.dtype.type(1 - 2 * back)
            ux, uy, uz = sign * unit[p, 0], sign * unit[p, 1], sign * unit[p, 2]
            row, w = sends[j], filters[p]
            for c in range(groups):
                a, b, o = c * 5 * LANES, c * 3 * LANES, c * 4 * LANES
                for k in range(LANES):
                    along, w3 = w[b + 16 + k] * row[a + 16 + k], w[b + 32 + k]
                    mine[o + k] += w[b + k] * row[a + k]
                    mine[o + 16 + k] += along * ux + w3 * row[a + 32 + k]
                    mine[o + 32 + k] += along * uy + w3 * row[a + 48 + k]
                    mine[o + 48 + k] += along * uz + w3 * row[a + 64 + k]


@numba.njit(parallel=True, fastmath=FAST, cache=True)
def _give_back(sends, filters, unit, begin, edge, left, right, frames, grads, gsends, gfilters, gunit):
    """The transpose of `_gather`: `grads` belongs to `out`. An atom of a frame adds to its pairs' filters after another one has, so
    threads share out frames."""
    groups = filters.shape[1] // (3 * LANES)
    for f in numba.prange(len(frames) - 1):
        for j in range(frames[f], frames[f + 1]):
            row, mine = sends[j], gsends[j]
            for e in range(begin[j], begin[j + 1]):
                p = edge[e] >> 1
                back = edge[e] & 1
                i = left[p] if back else right[p]
                sign = unit.dtype.type(2 * back - 1)  # the message ran from j to i: its direction points to j
                ux, uy, uz = sign * unit[p, 0], sign * unit[p, 1], sign * unit[p, 2]
                g, w, gw = grads[i], filters[p], gfilters[p]
                gx = gy = gz = unit.dtype.type(0)
                for c in range(groups):
                    a, b, o = c * 5 * LANES, c * 3 * LANES, c * 4 * LANES
                    for k in range(LANES):
                        g0, g1, g2, g3 = g[o + k], g[o + 16 + k], g[o + 32 + k], g[o + 48 + k]
                        w2, w3, along = w[b + 16 + k], w[b + 32 + k], g1 * ux + g2 * uy + g3 * uz
                        a2 = row[a + 16 + k]
                        mine[a + k] += w[b + k] * g0
                        mine[a + 16 + k] += w2 * along
                        mine[a + 32 + k] += w3 * g1
                        mine[a + 48 + k] += w3 * g2
                        mine[a + 64 + k] += w3 * g3
                        gw[b + k] += row[a + k] * g0
                        gw[b + 16 + k] += a2 * along
                        gw[b + 32 + k] += row[a + 32 + k] * g1 + row[a + 48 + k] * g2 + row[a + 64 + k] * g3
                        push = w2 * a2
                        gx += push * g1
                        gy += push * g2
                        gz += push * g3
                gunit[p, 0] += sign * gx
                gunit[p, 1] += sign * gy
                gunit[p, 2] += sign * gz


class Gather(torch.autograd.Function):
    """`apply(sends [atoms, 5F], filters [pairs, 3F], unit [pairs, 3], topology)` gives sums [atoms, 4F], differentiable once.

    topology = (begin, edge, left, right, frames): where each atom's edges begin; twice the pair of each edge, plus one where the edge
    leads from right to left; the two atoms of each pair; where each frame's atoms begin. unit points from left to right.
    """

    @staticmethod
    def forward(ctx, sends, filters, unit, topology):
        arrays = [x.detach().contiguous().numpy() for x in (sends, filters, unit)]
        out = torch.zeros(len(sends), sends.shape[1] // 5 * 4, dtype=sends.dtype)
        _gather(*arrays, *topology[:4], out.numpy())
        ctx.arrays, ctx.topology = arrays, topology
        return out

    @staticmethod
    def backward(ctx, grads):
        gradients = [np.zeros_like(x) for x in ctx.arrays]
        _give_back(*ctx.arrays, *ctx.topology, grads.contiguous().numpy(), *gradients)
        return *(torch.from_numpy(x) for x in gradients), None


def messages(phi, v, filters, unit, topology):
    """Δs [atoms, F] and Δv [atoms, 3, F] of PaiNN's message step; phi [atoms, 3F], v [atoms, 3, F], filters interleaved [pairs, 3F]."""
    atoms, _, size = v.shape
    sends = torch.cat([phi.view(atoms, 3, size)[:, :2], phi[:, None, 2 * size :] * v], 1)
    out = Gather.apply(interleave(sends), filters, unit, topology).view(atoms, -1, 4, LANES)
    out = out.transpose(1, 2).reshape(atoms, 4, size)
    return out[:, 0], out[:, 1:]


def interleave(rows):
    """rows [n, kinds, F] → [n, kinds · F] with groups of 16 lanes of all kinds side by side."""
    n, kinds, size = rows.shape
    return rows.view(n, kinds, size // LANES, LANES).transpose(1, 2).reshape(n, kinds * size)
