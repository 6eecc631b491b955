"""Stretched exponential fit."""

import warnings

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import gamma

from .dataset import dataset
from .relaxation_time import decaying

HIGHEST, LOWEST = (
    0.8,
    0.02,
)  # values of the correlation function fitted: after the fast decay into the cage, above the noise


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
        Lag times fitted, ps; default: where the function lies between 0.8 and 0.02.
    variable : str, optional

    Returns
    -------
    xarray.Dataset
        `tau_K` (ps), `beta`, `amplitude` and the mean time `tau_mean` = (τ/β) Γ(1/β), each with `_sem`, and `points`. NaN where fewer
        than five points lie in the range, the function does not fall below half of its highest fitted value, or the fit fails.

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
            chosen &= (y <= HIGHEST) & (np.arange(len(y)) < (after[0] if len(after) else len(y)))
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


def fit(time, y, sem):
    """Values and standard errors of τ, β, A and the mean time."""
    if len(time) < 5 or y.min() > 0.5 * y.max():
        return np.full(8, np.nan)
    known = np.isfinite(sem) & (sem > 0)
    floor = np.median(sem[known]) if known.any() else 1.0
    scale = np.where(known, np.maximum(sem, 0.2 * floor), floor)
    guess = (min(y.max() * 1.05, 0.99), np.log(np.interp(-y.max() / np.e, -y, time)), 0.7)
    bounds = ((0, -np.inf, 0.05), (1.2, np.inf, 2.5))
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
    return np.array([tau, beta, amplitude, mean, tau * sem[1], sem[2], sem[0], mean_sem])
