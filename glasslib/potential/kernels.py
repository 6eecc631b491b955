"""Compiled loops of the fast PaiNN: messages, their adjoint, and the dense layers of a block of atoms.

Layout: an atom's F numbers of several kinds ("rows") lie interleaved in groups of 16 lanes, so that one group of every row is a
constant offset away and loops over lanes become vector instructions: `sends` [atoms × 5F] = φ₁, φ₂, q (3); `grads` [atoms × 4F, at least] =
g_s, g_v (3); a filter's `table` [nodes × 6F] = value and slope of W₁, W₂, W₃, slopes in the unit of the nodes' distance.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import prange
from numba.extending import intrinsic

from .model import ROOM

LANES = 16
FAST = {"contract", "reassoc", "nsz", "arcp"}  # all but the assumption that nothing is infinite or not a number
f32 = np.float32


@numba.njit(cache=True)
def block_size(n, size):
    """Atoms that one thread works on at a time: many for the dense layers, few enough for the cache and for sharing out. Of nothing but
    the numbers of atoms and features, so that no result depends on the threads."""
    most, parts = (64, 12) if size <= 64 else (128, 8)
    return min(most, max(8, (n + parts - 1) // parts))


@intrinsic
def _float_of_bits(context, bits):
    """The float32 whose bits are those of an int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return numba.float32(numba.int32), generate


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def sigmoid(x):
    """1 / (1 + e^-x) to float32 rounding, in operations that vectorise: e^y = 2^k e^r with |r| ≤ ln 2 / 2."""
    y = min(max(-x, f32(-80.0)), f32(80.0))
    k = np.floor(y * f32(1.44269504) + f32(0.5))
    r = (y - k * f32(0.693145752)) - k * f32(1.42860677e-6)
    p = f32(1 / 24) + r * (f32(1 / 120) + r * (f32(1 / 720) + r * f32(1 / 5040)))
    p = f32(1.0) + r * (f32(1.0) + r * (f32(0.5) + r * (f32(1 / 6) + r * p)))
    return f32(1.0) / (f32(1.0) + p * _float_of_bits((np.int32(k) + np.int32(127)) << np.int32(23)))


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def hermite(t):
    """Weights of value and slope at this node and at the next, of the cubic through them."""
    u = f32(1) - t
    return u * u * (f32(1) + t + t), t * u * u, t * t * (f32(1) + u + u), -t * t * u


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def hermite_slope(t):
    """Derivatives of the weights of `hermite`; those of the two values differ in sign only."""
    u = f32(1) - t
    return -f32(6) * t * u, u * (u - t - t), t * (t - u - u)


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def receive(start, stop, to, unit, piece, part, table, sends, out, size, deep):
    """Messages that an atom receives over its edges: out = Δs, Δv (3). `deep`: the senders have vectors (not so in the first layer)."""
    out[: 4 * size] = f32(0)
    for e in range(start, stop):
        ux, uy, uz = unit[e, 0], unit[e, 1], unit[e, 2]
        h0, h1, h2, h3 = hermite(part[e])
        row, w, x = sends[to[e]], table[piece[e]], table[piece[e] + 1]
        for c in range(size // LANES):
            a, p, o = c * 5 * LANES, c * 6 * LANES, c * 4 * LANES
            for k in range(LANES):
                w1 = h0 * w[p + k] + h1 * w[p + 16 + k] + h2 * x[p + k] + h3 * x[p + 16 + k]
                w2 = h0 * w[p + 32 + k] + h1 * w[p + 48 + k] + h2 * x[p + 32 + k] + h3 * x[p + 48 + k]
                along = w2 * row[a + 16 + k]
                out[o + k] += w1 * row[a + k]
                if deep:
                    w3 = h0 * w[p + 64 + k] + h1 * w[p + 80 + k] + h2 * x[p + 64 + k] + h3 * x[p + 80 + k]
                    out[o + 16 + k] += along * ux + w3 * row[a + 32 + k]
                    out[o + 32 + k] += along * uy + w3 * row[a + 48 + k]
                    out[o + 48 + k] += along * uz + w3 * row[a + 64 + k]
                else:
                    out[o + 16 + k] += along * ux
                    out[o + 32 + k] += along * uy
                    out[o + 48 + k] += along * uz


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def give_back(start, stop, to, unit, piece, part, scale, table, row, grads, out, g, size, deep):
    """Gradients that come back to an atom through the messages it sent, out = Σ W₁ g_s, Σ W₂ g_v·r̂, Σ W₃ g_v (3), and those with
    respect to the vector of each message, added to `g`; that vector runs from receiver to sender, against `unit`."""
    out[: 5 * size] = f32(0)
    for e in range(start, stop):
        ux, uy, uz, r = -unit[e, 0], -unit[e, 1], -unit[e, 2], unit[e, 3]
        h0, h1, h2, h3 = hermite(part[e])
        d0, d1, d3 = hermite_slope(part[e])
        grad, w, x = grads[to[e]], table[piece[e]], table[piece[e] + 1]
        slope = px = py = pz = f32(0)
        for c in range(size // LANES):
            a, p, b = c * 5 * LANES, c * 6 * LANES, c * 4 * LANES
            for k in range(LANES):
                gs, gx, gy, gz = grad[b + k], grad[b + 16 + k], grad[b + 32 + k], grad[b + 48 + k]
                s1, s2 = row[a + k], row[a + 16 + k]
                along = gx * ux + gy * uy + gz * uz
                w2 = h0 * w[p + 32 + k] + h1 * w[p + 48 + k] + h2 * x[p + 32 + k] + h3 * x[p + 48 + k]
                v1 = d0 * (w[p + k] - x[p + k]) + d1 * w[p + 16 + k] + d3 * x[p + 16 + k]
                v2 = d0 * (w[p + 32 + k] - x[p + 32 + k]) + d1 * w[p + 48 + k] + d3 * x[p + 48 + k]
                part_slope = v1 * gs * s1 + v2 * along * s2
                q = w2 * s2
                px += q * gx
                py += q * gy
                pz += q * gz
                if deep:
                    w1 = h0 * w[p + k] + h1 * w[p + 16 + k] + h2 * x[p + k] + h3 * x[p + 16 + k]
                    w3 = h0 * w[p + 64 + k] + h1 * w[p + 80 + k] + h2 * x[p + 64 + k] + h3 * x[p + 80 + k]
                    v3 = d0 * (w[p + 64 + k] - x[p + 64 + k]) + d1 * w[p + 80 + k] + d3 * x[p + 80 + k]
                    part_slope += v3 * (gx * row[a + 32 + k] + gy * row[a + 48 + k] + gz * row[a + 64 + k])
                    out[a + k] += w1 * gs
                    out[a + 16 + k] += w2 * along
                    out[a + 32 + k] += w3 * gx
                    out[a + 48 + k] += w3 * gy
                    out[a + 64 + k] += w3 * gz
                slope += part_slope
        radial = slope * scale - (px * ux + py * uy + pz * uz) / r
        g[e, 0] += radial * ux + px / r
        g[e, 1] += radial * uy + py / r
        g[e, 2] += radial * uz + pz / r


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def silu(x, bias, out):
    """x += bias; out = x sigmoid(x)."""
    for i in range(x.shape[0]):
        for f in range(x.shape[1]):
            y = x[i, f] + bias[f]
            x[i, f] = y
            out[i, f] = y * sigmoid(y)


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def silu_back(x, grad):
    """grad *= derivative of x sigmoid(x)."""
    for i in range(x.shape[0]):
        for f in range(x.shape[1]):
            y = x[i, f]
            p = sigmoid(y)
            grad[i, f] *= p * (f32(1) + y * (f32(1) - p))


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def messages(deep, low, high, first, count, to, unit, piece, part, table, sends, s, v, vectors, inputs):
    """Messages that a block of atoms receives, added to its scalars `s` and vectors `v` (zero if not `deep`): results in `s`, in
    `inputs` [m, 2F] (first half) and in `vectors` [3m, F]."""
    size = s.shape[1]
    out = np.empty(4 * size, np.float32)
    for i in range(low, high):
        receive(first[i], first[i] + count[i], to, unit, piece, part, table, sends, out, size, deep)
        at = 3 * (i - low)
        for c in range(size // LANES):
            for k in range(LANES):
                f, o = c * LANES + k, c * 4 * LANES + k
                value = s[i, f] + out[o]
                s[i, f] = value
                inputs[i - low, f] = value
                x, y, z = out[o + 16], out[o + 32], out[o + 48]
                if deep:
                    x, y, z = x + v[3 * i, f], y + v[3 * i + 1, f], z + v[3 * i + 2, f]
                vectors[at, f], vectors[at + 1, f], vectors[at + 2, f] = x, y, z


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def update(low, vectors, inputs, s, mix, gate1, bias1, gate2, bias2):
    """The update of a block: adds to its scalars; returns what else depends on it, and the gate's hidden numbers and their activations."""
    m, size = len(inputs), s.shape[1]
    uw = np.dot(vectors, mix)
    for i in range(m):
        for f in range(size):
            x, y, z = uw[3 * i, size + f], uw[3 * i + 1, size + f], uw[3 * i + 2, size + f]
            inputs[i, size + f] = np.sqrt(x * x + y * y + z * z + f32(1e-8))
    hidden = np.dot(inputs, gate1)
    active = np.empty_like(hidden)
    silu(hidden, bias1, active)
    a = np.dot(active, gate2)
    for i in range(m):
        for f in range(size):
            dot = (
                uw[3 * i, f] * uw[3 * i, size + f]
                + uw[3 * i + 1, f] * uw[3 * i + 1, size + f]
                + uw[3 * i + 2, f] * uw[3 * i + 2, size + f]
            )
            s[low + i, f] += a[i, 2 * size + f] + bias2[2 * size + f] + (a[i, size + f] + bias2[size + f]) * dot
    return uw, a, hidden, active


@numba.njit(parallel=True, fastmath=FAST, error_model="numpy", cache=True)
def interact(deep, first, count, to, unit, piece, part, table, sends, s, v, gate_hidden, mix, gate1, bias1, gate2, bias2,
             phi1, b1, phi2, b2, v_next, phi_hidden, phi3, sends_next):  # fmt: skip
    """One interaction but the last: messages, update, and what the atoms send next. Keeps what the adjoint needs: `v` [3n, F] becomes
    the vectors after the messages, `v_next` those after the update."""
    n, size = s.shape
    step = block_size(n, size)
    for block in prange((n + step - 1) // step):
        low, high = block * step, min(n, (block + 1) * step)
        m = high - low
        vectors = np.empty((3 * m, size), np.float32)
        inputs = np.empty((m, 2 * size), np.float32)
        messages(deep, low, high, first, count, to, unit, piece, part, table, sends, s, v, vectors, inputs)
        v[3 * low : 3 * high] = vectors
        uw, a, hidden, active = update(low, vectors, inputs, s, mix, gate1, bias1, gate2, bias2)
        gate_hidden[low:high] = hidden
        advance(vectors, uw, a, bias2)
        v_next[3 * low : 3 * high] = vectors
        hidden = np.dot(s[low:high], phi1)
        silu(hidden, b1, active)
        phi_hidden[low:high] = hidden
        a = np.dot(active, phi2)
        for i in range(m):
            for c in range(size // LANES):
                for k in range(LANES):
                    f, o = c * LANES + k, c * 5 * LANES + k
                    third = a[i, 2 * size + f] + b2[2 * size + f]
                    phi3[low + i, f] = third
                    sends_next[low + i, o] = a[i, f] + b2[f]
                    sends_next[low + i, o + 16] = a[i, size + f] + b2[size + f]
                    sends_next[low + i, o + 32] = third * vectors[3 * i, f]
                    sends_next[low + i, o + 48] = third * vectors[3 * i + 1, f]
                    sends_next[low + i, o + 64] = third * vectors[3 * i + 2, f]


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def advance(vectors, uw, a, bias2):
    """Vectors of a block from before the update to after it."""
    size = vectors.shape[1]
    for i in range(len(a)):
        for f in range(size):
            gate = a[i, f] + bias2[f]
            for k in range(3):
                vectors[3 * i + k, f] += gate * uw[3 * i + k, f]


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def update_back(low, gs, gv, uw, a, hidden, mix_t, gate1_t, bias2, gate2_t, grads):
    """Adjoint of the update for a block: gs [m, F], gv [3m, F] with respect to what left it → `grads` of what came in."""
    m, size = gs.shape
    ga = np.empty((m, 3 * size), np.float32)
    for i in range(m):
        for f in range(size):
            ux, uy, uz = uw[3 * i, f], uw[3 * i + 1, f], uw[3 * i + 2, f]
            wx, wy, wz = uw[3 * i, size + f], uw[3 * i + 1, size + f], uw[3 * i + 2, size + f]
            ga[i, f] = gv[3 * i, f] * ux + gv[3 * i + 1, f] * uy + gv[3 * i + 2, f] * uz
            ga[i, size + f] = gs[i, f] * (ux * wx + uy * wy + uz * wz)
            ga[i, 2 * size + f] = gs[i, f]
    back = np.dot(ga, gate2_t)
    silu_back(hidden, back)
    inputs = np.dot(back, gate1_t)
    for i in range(m):
        for f in range(size):
            gate, dot = a[i, f] + bias2[f], gs[i, f] * (a[i, size + f] + bias2[size + f])
            wx, wy, wz = uw[3 * i, size + f], uw[3 * i + 1, size + f], uw[3 * i + 2, size + f]
            along = inputs[i, size + f] / np.sqrt(wx * wx + wy * wy + wz * wz + f32(1e-8))
            for k in range(3):
                u, w = uw[3 * i + k, f], uw[3 * i + k, size + f]
                uw[3 * i + k, f] = gv[3 * i + k, f] * gate + dot * w
                uw[3 * i + k, size + f] = dot * u + along * w
    gm = np.dot(uw, mix_t)
    for i in range(m):
        for c in range(size // LANES):
            for k in range(LANES):
                f, o = c * LANES + k, c * 4 * LANES + k
                grads[low + i, o] = gs[i, f] + inputs[i, f]
                grads[low + i, o + 16] = gv[3 * i, f] + gm[3 * i, f]
                grads[low + i, o + 32] = gv[3 * i + 1, f] + gm[3 * i + 1, f]
                grads[low + i, o + 48] = gv[3 * i + 2, f] + gm[3 * i + 2, f]


@numba.njit(inline="always", error_model="numpy")
def bounded(energy, low, high):
    """`model.bounded`, and its derivative as a float32."""
    if low <= energy <= high:
        return energy, f32(1)
    edge, room = (high, ROOM * (high - low)) if energy > high else (low, ROOM * (high - low))
    level = np.tanh((energy - edge) / room)
    return edge + room * level, f32(1 - level * level)


@numba.njit(parallel=True, fastmath=FAST, error_model="numpy", cache=True)
def turn(deep, first, count, to, unit, piece, part, table, sends, s, v, mix, gate1, bias1, gate2, bias2, mix_t, gate1_t, gate2_t,
         out1, out1_t, out_bias, out2, constant, scale, lowest, highest, grads, energy):  # fmt: skip
    """The last interaction and the energies of the atoms, then the adjoint down through its update: of a block at a time, so that nothing
    needs keeping. The vectors that leave the last update are never used."""
    n, size = s.shape
    step = block_size(n, size)
    for block in prange((n + step - 1) // step):
        low, high = block * step, min(n, (block + 1) * step)
        m = high - low
        vectors = np.empty((3 * m, size), np.float32)
        inputs = np.empty((m, 2 * size), np.float32)
        messages(deep, low, high, first, count, to, unit, piece, part, table, sends, s, v, vectors, inputs)
        uw, a, hidden, _ = update(low, vectors, inputs, s, mix, gate1, bias1, gate2, bias2)
        readout = np.dot(s[low:high], out1)
        active, back = np.empty_like(readout), np.empty_like(readout)
        silu(readout, out_bias, active)
        for i in range(m):
            value = 0.0
            for f in range(readout.shape[1]):
                value += active[i, f] * out2[f]
            value, slope = bounded((value + constant) * scale, lowest, highest)
            for f in range(readout.shape[1]):
                back[i, f] = out2[f] * scale * slope
            energy[low + i] += value
        silu_back(readout, back)
        gs = np.dot(back, out1_t)
        vectors[:] = f32(0)
        update_back(low, gs, vectors, uw, a, hidden, mix_t, gate1_t, bias2, gate2_t, grads)


@numba.njit(parallel=True, fastmath=FAST, error_model="numpy", cache=True)
def return_messages(first, count, to, unit, piece, part, pieces_per_length, table, sends, grads, g, phi3, phi_hidden, phi1_t, phi2_t,
                    v, gate_hidden, mix, mix_t, gate1_t, gate2, bias2, gate2_t, grads_below):  # fmt: skip
    """Adjoint of one layer's messages and of the update of the layer below it. `grads_below` may share memory with `sends`: a block
    is written when its atoms' own rows, the only ones read, have been used."""
    n, size = phi3.shape
    step = block_size(n, size)
    for block in prange((n + step - 1) // step):
        low, high = block * step, min(n, (block + 1) * step)
        m = high - low
        out = np.empty(5 * size, np.float32)
        gphi = np.empty((m, 3 * size), np.float32)
        gv = np.empty((3 * m, size), np.float32)
        gs = np.empty((m, size), np.float32)
        vectors, hidden = v[3 * low : 3 * high].copy(), gate_hidden[low:high]
        uw = np.dot(vectors, mix)  # the update below once more, for it is cheaper than to keep it
        for i in range(m):
            for f in range(size):
                y = hidden[i, f]
                gs[i, f] = y * sigmoid(y)
        a = np.dot(gs, gate2)
        advance(vectors, uw, a, bias2)
        for i in range(low, high):
            give_back(
                first[i], first[i] + count[i], to, unit, piece, part, pieces_per_length, table, sends[i], grads, out, g, size, True
            )  # fmt: skip
            at = 3 * (i - low)
            for c in range(size // LANES):
                for k in range(LANES):
                    f, o, b = c * LANES + k, c * 5 * LANES + k, c * 4 * LANES + k
                    x, y, z, third = out[o + 32], out[o + 48], out[o + 64], phi3[i, f]
                    gphi[i - low, f] = out[o]
                    gphi[i - low, size + f] = out[o + 16]
                    gphi[i - low, 2 * size + f] = x * vectors[at, f] + y * vectors[at + 1, f] + z * vectors[at + 2, f]
                    gs[i - low, f] = grads[i, b]
                    gv[at, f] = grads[i, b + 16] + third * x
                    gv[at + 1, f] = grads[i, b + 32] + third * y
                    gv[at + 2, f] = grads[i, b + 48] + third * z
        back = np.dot(gphi, phi2_t)
        silu_back(phi_hidden[low:high], back)
        gs += np.dot(back, phi1_t)
        update_back(low, gs, gv, uw, a, hidden, mix_t, gate1_t, bias2, gate2_t, grads_below)


@numba.njit(parallel=True, fastmath=FAST, error_model="numpy", cache=True)
def return_first(first, count, to, unit, piece, part, pieces_per_length, table, sends, species, grads, g):
    """Adjoint of the first layer's messages: only the edges' vectors matter, there is nothing below."""
    size = sends.shape[1] // 5
    for i in prange(len(count)):
        out = np.empty(5 * size, np.float32)
        give_back(
            first[i], first[i] + count[i], to, unit, piece, part, pieces_per_length, table, sends[species[i]], grads, out, g, size, False
        )  # fmt: skip
