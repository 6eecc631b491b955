"""Qⁿ speciation of the silicate network."""

import numpy as np

from ..errors import GlasslibError
from .coordination import count_distribution, default_cutoff
from .dataset import dataset, described
from .displacements import checked, symbols
from .neighbours import MOST_FRAMES


def q_speciation(trajectory_or_replicas, *, cutoff=None, former="Si", anion="O", frames=MOST_FRAMES, n_blocks=5):
    """Fractions of Qⁿ: silicon atoms with n bridging oxygens, an oxygen being bridging when it has two silicon neighbours or more.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    cutoff : float, optional
        Si–O bond, Å; default: first minimum of g(r).
    former, anion : str
        Species of the network.
    frames, n_blocks
        As of radial_distribution.

    Returns
    -------
    xarray.Dataset
        `probability` (n) for n = 0 … 4 and beyond where there is any, `probability_sem`, and the mean n, `mean`, `mean_sem`. A perfect
        network of x mol fraction Na₂O has a mean n of 4 − 2x/(1−x).
    """
    replicas = checked(trajectory_or_replicas)
    missing = [str(s) for s in (former, anion) if s not in symbols(replicas)]
    if missing:
        raise GlasslibError(f"no {' or '.join(missing)} in this trajectory: name the network by former and anion")
    cutoff = default_cutoff(replicas, former, anion, cutoff)

    def count(species, i, j, vector):
        chosen = (species[i] == former) & (species[j] == anion)
        i, j = i[chosen], j[chosen]
        bridging = np.bincount(j, minlength=len(species)) >= 2
        return np.bincount(i[bridging[j]], minlength=len(species))[species == former]

    probability, sem, mean, mean_sem = count_distribution(replicas, cutoff, count, frames, n_blocks, least=5)
    options = {"cutoff": cutoff, "former": former, "anion": anion, "frames": frames, "n_blocks": n_blocks}
    return dataset(
        {
            "probability": (("n",), probability, sem, "1", f"fraction of {former} with n bridging {anion}"),
            "mean": ((), mean, mean_sem, "1", "mean n"),
        },
        {"n": np.arange(len(probability))},
        described("q_speciation", replicas, options, cutoff_A=cutoff),
    )
