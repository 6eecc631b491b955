"""Second maximum of the van Hove function, and the number and length of jumps that would make it."""

import numpy as np
from scipy.stats import t as student

from . import jump_diffusion
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
UNSURE = 0.3  # Å, error of a length of jumps from which on it is none
HIDDEN = (
    3.0  # widths of the rattle that a jump must exceed to be told from it: the rattle's own maximum is at 1.4 of them
)
SIGNIFICANT = 0.002  # one-sided p-value below which the second maximum is not one of the noise; several are looked at


FITTED = {
    "hop_length": ("Å", "length of jumps"),
    "hop_number": ("1", "jumps of an atom"),
    "hop_fraction": ("1", "fraction of atoms that have jumped"),
    "hop_width": ("Å", "spread of the length of jumps along each axis"),
    "stay_width": ("Å", "rattle along each axis"),
}


def bimodality(trajectory_or_replicas, *, r=None, time=None, origins=300, drift=None):
    """Whether atoms move by jumps: a second maximum of P(r) = 4πr² G_s(r, t), and a fit of those that stayed and those that jumped.

    The highest of many bumps of noise always looks like a maximum. So one half of the atoms tells where the minimum and the maximum are and the
    other half how much higher the maximum is, then the other way round; groups of atoms give the error.

    P(r) is fitted, too, by that of atoms that rattle and have jumped a random number of times in any direction
    (`jump_diffusion.distribution`). If atoms did just that, the number would grow in proportion to time, and the length would not.

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
        beyond the minimum, which says how many have jumped, once or more often, where there is a second maximum. Of the fit, with errors:
        `hop_length` (Å), `hop_number`, jumps of an atom on average, `hop_fraction`, the share of atoms that have jumped at least once, `hop_width` (Å),
        how lengths spread, and `stay_width` (Å), the rattle along each axis; all NaN where hardly an atom goes beyond 1.5 Å or the fit
        tells no length: with an error above 0.3 Å, below three times the rattle, or at its bounds. `improvement`: by which factor the jumps lower the sum of
        squares of rattling alone.

    References
    ----------
    Two-peaked van Hove functions of ions in glasses: J. Habasaki, Y. Hiwatari, Phys. Rev. E 65, 021604 (2002). Selection on one half,
    inference on the other: D. R. Cox, Biometrika 62, 441 (1975). Jumps: see `jump_diffusion.distribution`.
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    r = R if r is None else numbers("r", r)
    names = symbols(replicas)
    time, groups = group_densities(replicas, r, time, origins, drift)
    out = np.full((len(names), len(time), 4), np.nan)
    moved = np.full((2, len(names), len(time)), np.nan)
    jumps, errors = np.full((2, len(names), len(time), len(FITTED)), np.nan)
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
        jumps[at], errors[at], improvement[at] = jumps_of(r, density, share)
    with np.errstate(invalid="ignore", divide="ignore"):
        significance = out[..., 3] / rise_error
    dims = ("species", "time")
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
    variables |= {n: (dims, jumps[..., k], errors[..., k], *label) for k, (n, label) in enumerate(FITTED.items())}
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


def jumps_of(r, density, share):
    """Values, errors [FITTED] and improvement of the fit of jumps to groups of atoms [groups, r] of sizes `share`; jackknife errors over groups."""
    best, gain = jump_diffusion.fit(r, np.average(density, axis=0, weights=share))
    k = np.arange(len(density)) % FITS
    value, error = quantities(best), np.full(len(FITTED), np.nan)
    if len(density) > 1 and np.isfinite(best).all():
        without = (np.average(density[k != part], axis=0, weights=share[k != part]) for part in np.unique(k))
        error = spread(np.array([quantities(jump_diffusion.fit(r, one, best)[0]) for one in without]))
    length, *_, rattle = value
    low, high = np.array(jump_diffusion.LOWEST)[:2] + 0.01, np.array(jump_diffusion.HIGHEST)[:3] - 0.01
    inside = (best[:2] > low).all() and (best[:3] < high).all()  # the spread may be none
    if not (inside and error[0] < UNSURE and length > HIDDEN * rattle):
        value[:] = error[:] = np.nan
    return value, error, gain


def quantities(best):
    """Those of FITTED from the parameters of the fit."""
    length, number, width, narrow, wide, share = best
    return np.array([length, number, -np.expm1(-number), width, np.sqrt((1 - share) * narrow**2 + share * wide**2)])


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
