"""Which structures are worth a label: where a committee disagrees, and unlike each other."""

import numpy as np
from ase.neighborlist import neighbor_list

from ..errors import GlasslibError

CENTRES = np.arange(1.2, 5.01, 0.2)  # Å
WIDTH = 0.2  # Å


def force_spread(frames, committee):
    """Largest disagreement on a force in each frame.

    Standard deviation over the committee of each atom's force (root of the summed variances of its components), maximum over atoms.

    Parameters
    ----------
    frames : list of ase.Atoms
    committee : list of ASE calculators, or one that gives "force_spread"

    Returns
    -------
    float array [frames]
        eV/Å.
    """
    found = []
    for atoms in frames:
        if isinstance(committee, (list, tuple)):
            if len(committee) < 2:
                raise GlasslibError("a committee needs at least two potentials")
            forces = np.array([_forces(atoms, member) for member in committee])
            spread = np.sqrt(forces.var(axis=0, ddof=1).sum(1))
        else:
            _forces(atoms, committee)
            spread = committee.results.get("force_spread")
            if spread is None:
                raise GlasslibError(
                    "this potential has no committee: load one of several members, or give a list of potentials"
                )
        found.append(np.max(spread))
    return np.array(found)


def _forces(atoms, calculator):
    work = atoms.copy()
    work.calc = calculator
    return work.get_forces()


def fingerprint(atoms, species=("O", "Na", "Si")):
    """Smoothed numbers of neighbours by pair of species and distance: one row for a frame.

    Returns
    -------
    float array [pairs of species x distances]
        Neighbours within a Gaussian of 0.2 Å about each distance, an atom, divided by distance² so that no shell outweighs the rest.
    """
    i, j, r = neighbor_list("ijd", atoms, CENTRES[-1] + 3 * WIDTH)
    symbols = np.asarray(atoms.get_chemical_symbols())
    shell = np.exp(-0.5 * ((r[:, None] - CENTRES) / WIDTH) ** 2) / CENTRES**2
    rows = [
        shell[(symbols[i] == a) & (symbols[j] == b)].sum(0) / len(atoms)
        for k, a in enumerate(species)
        for b in species[k:]
    ]
    return np.concatenate(rows)


def farthest(points, count, start=()):
    """Indices of points each as far as can be from those before it (Gonzalez, Theor. Comput. Sci. 38, 293, 1985).

    Parameters
    ----------
    points : array [points, dimensions]
    count : int
    start : array [known, dimensions]
        Points that are there already. Without them the first index is that of the point farthest from the mean.

    Returns
    -------
    list of int
    """
    points = np.asarray(points, float)
    start = np.asarray(start, float).reshape(-1, points.shape[1])
    if len(start):
        distance = np.min([np.linalg.norm(points - s, axis=1) for s in start], axis=0)
    else:
        distance = np.linalg.norm(points - points.mean(0), axis=1)
    chosen = []
    for _ in range(min(count, len(points))):
        new = int(np.argmax(distance))
        away = np.linalg.norm(points - points[new], axis=1)
        distance = away if not chosen and not len(start) else np.minimum(distance, away)
        chosen.append(new)
        distance[chosen] = -1.0
    return chosen


def select(candidates, count, committee=None, known=(), shortlist=4):
    """Choose frames to label.

    Parameters
    ----------
    candidates : list of ase.Atoms
    count : int
    committee : optional
        See `force_spread`: the `shortlist * count` frames with the largest spread go on. Without it all do.
    known : list of ase.Atoms
        Frames labelled already.
    shortlist : int

    Returns
    -------
    list of ase.Atoms
        The `count` of them that lie farthest from each other and from the known ones; `info["force_spread"]` (eV/Å) where there is a
        committee.
    """
    if count < 1 or not candidates:
        raise GlasslibError(f"cannot select {count} of {len(candidates)} candidates")
    pool = [atoms.copy() for atoms in candidates]
    if committee is not None:
        spread = force_spread(pool, committee)
        for atoms, value in zip(pool, spread, strict=True):
            atoms.info["force_spread"] = float(value)
        pool = [pool[i] for i in np.argsort(-spread, kind="stable")[: shortlist * count]]
    points = np.array([fingerprint(atoms) for atoms in pool])
    start = np.array([fingerprint(atoms) for atoms in known])
    return [pool[i] for i in farthest(points, count, start)]
