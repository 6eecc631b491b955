"""How far the motions of the species, and diffusion and relaxation, part from each other."""

import itertools

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .diffusion_coefficient import diffusion_coefficient
from .displacements import checked, symbols
from .overlap import overlap
from .relaxation_time import relaxation_time
from .self_intermediate_scattering import self_intermediate_scattering


def decoupling(trajectory_or_replicas, *, q=1.7, a=1.0, fit_range=None, drift=None):
    """Ratios of diffusion coefficients and relaxation times between species, and the product D τ of each.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    q : float
        Wavenumber of the F_s whose 1/e time is used, 1/Å.
    a : float
        Length of the overlap whose 1/e time is used, Å.
    fit_range, drift
        As of diffusion_coefficient.

    Returns
    -------
    xarray.Dataset
        `D_ratio`, `tau_ratio` (F_s) and `tau_Q_ratio` (overlap) of the first species of a pair over the second, with errors [pair];
        `D_tau` = q² D τ [species], 1 for Gaussian diffusion and larger where few fast atoms carry D. `diffuses` [species] and `diffusive`
        [pair]: 1 where D, or both, are diffusion coefficients. NaN where a time was not reached.

    Notes
    -----
    Errors by propagation as if the two factors were independent.
    """
    replicas = checked(trajectory_or_replicas)
    if not (np.isscalar(q) and np.isscalar(a)):
        raise GlasslibError("decoupling takes one q and one a: call it for each")
    names = symbols(replicas)
    couples = list(itertools.combinations(range(len(names)), 2))
    d = diffusion_coefficient(replicas, fit_range=fit_range, drift=drift)
    scattering = relaxation_time(self_intermediate_scattering(replicas, q=q, drift=drift)).isel(q=0)
    overlaps = relaxation_time(overlap(replicas, a=a, drift=drift)).isel(a=0)
    first, second = (np.array(x, int) for x in zip(*couples, strict=True)) if couples else (np.zeros(0, int),) * 2
    variables = {}
    sources = {
        "D_ratio": (d, "D", "diffusion coefficients"),
        "tau_ratio": (scattering, "tau", "relaxation times of F_s"),
    }
    sources["tau_Q_ratio"] = (overlaps, "tau", "relaxation times of the overlap")
    for name, (source, of, label) in sources.items():
        value, relative = source[of].values, source[f"{of}_sem"].values / source[of].values
        ratio = value[first] / value[second]
        variables[name] = (
            ("pair",),
            ratio,
            np.abs(ratio) * np.hypot(relative[first], relative[second]),
            "1",
            f"ratio of {label}",
        )
    product = q**2 * d.D.values * scattering.tau.values
    relative = np.hypot(d.D_sem.values / d.D.values, scattering.tau_sem.values / scattering.tau.values)
    variables["D_tau"] = (("species",), product, np.abs(product) * relative, "1", "q² D τ")
    variables["diffuses"] = (("species",), d.diffusive.values.astype(int), None, "1", "whether it diffuses")
    both = d.diffusive.values[first].astype(int) * d.diffusive.values[second].astype(int)
    variables["diffusive"] = (("pair",), both, None, "1", "whether both diffuse")
    return dataset(
        variables,
        {"species": names, "pair": [f"{names[i]}/{names[j]}" for i, j in couples]},
        described("decoupling", replicas, {"q": q, "a": a, "fit_range": fit_range, "drift": drift}),
    )
