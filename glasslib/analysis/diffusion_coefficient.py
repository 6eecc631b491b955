"""Diffusion coefficient."""

import numpy as np
from scipy.stats import t as student

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, moments, pair_means, symbols
from .lags import chosen_lags, frame_pairs, ticks
from .statistics import between, block_sums, single

LONGEST = 0.16  # of the trajectory: four fifths of a block, so that each of five holds many pairs of frames
ROOM = 1.25  # length of a block in units of the longest lag fitted, at least
SHORTEST = 0.2  # of the longest lag fitted
DIFFUSIVE = 0.1  # deviation of the log-log slope from 1 that is still called diffusive
FEWEST = 3  # lag times fitted, where there are so many
UNSURE = 0.05  # error of that slope from which on nothing is called diffusive


def diffusion_coefficient(trajectory_or_replicas, *, fit_range=None, level=0.95, origins=1000, drift=None):
    """Diffusion coefficient of each species, the slope of the mean squared displacement: ⟨r²⟩ = 6 D t + constant.

    D is the slope of a least-squares line with weights 1/t² through all pairs of frames. Its error is the scatter of the slopes of separate
    blocks of time, a quarter longer than the longest lag fitted at least, and of replicas: errors of the mean squared displacement at different lag
    times are strongly correlated, and fits of blocks that share no data take that into account without modelling it. The confidence
    interval is that of Student's t with blocks − 1 degrees of freedom.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    fit_range : (float, float), optional
        Lag times fitted, ps. Default: from 3.2 % to 16 % of the trajectory, so that five independent blocks remain; the three shortest where it has not
        that many there (fewer than 20 frames).
    level : float
        Of the confidence interval.
    origins, drift
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `D` (species), Å²/ps, `D_sem`; `D_low`, `D_high`, the confidence interval; `slope` = d ln⟨r²⟩ / d ln t over the fit range, with
        `slope_sem`; `diffusive`, 1 where the slope is within 0.1 of 1 and its error, where there are two blocks to tell it, not above 0.05, and the displacement goes beyond the
        cage (⟨r²⟩ above 1 Å²), else 0: noise makes nothing diffusive then. D of a species that is not diffusive is no diffusion coefficient. The numbers of blocks and the fit range
        are in the attributes. Two blocks at least are needed for an error: else NaN.

    Notes
    -----
    1 Å²/ps = 1e-4 cm²/s. No finite-size correction.
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    if not single("level", level) < 1:
        raise GlasslibError(f"level must lie between 0 and 1, not {level!r}")
    length = min(t.time[-1] - t.time[0] for t in replicas)
    unit = ticks(replicas[0])[1]
    low, high = checked_range(fit_range, length, unit)
    every = chosen_lags(replicas)
    lags = every[(every * unit >= low * (1 - 1e-9)) & (every * unit <= high * (1 + 1e-9))]
    if len(lags) < FEWEST and fit_range is None:
        lags = every[:FEWEST]  # few frames: the shortest there are
    if len(lags) < min(FEWEST, len(every)):
        raise GlasslibError(
            f"only {len(lags)} lag time(s) between {low:g} and {high:g} ps: record more frames or widen fit_range"
        )
    pairs = [frame_pairs(t, lags, origins) for t in replicas]
    values = [pair_means(t, p, moments, np.zeros(1), 2, drift)[:, 0] for t, p in zip(replicas, pairs, strict=True)]
    blocks = int(np.clip(length / (ROOM * pairs[0].lag[-1]) * (1 + 1e-9), 1, 10))
    sums, counts = block_sums(pairs, values, 1)
    mean = sums.sum(0) / counts.sum(0)
    sums, counts = block_sums(pairs, values, blocks, separate=True)
    full = (counts > 0).all(1)
    msd = sums[full] / counts[full][:, None, :]
    lag = pairs[0].lag
    each = line(lag, msd) / 6
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes = line(np.log(lag), np.log(msd), np.ones_like(lag))
        slope = line(np.log(lag), np.log(mean), np.ones_like(lag))
    n = len(each)
    d, sem = line(lag, mean) / 6, scatter(each)
    slope_sem = scatter(slopes)
    margin = student.ppf(0.5 + level / 2, max(n - 1, 1))
    near = (np.abs(slope - 1) <= DIFFUSIVE) & ~(slope_sem > UNSURE)  # a single block has no error: see `diffusive`
    diffusive = near & (mean[:, -1] > 1.0)
    options = {"fit_range": fit_range, "level": level, "origins": origins, "drift": drift}
    attrs = described(
        "diffusion_coefficient",
        replicas,
        options,
        fit_low_ps=float(lag[0]),
        fit_high_ps=float(lag[-1]),
        blocks=n,
        fit_rule="given"
        if fit_range is not None
        else "3.2 % to 16 % of the trajectory"
        if lags[-1] * unit <= high * (1 + 1e-9)
        else "shortest lag times",
        not_diffusive=", ".join(np.array(symbols(replicas))[~diffusive].tolist()),
    )
    return dataset(
        {
            "D": (("species",), d, sem, "Å²/ps", "diffusion coefficient"),
            "D_low": (
                ("species",),
                d - margin * sem,
                None,
                "Å²/ps",
                f"lower end of the {level:.0%} confidence interval",
            ),
            "D_high": (
                ("species",),
                d + margin * sem,
                None,
                "Å²/ps",
                f"upper end of the {level:.0%} confidence interval",
            ),
            "slope": (("species",), slope, slope_sem, "1", "log-log slope of the mean squared displacement"),
            "diffusive": (("species",), diffusive.astype(int), None, "1", "whether the fit range is diffusive"),
        },
        {"species": symbols(replicas)},
        attrs,
    )


def checked_range(fit_range, length, unit):
    """Lowest and highest lag time of the fit, ps."""
    if fit_range is None:
        return max(LONGEST * SHORTEST * length, unit), LONGEST * length
    low, high = between("fit_range", fit_range)
    if low >= length:
        raise GlasslibError(f"fit_range starts at {low:g} ps, but the trajectory is {length:g} ps long")
    return low, min(high, length)


def line(x, y, weight=None):
    """Slopes of weighted least-squares lines through y [..., points]; NaN of a single point."""
    if len(x) < 2:
        return np.full(np.shape(y)[:-1], np.nan)
    weight = 1 / x**2 if weight is None else weight
    centre = (weight * x).sum() / weight.sum()
    return (weight * (x - centre) * y).sum(-1) / (weight * (x - centre) ** 2).sum()


def scatter(values):
    """Standard error of the mean over the first axis; NaN for a single value."""
    n = len(values)
    return values.std(0, ddof=1) / np.sqrt(n) if n > 1 else np.full(values.shape[1:], np.nan)
