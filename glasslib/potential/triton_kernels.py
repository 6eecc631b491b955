"""Triton kernels of PaiNN on a GPU: geometry of edges, messages, their adjoint, and forces; one program for each atom.

The structure is that of `kernels.py`. Neighbours lie in rows of a fixed width K, so that every shape is fixed: edge e
of atom i is number i·K + e. Rows of F numbers lie one after the other: `sends` [atoms, 5, F] = φ₁, φ₂, q (3); `grads`
[atoms, 4, F] = g_s, g_v (3); a filter's `table` [nodes, 6, F] = value and slope of W₁, W₂, W₃, slopes in the unit of
the nodes' distance. An atom gathers from its neighbours in list order: no sum depends on the order in which programs
run.
"""

import triton
import triton.language as tl


@triton.jit
def _place(positions, shift, cell, i, j, at, on, axis: tl.constexpr):
    """Component of the vectors from atom i to its neighbours, Å; the same but for its sign from the other end."""
    a = tl.load(shift + 3 * at, on, other=0).to(tl.float64)
    b = tl.load(shift + 3 * at + 1, on, other=0).to(tl.float64)
    c = tl.load(shift + 3 * at + 2, on, other=0).to(tl.float64)
    away = a * tl.load(cell + axis) + b * tl.load(cell + 3 + axis) + c * tl.load(cell + 6 + axis)
    return tl.load(positions + 3 * j + axis, on, other=0.0) - tl.load(positions + 3 * i + axis) + away


