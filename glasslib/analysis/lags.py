"""Which pairs of frames make which lag time.

Frames may stand at any times: evenly spaced, log-spaced with many origins, or irregular. A lag time is a difference of two frame times
that occurs; nothing is interpolated or resampled.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ..errors import GlasslibError
from .statistics import positive, whole

ALL_LAGS = 256  # up to this many distinct lag times all are kept
OFF = 1e-6  # relative difference of a lag time from a multiple of the unit that is more than rounding
LONGEST_COUNT = 2**24  # ticks over which pairs are counted by one Fourier transform


@dataclass(frozen=True)
class Pairs:
    """Pairs of frames sorted by lag time.

    Attributes
    ----------
    lag : array [lags]
        ps.
    first, second : int array [pairs]
        Frames.
    index : int array [pairs]
        Which lag time a pair belongs to.
    middle : array [pairs]
        Time half-way between the two frames as a fraction of the trajectory's length, in [0, 1).
    length : float
        Length of the trajectory, ps.
    """

    lag: np.ndarray
    first: np.ndarray
    second: np.ndarray
    index: np.ndarray
    middle: np.ndarray
    length: float

    def used(self):
        """Frames of all pairs, increasing, and where the two of each pair are among them: (frames, first [pairs], second [pairs])."""
        seen = np.zeros(max(self.first.max(initial=-1), self.second.max(initial=-1)) + 1, bool)
        seen[self.first] = seen[self.second] = True
        place = np.cumsum(seen) - 1
        return np.flatnonzero(seen), place[self.first], place[self.second]

    def blocks(self, n_blocks):
        """Block of each pair [pairs]: at a lag t the trajectory is cut in at most `n_blocks` parts of at least 2 t each.

        Pairs of neighbouring parts then overlap at the edges only (parts of length t would give errors of a random walk that are a
        tenth too small); a lag beyond a quarter of the trajectory has a single block, hence no error estimate.
        """
        fitting = np.floor(self.length / (2 * self.lag) * (1 + 1e-9)).astype(int)
        count = np.clip(fitting, 1, n_blocks)[self.index]
        return np.minimum((self.middle * count).astype(int), count - 1)

    def separate(self, n_blocks):
        """Block of each pair [pairs] among `n_blocks` equal parts of the trajectory; −1 for a pair that reaches into two."""
        half = 0.5 * self.lag[self.index] / self.length
        start = np.floor((self.middle - half) * n_blocks + 1e-9).astype(int)
        end = np.ceil((self.middle + half) * n_blocks - 1e-9).astype(int) - 1
        return np.where(start == end, start, -1)


def ticks(trajectory):
    """Frame times as whole multiples of a unit.

    Returns
    -------
    (int array [frames], float)
        Ticks since the first frame, and the unit in ps. Times without a common unit are rounded to a hundredth of their smallest gap.
    """
    time = trajectory.time - trajectory.time[0]
    if len(time) < 2:
        raise GlasslibError("dynamics needs at least two frames: this trajectory has one")
    smallest = np.diff(time).min()
    tolerance = max(2e-3 * smallest, 8 * np.spacing(np.abs(trajectory.time).max()))
    if trajectory.step is not None:
        step = trajectory.step - trajectory.step[0]
        step //= np.gcd.reduce(np.diff(step))
        unit = (time @ step) / (step @ step)
        single = 4 * np.spacing(np.float32(np.abs(trajectory.time).max()))  # times that were stored in single precision
        if np.abs(time - step * unit).max() < max(10 * tolerance, single):
            return step, unit
    unit = smallest
    for gap in np.unique(np.round(np.diff(time) / tolerance)) * tolerance:
        unit = common_divisor(gap, unit, 4 * tolerance)
    if unit < 20 * tolerance:
        unit = smallest / 100
    span = 1
    while (
        span < len(time) - 1
    ):  # rounded times: a unit from longer and longer spans, or the last ticks would be off by one
        span = min(2 * span, len(time) - 1)
        part = time[1 : span + 1]
        count = np.rint(part / unit)
        unit = part @ count / (count @ count)
    return np.rint(time / unit).astype(np.int64), unit


def common_divisor(a, b, tolerance):
    """Greatest common divisor of two positive numbers known to a tolerance."""
    while b > tolerance:
        rest = a % b
        a, b = b, 0.0 if b - rest < tolerance else rest
    return a


def lag_counts(tick):
    """Number of pairs of frames at each whole lag, as (lags, counts); lags of zero pairs are left out."""
    span = int(tick[-1])
    if span == len(tick) - 1:
        return np.arange(1, span + 1), np.arange(span, 0, -1)
    if span < LONGEST_COUNT:
        present = np.zeros(next_fast_len(2 * span + 2, real=True))
        present[tick] = 1.0
        counts = np.rint(irfft(np.abs(rfft(present)) ** 2, len(present))[: span + 1]).astype(np.int64)
        lags = np.flatnonzero(counts)[1:]
        return lags, counts[lags]
    origins = tick[:: 1 + len(tick) ** 2 // 10_000_000]
    lags, counts = np.unique((tick[None, :] - origins[:, None]).ravel(), return_counts=True)
    return lags[lags > 0], counts[lags > 0]


def thinned(lags, counts, per_decade):
    """The best-sampled lag of each of `per_decade` logarithmic intervals a decade."""
    interval = np.floor(per_decade * np.log10(lags) + 1e-9).astype(int)
    order = np.lexsort((lags, -counts, interval))
    keep = order[np.concatenate([[True], np.diff(interval[order]) > 0])]
    return np.sort(lags[keep])


def chosen_lags(trajectories, time=None, per_decade=20):
    """Lag times, in ticks, that every trajectory has; at most ALL_LAGS of them, or `per_decade` a decade.

    Parameters
    ----------
    time : float or sequence, optional
        Wanted lag times, ps: the nearest that occur are taken.
    """
    clocks = [ticks(t) for t in trajectories]
    unit = clocks[0][1]
    if any(abs(u - unit) > 1e-4 * unit for _, u in clocks):
        raise GlasslibError("replicas must be recorded at the same times: their time steps differ")
    lags, counts = lag_counts(clocks[0][0])
    for tick, _ in clocks[1:]:
        other, more = lag_counts(tick)
        lags, mine, theirs = np.intersect1d(lags, other, assume_unique=True, return_indices=True)
        counts = counts[mine] + more[theirs]
    if len(lags) == 0:
        raise GlasslibError("replicas have no lag time in common: record them with the same output interval")
    if time is not None:
        wanted = positive("time", time)
        return np.unique(lags[np.abs(lags[None, :] * unit - wanted[:, None]).argmin(1)])
    return lags if len(lags) <= ALL_LAGS else thinned(lags, counts, per_decade)


def few_lags(trajectories, count):
    """At most `count` lag times, in ticks, evenly in the logarithm from the shortest to a quarter of the longest."""
    every = chosen_lags(trajectories)
    unit = ticks(trajectories[0])[1]
    return chosen_lags(trajectories, unit * np.geomspace(every[0], max(every[-1] / 4, every[0]), count))


def frame_pairs(trajectory, lags, origins=1000):
    """Pairs of frames for given lags.

    Parameters
    ----------
    lags : int array
        In ticks, of `chosen_lags`.
    origins : int or None
        At most so many pairs for each lag, spread evenly over the trajectory; None: all.
    """
    tick, unit = ticks(trajectory)
    origins = None if origins is None else whole("origins", origins)
    first, second, index = [], [], []
    apart = np.empty(len(lags))  # ps, mean of all pairs
    for k, lag in enumerate(lags):
        at = np.searchsorted(tick, tick + lag)
        start = np.flatnonzero((at < len(tick)) & (tick[np.minimum(at, len(tick) - 1)] == tick + lag))
        apart[k] = (trajectory.time[at[start]] - trajectory.time[start]).mean() if len(start) else lag * unit
        if origins is not None and len(start) > origins:
            start = start[np.linspace(0, len(start) - 1, origins).astype(int)]
        first.append(start)
        second.append(at[start])
        index.append(np.full(len(start), k))
    first, second, index = (np.concatenate(parts) for parts in (first, second, index))
    span = int(tick[-1])
    middle = (tick[first] + tick[second]) / (2 * span)
    lag = lags * unit
    lag = np.where(np.abs(apart - lag) > OFF * lag, apart, lag)  # times without a common unit are rounded to ticks
    return Pairs(lag, first, second, index, np.minimum(middle, 1 - 1e-12), span * unit)
