"""Many runs from one configuration: what of an atom's fate is written in the arrangement."""

import numpy as np

from ..errors import GlasslibError
from ..files import folder
from .driver import run


def isoconfigurational(
    atoms, calculator, out, temperature, length, runs=10, *, timestep=1.0, damping=1.0, time=None, seed=0, inputs=(), quiet=True
):  # fmt: skip
    """Propensity of every atom of a configuration, in one call: short runs with new velocities, and what they have in common.

    Killed at any time, the same call goes on; more runs, or none left, cost no more than themselves. Runs of something else in the folder are put aside.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic; momenta are not used.
    calculator : ase Calculator
    out : path
        Folder that gets one trajectory for each run, `0.h5` …
    temperature, length : float
        K; ps.
    runs : int
        At least two.
    timestep, damping : float
        fs; ps, of stochastic velocity rescaling.
    time : float or sequence, optional
        ps, see `analysis.propensity`.
    seed : int
        Of the first run; the others have the next numbers.
    inputs, quiet
        See `run`.

    Returns
    -------
    xarray.Dataset
        As of `analysis.propensity`.

    Raises
    ------
    GlasslibError
        Where there are fewer than two runs.
    """
    from ..analysis import propensity
    from ..trajectory import Trajectory

    if isinstance(runs, bool) or not isinstance(runs, (int, np.integer)) or runs < 2:
        raise GlasslibError(f"runs must be a whole number of at least 2, not {runs!r}")
    start, out = atoms.copy(), folder(out)
    start.arrays.pop("momenta", None)
    stage = {"ensemble": "nvt", "thermostat": "bussi", "damping": damping, "temperature": temperature, "length": length}
    stage |= {"timestep": timestep, "output": "log", "block": length}
    paths = [
        run(start, calculator, [stage], out / f"{k}.h5", seed=seed + k, inputs=inputs, quiet=quiet) for k in range(runs)
    ]
    return propensity([Trajectory.open(path) for path in paths], time=time)
