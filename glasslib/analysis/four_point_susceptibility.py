"""Four-point susceptibility."""

import numpy as np

from .dataset import dataset, described
from .displacements import checked, correlate, symbols, within
from .overlap import A
from .statistics import block_count, block_sums, jackknife, positive


def four_point_susceptibility(trajectory_or_replicas, *, a=A, time=None, origins=1000, n_blocks=None, drift=None):
    """Four-point susceptibility of each species, χ₄(t) = N (⟨Q²⟩ − ⟨Q⟩²) of its instantaneous overlap Q; N atoms of the species.

    Atoms that move independently give ⟨Q⟩(1 − ⟨Q⟩) ≤ 1/4; correlated motion gives about the number of atoms that move together.

    Parameters
    ----------
    trajectory_or_replicas, a, time, origins, n_blocks, drift
        As of overlap.

    Returns
    -------
    xarray.Dataset
        `chi_4` (species, a, time), no unit, and `chi_4_sem`; `independent` (species, a, time), the value for independent atoms.

    Notes
    -----
    A variance from few independent origins is too small by about the variance of their mean; the jackknife's correction is applied.
    Where there are fewer than two independent blocks no value is given, since such a variance cannot be told from zero. Number,
    volume and (NVE) energy do not fluctuate in the runs, so that χ₄ is a lower bound of that of an open system.

    References
    ----------
    S. C. Glotzer, V. N. Novikov, T. B. Schrøder, J. Chem. Phys. 112, 509 (2000); L. Berthier et al., Science 310, 1797 (2005).
    """
    replicas = checked(trajectory_or_replicas)
    a = positive("a", a)
    pairs, values = correlate(replicas, within, a, len(a), time, origins, drift)
    both = [np.stack([v, v**2]) for v in values]
    sums, counts = block_sums(pairs, both, block_count(replicas, n_blocks))
    number = np.array([(replicas[0].species == s).sum() for s in symbols(replicas)])[:, None, None]
    value, sem = jackknife(sums, counts, lambda mean: number * (mean[1] - mean[0] ** 2))
    value = np.where(np.isfinite(sem), value - bias(sums, counts, number), np.nan)
    mean = jackknife(sums, counts)[0][0]
    dims = ("species", "a", "time")
    options = {"a": a, "time": time, "origins": origins, "n_blocks": n_blocks, "drift": drift}
    return dataset(
        {
            "chi_4": (dims, value, sem, "1", "four-point susceptibility"),
            "independent": (dims, mean * (1 - mean), None, "1", "four-point susceptibility of independent atoms"),
        },
        {"species": symbols(replicas), "a": a, "time": pairs[0].lag},
        described("four_point_susceptibility", replicas, options),
    )


def bias(sums, counts, number):
    """Bias of N (⟨Q²⟩ − ⟨Q⟩²), by leaving out one block at a time: (n − 1)(mean of the values without one − value)."""
    filled = counts > 0
    n = filled.sum(0)
    total, count = sums.sum(0), counts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = total[1] / count - (total[0] / count) ** 2
        without = 0.0
        for s, c, used in zip(sums, counts, filled, strict=True):
            first, second = (total - s) / (count - c)
            without = without + np.where(used, second - first**2, 0.0)
        return number * (n - 1) * (without / n - whole)
