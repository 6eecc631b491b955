"""Diffusion coefficients of an infinite system."""

import json

import numpy as np

from ..errors import GlasslibError
from .arrhenius import fit
from .dataset import dataset


def finite_size(results, *, level=0.95):
    """D in an infinite system from runs of one melt in boxes of different sizes: D(L) = D_∞ − s / L.

    Least squares against 1/L with weights from the standard errors; where a value has none, all have the same weight. Where the points
    scatter more than their errors allow the errors of the fit are enlarged accordingly, as in `arrhenius`.

    Parameters
    ----------
    results : sequence of xarray.Dataset
        Of `diffusion_coefficient`, one for each size, at one temperature and density.
    level : float
        Of the confidence interval.

    Returns
    -------
    xarray.Dataset
        `D_infinite`, Å²/ps, and `s`, Å³/ps (species), each with `_sem`; `D_low`, `D_high`, the confidence interval of `D_infinite`;
        `misfit`, the reduced χ², NaN for two sizes. `D` with error, `diffusive` (species, length): the values fitted. `length` is the cube root
        of the volume, Å; `atoms` stands along it.

    Notes
    -----
    For a liquid of viscosity η, hydrodynamics predict s = 2.837 k_B T / 6πη, the same for all species. A species that does not diffuse
    within its run is fitted like the others: look at `diffusive`.

    References
    ----------
    I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873 (2004).
    """
    results = list(results)
    if any("D" not in d or "volume_A3" not in d.attrs for d in results):
        raise GlasslibError("finite_size takes results of diffusion_coefficient, one for each size")
    length = np.array([d.attrs["volume_A3"] for d in results]) ** (1 / 3)
    if len(np.unique(np.round(length, 3))) < max(2, len(length)):
        raise GlasslibError("finite_size needs two sizes at least, and one result for each")
    results = [results[k] for k in np.argsort(length)]
    length = np.sort(length)
    names = results[0].species.values.tolist()
    D, sem, whole = (np.array([d[v].sel(species=names).values for d in results]).T for v in ("D", "D_sem", "diffusive"))
    found = np.array([fit(1 / length, *one, level) for one in zip(D, sem, strict=True)]).T
    slope, slope_sem, limit, limit_sem, half, misfit = found
    with np.errstate(invalid="ignore", divide="ignore"):
        half = half / slope_sem * limit_sem  # `fit` gives that of the slope; both are as many standard errors
    atoms = [sum(json.loads(d.attrs["atoms"]).values()) for d in results]
    one, all_sizes, label = ("species",), ("species", "length"), "diffusion coefficient of an infinite system"
    known = {
        k: results[0].attrs[k]
        for k in ("composition", "temperature", "potential", "length_ps")
        if k in results[0].attrs
    }
    made = dataset(
        {
            "D_infinite": (one, limit, limit_sem, "Å²/ps", label),
            "D_low": (one, limit - half, None, "Å²/ps", f"lower end of its {level:.0%} confidence interval"),
            "D_high": (one, limit + half, None, "Å²/ps", f"upper end of its {level:.0%} confidence interval"),
            "s": (one, -slope, slope_sem, "Å³/ps", "slope of D against −1/L"),
            "misfit": (one, misfit, None, "1", "reduced chi squared"),
            "D": (all_sizes, D, sem, "Å²/ps", "diffusion coefficient in the box"),
            "diffusive": (all_sizes, whole.astype(int), None, "1", "whether the fit range is diffusive"),
        },
        {"species": names, "length": length},
        known | {"observable": "finite_size", "level": level},
    )
    made["length"].attrs |= {"units": "Å", "long_name": "cube root of the volume"}
    return made.assign_coords(atoms=("length", atoms))
