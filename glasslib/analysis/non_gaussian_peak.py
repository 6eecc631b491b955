"""Peak of the non-Gaussian parameter, and the order of the species in it."""

import itertools

import numpy as np
from scipy.stats import t as student

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, correlate, moments, symbols
from .non_gaussian import ratio
from .statistics import block_sums, numbers

BLOCKS = 4  # of each replica where there are fewer than five
LONGEST = 0.2  # of the run: a block holds longer lag times too rarely
SMOOTHING = 0.3  # standard deviation in ln t of the average over neighbouring lag times


def non_gaussian_peak(trajectory_or_replicas, *, smallest_time=0.01, origins=1000, drift=None):
    """Highest value of α₂(t) of each species and the lag time of it.

    Parameters
    ----------
    trajectory_or_replicas, origins, drift
        As of mean_squared_displacement.
    smallest_time : float
        ps, below which no peak is looked for.

    Returns
    -------
    xarray.Dataset
        `height` and `position` (ps), each with `_sem` [species]; `inside`: 1 where the peak lies inside the range of lag times, 0 where
        α₂ is highest at its end, so that the true peak may be elsewhere.

    Notes
    -----
    α₂ is averaged over neighbouring lag times (a factor 1.35) before its maximum is taken, which else would be that of the noise, and a
    parabola in ln t through three points gives the position. Errors by the jackknife over replicas or over four blocks of each run.
    """
    replicas, lag, parts = block_moments(trajectory_or_replicas, smallest_time, origins, drift)
    height, place, inside = peak(lag, parts.mean(0))
    heights, places = (
        np.array(x) for x in zip(*((h, p) for h, p, _ in map(lambda m: peak(lag, m), without_one(parts))), strict=True)
    )
    n = len(parts)
    spread = [np.sqrt((n - 1) / n * ((x - x.mean(0)) ** 2).sum(0)) for x in (heights, np.log(places))]
    dims = ("species",)
    return dataset(
        {
            "height": (dims, height, spread[0], "1", "peak of the non-Gaussian parameter"),
            "position": (dims, place, np.where(inside, place * spread[1], np.nan), "ps", "lag time of the peak"),
            "inside": (dims, inside.astype(int), None, "1", "whether the peak lies inside the lag times"),
        },
        {"species": symbols(replicas)},
        described(
            "non_gaussian_peak",
            replicas,
            {"smallest_time": smallest_time, "origins": origins, "drift": drift},
            blocks=n,
        ),
    )


def species_order(trajectory_or_replicas, *, smallest_time=0.01, origins=1000, drift=None):
    """Differences between the species' peaks of α₂, and how likely chance alone would make them.

    Parameters
    ----------
    trajectory_or_replicas, smallest_time, origins, drift
        As of non_gaussian_peak.

    Returns
    -------
    xarray.Dataset
        `difference` with `difference_sem` and `p` [pair], pairs "Na-Si" and so on: height of the first less that of the second, and the
        two-sided p-value of Student's t over blocks or replicas, in which both species were seen together. NaN for α₂ that is undefined.
    """
    replicas, lag, parts = block_moments(trajectory_or_replicas, smallest_time, origins, drift)
    names = symbols(replicas)
    couples = list(itertools.combinations(range(len(names)), 2))
    if not couples:
        raise GlasslibError("the order of species needs two species at least: this trajectory has one")
    first, second = np.array(couples).T
    height = peak(lag, parts.mean(0))[0]
    heights = np.array([peak(lag, m)[0] for m in without_one(parts)])
    n = len(parts)
    value = height[first] - height[second]
    each = heights[:, first] - heights[:, second]
    sem = np.sqrt((n - 1) / n * ((each - each.mean(0)) ** 2).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * student.sf(np.abs(value) / sem, n - 1)
    return dataset(
        {
            "difference": (("pair",), value, sem, "1", "difference of the peaks of the non-Gaussian parameter"),
            "p": (("pair",), p, None, "1", "two-sided p-value"),
        },
        {"pair": [f"{names[a]}-{names[b]}" for a, b in couples]},
        described(
            "species_order", replicas, {"smallest_time": smallest_time, "origins": origins, "drift": drift}, blocks=n
        ),
    )


def block_moments(trajectory_or_replicas, smallest_time, origins, drift):
    """(replicas, lag times [lags], means of r² and r⁴ [blocks, species, 2, lags]) for the lag times that every block has."""
    replicas = checked(trajectory_or_replicas)
    blocks = 1 if len(replicas) >= 5 else BLOCKS
    pairs, values = correlate(replicas, moments, (2, 4), 2, None, origins, drift)
    sums, counts = block_sums(pairs, values, blocks, separate=True)
    lag = pairs[0].lag
    longest = LONGEST * min(p.length for p in pairs)
    smallest_time = float(numbers("smallest_time", smallest_time)[0])
    keep = (counts > 0).all(0) & (lag >= smallest_time) & (lag <= longest * (1 + 1e-9))
    if keep.sum() < 3:
        raise GlasslibError(
            f"only {keep.sum()} lag time(s) from {smallest_time:g} ps to a fifth of the run ({longest:g} ps): "
            "lower smallest_time, run longer or write more frames"
        )
    return replicas, lag[keep], sums[..., keep] / counts[:, None, None, keep]


def without_one(parts):
    """Means of all parts but one, for each of them."""
    total = parts.sum(0)
    return ((total - part) / (len(parts) - 1) for part in parts)


def peak(lag, mean):
    """Height, position and whether it is inside, each [species], of means [species, 2, lags]."""
    x = np.log(lag)
    weight = np.exp(-0.5 * ((x[:, None] - x[None]) / SMOOTHING) ** 2)
    # As many lag times on both sides, else the average is shifted at the ends.
    reach = np.minimum(x - x[0], x[-1] - x)[:, None]
    weight *= np.abs(x[:, None] - x[None]) <= reach + 1e-9
    alpha = ratio(mean) @ (weight / weight.sum(1, keepdims=True)).T
    alpha = np.where(np.isfinite(alpha), alpha, -np.inf)
    top = alpha.argmax(1)
    inside = (top > 0) & (top < len(lag) - 1) & np.isfinite(alpha.max(1))
    height, place = alpha.max(1), lag[top]
    for k in np.flatnonzero(inside):
        near = slice(top[k] - 1, top[k] + 2)
        bend, slope, level = np.polyfit(x[near] - x[top[k]], alpha[k, near], 2)
        if bend < 0:
            height[k], place[k] = level - slope**2 / (4 * bend), np.exp(x[top[k]] - slope / (2 * bend))
    known = np.isfinite(height)
    return np.where(known, height, np.nan), np.where(known, place, np.nan), inside
