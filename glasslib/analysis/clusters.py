"""Clusters and strings of the fastest atoms."""

import numpy as np
from ase.data import chemical_symbols
from scipy.sparse.csgraph import connected_components

from ..errors import GlasslibError
from .coordination import default_cutoff
from .dataset import dataset, described
from .displacements import checked, constant_cell, drift_of, symbols
from .lags import chosen_lags, few_lags, frame_pairs
from .neighbours import half_width
from .statistics import block_count, block_sums, jackknife, single, whole

LAGS = 8
STRING = 0.35  # of the cutoff: an atom that close to where another was has replaced it


def clusters(
    trajectory_or_replicas, *, fraction=0.1, cutoff=None, time=None, origins=40, n_blocks=None, drift=None, seed=0
):
    """Clusters and strings of the fastest atoms of each species over a lag time.

    The fastest `fraction` of a species are those that moved farthest. Two of them are in one cluster where they are neighbours at the
    first of the two frames, and in one string where one has come to where the other was.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    fraction : float
        Of the atoms of a species, between 0 and 1.
    cutoff : float or dict, optional
        Å, between neighbours, or of each species; default: the first minimum of its g(r), which in a short run may be that of the noise, so
        give it where runs are compared. Strings use 0.35 of it.
    time : float or sequence, optional
        Lag times, ps; default eight, evenly in the logarithm up to a quarter of the run.
    origins : int or None
        At most so many pairs of frames for each lag time.
    n_blocks, drift
        As of mean_squared_displacement.
    seed : int
        Of the atoms chosen for comparison.

    Returns
    -------
    xarray.Dataset
        All (species, time): `cluster_size`, the mean number of atoms of the cluster that a fast atom is in (Σ n² / Σ n), the same for as
        many atoms chosen at random, `random_size`, and `string_length`, the mean number of atoms in the string that a fast atom is in;
        each with `_sem`. Heterogeneous motion has clusters larger than random ones.

    References
    ----------
    C. Donati et al., Phys. Rev. Lett. 80, 2338 (1998).
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    if single("fraction", fraction) >= 1:
        raise GlasslibError(f"fraction must be between 0 and 1, not {fraction!r}")
    names = symbols(replicas)
    widest = min(half_width(t.cell) for t in replicas)
    given = cutoff if isinstance(cutoff, dict) else dict.fromkeys(names, cutoff)
    unknown = [str(s) for s in given if s not in names and s not in chemical_symbols[1:]]
    if unknown:
        raise GlasslibError(f"cutoff names {', '.join(unknown)}, no species: those here are {', '.join(names)}")
    lone = [s for s in names if np.count_nonzero(replicas[0].species == s) < 2]  # a cluster of its own at any cutoff
    given = dict.fromkeys(lone, widest) | {s: r for s, r in given.items() if r is not None}
    cutoffs = np.array([default_cutoff(replicas, s, s, given.get(s)) for s in names])
    guessed = np.array([given.get(s) is None for s in names])
    cutoffs = np.where(guessed, np.minimum(cutoffs, widest), cutoffs)
    if cutoffs.max() > widest:
        raise GlasslibError(f"cutoff must be below half the width of the cell ({widest:.2f} Å)")
    lags = chosen_lags(replicas, time) if time is not None else few_lags(replicas, LAGS)
    pairs, values = [], []
    for replica in replicas:
        mine = frame_pairs(replica, lags, origins)
        shift = drift_of(replica, drift)
        inverse = np.linalg.inv(replica.cell)
        random = np.random.default_rng(whole("seed", seed, 0))
        out = np.empty((3, len(names), len(mine.first)))
        for p, (i, j) in enumerate(zip(mine.first, mine.second, strict=True)):
            before = np.asarray(replica.positions[i], np.float64) - shift[i]
            after = np.asarray(replica.positions[j], np.float64) - shift[j]
            moved = np.linalg.norm(after - before, axis=1)
            for k, name in enumerate(names):
                atoms = np.flatnonzero(replica.species == name)
                count = max(1, round(fraction * len(atoms)))
                fast = atoms[np.argsort(moved[atoms], kind="stable")[-count:]]
                other = random.choice(atoms, count, replace=False)
                out[0, k, p] = mean_size(distances(before[fast], before[fast], replica.cell, inverse) < cutoffs[k])
                out[1, k, p] = mean_size(distances(before[other], before[other], replica.cell, inverse) < cutoffs[k])
                out[2, k, p] = mean_size(
                    distances(before[fast], after[fast], replica.cell, inverse) < STRING * cutoffs[k]
                )
        pairs.append(mine)
        values.append(out)
    sums, counts = block_sums(pairs, values, block_count(replicas, n_blocks))
    value, sem = jackknife(sums, counts)
    dims = ("species", "time")
    options = {
        "fraction": fraction,
        "cutoff": cutoff,
        "time": time,
        "origins": origins,
        "n_blocks": n_blocks,
        "drift": drift,
        "seed": seed,
    }
    return dataset(
        {
            "cluster_size": (dims, value[0], sem[0], "1", "mean size of the cluster of a fast atom"),
            "random_size": (dims, value[1], sem[1], "1", "mean size of the cluster of an atom chosen at random"),
            "string_length": (dims, value[2], sem[2], "1", "mean length of the string of a fast atom"),
        },
        {"species": names, "time": pairs[0].lag},
        described("clusters", replicas, options, cutoffs_A=cutoffs.tolist()),
    )


def distances(a, b, cell, inverse):
    """Minimum-image distances [a, b], Å."""
    inside = (b[None] - a[:, None]) @ inverse
    return np.linalg.norm((inside - np.rint(inside)) @ cell, axis=2)


def mean_size(linked):
    """Mean over atoms of the size of the group they are in; `linked` [atoms, atoms] in either direction."""
    _, label = connected_components(linked, directed=False)
    sizes = np.bincount(label).astype(float)
    return (sizes**2).sum() / sizes.sum()
