"""Coordination numbers."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, symbols
from .neighbours import MOST_FRAMES, bonds, first_minimum, spread
from .radial_distribution import radial_distribution
from .statistics import jackknife, single, whole


def default_pair(replicas, pair):
    """Centre and neighbour of a pair such as "Si-O" or ("Si", "O"); default: Si-O, else the first two species."""
    names = symbols(replicas)
    if pair is None:
        pair = ("Si", "O") if {"Si", "O"} <= set(names) else (names[0], names[-1])
    parts = tuple(pair.split("-")) if isinstance(pair, str) else tuple(np.ravel(pair))
    if len(parts) != 2 or any(p not in names for p in parts):
        raise GlasslibError(
            f"pair must be two species of the trajectory ({', '.join(names)}), such as 'Si-O', not {pair!r}"
        )
    return parts


def default_cutoff(replicas, centre, neighbour, cutoff=None):
    """Given cutoff, or the first minimum of g(r) of the pair over some frames, Å."""
    if cutoff is not None:
        return single("cutoff", cutoff)
    found = radial_distribution(replicas, frames=20)
    g = found["g"].sel(pair="-".join(sorted((centre, neighbour)))).values
    return first_minimum(found["r"].values, np.nan_to_num(g))


def coordination(trajectory_or_replicas, *, pair=None, cutoff=None, frames=MOST_FRAMES, n_blocks=5):
    """Distribution of the number of neighbours of one species around atoms of another.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    pair : str or (str, str), optional
        Centre and neighbour: "Si-O" counts O around Si, "O-Si" Si around O. Default "Si-O".
    cutoff : float, optional
        Å; default: first minimum of g(r) of the pair.
    frames, n_blocks
        As of radial_distribution.

    Returns
    -------
    xarray.Dataset
        `probability` (coordination), `mean` number, and `distance`, that of the neighbours on average (Å), with errors; the cutoff in the attributes.
    """
    replicas = checked(trajectory_or_replicas)
    centre, neighbour = default_pair(replicas, pair)
    cutoff = default_cutoff(replicas, centre, neighbour, cutoff)

    lengths = []  # sum of the distances, and how many, of each frame

    def count(species, i, j, vector):
        chosen = (species[i] == centre) & (species[j] == neighbour)
        lengths.append((np.linalg.norm(vector[chosen], axis=1).sum(), chosen.sum()))
        return np.bincount(i[chosen], minlength=len(species))[species == centre]

    probability, sem, mean, mean_sem = count_distribution(replicas, cutoff, count, frames, n_blocks)
    parts = np.split(np.array(lengths, float), np.cumsum([len(spread(len(r), frames)) for r in replicas])[:-1])
    sums, bonds_of = zip(*(in_blocks(part, n_blocks).T for part in parts), strict=True)
    distance, distance_sem = jackknife(np.concatenate(sums)[:, None], np.concatenate(bonds_of)[:, None])
    options = {"pair": f"{centre}-{neighbour}", "cutoff": cutoff, "frames": frames, "n_blocks": n_blocks}
    return dataset(
        {
            "probability": (
                ("coordination",),
                probability,
                sem,
                "1",
                f"fraction of {centre} with so many {neighbour} neighbours",
            ),
            "mean": ((), mean, mean_sem, "1", f"mean number of {neighbour} around {centre}"),
            "distance": (
                (),
                float(distance[0]),
                float(distance_sem[0]),
                "Å",
                f"mean distance of {neighbour} around {centre}",
            ),
        },
        {"coordination": np.arange(len(probability))},
        described("coordination", replicas, options, pair=f"{centre}-{neighbour}", cutoff_A=cutoff),
    )


def count_distribution(replicas, cutoff, count, frames, n_blocks, least=7):
    """Distribution of whole numbers that `count(species, i, j, vector)` gives for each centre in a frame, with errors over blocks."""
    frame_counts = []
    for replica in replicas:
        chosen = spread(len(replica), frames)
        found = []
        for frame in chosen:
            positions = np.asarray(replica.positions[frame], np.float64)
            found.append(np.bincount(count(replica.species, *bonds(positions, replica.cells[frame], cutoff))))
        frame_counts.append(found)
    width = max(least, max(len(c) for found in frame_counts for c in found))
    sums, totals = [], []
    for found in frame_counts:
        sums.append(in_blocks(np.array([np.pad(c, (0, width - len(c))) for c in found], float), n_blocks))
        totals.append(sums[-1].sum(1))
    sums, totals = np.concatenate(sums)[:, :, None], np.concatenate(totals)[:, None]
    probability, sem = jackknife(sums, totals)
    mean, mean_sem = jackknife(sums, totals, lambda p: np.arange(width) @ p)
    return probability[:, 0], sem[:, 0], float(mean[0]), float(mean_sem[0])


def in_blocks(values, n_blocks):
    """Sums of the frames' values [frames, …] over blocks of time, fewer where there are fewer frames."""
    blocks = min(whole("n_blocks", n_blocks), len(values))
    block = np.arange(len(values)) * blocks // len(values)
    return np.stack([values[block == b].sum(0) for b in range(blocks)])
