"""A sweep of state points: which trajectories a run has, and results kept for all of them in one NetCDF file.

A state is a pair (composition name, temperature in K). Trajectories lie in `<run>/trajectories/NS2_3000K_0.h5` (the last number counts
replicas); results in groups `NS2/3000` of one file for each observable.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from .errors import GlasslibError
from .files import SMALL, alone, atomic, listed
from .trajectory import Trajectory

LARGE = 5000  # values
APART = {"finite_size.nc"}  # compares states of a sweep of its own
_NAME = re.compile(r"(?P<composition>.+)_(?P<temperature>\d+(\.\d+)?)K_(?P<replica>\d+)")


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
        else:
            warnings.warn(f"{path} is left out: its name is not like NS2_3000K_0.h5", stacklevel=2)
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
            encoding = {name: packed(v) for name, v in dataset.variables.items() if v.dtype.kind == "f" and v.ndim}
            group = f"{composition}/{temperature:g}"
            dataset.to_netcdf(temporary, mode="a", group=group, engine="h5netcdf", encoding=encoding)


def packed(variable):
    """How a variable is kept: curves of thousands of points to seven digits, which no error bar comes near; small ones as they are."""
    if variable.nbytes <= SMALL:
        return {}
    return {"zlib": True, "shuffle": True} | ({"dtype": "float32"} if variable.size > LARGE else {})


def load(path):
    """Read a file that `save` wrote: (composition, temperature) → xarray.Dataset, in memory.

    Raises
    ------
    GlasslibError
        Where there is no such file, or it holds something else than states.
    """
    path = Path(path)
    if not path.exists():
        raise GlasslibError(f"no results at {path}: run the notebook that makes them, or `make book`")
    try:
        tree = xr.open_datatree(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise GlasslibError(f"{path} is no readable NetCDF file ({error}): delete it and make it again") from None
    with tree:
        nodes = list(tree.subtree)
        if any(not _of_sweep(node) for node in nodes):
            raise GlasslibError(
                f"{path} is no file of a sweep, whose groups are states (NS2/3000): results of `glasslib analyse` belong in another folder"
            )
        leaves = [node for node in nodes if node.level == 2]
        states = {(node.parent.name, float(node.name)): node.to_dataset(inherit=False).load() for node in leaves}
    return dict(sorted(states.items()))


def _of_sweep(node):
    """Whether a group may be in a file of a sweep: data only in composition/temperature."""
    if node.level < 2:
        return not node.data_vars and (node.level == 0 or len(node.children) > 0)
    return node.level == 2 and re.fullmatch(r"\d+(\.\d+)?", node.name) is not None


def merge(source, target):
    """Put the states of one folder of results into another: new ones are added, those that both have are taken from `source`.

    So a set grows state by state, wherever and whenever its runs were made, without their trajectories. Killed half-way, the same
    call ends it.

    Parameters
    ----------
    source, target : path
        Folders of results as the notebooks save them; `target` may be new.

    Returns
    -------
    dict
        "added" and "replaced" → sorted list of states.

    Raises
    ------
    GlasslibError
        If `target` knows a state by more observables than `source`: it would then hold two runs under one name.
    """
    source, target = Path(source), Path(target)
    new = {path.name: load(path) for path in listed(source, "*.nc")}
    if not new:
        raise GlasslibError(f"no results (.nc) in {source}: run the notebooks 05 to 10, or `glasslib run`, first")
    with alone(target):
        old = {path.name: load(path) for path in listed(target, "*.nc")}
        states = set().union(*new.values())
        lacking = sorted(
            name for name, known in old.items() if name not in APART and states & (set(known) - set(new.get(name, {})))
        )
        if lacking:
            raise GlasslibError(
                f"{source} lacks {', '.join(lacking)} of states that {target} has: run the notebooks that make them first, or merge into a new folder"
            )
        for name, found in new.items():
            how = attributes((target if name in old else source) / name)
            save(dict(sorted((old.get(name, {}) | found).items())), target / name, **how)
        known = set().union(*old.values()) if old else set()
        return {"added": sorted(states - known), "replaced": sorted(states & known)}


def attributes(path):
    """Attributes of a results file: how its results were made."""
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dict(dataset.attrs)


def shipped(observable, folder="data/results"):
    """Results of longer runs that ship with the project.

    Returns
    -------
    dict
        Name of the set → results as `load` gives them; empty where none are shipped. What a set is stands in its attributes.
    """
    return {path.parent.name: load(path) for path in sorted(Path(folder).glob(f"*/{observable}.nc"))}


def table(results, variables, dimension="species"):
    """Some variables of all states as rows of a table: composition, temperature, `dimension` (None: a row for each state), then the variables."""
    rows = []
    for (composition, temperature), data in results.items():
        present = [name for name in variables if name in data]
        for label in [None] if dimension is None else data[dimension].values:
            one = data if label is None else data.sel({dimension: label})
            row = {"composition": composition, "temperature": temperature}
            row |= {} if label is None else {dimension: str(label)}
            rows.append(row | {name: float(one[name]) for name in present})
    return pd.DataFrame(rows)


def arrhenius(D):
    """Arrhenius fits of the diffusion coefficients of each composition: a row for each composition and species."""
    from .analysis import arrhenius as fitted

    rows = {}
    for composition in sorted({c for c, _ in D}):
        fit = fitted({t: data for (c, t), data in D.items() if c == composition})
        rows[composition, 0.0] = fit
    return table(rows, ["E", "E_sem", "E_low", "E_high", "D_0", "D_0_sem", "points", "misfit"]).drop(
        columns="temperature"
    )


def alike(results):
    """Results along `pair` as results along `species`: of "Na-Na" and its like, the pairs of a species with itself."""
    made = {}
    for state, data in results.items():
        both = [p for p in map(str, data.pair.values) if len(set(p.split("-"))) == 1]
        names = [p.split("-")[0] for p in both]
        made[state] = data.sel(pair=both).rename(pair="species").assign_coords(species=names)
    return made


def by_species(results, dimension, values):
    """Results at another value of `dimension` for each species (`values`: species → value); states that lack one of the values are left out."""
    made = {}
    for state, data in results.items():
        names = [str(name) for name in data.species.values]
        known = np.asarray(data[dimension].values, float)
        if missing := set(names) - set(values):
            raise GlasslibError(
                f"{dimension} is given for {', '.join(values)}, not for {', '.join(sorted(missing))}: add it"
            )
        places = [np.flatnonzero(np.isclose(known, values[name])) for name in names]
        if all(map(len, places)):
            here = xr.DataArray([int(place[0]) for place in places], dims="species")
            made[state] = data.isel({"species": xr.DataArray(range(len(names)), dims="species"), dimension: here})
    return made


def sizes(D):
    """States that were run in boxes of several sizes ("NS2@300", "NS2@600"): (composition, temperature) → list of their results."""
    found = {}
    for (name, temperature), data in D.items():
        found.setdefault((name.partition("@")[0], temperature), []).append(data)
    return {state: boxes for state, boxes in found.items() if len(boxes) > 1}


def times_within(data):
    """How many relaxation times of each species the run holds, as text; "<" where it relaxes later than the run ends."""
    found, marks = {}, {0: "< ", 1: "", -1: "> "}
    for one in (data.sel(species=name) for name in data.species.values):
        if int(one.reached) in marks:  # else nothing is known of it
            value = data.length_ps / float(one.tau if int(one.reached) == 1 else one.bound)
            found[one.species.item()] = marks[int(one.reached)] + f"{value:.1f}"
    return found


def ratios(results, variable, above, below):
    """Ratio of a variable between two species in every state, with its error by propagation of the two."""
    rows = []
    for (composition, temperature), data in results.items():
        if not {above, below} <= set(data.species.values.tolist()):
            continue
        a, b, da, db = (
            float(data[name].sel(species=s)) for name in (variable, f"{variable}_sem") for s in (above, below)
        )
        ratio = a / b
        error = abs(ratio) * ((da / a) ** 2 + (db / b) ** 2) ** 0.5
        rows.append(
            {
                "composition": composition,
                "temperature": temperature,
                "species": f"{above}/{below}",
                "ratio": ratio,
                "ratio_sem": error,
            }
        )
    return pd.DataFrame(rows, columns=["composition", "temperature", "species", "ratio", "ratio_sem"])
