"""Bond angle distributions."""

import numpy as np
from ase.data import chemical_symbols
from numba import njit

from ..errors import GlasslibError
from .coordination import default_cutoff
from .dataset import dataset, described
from .displacements import checked, symbols
from .neighbours import MOST_FRAMES, bonds, spread
from .statistics import jackknife, whole

TRIPLETS = ("O-Si-O", "Si-O-Si", "Na-O-Na", "O-Na-O")


def bond_angles(trajectory_or_replicas, *, triplets=None, cutoff=None, bins=90, frames=MOST_FRAMES, n_blocks=5):
    """Distribution of the angle at the middle atom of each triplet of species.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    triplets : sequence of str, optional
        Such as "O-Si-O" (angle at Si). Default: O-Si-O, Si-O-Si, Na-O-Na and O-Na-O where their species are there, else A-B-A and B-A-B
        of the first two species.
    cutoff : float or dict, optional
        Å, or pair → Å; default: first minimum of g(r) of each pair.
    bins : int
        Of 0° … 180°.
    frames, n_blocks
        As of radial_distribution.

    Returns
    -------
    xarray.Dataset
        `probability` (triplet, angle), 1/degree, normalised to ∫ P dθ = 1, with no division by sin θ; `probability_sem`; `mean` (triplet),
        degrees, and `mean_sem`. NaN for a triplet that does not occur.
    """
    replicas, bins = checked(trajectory_or_replicas), whole("bins", bins)
    names = symbols(replicas)
    if triplets is None:
        triplets = [t for t in TRIPLETS if set(t.split("-")) <= set(names)]
        if not triplets:
            a, b = names[0], names[-1]
            triplets = [f"{a}-{b}-{a}", f"{b}-{a}-{b}"] if a != b else [f"{a}-{a}-{a}"]
    triplets = [triplets] if isinstance(triplets, str) or not np.iterable(triplets) else list(triplets)
    for t in triplets:
        if not isinstance(t, str) or len(t.split("-")) != 3 or not set(t.split("-")) <= set(names):
            raise GlasslibError(
                f"triplet {t!r} must name three species of the trajectory ({', '.join(names)}), such as 'O-Si-O'"
            )
    if isinstance(cutoff, dict):
        known = {*names, *chemical_symbols[1:]}
        for pair in cutoff:
            if not isinstance(pair, str) or len(pair.split("-")) != 2 or not set(pair.split("-")) <= known:
                raise GlasslibError(f"cutoff names {pair!r}, which is no pair of species such as 'Si-O'")
    cutoffs = {}
    for t in triplets:
        a, b, c = t.split("-")
        for one in (a, c):
            key = "-".join(sorted((one, b)))
            given = (
                cutoff.get(key, cutoff.get("-".join(reversed(key.split("-"))))) if isinstance(cutoff, dict) else cutoff
            )
            if key not in cutoffs:
                cutoffs[key] = default_cutoff(replicas, one, b, given)
    edges = np.linspace(0, 180, bins + 1)
    sums, counts = [], []
    for replica in replicas:
        chosen = spread(len(replica), frames)
        blocks = min(whole("n_blocks", n_blocks), len(chosen))
        total = np.zeros((blocks, len(triplets), bins))
        for at, frame in zip(np.arange(len(chosen)) * blocks // len(chosen), chosen, strict=True):
            positions = np.asarray(replica.positions[frame], np.float64)
            i, j, vector = bonds(positions, replica.cells[frame], max(cutoffs.values()))
            distance = np.linalg.norm(vector, axis=1)
            for k, t in enumerate(triplets):
                a, b, c = t.split("-")
                near_a = bonded(replica.species, i, j, distance, b, a, cutoffs)
                near_c = near_a if a == c else bonded(replica.species, i, j, distance, b, c, cutoffs)
                total[at, k] += angles(i, vector, near_a, near_c, a == c, bins)
        sums.append(total)
        counts.append(total.sum(2))
    sums, counts = np.concatenate(sums), np.concatenate(counts)
    density, sem = jackknife(np.moveaxis(sums, 2, 1), counts)
    centres = 0.5 * (edges[1:] + edges[:-1])
    mean, mean_sem = jackknife(np.moveaxis(sums, 2, 1), counts, lambda p: centres @ p)
    width = 180 / bins
    options = {"triplets": triplets, "cutoff": cutoffs, "bins": bins, "frames": frames, "n_blocks": n_blocks}
    return dataset(
        {
            "probability": (
                ("triplet", "angle"),
                density.T / width,
                sem.T / width,
                "1/degree",
                "distribution of bond angles",
            ),
            "mean": (("triplet",), mean, mean_sem, "degree", "mean bond angle"),
        },
        {"triplet": triplets, "angle": centres},
        described("bond_angles", replicas, options),
    )


def bonded(species, i, j, distance, centre, neighbour, cutoffs):
    """Which bonds join a centre with a neighbour within the pair's cutoff."""
    near = distance < cutoffs["-".join(sorted((centre, neighbour)))]
    return near & (species[i] == centre) & (species[j] == neighbour)


@njit(cache=True)
def angles(i, vector, near_a, near_c, same, bins):
    """Histogram of the angles between bonds of one atom; bonds are sorted by i."""
    out = np.zeros(bins, np.int64)
    start = 0
    while start < len(i):
        end = start
        while end < len(i) and i[end] == i[start]:
            end += 1
        for p in range(start, end):
            if near_a[p]:
                for s in range(p + 1 if same else start, end):
                    if near_c[s] and s != p:
                        dot = (vector[p] * vector[s]).sum()
                        size = np.sqrt((vector[p] ** 2).sum() * (vector[s] ** 2).sum())
                        cosine = min(1.0, max(-1.0, dot / size))
                        out[min(bins - 1, int(np.arccos(cosine) * 180 / np.pi / 180 * bins))] += 1
        start = end
    return out
