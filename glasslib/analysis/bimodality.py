"""Second maximum of the van Hove function, and the share of atoms that have jumped."""

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import t as student

from .dataset import dataset, described
from .displacements import checked, constant_cell, histogram, species_parts, symbols
from .lags import chosen_lags, frame_pairs
from .statistics import numbers
from .van_hove_self import bins

R = np.arange(0.05, 8.0, 0.1)  # Å
TIMES_PER_DECADE = 4
GROUPS = 16  # of the atoms of a species in one replica
LONGEST = 4  # times which the longest lag fits into a run
FITS = 8  # parts that the groups are put into for the error of the fit
SMOOTHING = 0.15  # Å, standard deviation of the average over bins before maxima are looked for
SIGNIFICANT = 0.002  # one-sided p-value below which the second maximum is not one of the noise; several are looked at


def bimodality(trajectory_or_replicas, *, r=None, time=None, origins=300, drift=True):
    """Whether atoms move by jumps: a second maximum of P(r) = 4πr² G_s(r, t), and a fit of those that stayed and those that jumped.

    The highest of many bumps of noise always looks like a maximum. So one half of the atoms tells where the minimum and the maximum are and the
    other half how much higher the maximum is, then the other way round; groups of atoms give the error.

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
        maximum, NaN where there is none; `rise` with error, how far the lower of the two maxima stands above the minimum, 1/Å, each half of
        the atoms read at the places that the other half chose: about zero or below where there is no second maximum; `significance`, rise over its standard
        error, and `p`, its one-sided p-value by Student's t; `bimodal`: 1 where p is below 0.002; `moved` with error, the share of atoms
        beyond the minimum, which says how many have jumped, once or more often, where there is a second maximum. `hop_length` b (Å), `hop_fraction` f,
        `stay_width` s (Å) and `hop_width` (Å) of the fit with errors, NaN where it fails, lengths also
        where they are below their width (atoms that jumped several times form no shell); `improvement`: by which factor the jumps
        lower the sum of squares of a single Gaussian; a fit with an improvement near 1, or with `hop_length` not well above
        `stay_width`, shows no jumps.

    References
    ----------
    Two-peaked van Hove functions of ions in glasses: J. Habasaki, Y. Hiwatari, Phys. Rev. E 65, 021604 (2002). Selection on one half,
    inference on the other: D. R. Cox, Biometrika 62, 441 (1975).
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    r = R if r is None else numbers("r", r)
    names = symbols(replicas)
    time, groups = group_densities(replicas, r, time, origins, drift)
    out = np.full((len(names), len(time), 8), np.nan)
    moved = np.full((2, len(names), len(time)), np.nan)
    errors = np.full((len(names), len(time), 4), np.nan)
    rise_error, p, improvement = np.full((3, len(names), len(time)), np.nan)
    for at in np.ndindex(len(names), len(time)):
        density, share = groups[at[0]][0][:, at[1]], groups[at[0]][1]
        mean = np.average(density, axis=0, weights=share)
        first, minimum, second = extrema(r, mean)
        if first is not None:
            out[at][0] = r[first]
        if second is not None:
            out[at][1:3] = r[minimum], r[second]
            out[at][3], rise_error[at], p[at] = rise(r, density)
            moved[0][at], moved[1][at] = beyond(r, density, share, minimum)
        best, gain = fit(r, mean)
        out[at][4:], improvement[at] = best, gain
        if best[0] < best[3]:  # a blob, not a shell: a length that its own width hides is none
            out[at][[4, 7]] = np.nan
        k = np.arange(len(density)) % FITS
        if len(density) > 1 and np.isfinite(best).all():
            without = [np.average(density[k != part], axis=0, weights=share[k != part]) for part in np.unique(k)]
            errors[at] = np.where(
                np.isnan(out[at][4:]), np.nan, spread(np.array([fit(r, one, best)[0] for one in without]))
            )
    with np.errstate(invalid="ignore", divide="ignore"):
        significance = out[..., 3] / rise_error
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
        "rise": (dims, out[..., 3], rise_error, "1/Å", "height of the lower maximum above the minimum"),
        "significance": (dims, significance, None, "1", "rise over its standard error"),
        "p": (dims, p, None, "1", "one-sided p-value of the rise"),
        "moved": (dims, moved[0], moved[1], "1", "fraction of atoms beyond the minimum"),
        "bimodal": (
            dims,
            (p < SIGNIFICANT).astype(int),
            None,
            "1",
            "whether the second maximum is significant",
        ),
    }
    variables |= {n: (dims, out[..., 4 + k], errors[..., k], *label) for k, (n, label) in enumerate(labels.items())}
    variables["improvement"] = (dims, improvement, None, "1", "sum of squares without jumps over that with jumps")
    options = {"r": [float(r[0]), float(r[-1]), len(r)], "time": time, "origins": origins, "drift": drift}
    return dataset(
        variables,
        {"species": names, "time": time},
        described("bimodality", replicas, options, groups=GROUPS),
    )


def group_densities(replicas, r, time, origins, drift):
    """Lag times, and for each species P(r), 1/Å, of groups of its atoms [groups, times, r] with their numbers of atoms [groups]."""
    low, width, count = bins(r)
    longest = min(t.time[-1] - t.time[0] for t in replicas) / LONGEST
    if time is None:
        shortest = min(np.diff(t.time).min() for t in replicas)
        decades = max(np.log10(max(longest / shortest, 1.0)), 0.0)
        time = np.geomspace(shortest, max(longest, shortest), int(decades * TIMES_PER_DECADE) + 1)
    lags = chosen_lags(replicas, time)
    names = symbols(replicas)
    found = {name: ([], []) for name in names}
    for replica in replicas:
        pairs = frame_pairs(replica, lags, origins)
        frames, first, second = pairs.used()
        pairs_in = np.bincount(pairs.index, minlength=len(lags))[:, None]
        lag = pairs.lag
        total = {name: np.zeros((GROUPS, len(lags), count)) for name in names}
        atoms = {name: np.zeros(GROUPS, int) for name in names}
        for name, positions in species_parts(replica, frames, drift):
            total[name] += histogram(positions, first, second, pairs.index, len(lags), low, width, count, GROUPS)
            atoms[name] += np.diff(np.arange(GROUPS + 1) * positions.shape[0] // GROUPS)
        for name in names:
            filled = atoms[name] > 0
            share = atoms[name][filled]
            found[name][0].append(total[name][filled] / share[:, None, None] / pairs_in / width)
            found[name][1].append(share)
    return lag, [(np.concatenate(found[n][0]), np.concatenate(found[n][1])) for n in names]


def beyond(r, density, share, minimum):
    """Fraction of atoms farther than the bin `minimum`, and its standard error over groups of atoms [groups, r] of sizes `share`."""
    values = 1 - density[:, : minimum + 1].sum(1) * (r[1] - r[0])
    mean = np.average(values, weights=share)
    return mean, values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan


def rise(r, density):
    """Depth of the minimum between two maxima, its standard error and one-sided p-value, from groups of atoms [groups, r].

    Even groups choose the places, odd ones are read there, and the other way round; where a half has no second maximum its partner reads 0.
    Both maxima must stand above the minimum: what is returned is the less significant of the two, or a bump on the flank of a single
    maximum would count.
    """
    smooth = smoothed(r, density.T).T
    halves, read = (smooth[::2], smooth[1::2]), ([], [])
    if min(map(len, halves)) < 2:
        return np.nan, np.nan, np.nan
    for k, half in enumerate(halves):
        first, minimum, second = extrema(r, half.mean(0), smooth=False)
        other = halves[1 - k]
        for values, top in zip(read, (first, second), strict=True):
            values.append(np.zeros(len(other)) if second is None else other[:, top] - other[:, minimum])
    found = []
    for values in read:
        mean = np.mean([one.mean() for one in values])
        error = 0.5 * np.sqrt(sum(one.var(ddof=1) / len(one) for one in values))
        # Without a second maximum in either half there is nothing to read: no evidence at all.
        chance = student.sf(mean / error, sum(len(one) - 1 for one in values)) if error > 0 else 1.0
        found.append((mean, error if error > 0 else np.nan, chance))
    return max(found, key=lambda one: one[2])


def spread(without):
    """Jackknife error of values [parts, …], each without one part."""
    n = len(without)
    return np.sqrt((n - 1) / n * ((without - without.mean(0)) ** 2).sum(0))


def smoothed(r, density):
    """Average over neighbouring bins."""
    weight = np.exp(-0.5 * ((r[:, None] - r[None]) / SMOOTHING) ** 2)
    return (weight / weight.sum(1, keepdims=True)) @ density


def extrema(r, density, smooth=True):
    """Bins of the first maximum, the minimum after it and the second maximum, such that the minimum is deepest below the lower of the two.

    (highest, None, None) where there is one maximum only; None for all where there is nothing.
    """
    values = smoothed(r, density) if smooth else density
    if not values.max() > 0:
        return None, None, None
    left, right = np.maximum.accumulate(values), np.maximum.accumulate(values[::-1])[::-1]
    depth = np.minimum(left, right) - values
    minimum = int(depth.argmax())
    if not depth[minimum] > 0:
        return int(values.argmax()), None, None
    return int(values[:minimum].argmax()), minimum, minimum + int(values[minimum:].argmax())


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
