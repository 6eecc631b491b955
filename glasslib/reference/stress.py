"""Finite-basis correction of plane-wave stress: Francis & Payne, J. Phys.: Condens. Matter 2, 4395 (1990).

The analytical stress holds the number of plane waves constant, energies at a constant cutoff are the consistent ones:

    P_corrected = P_raw − (2/3) (dE/d ln E_cut) / V,   so   stress_corrected = stress_raw + (2/3) (dE/d ln E_cut) / V · 1

with the tensile-positive sign of ASE. dE/d ln E_cut is below zero and a sum over atoms, hence here over oxide units.
"""

from pathlib import Path

import numpy as np

from ..errors import GlasslibError, shown
from ..files import read_json
from .frames import voigt

TABLE = Path(__file__).parents[2] / "data" / "frames" / "finite_basis.json"
OXIDES = ("SiO2", "Na2O")


def oxide_units(counts, name="frame"):
    """Units of SiO2 and Na2O that atoms make up.

    Parameters
    ----------
    counts : dict
        Atoms by symbol.

    Returns
    -------
    float array [2]
        SiO2, Na2O.

    Raises
    ------
    GlasslibError
        Where there are other species, or oxygen does not match.
    """
    silicon, sodium, oxygen = (counts.get(s, 0) for s in ("Si", "Na", "O"))
    if set(counts) - {"Si", "Na", "O"} or 2 * silicon + sodium / 2 != oxygen:
        raise GlasslibError(
            f"{name} is no mixture of SiO2 and Na2O: measure its own finite-basis derivative (dE_dlnE in eV)"
        )
    return np.array([silicon, sodium / 2])


def fit(measurements):
    """Contributions of the oxides to dE/d ln E_cut, least squares over measured cells.

    Parameters
    ----------
    measurements : list of dict
        Each with atoms (counts by symbol) and dE_dlnE (eV).

    Returns
    -------
    (dict, float)
        eV for a unit of each oxide; root mean square of the residuals relative to the measured values.
    """
    units = np.array([oxide_units(m["atoms"], f"measurement {i}") for i, m in enumerate(measurements)])
    values = np.array([float(m["dE_dlnE"]) for m in measurements])
    if np.linalg.matrix_rank(units) < len(OXIDES) or not np.isfinite(values).all():
        raise GlasslibError("finite-basis measurements must be finite and cover at least two compositions")
    # relative residuals: what counts is the error of the pressure, whatever the size of the cell
    solution = np.linalg.lstsq(units / values[:, None], np.ones(len(values)), rcond=None)[0]
    residual = units @ solution / values - 1
    return dict(zip(OXIDES, map(float, solution), strict=True)), float(np.sqrt(np.mean(residual**2)))


def derivative(atoms, table=TABLE):
    """dE/d ln E_cut of a frame, eV: its own measurement (`info["dE_dlnE"]`) or the sum over its oxide units."""
    if "dE_dlnE" in atoms.info:
        return _number(atoms.info["dE_dlnE"], atoms.info.get("parent", "frame"))
    content = read_json(table)
    if atoms.info.get("level") != content["level"]:
        raise GlasslibError(
            f"{table} holds the finite-basis derivative of {content['level']}, not of {atoms.info.get('level')!r}: "
            "give the frame its own (dE_dlnE in eV)"
        )
    contribution, _ = fit(content["measurements"])
    counts = {s: int((atoms.symbols == s).sum()) for s in set(atoms.symbols)}
    return float(oxide_units(counts, atoms.info.get("parent", "frame")) @ [contribution[o] for o in OXIDES])


def _number(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise GlasslibError(f"{name}: dE_dlnE must be a number (eV), not {shown(value)}")
    return float(value)


def correct(atoms, table=TABLE):
    """Copy of a frame with raw stress whose stress is corrected; both and the correction are kept in `info`.

    A frame that is corrected already is corrected anew from its raw stress, so that a better table can be applied to old frames.
    """
    kind = atoms.info.get("stress_kind")
    name = atoms.info.get("parent", "frame")
    if kind not in ("raw", "corrected"):
        raise GlasslibError(f"{name}: stress_kind must be 'raw' or 'corrected', not {kind!r}")
    raw = atoms.info.get("stress" if kind == "raw" else "stress_raw")
    if np.shape(raw) != (3, 3):
        raise GlasslibError(f"{name}: {'stress' if kind == 'raw' else 'stress_raw'} is missing or not 3 x 3")
    if not atoms.pbc.all() or not atoms.cell.volume > 1:
        raise GlasslibError(f"{name}: a stress needs a cell that is periodic in three dimensions")
    if atoms.calc is None:
        raise GlasslibError(f"{name}: energy and forces are missing")
    out = atoms.copy()
    correction = 2 / 3 * derivative(atoms, table) / atoms.get_volume() * np.eye(3) + 0.0  # no minus zero in the file
    out.info.update(
        stress=raw + correction, stress_raw=np.array(raw), stress_correction=correction, stress_kind="corrected"
    )
    out.calc = type(atoms.calc)(out, **(atoms.calc.results | {"stress": voigt(raw + correction)}))
    return out
