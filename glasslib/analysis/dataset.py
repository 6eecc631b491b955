"""Results as xarray.Dataset: a value, its standard error, units, and how it was made."""

import json

import numpy as np
import xarray as xr

UNITS = {"time": "ps", "r": "Å", "q": "1/Å", "a": "Å", "angle": "degree", "temperature": "K"}


def described(function, replicas, options, **attrs):
    """Attributes of a result: the function, its options, the run and the versions."""
    from .. import __version__

    first = replicas[0]
    known = {
        k: first.attrs[k]
        for k in ("temperature", "composition", "potential", "weights", "ensemble", "timestep", "equilibrated_ps")
        if k in first.attrs
    }
    known = {k: v for k, v in known.items() if isinstance(v, str | int | float)}
    counts = {str(s): int((first.species == s).sum()) for s in np.unique(first.species)}
    return {
        "observable": function,
        "options": json.dumps(options, default=plain),
        "replicas": len(replicas),
        "frames": json.dumps([len(r) for r in replicas]),
        "length_ps": float(first.time[-1] - first.time[0]),
        "atoms": json.dumps(counts),
        "volume_A3": float(np.mean([np.mean(r.volume) for r in replicas])),
        **known,
        **attrs,
        "glasslib": __version__,
        "numpy": np.__version__,
        "xarray": xr.__version__,
    }


def plain(value):
    """A value that JSON knows."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def dataset(variables, coords, attrs):
    """Dataset with `x` and `x_sem`.

    Parameters
    ----------
    variables : dict
        name → (dims, value, sem or None, units, long name).
    coords : dict
        name → values.
    """
    data = {}
    for name, (dims, value, sem, units, label) in variables.items():
        data[name] = (dims, value, {"units": units, "long_name": label})
        if sem is not None:
            data[f"{name}_sem"] = (dims, sem, {"units": units, "long_name": f"standard error of {label}"})
    made = xr.Dataset(data, coords, attrs)
    for name, unit in UNITS.items():
        if name in made.coords:
            made[name].attrs["units"] = unit
    if "time" in made.coords:
        made["time"].attrs["long_name"] = "lag time"
    return made
