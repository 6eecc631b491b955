"""Second maximum of the van Hove function, and the share of atoms that have jumped."""

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import t as student

from .dataset import dataset, described
from .displacements import checked, constant_cell, histogram, species_parts, symbols
from .lags import chosen_lags, frame_pairs
from .van_hove_self import bins

R = np.arange(0.05, 8.0, 0.1)  # Å
TIMES_PER_DECADE = 4
BLOCKS = 4  # of each replica where there are fewer than five
SMOOTHING = 0.15  # Å, standard deviation of the average over bins before maxima are looked for
SIGNIFICANT = 0.002  # one-sided p-value below which the second maximum is not one of the noise; several are looked at


def bimodality(trajectory_or_replicas, *, r=None, time=None, origins=300, drift=True):
    """Whether atoms move by jumps: a second maximum of P(r) = 4πr² G_s(r, t), and a fit of those that stayed and those that jumped.

    P(r) is fitted by (1 − f) times the distribution of a Gaussian displacement with standard deviation s along each axis, plus f times
    that of a jump of length b in any direction with a Gaussian displacement of its own width on top.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    r : array, optional
        Evenly spaced bin centres, Å; default 0.05, 0.15, … 7.95.
    time : float or sequence, optional
        Lag times, ps; default: four for each decade that the run has, up to a quarter of it.
    origins, drift
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        All along species and time: `first`, `minimum`, `second` (Å), where P has its first maximum, the minimum after it and the next
        maximum, NaN where there is none; `rise` with error, P(second) − P(minimum) in 1/Å; `significance`, rise over its standard
        error, and `p`, its one-sided p-value by Student's t; `bimodal`: 1 where p is below 0.002. `hop_length` b (Å), `hop_fraction` f, `stay_width` s (Å) and `hop_width` (Å) of the fit with errors, NaN where it
        fails; `improvement`: by which factor the jumps lower the sum of squares of a single Gaussian; a fit with an improvement near
        1, or with `hop_length` not well above `stay_width`, shows no jumps.

    References
    ----------
    Two-peaked van Hove functions of ions in glasses: J. Habasaki, Y. Hiwatari, Phys. Rev. E 65, 021604 (2002).
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    r = R if r is None else np.asarray(r, float)
    names = symbols(replicas)
    time, density = block_densities(replicas, r, time, origins, drift)
    mean, n = density.mean(0), len(density)
    without = [(density.sum(0) - d) / (n - 1) for d in density] if n > 1 else []
    out = np.full((len(names), len(time), 11), np.nan)
    errors = np.full((len(names), len(time), 4), np.nan)
    rise_error = np.full((len(names), len(time)), np.nan)
    for at in np.ndindex(len(names), len(time)):
        first, minimum, second = extrema(r, mean[at])
        smooth = smoothed(r, mean[at])
        if second is not None:
            rise = smooth[second] - smooth[minimum]
            out[at][:4] = r[first], r[minimum], r[second], rise
            each = np.array([smoothed(r, m[at])[second] - smoothed(r, m[at])[minimum] for m in without])
            rise_error[at] = spread(each) if n > 1 else np.nan
        elif first is not None:
            out[at][0] = r[first]
        best, gain = fit(r, mean[at])
        out[at][4:8], out[at][8] = best, gain
        if n > 1 and np.isfinite(best).all():
            errors[at] = spread(np.array([fit(r, m[at], best)[0] for m in without]))
    with np.errstate(invalid="ignore", divide="ignore"):
        significance = out[..., 3] / rise_error
        p = student.sf(significance, max(n - 1, 1))
    dims = ("species", "time")
    labels = {"hop_length": ("Å", "length of jumps"), "hop_fraction": ("1", "fraction of atoms that have jumped")}
    labels |= {
        "stay_width": ("Å", "spread along each axis of atoms that stayed"),
        "hop_width": ("Å", "spread of those that jumped"),
    }
    variables = {
        "first": (dims, out[..., 0], None, "Å", "first maximum"),
        "minimum": (dims, out[..., 1], None, "Å", "minimum between the maxima"),
        "second": (dims, out[..., 2], None, "Å", "second maximum"),
        "rise": (dims, out[..., 3], rise_error, "1/Å", "height of the second maximum above the minimum"),
        "significance": (dims, significance, None, "1", "rise over its standard error"),
        "p": (dims, p, None, "1", "one-sided p-value of the rise"),
        "bimodal": (
            dims,
            (p < SIGNIFICANT).astype(int),
            None,
            "1",
            "whether the second maximum is significant",
        ),
    }
    variables |= {n: (dims, out[..., 4 + k], errors[..., k], *label) for k, (n, label) in enumerate(labels.items())}
    variables["improvement"] = (dims, out[..., 8], None, "1", "sum of squares without jumps over that with jumps")
    options = {"r": [float(r[0]), float(r[-1]), len(r)], "time": time, "origins": origins, "drift": drift}
    return dataset(
        variables,
        {"species": names, "time": time},
        described("bimodality", replicas, options, blocks=n),
    )


def block_densities(replicas, r, time, origins, drift):
    """Lag times and P(r), 1/Å, of blocks or replicas [blocks, species, times, r]."""
    low, width, count = bins(r)
    longest = min(t.time[-1] - t.time[0] for t in replicas) / BLOCKS
    if time is None:
        shortest = min(np.diff(t.time).min() for t in replicas)
        decades = max(np.log10(max(longest / shortest, 1.0)), 0.0)
        time = np.geomspace(shortest, max(longest, shortest), int(decades * TIMES_PER_DECADE) + 1)
    lags = chosen_lags(replicas, time)
    names = symbols(replicas)
    blocks = 1 if len(replicas) >= 5 else BLOCKS
    out = []
    for replica in replicas:
        pairs = frame_pairs(replica, lags, origins)
        block = np.minimum((pairs.middle * blocks).astype(int), blocks - 1)
        # A lag longer than a block has no blocks that are independent.
        cell = block * len(lags) + pairs.index
        frames = np.union1d(pairs.first, pairs.second)
        first, second = np.searchsorted(frames, pairs.first), np.searchsorted(frames, pairs.second)
        total = np.zeros((len(names), blocks * len(lags), count))
        for name, positions in species_parts(replica, frames, drift):
            found = histogram(positions, first, second, cell, blocks * len(lags), low, width, count, 8)
            total[names.index(name)] += found.sum(0)
        number = np.array([(replica.species == s).sum() for s in names])[:, None, None]
        pairs_in = np.bincount(cell, minlength=blocks * len(lags))[None, :, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            density = (total / number / pairs_in / width).reshape(len(names), blocks, len(lags), count)
        lag = pairs.lag
        out.append(np.moveaxis(density, 1, 0))
    density = np.concatenate(out)
    keep = np.isfinite(density).all((0, 1, 3)) & ((lag <= longest * (1 + 1e-9)) | (blocks == 1))
    return lag[keep], density[:, :, keep]


def spread(without):
    """Jackknife error of values [parts, …], each without one part."""
    n = len(without)
    return np.sqrt((n - 1) / n * ((without - without.mean(0)) ** 2).sum(0))


def smoothed(r, density):
    """Average over neighbouring bins."""
    weight = np.exp(-0.5 * ((r[:, None] - r[None]) / SMOOTHING) ** 2)
    return (weight / weight.sum(1, keepdims=True)) @ density


def extrema(r, density):
    """Bins of the first maximum, the minimum after it, and the maximum after that which rises highest above its minimum; else None."""
    smooth = smoothed(r, density)
    rising = np.diff(smooth) > 0
    tops = np.flatnonzero(np.r_[True, rising] & ~np.r_[rising, False])
    tops = tops[(tops > 0) & (smooth[tops] > 0)]
    if not len(tops):
        return None, None, None
    first, best = tops[0], (None, None, 0.0)
    for top in tops[1:]:
        low = first + int(smooth[first : top + 1].argmin())
        if smooth[top] - smooth[low] > best[2]:
            best = low, top, smooth[top] - smooth[low]
    return first, best[0], best[1]


def stayed(r, width):
    """Distribution of |x| for a Gaussian x of standard deviation `width` along each axis (Maxwell)."""
    return np.sqrt(2 / np.pi) * r**2 / width**3 * np.exp(-(r**2) / (2 * width**2))


def jumped(r, length, width):
    """Distribution of |b + x| for b of fixed length in any direction and x as above."""
    near, far = np.exp(-((r - length) ** 2) / (2 * width**2)), np.exp(-((r + length) ** 2) / (2 * width**2))
    return r / (length * width * np.sqrt(2 * np.pi)) * (near - far)


def mixture(r, length, fraction, width, hop_width):
    """P(r) of those that stayed and those that jumped."""
    return (1 - fraction) * stayed(r, width) + fraction * jumped(r, length, hop_width)


def fit(r, density, guess=None):
    """(jump length, fraction, width of the stayed, width of the jumped), NaN where the fit fails, and its improvement on one Gaussian."""
    if not density.any():
        return np.full(4, np.nan), np.nan
    top = r[density.argmax()]
    starts = [guess] if guess is not None else [(b, 0.15, max(top / 1.4, 0.05), 0.6) for b in (1.5, 2.5, 3.5)]
    bounds = ((0.3, 0.0, 0.01, 0.05), (r[-1], 1.0, r[-1], r[-1] / 2))
    best, least = np.full(4, np.nan), np.inf
    for start in starts:
        try:
            found, _ = curve_fit(mixture, r, density, np.clip(start, *bounds), bounds=bounds, max_nfev=400)
        except (RuntimeError, ValueError):
            continue
        squares = ((mixture(r, *found) - density) ** 2).sum()
        if squares < least:
            best, least = found, squares
    try:
        single, _ = curve_fit(stayed, r, density, (max(top / 1.4, 0.05),), bounds=(0.01, r[-1]), max_nfev=400)
        alone = ((stayed(r, *single) - density) ** 2).sum()
    except (RuntimeError, ValueError):
        alone = np.nan
    return best, alone / least if least > 0 else np.nan
