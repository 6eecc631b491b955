"""What a committee's disagreement says about its error: fitted on labelled frames that it has not learned from."""

from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from ..errors import GlasslibError
from ..files import write_json
from ..potential import CALIBRATION, files, trained
from .frames import labels

COVERAGE = 2 / 3  # share of the atoms that err by less than is foretold
LEAST = 50  # atoms of a species


def disagreement(committee, frames):
    """Spread of a committee's forces and their true error, eV/Å, on labelled frames: arrays over all atoms, with symbols and frame numbers."""
    spread, error, species, frame = [], [], [], []
    for k, labelled in enumerate(frames):
        trial = labelled.copy()
        trial.set_constraint()  # forces on atoms that are held count, too
        trial.calc = committee
        error.append(np.linalg.norm(trial.get_forces() - labels(labelled, f"frame {k}")[1], axis=1))
        if "force_spread" not in committee.results:
            raise GlasslibError("one potential alone has no disagreement: calibrate a committee")
        spread.append(committee.results["force_spread"])
        species.append(labelled.get_chemical_symbols())
        frame.append(np.full(len(labelled), k))
    if not frames:
        raise GlasslibError("there are no frames to calibrate with")
    return tuple(map(np.concatenate, (spread, error, species, frame)))


def fit(spread, error, coverage=COVERAGE):
    """Floor f and factor k such that a share `coverage` of the errors lies below √(f² + (k·spread)²).

    Quantile regression (R. Koenker, G. Bassett, Econometrica 46, 33, 1978): a few atoms that err wildly do not move it.

    Parameters
    ----------
    spread, error : arrays [atoms]
        eV/Å.

    Returns
    -------
    (float, float)
        Floor, eV/Å: what the members get wrong alike; factor.
    """
    spread, error = np.asarray(spread, float), np.asarray(error, float)
    if len(error) < LEAST or not (spread > 0).all():
        raise GlasslibError(
            f"a calibration needs {LEAST} atoms of a species, with disagreements above zero: {len(error)} given"
        )

    def loss(logs):
        off = error - np.hypot(np.exp(logs[0]), np.exp(logs[1]) * spread)
        return np.mean(np.maximum(coverage * off, (coverage - 1) * off))

    floor, factor = np.quantile(error, coverage), np.quantile(error / spread, coverage)
    starts = [np.log([a * floor + 1e-6, b * factor]) for a, b in ((0.7, 0.7), (0.2, 1.0), (1.0, 0.2))]
    best = min((minimize(loss, start, method="Nelder-Mead") for start in starts), key=lambda found: found.fun)
    return tuple(float(x) for x in np.exp(best.x))


def calibrate(folder, frames):
    """Fit a committee's calibration for each species and write it beside its members; `load_potential` then gives `force_error`.

    Parameters
    ----------
    folder : str or path
        Of the committee, as of `load_potential`.
    frames : list of ase.Atoms
        Labelled, and not learned from.

    Returns
    -------
    dict
        Species → {"floor", "factor", "atoms"}.

    Raises
    ------
    GlasslibError
        Where a species of the committee has fewer than `LEAST` atoms in the frames: nothing is written then.
    """
    committee = trained(folder)
    spread, error, species, _ = disagreement(committee, frames)
    rare = [f"{n} of {name}" for name in committee.species if (n := int((species == name).sum())) < LEAST]
    if rare:
        raise GlasslibError(
            f"a calibration needs {LEAST} atoms of every species of the committee: there are {', '.join(rare)}; give more frames"
        )
    found = {}
    for name in sorted(set(species)):
        floor, factor = fit(spread[species == name], error[species == name])
        found[name] = {"floor": round(floor, 4), "factor": round(factor, 3), "atoms": int((species == name).sum())}
    place = Path(files(folder)[0]).parent / CALIBRATION
    write_json(place, {"coverage": COVERAGE, "weights": committee.weights, "frames": len(frames), "species": found})
    return found


def held_out(spread, error, species, group, folds=5):
    """Error that a calibration on other trajectories foretells for each atom, eV/Å: an honest test of it.

    NaN where the other trajectories have fewer than `LEAST` atoms of its species.

    Parameters
    ----------
    spread, error, species : arrays [atoms]
        Of `disagreement`.
    group : array of int [atoms]
        Number of the atom's trajectory: frames of one are never on both sides.
    folds : int
    """
    foretold = np.full(len(error), np.nan)
    for fold in range(folds):
        for name in set(species):
            mine = (group % folds == fold) & (species == name)
            others = (species == name) & (group % folds != fold)
            if others.sum() < LEAST:
                continue
            floor, factor = fit(spread[others], error[others])
            foretold[mine] = np.hypot(floor, factor * spread[mine])
    return foretold
