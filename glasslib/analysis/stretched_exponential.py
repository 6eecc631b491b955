"""Stretched exponential fit."""

import warnings

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import gamma

from .dataset import dataset
from .relaxation_time import decaying
from .statistics import between

LOWEST = 0.02  # values fitted lie above it, and so above the noise
CAGED, BEGUN = 0.1, 0.98  # values between which the cage is looked for: above, noise has any slope
FLAT = 0.05  # how near to its lowest value the slope must be for the fit to begin
REACH = 0.7  # in ln t on either side, over which a slope is taken
HIGHEST = 1.2  # bound of the amplitude; one that exceeds 1 by more than its error is none


def kohlrausch(time, amplitude, log_tau, beta):
    """A exp(−(t/τ)^β)."""
    return amplitude * np.exp(-((time / np.exp(log_tau)) ** beta))


def stretched_exponential(result, *, fit_range=None, variable=None):
    """Fit φ(t) = A exp(−(t/τ)^β) to the late decay of a correlation function.

    Parameters
    ----------
    result : xarray.Dataset
        With `F_s`, `Q`, `C_B` or `F` along `time`, and its standard error.
    fit_range : (float, float), optional
        Lag times fitted, ps; default: from the cage, where d ln(−ln φ)/d ln t first comes down to its lowest value (while φ is above 0.1), until φ falls
        below 0.02. Before, atoms fly and rattle, and β would be that of their rattling.
    variable : str, optional

    Returns
    -------
    xarray.Dataset
        `tau_K` (ps), `beta`, `amplitude` and the mean time `tau_mean` = (τ/β) Γ(1/β), each with `_sem`, and `points`. NaN where fewer
        than five points lie in the range, the function does not fall below half of its highest fitted value, the amplitude comes out above 1 by more than
        two standard errors or so uncertain that nothing bounds it, or the fit fails.

    Notes
    -----
    Standard errors propagate those of the points with the correlation t/t′ between lag times t < t′; points taken as independent would give
    errors several times too small. Of random walks as long as 50 relaxation times they are right, of 5 to 13 that of τ is up to a fifth and that of β
    up to a third too small (sets of 60 walks). Lag times without an error of their own (beyond a quarter of a single run) are left out.

    References
    ----------
    R. Kohlrausch, Ann. Phys. 167, 179 (1854); G. Williams, D. C. Watts, Trans. Faraday Soc. 66, 80 (1970).
    """
    name, decay = decaying(result, variable)
    decay = decay.transpose(..., "time")
    time, value = decay["time"].values, decay.values
    if fit_range is not None:
        fit_range = between("fit_range", fit_range)
    sem = (
        result[f"{name}_sem"].transpose(..., "time").values if f"{name}_sem" in result else np.full(value.shape, np.nan)
    )
    out = np.full((8, *value.shape[:-1]), np.nan)
    points = np.zeros(value.shape[:-1], int)
    for at in np.ndindex(value.shape[:-1]):
        y, s = value[at], sem[at]
        chosen = np.isfinite(y)
        if np.isfinite(s).any():
            chosen &= np.isfinite(s)  # lag times without an error are the noisiest
        if fit_range is None:
            after = np.flatnonzero(chosen & (y < LOWEST))
            chosen &= (time >= cage(time[chosen], y[chosen])) & (
                np.arange(len(y)) < (after[0] if len(after) else len(y))
            )
        else:
            chosen &= (time >= fit_range[0]) & (time <= fit_range[1])
        points[at] = chosen.sum()
        out[(slice(None), *at)] = fit(time[chosen], y[chosen], s[chosen])
    dims = decay.dims[:-1]
    labels = {"tau_K": ("ps", "Kohlrausch time"), "beta": ("1", "stretching exponent")}
    labels |= {"amplitude": ("1", "amplitude"), "tau_mean": ("ps", "mean relaxation time")}
    made = {n: (dims, out[k], out[k + 4], *label) for k, (n, label) in enumerate(labels.items())}
    made["points"] = (dims, points, None, "1", "lag times fitted")
    attrs = {**result.attrs, "observable": f"stretched_exponential of {name}"}
    return dataset(made, {d: decay[d].values for d in dims}, attrs)


def cage(time, y):
    """Lag time (ps) at which the fast decay is over: the slope of ln(−ln y) against ln t, 2 in flight, first comes down to its lowest value."""
    inside = (time > 0) & (y < BEGUN) & (y > LOWEST)
    x, z, high = np.log(time[inside]), np.log(-np.log(y[inside])), y[inside] >= CAGED
    near = np.abs(x[:, None] - x) <= REACH
    count = near.sum(1)
    centre, height = near @ x / np.maximum(count, 1), near @ z / np.maximum(count, 1)
    away = np.where(near, x - centre[:, None], 0.0)
    spread = (away**2).sum(1)
    usable = (count > 2) & (spread > 0) & high
    if not usable.any():
        return 0.0
    slope = np.where(usable, (away * (z - height[:, None])).sum(1) / np.where(spread > 0, spread, 1.0), np.inf)
    return float(np.exp(x[np.flatnonzero(slope <= slope.min() + FLAT)[0]]))


def fit(time, y, sem):
    """Values and standard errors of τ, β, A and the mean time."""
    if len(time) < 5 or y.min() > 0.5 * y.max():
        return np.full(8, np.nan)
    known = np.isfinite(sem) & (sem > 0)
    floor = np.median(sem[known]) if known.any() else 1.0
    scale = np.where(known, np.maximum(sem, 0.2 * floor), floor)
    guess = (min(y.max() * 1.05, 0.99), np.log(np.interp(-y.max() / np.e, -y, time)), 0.7)
    bounds = ((0, -np.inf, 0.05), (HIGHEST, np.inf, 2.5))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            best, _ = curve_fit(kohlrausch, time, y, guess, scale, bounds=bounds)
    except (RuntimeError, ValueError):
        return np.full(8, np.nan)
    steps = np.array([1e-5, 1e-5, 1e-5])
    slope = np.stack(
        [(kohlrausch(time, *(best + e)) - kohlrausch(time, *(best - e))) / 2e-5 for e in np.diag(steps)], 1
    )
    gain = np.linalg.pinv(slope / scale[:, None]) / scale
    correlation = np.minimum.outer(time, time) / np.maximum.outer(time, time)
    covariance = gain @ (correlation * np.outer(scale, scale)) @ gain.T if known.any() else np.full((3, 3), np.nan)
    amplitude, log_tau, beta = best
    tau, mean = np.exp(log_tau), np.exp(log_tau) / beta * gamma(1 / beta)
    nudge = 1e-5
    by_beta = (
        np.log(gamma(1 / (beta + nudge)) / (beta + nudge)) - np.log(gamma(1 / (beta - nudge)) / (beta - nudge))
    ) / (2 * nudge)
    mean_sem = mean * np.sqrt(covariance[1, 1] + by_beta**2 * covariance[2, 2] + 2 * by_beta * covariance[1, 2])
    sem = np.sqrt(np.diag(covariance))
    if amplitude > 0.999 * HIGHEST or amplitude > 1 + 2 * np.nan_to_num(sem[0]):
        return np.full(8, np.nan)
    return np.array([tau, beta, amplitude, mean, tau * sem[1], sem[2], sem[0], mean_sem])