@triton.jit
def edges(
    positions, cell, species, charge, length, outer, terms, listed, neighbour, shift, to, kind, unit, piece, part,
    where, count, g, energy, K, n_species, CUTOFF: tl.constexpr, PIECES: tl.constexpr, INNER: tl.constexpr,
    TERMS: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """Edges within the cutoff, packed at the front of each atom's row: neighbour, its species, unit vector and
    distance, piece of the table and place in it; `where` leads from the list to them (−1: beyond). Core repulsion of
    close pairs opens `g` and `energy`."""
    i = tl.program_id(0).to(tl.int64)
    slot = tl.arange(0, SLOTS)
    at = i * K + slot
    on = slot < tl.load(listed + i)
    j = tl.load(neighbour + at, on, other=0).to(tl.int64)
    x = _place(positions, shift, cell, i, j, at, on, 0)
    y = _place(positions, shift, cell, i, j, at, on, 1)
    z = _place(positions, shift, cell, i, j, at, on, 2)
    r = tl.sqrt(x * x + y * y + z * z)
    near = on & (r < CUTOFF)
    r = tl.where(near, r, 1.0)
    packed = i * K + tl.cumsum(near.to(tl.int32), 0) - 1
    tl.store(where + at, tl.where(near, packed, -1).to(tl.int32), on)
    tl.store(count + i, tl.sum(near.to(tl.int32), 0))
    one, two = tl.load(species + i), tl.load(species + j, on, other=0)
    tl.store(to + packed, j.to(tl.int32), near)
    tl.store(kind + packed, two, near)
    tl.store(unit + 4 * packed, (x / r).to(tl.float32), near)
    tl.store(unit + 4 * packed + 1, (y / r).to(tl.float32), near)
    tl.store(unit + 4 * packed + 2, (z / r).to(tl.float32), near)
    tl.store(unit + 4 * packed + 3, r.to(tl.float32), near)
    scaled = r * (PIECES / CUTOFF)
    node = tl.minimum(scaled.to(tl.int32), PIECES - 1)
    tl.store(piece + packed, node, near)
    tl.store(part + packed, (scaled - node.to(tl.float64)).to(tl.float32), near)
    pair = one * n_species + two
    reach = tl.load(outer + pair)
    close = near & (r < reach)
    slope, repelled = tl.zeros_like(r), tl.zeros_like(r)
    if tl.max(close.to(tl.int32), 0) > 0:  # in a melt hardly ever: its exponentials are not worth computing for nothing
        extent = tl.load(length + pair)
        screened, change = tl.zeros_like(r), tl.zeros_like(r)
        for k in tl.static_range(TERMS):
            c, d = tl.load(terms + 2 * k), tl.load(terms + 2 * k + 1)
            term = c * tl.exp(-d * r / extent)
            screened += term
            change -= term * d / extent
        bare = tl.load(charge + pair) / r
        inside = tl.maximum((r / reach - INNER) / (1 - INNER), 0.0)
        switch = 1 - inside * inside * inside * (10 - 15 * inside + 6 * inside * inside)
        switching = -30 * inside * inside * (1 - inside) * (1 - inside) / (reach * (1 - INNER))
        value = bare * screened
        slope = tl.where(close, -0.5 * ((bare * change - value / r) * switch + value * switching), 0.0)
        repelled = tl.where(close, 0.5 * value * switch, 0.0)
    tl.store(energy + i, tl.sum(repelled, 0))
    tl.store(g + 3 * packed, (slope * x / r).to(tl.float32), near)  # of the vector from neighbour to centre
    tl.store(g + 3 * packed + 1, (slope * y / r).to(tl.float32), near)
    tl.store(g + 3 * packed + 2, (slope * z / r).to(tl.float32), near)


@triton.jit
def _nodes(table, piece, f, on, row: tl.constexpr, F: tl.constexpr):
    """Value and slope of a filter at this node and at the next [edges, lanes]."""
    here = table + (piece.to(tl.int64) * (6 * F) + 2 * row * F)[:, None] + f[None, :]
    return (
        tl.load(here, on, other=0.0),
        tl.load(here + F, on, other=0.0),
        tl.load(here + 6 * F, on, other=0.0),
        tl.load(here + 7 * F, on, other=0.0),
    )


@triton.jit
def _hermite(t):
    """Weights of value and slope at this node and at the next, of the cubic through them."""
    u = 1.0 - t
    return u * u * (1.0 + t + t), t * u * u, t * t * (1.0 + u + u), -t * t * u


@triton.jit
def receive(
    count, to, unit, piece, part, table, sends, s_in, v_in, s_out, v_out, K, DEEP: tl.constexpr, F: tl.constexpr,
    LANES: tl.constexpr, EDGES: tl.constexpr,
):  # fmt: skip
    """s, v plus the messages that an atom receives. DEEP: the senders have vectors (not so in the first layer)."""
    i = tl.program_id(0).to(tl.int64)
    f = tl.arange(0, LANES)
    lane = f < F
    s = tl.load(s_in + i * F + f, lane, other=0.0)
    x, y, z = tl.zeros_like(s), tl.zeros_like(s), tl.zeros_like(s)
    n = tl.load(count + i)
    for start in range(0, n, EDGES):
        e = start + tl.arange(0, EDGES)
        edge = e < n
        at = i * K + e
        on = edge[:, None] & lane[None, :]
        j = tl.load(to + at, edge, other=0).to(tl.int64)
        ux = tl.load(unit + 4 * at, edge, other=0.0)[:, None]
        uy = tl.load(unit + 4 * at + 1, edge, other=0.0)[:, None]
        uz = tl.load(unit + 4 * at + 2, edge, other=0.0)[:, None]
        node = tl.load(piece + at, edge, other=0)
        h0, h1, h2, h3 = _hermite(tl.load(part + at, edge, other=0.0)[:, None])
        row = sends + (j * (5 * F))[:, None] + f[None, :]
        a, b, c, d = _nodes(table, node, f, on, 0, F)
        s += tl.sum((h0 * a + h1 * b + h2 * c + h3 * d) * tl.load(row, on, other=0.0), 0)
        a, b, c, d = _nodes(table, node, f, on, 1, F)
        along = (h0 * a + h1 * b + h2 * c + h3 * d) * tl.load(row + F, on, other=0.0)
        if DEEP:
            a, b, c, d = _nodes(table, node, f, on, 2, F)
            w = h0 * a + h1 * b + h2 * c + h3 * d
            x += tl.sum(along * ux + w * tl.load(row + 2 * F, on, other=0.0), 0)
            y += tl.sum(along * uy + w * tl.load(row + 3 * F, on, other=0.0), 0)
            z += tl.sum(along * uz + w * tl.load(row + 4 * F, on, other=0.0), 0)
        else:
            x += tl.sum(along * ux, 0)
            y += tl.sum(along * uy, 0)
            z += tl.sum(along * uz, 0)
    v = i * (3 * F) + f
    if DEEP:
        x += tl.load(v_in + v, lane, other=0.0)
        y += tl.load(v_in + v + F, lane, other=0.0)
        z += tl.load(v_in + v + 2 * F, lane, other=0.0)
    tl.store(s_out + i * F + f, s, lane)
    tl.store(v_out + v, x, lane)
    tl.store(v_out + v + F, y, lane)
    tl.store(v_out + v + 2 * F, z, lane)


@triton.jit
def give_back(
    count, to, unit, piece, part, table, sends, own, grads, out, g, K, SCALE: tl.constexpr, DEEP: tl.constexpr,
    F: tl.constexpr, LANES: tl.constexpr, EDGES: tl.constexpr,
):  # fmt: skip
    """Gradients that come back to an atom through the messages it sent, out [atoms, 5, F] = Σ W₁ g_s, Σ W₂ g_v·r̂, Σ W₃
    g_v (3), and those with respect to the vector of each message, added to `g`; that vector runs from receiver to
    sender, against `unit`. `own` [atoms]: the row of `sends` that is the atom's (its species in the first layer).
    SCALE: pieces of the table per Å."""
    i = tl.program_id(0).to(tl.int64)
    f = tl.arange(0, LANES)
    lane = f < F
    row = sends + tl.load(own + i).to(tl.int64) * (5 * F) + f
    s1, s2 = tl.load(row, lane, other=0.0)[None, :], tl.load(row + F, lane, other=0.0)[None, :]
    if DEEP:
        qx = tl.load(row + 2 * F, lane, other=0.0)[None, :]
        qy = tl.load(row + 3 * F, lane, other=0.0)[None, :]
        qz = tl.load(row + 4 * F, lane, other=0.0)[None, :]
    o1 = tl.zeros([LANES], tl.float32)
    o2, ox, oy, oz = tl.zeros_like(o1), tl.zeros_like(o1), tl.zeros_like(o1), tl.zeros_like(o1)
    n = tl.load(count + i)
    for start in range(0, n, EDGES):
        e = start + tl.arange(0, EDGES)
        edge = e < n
        at = i * K + e
        on = edge[:, None] & lane[None, :]
        j = tl.load(to + at, edge, other=0).to(tl.int64)
        ux = -tl.load(unit + 4 * at, edge, other=0.0)
        uy = -tl.load(unit + 4 * at + 1, edge, other=0.0)
        uz = -tl.load(unit + 4 * at + 2, edge, other=0.0)
        r = tl.load(unit + 4 * at + 3, edge, other=1.0)
        node, t = tl.load(piece + at, edge, other=0), tl.load(part + at, edge, other=0.0)[:, None]
        h0, h1, h2, h3 = _hermite(t)
        d0, d1, d3 = -6.0 * t * (1.0 - t), (1.0 - t) * (1.0 - 3.0 * t), t * (3.0 * t - 2.0)  # derivatives of the same
        grad = grads + (j * (4 * F))[:, None] + f[None, :]
        gs, gx = tl.load(grad, on, other=0.0), tl.load(grad + F, on, other=0.0)
        gy, gz = tl.load(grad + 2 * F, on, other=0.0), tl.load(grad + 3 * F, on, other=0.0)
        along = gx * ux[:, None] + gy * uy[:, None] + gz * uz[:, None]
        a, b, c, d = _nodes(table, node, f, on, 0, F)
        slope = (d0 * (a - c) + d1 * b + d3 * d) * gs * s1
        if DEEP:
            o1 += tl.sum((h0 * a + h1 * b + h2 * c + h3 * d) * gs, 0)
        a, b, c, d = _nodes(table, node, f, on, 1, F)
        slope += (d0 * (a - c) + d1 * b + d3 * d) * along * s2
        w = h0 * a + h1 * b + h2 * c + h3 * d
        px, py, pz = tl.sum(w * s2 * gx, 1), tl.sum(w * s2 * gy, 1), tl.sum(w * s2 * gz, 1)
        if DEEP:
            o2 += tl.sum(w * along, 0)
            a, b, c, d = _nodes(table, node, f, on, 2, F)
            slope += (d0 * (a - c) + d1 * b + d3 * d) * (gx * qx + gy * qy + gz * qz)
            w = h0 * a + h1 * b + h2 * c + h3 * d
            ox += tl.sum(w * gx, 0)
            oy += tl.sum(w * gy, 0)
            oz += tl.sum(w * gz, 0)
        radial = tl.sum(slope, 1) * SCALE - (px * ux + py * uy + pz * uz) / r
        here = g + 3 * at
        tl.store(here, tl.load(here, edge, other=0.0) + radial * ux + px / r, edge)
        tl.store(here + 1, tl.load(here + 1, edge, other=0.0) + radial * uy + py / r, edge)
        tl.store(here + 2, tl.load(here + 2, edge, other=0.0) + radial * uz + pz / r, edge)
    if DEEP:
        o = out + i * (5 * F) + f
        tl.store(o, o1, lane)
        tl.store(o + F, o2, lane)
        tl.store(o + 2 * F, ox, lane)
        tl.store(o + 3 * F, oy, lane)
        tl.store(o + 4 * F, oz, lane)


@triton.jit
def collect(listed, where, back, unit, g, forces, virials, K, SLOTS: tl.constexpr):
    """Forces [atoms, 3] and virials [atoms, 3, 3], float64, from the gradients of the edges' vectors."""
    i = tl.program_id(0).to(tl.int64)
    slot = tl.arange(0, SLOTS)
    listing = slot < tl.load(listed + i)
    at = tl.load(where + i * K + slot, listing, other=-1).to(tl.int64)
    on = listing & (at >= 0)
    opposite = tl.load(where + tl.load(back + i * K + slot, on, other=0), on, other=0).to(tl.int64)
    r = tl.load(unit + 4 * at + 3, on, other=0.0).to(tl.float64)
    for b in tl.static_range(3):
        mine = tl.load(g + 3 * at + b, on, other=0.0).to(tl.float64)
        theirs = tl.load(g + 3 * opposite + b, on, other=0.0).to(tl.float64)
        tl.store(forces + 3 * i + b, tl.sum(theirs - mine, 0))
        for a in tl.static_range(3):
            along = tl.load(unit + 4 * at + a, on, other=0.0).to(tl.float64)
            tl.store(virials + 9 * i + 3 * a + b, -tl.sum(r * along * mine, 0))
