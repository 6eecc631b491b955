"""How far each atom moves."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, drift_of
from .statistics import positive, whole


def mobility(trajectory_or_replicas, *, time=None, start=0, drift=None):
    """Distance that each atom of a run moves from one frame, for views of where the mobile atoms are.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
        Of replicas the first is taken: their atoms move differently. See propensity for runs from one configuration.
    time : float or sequence, optional
        ps after that frame; the nearest frames are taken. Default: six times, evenly in the logarithm up to the end of the run.
    start : int
        Frame from which distances count.
    drift : bool, optional
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `distance` (time, atom), Å; `relative` (time, atom), its square over the mean square of the species; `position` (atom, axis), Å,
        at `start`, folded into the cell, which is `cell` (vector, axis); coordinate `symbol` along atom. One atom's single displacement
        has no standard error.
    """
    run = checked(trajectory_or_replicas)[0]
    constant_cell([run])
    if whole("start", start, 0) >= len(run) - 1:
        raise GlasslibError(f"start must be a frame from 0 to {len(run) - 2}, not {start}")
    later = run.time[start + 1 :] - run.time[start]
    wanted = np.geomspace(later[0], later[-1], 6) if time is None else positive("time", time)
    frames = np.unique(np.abs(later[None] - wanted[:, None]).argmin(1))
    shift = drift_of(run, drift)
    here = np.asarray(run.positions[start], np.float64)
    moved = np.array(
        [np.asarray(run.positions[f], np.float64) - here - shift[f] + shift[start] for f in frames + start + 1]
    )
    distance = np.linalg.norm(moved, axis=2)
    relative = np.empty_like(distance)
    for name in np.unique(run.species):
        mine = run.species == name
        square = distance[:, mine] ** 2
        with np.errstate(invalid="ignore"):
            relative[:, mine] = square / square.mean(1, keepdims=True)
    made = dataset(
        {
            "distance": (("time", "atom"), distance, None, "Å", "distance moved"),
            "relative": (("time", "atom"), relative, None, "1", "squared distance over the mean of the species"),
            "position": (("atom", "axis"), run.atoms(start).positions, None, "Å", "position in the cell"),
            "cell": (("vector", "axis"), run.cell, None, "Å", "vectors of the cell"),
        },
        {"time": later[frames], "atom": np.arange(run.n_atoms), "axis": ["x", "y", "z"]},
        described("mobility", [run], {"time": wanted, "start": start, "drift": drift}),
    )
    return made.assign_coords(symbol=("atom", run.species))
