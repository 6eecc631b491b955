"""Compiled loops at both ends of the fast PaiNN: from positions to edges, and from the gradients of the edges' vectors to forces and virial."""

import numba
import numpy as np
from numba import prange

from .repulsion import INNER, TERMS

SUMMED = 64  # atoms whose virials are added up before all are


@numba.njit(error_model="numpy", cache=True)
def core(r, charge, length, outer):
    """Screened Coulomb energy of a pair times the switch, and its derivative."""
    screened = slope = 0.0
    for c, d in TERMS:
        term = c * np.exp(-d * r / length)
        screened += term
        slope -= term * d / length
    y = (r / outer - INNER) / (1 - INNER)
    switch, change = 1.0, 0.0
    if y > 0:
        switch = 1 - y**3 * (10 - 15 * y + 6 * y**2)
        change = -30 * y**2 * (1 - y) ** 2 / (outer * (1 - INNER))
    value = charge / r * screened
    return value * switch, (charge / r * slope - value / r) * switch + value * change


@numba.njit(parallel=True, error_model="numpy", cache=True)
def edges(
    positions, cell, species, first, neighbour, shift, cutoff, pieces, charge, length, outer, to, kind, unit, piece, part, where, count, g, energy
):  # fmt: skip
    """Edges within the cutoff, packed at the front of each atom's row: neighbour, its species, unit vector and distance, piece of the
    table and place in it; `where` leads from the list to them (−1: beyond). Core repulsion of close pairs opens `g` and `energy`."""
    for i in prange(len(first) - 1):
        at, repulsion = first[i], 0.0
        for e in range(first[i], first[i + 1]):
            j = neighbour[e]
            a, b, c = shift[e, 0], shift[e, 1], shift[e, 2]
            x = positions[j, 0] - positions[i, 0] + (a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0])
            y = positions[j, 1] - positions[i, 1] + (a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1])
            z = positions[j, 2] - positions[i, 2] + (a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2])
            r = np.sqrt(x * x + y * y + z * z)
            where[e] = -1
            if r >= cutoff:
                continue
            where[e], to[at], kind[at] = at, j, species[j]
            unit[at, 0], unit[at, 1], unit[at, 2], unit[at, 3] = x / r, y / r, z / r, r
            scaled = r * (pieces / cutoff)
            piece[at] = min(int(scaled), pieces - 1)
            part[at] = scaled - piece[at]
            slope = 0.0
            one, two = species[i], species[j]
            if r < outer[one, two]:
                value, slope = core(r, charge[one, two], length[one, two], outer[one, two])
                repulsion += 0.5 * value
                slope *= -0.5  # g belongs to the vector from neighbour to centre
            g[at, 0], g[at, 1], g[at, 2] = slope * x / r, slope * y / r, slope * z / r
            at += 1
        count[i] = at - first[i]
        energy[i] = repulsion


@numba.njit(parallel=True, error_model="numpy", cache=True)
def collect(first, count, where, back, unit, g, forces, virials):
    """Forces, and the virial of each block of atoms, from the gradients of the edges' vectors."""
    n = len(count)
    step = SUMMED
    for block in prange((n + step - 1) // step):
        virials[block] = 0.0
        for i in range(block * step, min(n, (block + 1) * step)):
            x = y = z = 0.0
            for e in range(first[i], first[i + 1]):
                at = where[e]
                if at < 0:
                    continue
                other = where[back[e]]
                x += g[other, 0] - g[at, 0]
                y += g[other, 1] - g[at, 1]
                z += g[other, 2] - g[at, 2]
                for a in range(3):
                    for b in range(3):
                        virials[block, a, b] -= unit[at, 3] * unit[at, a] * g[at, b]
            forces[i, 0], forces[i, 1], forces[i, 2] = x, y, z
