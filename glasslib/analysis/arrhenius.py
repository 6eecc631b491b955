"""Arrhenius fit."""

from numbers import Real

import numpy as np
import xarray as xr
from scipy.stats import t as student

from ..errors import GlasslibError, shown
from .dataset import dataset
from .statistics import flag

BOLTZMANN = 8.617333262e-5  # eV/K


def arrhenius(D_by_temperature, *, variable="D", level=0.95, diffusive_only=True):
    """Activation energy of each species from values at several temperatures, D = D₀ exp(−E / k_B T).

    Least squares of ln D against 1/T with weights from the standard errors; where a value has none, all have the same weight. Where the
    points scatter more than their errors allow (reduced χ² above 1) the errors of the fit are enlarged accordingly.

    Parameters
    ----------
    D_by_temperature : dict
        Temperature in K, or (composition, temperature) of one composition → Dataset of `diffusion_coefficient` (or `relaxation_time`).
    variable : str
        "D", or "tau" (its activation energy is counted positive too).
    level : float
        Of the confidence interval.
    diffusive_only : bool
        Leave out points that `diffusion_coefficient` marks as not diffusive.

    Returns
    -------
    xarray.Dataset
        `E` (species; and q or a for tau), eV, and `D_0` (or `tau_0`), Å²/ps or ps, each with `_sem`; `E_low`, `E_high`, the confidence
        interval; `misfit`, the reduced χ²; `points`. NaN for fewer than two points, no error for two points without errors.
    """
    byT = {}
    named = sorted({str(key[0]) for key in D_by_temperature if isinstance(key, tuple)})
    if len(named) > 1:
        raise GlasslibError(f"arrhenius takes one composition at a time, not {', '.join(named)}")
    for key, result in D_by_temperature.items():
        last = key[-1] if isinstance(key, tuple) and key else key
        if isinstance(last, bool) or not isinstance(last, Real) or not isinstance(result, xr.Dataset):
            raise GlasslibError(
                f"arrhenius needs a Dataset for each temperature in K, not {type(result).__name__} for {shown(key)}"
            )
        temperature = float(key[-1] if isinstance(key, tuple) else key)
        if temperature in byT:
            raise GlasslibError("arrhenius takes one composition at a time: two results have the same temperature")
        byT[temperature] = result
    temperatures = np.array(sorted(byT))
    if len(temperatures) == 0:
        raise GlasslibError("arrhenius needs results at two temperatures or more")
    first = byT[temperatures[0]]
    if variable not in first:
        raise GlasslibError(f"results have no {variable!r}: give those of diffusion_coefficient or relaxation_time")
    for t in temperatures[1:]:
        for name in first[variable].dims:
            if variable not in byT[t] or not np.array_equal(byT[t][name], first[name]):
                raise GlasslibError(
                    f"results at {t:g} K and {temperatures[0]:g} K differ in {name}: compute them alike"
                )
    value = np.stack([byT[t][variable].values for t in temperatures])
    sem = np.stack([byT[t][f"{variable}_sem"].values for t in temperatures])
    use = np.isfinite(value) & (value > 0)
    if flag("diffusive_only", diffusive_only) and "diffusive" in first:
        use &= np.stack([byT[t]["diffusive"].values.astype(bool) for t in temperatures])
    sign = -1.0 if variable == "D" else 1.0
    out = np.full((7, *value.shape[1:]), np.nan)
    for at in np.ndindex(value.shape[1:]):
        rows = use[(slice(None), *at)]
        out[6][at] = rows.sum()
        if rows.sum() >= 2:
            v, s = value[(rows, *at)], sem[(rows, *at)]
            out[(slice(0, 6), *at)] = fit(sign / (BOLTZMANN * temperatures[rows]), np.log(v), s / v, level)
    dims = first[variable].dims
    label = f"the {level:.0%} confidence interval of the activation energy"
    return dataset(
        {
            "E": (dims, out[0], out[1], "eV", "activation energy"),
            "E_low": (dims, out[0] - out[4], None, "eV", f"lower end of {label}"),
            "E_high": (dims, out[0] + out[4], None, "eV", f"upper end of {label}"),
            f"{variable}_0": (
                dims,
                np.exp(out[2]),
                np.exp(out[2]) * out[3],
                "Å²/ps" if variable == "D" else "ps",
                "prefactor",
            ),
            "misfit": (dims, out[5], None, "1", "reduced chi squared"),
            "points": (dims, out[6].astype(int), None, "1", "temperatures fitted"),
        },
        {d: first[d].values for d in dims},
        {"observable": f"arrhenius of {variable}", "temperatures_K": temperatures.tolist(), "level": level},
    )


def fit(x, y, sem, level):
    """Slope, its error, intercept, its error, half-width of the slope's interval, reduced χ²."""
    weighted = bool((np.isfinite(sem) & (sem > 0)).all())
    weight = 1 / sem**2 if weighted else np.ones_like(x)
    design = np.stack([x, np.ones_like(x)], 1)
    covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
    slope, intercept = covariance @ design.T @ (weight * y)
    free = len(x) - 2
    chi = float((weight * (y - design @ (slope, intercept)) ** 2).sum() / free) if free else np.nan
    scale = np.nan if free == 0 and not weighted else chi if not weighted else max(1.0, chi) if free else 1.0
    error = np.sqrt(scale * np.diag(covariance))
    # With a scatter estimated from few points Student's t; with errors that explain the points, the normal distribution.
    wide = student.ppf(0.5 + level / 2, free if free and (not weighted or chi > 1) else 1e6)
    return slope, error[0], intercept, error[1], wide * error[0], chi
