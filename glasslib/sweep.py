"""A sweep of state points: which trajectories a run has, and results kept for all of them in one NetCDF file.

A state is a pair (composition name, temperature in K). Trajectories lie in `<run>/trajectories/NS2_3000K_0.h5` (the last number counts
replicas); results in groups `NS2/3000` of one file for each observable.
"""

import re
from pathlib import Path

import xarray as xr

from .errors import GlasslibError
from .files import atomic
from .trajectory import Trajectory

_NAME = re.compile(r"(?P<composition>.+)_(?P<temperature>\d+)K_(?P<replica>\d+)")


def trajectory_path(run, composition, temperature, replica):
    """Where the trajectory of one replica of one state lies."""
    return Path(run) / "trajectories" / f"{composition}_{temperature:g}K_{replica}.h5"


def paths(run):
    """Trajectory files of a run.

    Returns
    -------
    dict
        (composition, temperature) → list of paths, one for each replica; sorted by composition, then temperature.
    """
    found = {}
    for path in sorted((Path(run) / "trajectories").glob("*.h5")):
        if match := _NAME.fullmatch(path.stem):
            found.setdefault((match["composition"], float(match["temperature"])), []).append(path)
    if not found:
        raise GlasslibError(
            f"no trajectories in {Path(run) / 'trajectories'}: make them with `make book` or `glasslib run {Path(run).name}`"
        )
    return dict(sorted(found.items()))


def trajectories(run):
    """Trajectories of a run, opened lazily: (composition, temperature) → list of Trajectory, one for each replica."""
    return {state: [Trajectory.open(p) for p in files] for state, files in paths(run).items()}


def save(results, path, **attributes):
    """Write results of all states into one NetCDF file, atomically.

    Parameters
    ----------
    results : dict
        (composition, temperature) → xarray.Dataset.
    path : path
    **attributes
        Attributes of the file: how the results were made.
    """
    with atomic(path) as temporary:
        xr.Dataset(attrs=attributes).to_netcdf(temporary, mode="w", engine="h5netcdf")
        for (composition, temperature), dataset in results.items():
            encoding = {name: {"zlib": True} for name, v in dataset.variables.items() if v.dtype.kind == "f" and v.ndim}
            group = f"{composition}/{temperature:g}"
            dataset.to_netcdf(temporary, mode="a", group=group, engine="h5netcdf", encoding=encoding)


def load(path):
    """Read a file that `save` wrote: (composition, temperature) → xarray.Dataset, in memory."""
    path = Path(path)
    if not path.exists():
        raise GlasslibError(f"no results at {path}: run the notebook that makes them, or `make book`")
    try:
        tree = xr.open_datatree(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise GlasslibError(f"{path} is no readable NetCDF file ({error}): delete it and make it again") from None
    with tree:
        leaves = [node for node in tree.subtree if node.level == 2]
        states = {(node.parent.name, float(node.name)): node.to_dataset(inherit=False).load() for node in leaves}
    return dict(sorted(states.items()))


def attributes(path):
    """Attributes of a results file: how its results were made."""
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dict(dataset.attrs)
