"""Every observable of a run in one call, in one file, in one table."""

import json
import warnings

import numpy as np
import xarray as xr

from ..errors import GlasslibError
from ..files import SMALL, atomic
from ..progress import Progress
from .bimodality import bimodality
from .bond_angles import bond_angles
from .bond_correlation import bond_correlation
from .bond_exchange import bond_exchange
from .clusters import clusters
from .coherent_intermediate_scattering import coherent_intermediate_scattering
from .coordination import coordination
from .decoupling import decoupling
from .diffusion_coefficient import diffusion_coefficient
from .displacements import checked
from .dynamic_length import dynamic_length
from .four_point_susceptibility import four_point_susceptibility
from .hops import hops
from .mean_squared_displacement import mean_squared_displacement
from .mobility import mobility
from .non_gaussian import non_gaussian
from .non_gaussian_peak import non_gaussian_peak, species_order
from .overlap import overlap
from .q_speciation import q_speciation
from .radial_distribution import radial_distribution
from .relaxation_time import relaxation_time
from .rings import rings
from .self_intermediate_scattering import self_intermediate_scattering
from .site_reuse import site_reuse
from .statistics import with_error
from .stretched_exponential import stretched_exponential
from .structure_factor import structure_factor
from .thermodynamics import thermodynamics
from .van_hove_distinct import van_hove_distinct
from .van_hove_self import van_hove_self

STRUCTURE = (radial_distribution, structure_factor, bond_angles, coordination, q_speciation, rings)
DYNAMICS = (
    thermodynamics,
    mean_squared_displacement,
    diffusion_coefficient,
    self_intermediate_scattering,
    overlap,
    bond_correlation,
    bond_exchange,
    non_gaussian,
    van_hove_self,
    van_hove_distinct,
    coherent_intermediate_scattering,
    non_gaussian_peak,
    species_order,
    four_point_susceptibility,
    bimodality,
    hops,
    site_reuse,
    decoupling,
    dynamic_length,
    clusters,
    mobility,
)
DERIVED = {
    "relaxation_time_F_s": (relaxation_time, "self_intermediate_scattering"),
    "relaxation_time_Q": (relaxation_time, "overlap"),
    "relaxation_time_C_B": (relaxation_time, "bond_correlation"),
    "stretched_exponential": (stretched_exponential, "self_intermediate_scattering"),
}


def everything(trajectory_or_replicas, *, quiet=False):
    """Every observable that a trajectory (or replicas of one state) allows, with default options.

    Returns
    -------
    dict
        Name → xarray.Dataset. An observable that this trajectory cannot give (one frame, a changing cell, no silicon) is left out; its
        name and the reason stand in the attribute `left_out` of every Dataset.
    """
    replicas = checked(trajectory_or_replicas)
    results, left_out = {}, {}
    jobs = [(f.__name__, f, replicas) for f in (*STRUCTURE, *DYNAMICS)]
    with Progress(len(jobs), "analysis", "observables", quiet=quiet) as bar:
        for name, function, argument in jobs:
            try:
                results[name] = function(argument)
            except GlasslibError as error:
                left_out[name] = str(error)
            bar.update(note=name)
    for name, (function, source) in DERIVED.items():
        if source in results:
            results[name] = function(results[source])
    if not results:
        raise GlasslibError("no observable could be computed: " + "; ".join(f"{k}: {v}" for k, v in left_out.items()))
    for result in results.values():
        result.attrs["left_out"] = json.dumps(left_out)
    return results


def save(results, path, **attributes):
    """Write Datasets into one NetCDF file, a group for each, in one atomic step, and return the path; `attributes` are those of the file."""
    with atomic(path) as temporary:
        xr.Dataset(attrs=attributes).to_netcdf(temporary, mode="w", engine="h5netcdf")
        for name, result in results.items():
            packed = {
                v: {"zlib": True} for v in result.data_vars if result[v].dtype.kind == "f" and result[v].nbytes > SMALL
            }
            writable(result).to_netcdf(temporary, mode="a", group=name, engine="h5netcdf", encoding=packed)
    return path


def writable(result):
    """NetCDF knows no booleans among its types."""
    return result.assign({v: result[v].astype(np.int8) for v in result.data_vars if result[v].dtype == bool})


def load(path):
    """Read a file that `save` wrote: name → xarray.Dataset, in memory."""
    try:
        tree = xr.open_datatree(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise GlasslibError(f"{path} is no NetCDF file of results ({error}): make it with `glasslib analyse`") from None
    with tree:
        return {name: node.to_dataset(inherit=False).load() for name, node in tree.children.items()}


def summary(results):
    """Table of the main numbers, a line for each species, as text."""
    first = next(iter(results.values()))
    names = sorted(json.loads(first.attrs.get("atoms", "{}")))
    head = ["species", "atoms", "D (Å²/ps)", "slope", "tau_s (ps)", "tau_Q (ps)", "alpha_2 peak", "at (ps)"]
    rows = [head]
    for name in names:
        rows.append([name, str(json.loads(first.attrs["atoms"])[name]), *species_numbers(results, name)])
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    if "q_speciation" in results:
        q = results["q_speciation"]
        lines.append("Qn: " + ", ".join(f"Q{n} {100 * p:.1f}%" for n, p in enumerate(q["probability"].values)))
    if "relaxation_time_F_s" in results:
        q = results["relaxation_time_F_s"]["q"].values
        lines.append(
            f"tau_s: F_s = 1/e at q = {q[len(q) // 2]:g} 1/Å; tau_Q: overlap = 1/e at the larger a; > longer than the run, < shorter than its first lag"
        )
    for name, reason in json.loads(first.attrs.get("left_out", "{}")).items():
        lines.append(f"left out: {name}: {reason}")
    return "\n".join(lines)


def species_numbers(results, name):
    """Cells of one line of the summary."""
    cells = []
    d = results.get("diffusion_coefficient")
    if d is None:
        cells += ["-", "-"]
    else:
        d = d.sel(species=name)
        mark = "" if bool(d["diffusive"]) else " (not diffusive)"
        cells += [cell(d["D"], d["D_sem"]) + mark, cell(d["slope"], d["slope_sem"])]
    for key, dim in (("relaxation_time_F_s", "q"), ("relaxation_time_Q", "a")):
        if key not in results:
            cells.append("-")
            continue
        t = results[key].sel(species=name)
        t = t.isel({dim: t.sizes[dim] // 2})
        reached = int(t["reached"])
        cells.append(cell(t["tau"], t["tau_sem"]) if reached == 1 else {0: ">", -1: "<"}.get(reached, "-"))
    alpha = results.get("non_gaussian")
    if alpha is None or not np.isfinite(alpha["alpha_2"].sel(species=name)).any():
        return [*cells, "-", "-"]
    alpha = alpha.sel(species=name)
    known = alpha.isel(time=np.isfinite(alpha["alpha_2_sem"].values))
    known = known if known.sizes["time"] else alpha
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        peak = known.isel(time=int(np.nanargmax(known["alpha_2"].values)))
    return [*cells, cell(peak["alpha_2"], peak["alpha_2_sem"]), f"{float(peak['time']):.3g}"]


def cell(value, sem):
    """A value of the summary with its error, "-" where there is none."""
    value, sem = float(value), float(sem)
    if not np.isfinite(value):
        return "-"
    return with_error(value, sem) or f"{value:.3g} ± ?"
