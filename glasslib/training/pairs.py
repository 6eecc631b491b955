"""The message step of PaiNN over undirected pairs, with its hand-written adjoint: what makes a training step cheap.

Both directions of an edge share one filter, so a pair is visited once and adds to both of its atoms; frames of a batch run on
different threads and every sum belongs to one of them, so results do not depend on the number of threads.
"""

import numba
import numpy as np
import torch


@numba.njit(parallel=True, fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _forward(phi, v, filters, unit, first, left, right, ds, dv):
    """Add x1 to ds, x2 unit + x3 v to dv, x = phi of the sending atom times the filter; unit points from left to right."""
    features = ds.shape[1]
    for frame in numba.prange(len(first) - 1):
        for p in range(first[frame], first[frame + 1]):
            i, j = left[p], right[p]
            ux, uy, uz = unit[p, 0], unit[p, 1], unit[p, 2]
            for f in range(features):
                w1, w2, w3 = filters[p, f], filters[p, features + f], filters[p, 2 * features + f]
                to_i, to_j = w2 * phi[j, features + f], w2 * phi[i, features + f]
                vj, vi = w3 * phi[j, 2 * features + f], w3 * phi[i, 2 * features + f]
                ds[i, f] += w1 * phi[j, f]
                ds[j, f] += w1 * phi[i, f]
                dv[i, 0, f] += to_i * ux + vj * v[j, 0, f]
                dv[i, 1, f] += to_i * uy + vj * v[j, 1, f]
                dv[i, 2, f] += to_i * uz + vj * v[j, 2, f]
                dv[j, 0, f] += vi * v[i, 0, f] - to_j * ux
                dv[j, 1, f] += vi * v[i, 1, f] - to_j * uy
                dv[j, 2, f] += vi * v[i, 2, f] - to_j * uz


@numba.njit(parallel=True, fastmath={"contract", "reassoc", "nsz"}, cache=True)
def _backward(phi, v, filters, unit, first, left, right, gs, gv, gphi, gvin, gfilters, gunit):
    """The transpose of `_forward`; gs and gv are the gradients of ds and dv."""
    features = gs.shape[1]
    for frame in numba.prange(len(first) - 1):
        for p in range(first[frame], first[frame + 1]):
            i, j = left[p], right[p]
            ux, uy, uz = unit[p, 0], unit[p, 1], unit[p, 2]
            gx = gy = gz = np.float32(0) * ux
            for f in range(features):
                w1, w2, w3 = filters[p, f], filters[p, features + f], filters[p, 2 * features + f]
                a1, a2, a3 = phi[i, f], phi[i, features + f], phi[i, 2 * features + f]
                b1, b2, b3 = phi[j, f], phi[j, features + f], phi[j, 2 * features + f]
                along_i = gv[i, 0, f] * ux + gv[i, 1, f] * uy + gv[i, 2, f] * uz
                along_j = -(gv[j, 0, f] * ux + gv[j, 1, f] * uy + gv[j, 2, f] * uz)
                dot_i = gv[i, 0, f] * v[j, 0, f] + gv[i, 1, f] * v[j, 1, f] + gv[i, 2, f] * v[j, 2, f]
                dot_j = gv[j, 0, f] * v[i, 0, f] + gv[j, 1, f] * v[i, 1, f] + gv[j, 2, f] * v[i, 2, f]
                gphi[j, f] += w1 * gs[i, f]
                gphi[i, f] += w1 * gs[j, f]
                gphi[j, features + f] += w2 * along_i
                gphi[i, features + f] += w2 * along_j
                gphi[j, 2 * features + f] += w3 * dot_i
                gphi[i, 2 * features + f] += w3 * dot_j
                for k in range(3):
                    gvin[j, k, f] += w3 * b3 * gv[i, k, f]
                    gvin[i, k, f] += w3 * a3 * gv[j, k, f]
                gfilters[p, f] = b1 * gs[i, f] + a1 * gs[j, f]
                gfilters[p, features + f] = b2 * along_i + a2 * along_j
                gfilters[p, 2 * features + f] = b3 * dot_i + a3 * dot_j
                gx += w2 * (b2 * gv[i, 0, f] - a2 * gv[j, 0, f])
                gy += w2 * (b2 * gv[i, 1, f] - a2 * gv[j, 1, f])
                gz += w2 * (b2 * gv[i, 2, f] - a2 * gv[j, 2, f])
            gunit[p, 0], gunit[p, 1], gunit[p, 2] = gx, gy, gz


class PairMessage(torch.autograd.Function):
    """Sums of the messages that every atom receives, differentiable once.

    `apply(phi [atoms, 3F], v [atoms, 3, F], filters [pairs, 3F], unit [pairs, 3], pairs)` gives ds [atoms, F] and dv [atoms, 3, F];
    `pairs` = (first, left, right): where each frame's pairs begin, and the two atoms of each pair; unit points left to right.
    """

    @staticmethod
    def forward(ctx, phi, v, filters, unit, pairs):
        arrays = [x.detach().contiguous().numpy() for x in (phi, v, filters, unit)]
        ds = torch.zeros(v.shape[0], v.shape[2], dtype=v.dtype)
        dv = torch.zeros_like(v, memory_format=torch.contiguous_format)
        _forward(*arrays, *pairs, ds.numpy(), dv.numpy())
        ctx.arrays, ctx.pairs = arrays, pairs
        return ds, dv

    @staticmethod
    def backward(ctx, gs, gv):
        phi, v, filters, unit = ctx.arrays
        gs, gv = gs.contiguous().numpy(), gv.contiguous().numpy()
        gphi, gvin = np.zeros_like(phi), np.zeros_like(v)
        gfilters, gunit = np.empty_like(filters), np.empty_like(unit)
        _backward(phi, v, filters, unit, *ctx.pairs, gs, gv, gphi, gvin, gfilters, gunit)
        return *(torch.from_numpy(x) for x in (gphi, gvin, gfilters, gunit)), None
