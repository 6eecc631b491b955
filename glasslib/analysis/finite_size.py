"""Quantities of an infinite system."""

import json

import numpy as np

from ..errors import GlasslibError
from .arrhenius import fit
from .dataset import dataset

WHOLE = ("diffusive", "inside", "reached")  # what functions call a value that the run was long enough for


def finite_size(results, *, variable="D", level=0.95):
    """A quantity of an infinite system from runs of one melt in boxes of different sizes: x(L) = x_∞ − s / L.

    Least squares against 1/L with weights from the standard errors; where a value has none, all have the same weight. Where the points
    scatter more than their errors allow the errors of the fit are enlarged accordingly, as in `arrhenius`.

    Parameters
    ----------
    results : sequence of xarray.Dataset
        Of `diffusion_coefficient`, `non_gaussian_peak`, `relaxation_time` or the like, one for each size, at one temperature and density.
    variable : str
        Which of their variables; along `species` alone.
    level : float
        Of the confidence interval.

    Returns
    -------
    xarray.Dataset
        For `variable` x (here D): `D_infinite` in the unit of x and its slope `D_s`, in that unit times Å (species), each with `_sem`; `D_low`,
        `D_high`, the confidence interval of `D_infinite`; `D_misfit`, the reduced χ², NaN for two sizes; `D` with error and `D_whole` (species, length): the values
        fitted, and whether each is diffusive, inside the lag times, reached, as its function says. `length` is the cube root of the volume, Å; `atoms` stands along it.

    Notes
    -----
    For D of a liquid of viscosity η, hydrodynamics predict s = 2.837 k_B T / 6πη, the same for all species. For other quantities the line is no
    law: its slope says whether the size matters. Values that are not whole are fitted like the others.

    References
    ----------
    I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873 (2004).
    """
    results = list(results)
    if any(variable not in d or "volume_A3" not in d.attrs for d in results):
        raise GlasslibError(f"finite_size takes results with {variable} of trajectories in a box, one for each size")
    length = np.array([d.attrs["volume_A3"] for d in results]) ** (1 / 3)
    if len(np.unique(np.round(length, 3))) < max(2, len(length)):
        raise GlasslibError("finite_size needs two sizes at least, and one result for each")
    results = [results[k] for k in np.argsort(length)]
    length = np.sort(length)
    names = results[0].species.values.tolist()
    whole = next((name for name in WHOLE if name in results[0]), None)
    if any(d[variable].dims != ("species",) for d in results):
        raise GlasslibError(f"finite_size takes one {variable} for each species: choose q or a first, with .sel")

    def values(name):
        return np.array([d[name].sel(species=names).values for d in results], float).T

    x, sem = values(variable), values(f"{variable}_sem")
    found = np.array([line(1 / length, *one, level) for one in zip(x, sem, strict=True)]).T
    slope, slope_sem, limit, limit_sem, half, misfit = found
    with np.errstate(invalid="ignore", divide="ignore"):
        half = half / slope_sem * limit_sem  # `fit` gives that of the slope; both are as many standard errors
    atoms = [sum(json.loads(d.attrs["atoms"]).values()) for d in results]
    unit, label = (results[0][variable].attrs.get(k, "") for k in ("units", "long_name"))
    one, all_sizes = ("species",), ("species", "length")
    known = {
        k: results[0].attrs[k]
        for k in ("composition", "temperature", "potential", "length_ps")
        if k in results[0].attrs
    }
    complete = values(whole) if whole else np.isfinite(x)
    made = dataset(
        {
            f"{variable}_infinite": (one, limit, limit_sem, unit, f"{label} of an infinite system"),
            f"{variable}_low": (one, limit - half, None, unit, f"lower end of its {level:.0%} confidence interval"),
            f"{variable}_high": (one, limit + half, None, unit, f"upper end of its {level:.0%} confidence interval"),
            f"{variable}_s": (one, -slope, slope_sem, f"{unit}·Å", f"slope of {variable} against −1/L"),
            f"{variable}_misfit": (one, misfit, None, "1", "reduced chi squared"),
            variable: (all_sizes, x, sem, unit, label),
            f"{variable}_whole": (all_sizes, (complete > 0).astype(int), None, "1", whole or "known"),
        },
        {"species": names, "length": length},
        known | {"observable": "finite_size", "level": level},
    )
    made["length"].attrs |= {"units": "Å", "long_name": "cube root of the volume"}
    return made.assign_coords(atoms=("length", atoms))


def line(x, y, sem, level):
    """`fit` of the points that are known; NaN where fewer than two are."""
    known = np.isfinite(y)
    return fit(x[known], y[known], sem[known], level) if known.sum() > 1 else np.full(6, np.nan)
