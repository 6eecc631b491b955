"""Wave vectors that fit a periodic box, and density waves."""

import numpy as np
from numba import njit, prange

from ..errors import GlasslibError
from .statistics import whole


def wave_vectors(cell, q, width, most=150):
    """Wave vectors of the box in shells around given wave numbers; of each ±pair one, at most `most` a shell, spread evenly.

    Parameters
    ----------
    cell : array [3, 3], Å
    q : array [shells]
        Centres, 1/Å.
    width : float
        Full width of a shell, 1/Å.

    Returns
    -------
    (int array [vectors, 3], int array [vectors], float array [vectors])
        Multiples of the reciprocal vectors, the shell of each, and its length, 1/Å.
    """
    most = whole("vectors", most)
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    reach = np.ceil((q.max() + width) * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
    if np.prod(2.0 * reach + 1) > 3e8:
        raise GlasslibError(f"q up to {q.max():g} 1/Å has too many wave vectors in this box: lower the largest q")
    second, third = np.meshgrid(np.arange(-reach[1], reach[1] + 1), np.arange(-reach[2], reach[2] + 1), indexing="ij")
    edges_low, edges_high = q - width / 2, q + width / 2
    triples, lengths = [], []
    for k in range(reach[0] + 1):
        part = np.stack([np.full(second.size, k), second.ravel(), third.ravel()], 1)
        if k == 0:
            part = part[(part[:, 1] > 0) | ((part[:, 1] == 0) & (part[:, 2] > 0))]
        size = np.linalg.norm(part @ reciprocal, axis=1)
        keep = (size >= edges_low.min()) & (size < edges_high.max())
        triples.append(part[keep])
        lengths.append(size[keep])
    triples, lengths = np.concatenate(triples), np.concatenate(lengths)
    order = np.argsort(lengths, kind="stable")
    triples, lengths = triples[order], lengths[order]
    chosen, shell = [], []
    for k in range(len(q)):
        a, b = np.searchsorted(lengths, (edges_low[k], edges_high[k]))
        if b - a > most:
            # In order of length directions come by symmetry; a seeded choice has all of them.
            mine = a + np.sort(np.random.default_rng(k).choice(b - a, most, replace=False))
        else:
            mine = np.arange(a, b)
        chosen.append(mine)
        shell.append(np.full(len(mine), k))
    chosen, shell = np.concatenate(chosen), np.concatenate(shell)
    return triples[chosen], shell, lengths[chosen]


@njit(parallel=True, cache=True)
def density_waves(inside, triples):
    """Σ_j exp(2πi h·s_j) for each frame and wave vector h [frames, vectors]; `inside` are fractional coordinates [frames, 3, atoms]."""
    frames, _, atoms = inside.shape
    n = len(triples)
    reach = np.zeros(3, np.int64)
    for c in range(3):
        for k in range(n):
            reach[c] = max(reach[c], abs(triples[k, c]))
    out = np.empty((frames, n), np.complex128)
    for f in prange(frames):
        # cos and sin of every multiple, by the addition theorem: sums of products follow, not transcendental functions.
        cosine, sine = np.empty((3, reach.max() + 1, atoms)), np.empty((3, reach.max() + 1, atoms))
        for c in range(3):
            cosine[c, 0], sine[c, 0] = 1.0, 0.0
            for p in range(1, reach[c] + 1):
                for j in range(atoms):
                    if p == 1:
                        phase = 2 * np.pi * inside[f, c, j]
                        cosine[c, 1, j], sine[c, 1, j] = np.cos(phase), np.sin(phase)
                    else:
                        x, y = cosine[c, 1, j], sine[c, 1, j]
                        cosine[c, p, j] = cosine[c, p - 1, j] * x - sine[c, p - 1, j] * y
                        sine[c, p, j] = cosine[c, p - 1, j] * y + sine[c, p - 1, j] * x
        for k in range(n):
            h0, h1, h2 = triples[k]
            s0, s1, s2 = (1.0 if h0 >= 0 else -1.0), (1.0 if h1 >= 0 else -1.0), (1.0 if h2 >= 0 else -1.0)
            cx, sx = cosine[0, abs(h0)], sine[0, abs(h0)]
            cy, sy = cosine[1, abs(h1)], sine[1, abs(h1)]
            cz, sz = cosine[2, abs(h2)], sine[2, abs(h2)]
            real, imaginary = 0.0, 0.0
            for j in range(atoms):
                a, b = cx[j] * cy[j] - s0 * s1 * sx[j] * sy[j], s1 * cx[j] * sy[j] + s0 * sx[j] * cy[j]
                real += a * cz[j] - s2 * b * sz[j]
                imaginary += s2 * a * sz[j] + b * cz[j]
            out[f, k] = complex(real, imaginary)
    return out


def species_waves(inside, species, names, triples):
    """Density waves of each species [species, frames, vectors]."""
    return np.stack([density_waves(np.ascontiguousarray(inside[:, :, species == s]), triples) for s in names])
