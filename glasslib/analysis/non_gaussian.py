"""Non-Gaussian parameter."""

import numpy as np

from .dataset import dataset, described
from .displacements import checked, correlate, moments, symbols
from .statistics import block_count, block_sums, jackknife


def non_gaussian(trajectory_or_replicas, *, time=None, origins=1000, n_blocks=None, drift=None):
    """Non-Gaussian parameter of each species, α₂(t) = 3⟨r⁴⟩ / (5⟨r²⟩²) − 1.

    Zero where displacements are Gaussian; positive where some atoms of a species move much farther than others.

    Parameters
    ----------
    trajectory_or_replicas, time, origins, n_blocks, drift
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `alpha_2` (species, time), no unit, and `alpha_2_sem`.

    References
    ----------
    A. Rahman, Phys. Rev. 136, A405 (1964).
    """
    replicas = checked(trajectory_or_replicas)
    pairs, values = correlate(replicas, moments, (2, 4), 2, time, origins, drift)
    sums, counts = block_sums(pairs, values, block_count(replicas, n_blocks))
    alpha, sem = jackknife(sums, counts, ratio)
    options = {"time": time, "origins": origins, "n_blocks": n_blocks, "drift": drift}
    return dataset(
        {"alpha_2": (("species", "time"), alpha, sem, "1", "non-Gaussian parameter")},
        {"species": symbols(replicas), "time": pairs[0].lag},
        described("non_gaussian", replicas, options),
    )


def ratio(mean):
    """α₂ of means of r² and r⁴ [species, 2, lags]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 0.6 * mean[:, 1] / mean[:, 0] ** 2 - 1
