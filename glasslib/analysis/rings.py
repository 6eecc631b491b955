"""Ring statistics of the silicate network."""

import numpy as np

from ..errors import GlasslibError
from .coordination import default_cutoff
from .dataset import dataset, described
from .displacements import checked, symbols
from .neighbours import bonds, spread
from .statistics import jackknife, whole


def rings(trajectory_or_replicas, *, cutoff=None, former="Si", anion="O", largest=12, frames=10, n_blocks=5):
    """Numbers of shortest-path rings of the network, by the number n of silicon atoms in a ring.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    cutoff : float, optional
        Si–O bond, Å; default: first minimum of g(r).
    former, anion : str
        Species of the network; only bonds between the two count.
    largest : int
        Largest n looked for.
    frames, n_blocks
        As of radial_distribution.

    Returns
    -------
    xarray.Dataset
        `rings` (n), rings for each silicon atom, and `rings_sem`; `probability` (n), the fraction of rings that have n silicon atoms, and
        `probability_sem`.

    References
    ----------
    D. S. Franzblau, Phys. Rev. B 44, 4925 (1991). Found by the matscipy package.
    """
    from matscipy.rings import distances_on_graph, find_sp_rings

    replicas = checked(trajectory_or_replicas)
    missing = [s for s in (former, anion) if s not in symbols(replicas)]
    if missing:
        raise GlasslibError(f"no {' or '.join(missing)} in this trajectory: name the network by former and anion")
    cutoff = default_cutoff(replicas, former, anion, cutoff)
    sums, counts = [], []
    for replica in replicas:
        chosen = spread(len(replica), frames)
        blocks = min(whole("n_blocks", n_blocks), len(chosen))
        network = np.flatnonzero(np.isin(replica.species, (former, anion)))
        kind = replica.species[network]
        total = np.zeros((blocks, largest + 1))
        block = np.arange(len(chosen)) * blocks // len(chosen)
        for at, frame in zip(block, chosen, strict=True):
            positions = np.asarray(replica.positions[frame], np.float64)[network]
            i, j, vector = bonds(positions, replica.cells[frame], cutoff)
            joined = kind[i] != kind[j]
            i, j, vector = i[joined].astype(np.int32), j[joined].astype(np.int32), np.ascontiguousarray(vector[joined])
            found = find_sp_rings(i, j, vector, distances_on_graph(i, j), 2 * largest + 1) if len(i) else np.zeros(0)
            # A ring of n silicon atoms has n oxygen atoms too.
            found = found[::2][: largest + 1]
            total[at, : len(found)] += found
        sums.append(total / (kind == former).sum())
        counts.append(np.bincount(block, minlength=blocks))
    sums = np.concatenate(sums)[:, :, None]
    counts = np.concatenate(counts)[:, None]
    value, sem = jackknife(sums, counts)
    share, share_sem = jackknife(sums, counts, lambda mean: mean / mean.sum(0))
    options = {
        "cutoff": cutoff,
        "former": former,
        "anion": anion,
        "largest": largest,
        "frames": frames,
        "n_blocks": n_blocks,
    }
    return dataset(
        {
            "rings": (("n",), value[2:, 0], sem[2:, 0], "1", f"rings of n {former} for each {former}"),
            "probability": (("n",), share[2:, 0], share_sem[2:, 0], "1", f"fraction of rings with n {former}"),
        },
        {"n": np.arange(2, largest + 1)},
        described("rings", replicas, options, cutoff_A=cutoff),
    )
