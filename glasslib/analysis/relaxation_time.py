"""Relaxation time."""

from numbers import Real

import numpy as np
import xarray as xr

from ..errors import GlasslibError, shown
from .dataset import dataset
from .statistics import FOUR_BLOCKS

DECAYS = ("F_s", "Q", "C_B", "F")


def relaxation_time(result, *, level=1 / np.e, variable=None):
    """Time at which a correlation function falls to `level`: φ(τ) = level, first crossing, linear in ln t between lag times (in t from a lag time of zero).

    Parameters
    ----------
    result : xarray.Dataset
        With `F_s`, `Q`, `C_B` or `F` along `time`.
    level : float
        Between 0 and 1.
    variable : str, optional
        Name of the function, where the Dataset has several.

    Returns
    -------
    xarray.Dataset
        `tau`, ps, along the other dimensions of the function, `tau_sem` = φ_sem / |dφ/dt| at the crossing, and `reached`: 1 where the
        function falls to the level within the lag times, 0 where it does not (tau is NaN: longer than the run), −1 where it is below at
        the first lag time (tau is NaN: shorter than that), −2 where nothing of the function is known. `bound`, ps, is the last or first lag time in these two cases, else NaN.
        `outlived`, ps: the last lag time until which the function stays above the level by 3.2 standard errors, 0 if there is none. Long lag
        times occur in one block of the run only and have no error: there `outlived` tells what is known of `tau`.
    """
    name, decay = decaying(result, variable)
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise GlasslibError(f"level must be between 0 and 1, not {shown(level)}")
    decay = decay.transpose(..., "time").sortby("time")
    result, lag = result.sortby("time"), np.asarray(decay["time"].values, float)
    if not (lag >= 0).all():
        raise GlasslibError("relaxation_time needs lag times of zero and above, ps")
    start = decay.values[..., 0] if lag[:1] == 0 else np.full(decay.shape[:-1], np.nan)  # no logarithm of zero
    decay, result = (part.isel(time=slice(int((lag == 0).sum()), None)) for part in (decay, result))
    time, value = np.log(decay["time"].values), decay.values
    sem = (
        result[f"{name}_sem"].transpose(..., "time").values if f"{name}_sem" in result else np.full(value.shape, np.nan)
    )
    tau, error, reached, bound, outlived = (np.full(value.shape[:-1], np.nan) for _ in range(5))
    for at in np.ndindex(value.shape[:-1]):
        known = np.isfinite(value[at])
        x, y, s = time[known], value[at][known], sem[at][known]
        below = np.flatnonzero(y < level)
        surely = int(np.argmin(np.append(y - FOUR_BLOCKS * s > level, False)))  # how many in a row, from the first on
        outlived[at] = np.exp(x[surely - 1]) if surely else 0.0
        reached[at] = -2 if len(x) == 0 else 0 if len(below) == 0 else -1 if below[0] == 0 else 1
        if reached[at] == -1 and start[at] >= level:  # linear in t from a lag time of zero
            fall = (start[at] - y[0]) / np.exp(x[0])
            reached[at], tau[at], error[at] = 1, (start[at] - level) / fall, s[0] / fall
        elif reached[at] in (0, -1):
            bound[at] = np.exp(x[-1] if reached[at] == 0 else x[0])
        elif reached[at] == 1:
            k = below[0]
            slope = (y[k] - y[k - 1]) / (x[k] - x[k - 1])
            share = (level - y[k - 1]) / (y[k] - y[k - 1])
            tau[at] = np.exp(x[k - 1] + share * (x[k] - x[k - 1]))
            # A wider baseline than one interval: neighbouring lag times differ by noise too.
            near = slice(max(0, k - 2), k + 2)
            if len(x[near]) > 2:
                slope = np.polyfit(x[near], y[near], 1)[0]
            error[at] = tau[at] * ((1 - share) * s[k - 1] + share * s[k]) / abs(slope)
    dims = decay.dims[:-1]
    attrs = {**result.attrs, "observable": f"relaxation_time of {name}", "level": float(level)}
    made = dataset(
        {
            "tau": (dims, tau, error, "ps", f"time at which {name} falls to {level:.3g}"),
            "reached": (
                dims,
                reached.astype(int),
                None,
                "1",
                "1 reached, 0 longer than the run, -1 shorter than the first lag time, -2 unknown",
            ),
            "bound": (dims, bound, None, "ps", "lag time that tau exceeds or stays below"),
            "outlived": (dims, outlived, None, "ps", "lag time that tau exceeds by 3.2 standard errors"),
        },
        {d: decay[d].values for d in dims},
        attrs,
    )
    return made


def decaying(result, variable=None):
    """Name and values of the correlation function in a Dataset."""
    if not isinstance(result, xr.Dataset):
        raise GlasslibError(
            f"a Dataset of {', '.join(DECAYS)} along time is needed, not {type(result).__name__}: pass what an observable returned"
        )
    names = [variable] if variable else [n for n in DECAYS if n in result]
    if not names or names[0] not in result or "time" not in result[names[0]].dims:
        wanted = variable or ", ".join(DECAYS)
        raise GlasslibError(
            f"no correlation function {wanted} along time in this Dataset: it has {', '.join(map(str, result.data_vars))}"
        )
    return names[0], result[names[0]]
