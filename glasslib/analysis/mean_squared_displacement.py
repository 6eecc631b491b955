"""Mean squared displacement."""

from .dataset import dataset, described
from .displacements import checked, correlate, moments, symbols
from .statistics import block_count, block_sums, jackknife


def mean_squared_displacement(trajectory_or_replicas, *, time=None, origins=1000, n_blocks=None, drift=None):
    """Mean squared displacement of each species, ⟨|r(t₀+t) − r(t₀)|²⟩ over atoms and time origins.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
        Constant cell.
    time : float or sequence, optional
        Wanted lag times, ps; the nearest that occur are taken. Default: all lag times that the trajectory contains if they are at most
        256, else the best-sampled one of each twentieth of a decade.
    origins : int or None
        At most so many pairs of frames for each lag time, evenly over the run; None: all.
    n_blocks : int, optional
        Blocks of time of one trajectory for the standard error; default 8, or 1 where there are five replicas or more.
    drift : bool, optional
        Remove the motion of the centre of mass of all atoms of the trajectory. Default: where it moves farther than that of independent atoms would, as under a
        thermostat that sets all of them moving (eightfold in the mean square).

    Returns
    -------
    xarray.Dataset
        `msd` (species, time), Å², and `msd_sem`.

    Raises
    ------
    GlasslibError
        Where the cell changes, replicas differ, or there is one frame only.
    """
    replicas = checked(trajectory_or_replicas)
    pairs, values = correlate(replicas, moments, 2, 1, time, origins, drift)
    sums, counts = block_sums(pairs, [v[:, 0] for v in values], block_count(replicas, n_blocks))
    msd, sem = jackknife(sums, counts)
    options = {"time": time, "origins": origins, "n_blocks": n_blocks, "drift": drift}
    return dataset(
        {"msd": (("species", "time"), msd, sem, "Å²", "mean squared displacement")},
        {"species": symbols(replicas), "time": pairs[0].lag},
        described("mean_squared_displacement", replicas, options),
    )
