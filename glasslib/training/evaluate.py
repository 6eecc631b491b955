"""How far a potential is from labelled frames."""

import numpy as np
import pandas as pd
import xarray as xr
from ase.units import GPa

from ..errors import GlasslibError
from ..potential.graph import build
from ..potential.model import Potential
from .frames import labels

MELTS = 1500, 3500  # K, where the book simulates and the accuracy of the potential is aimed at


def parity(model, frames):
    """Labels and predictions side by side.

    Parameters
    ----------
    model : ase.calculators.calculator.Calculator or glasslib.potential.model.Potential
    frames : list of ase.Atoms
        Labelled; `info` may hold composition, temperature_K and parent.

    Returns
    -------
    xarray.Dataset
        energy [frame] (eV/atom), forces [atom, xyz] (eV/Å), stress [frame, xyz, xyz2] (eV/Å³, tensile positive, NaN without a label),
        pressure [frame] (GPa), each with a dimension `source` of "label" and "model"; coordinates `composition`, `temperature`,
        `parent` and `n_atoms` by frame, `species` and `frame_of` by atom.
    """
    if not frames:
        raise GlasslibError("no frames to evaluate: give at least one labelled frame")
    energy, forces, stress = [], [], []
    for i, atoms in enumerate(frames):
        known = labels(atoms, f"frame {i}")
        found = _predict(model, atoms)
        energy.append([known[0] / len(atoms), found[0] / len(atoms)])
        forces.append([known[1], found[1]])
        stress.append(np.full((2, 3, 3), np.nan) if known[2] is None else [known[2] / atoms.get_volume(), found[2]])
    stress = np.array(stress)

    def info(key, default):
        return [atoms.info.get(key, default) for atoms in frames]

    return xr.Dataset(
        {
            "energy": (("frame", "source"), np.array(energy), {"units": "eV/atom"}),
            "forces": (("source", "atom", "xyz"), np.concatenate(forces, axis=1), {"units": "eV/Å"}),
            "stress": (("frame", "source", "xyz", "xyz2"), stress, {"units": "eV/Å³"}),
            "pressure": (("frame", "source"), -np.trace(stress, axis1=2, axis2=3) / 3 / GPa, {"units": "GPa"}),
        },
        coords={
            "source": ["label", "model"],
            "xyz": list("xyz"),
            "xyz2": list("xyz"),
            "composition": ("frame", [str(c) for c in info("composition", "unknown")]),
            "temperature": ("frame", np.array(info("temperature_K", np.nan), float), {"units": "K"}),
            "parent": ("frame", [str(p) for p in info("parent", "unknown")]),
            "n_atoms": ("frame", [len(atoms) for atoms in frames]),
            "species": ("atom", np.concatenate([np.array(atoms.get_chemical_symbols()) for atoms in frames])),
            "frame_of": ("atom", np.repeat(np.arange(len(frames)), [len(atoms) for atoms in frames])),
        },
    )


def _predict(model, atoms):
    """Energy (eV), forces (eV/Å) and stress (eV/Å³) that `model` gives for `atoms`."""
    if isinstance(model, Potential):
        results = model(build([atoms], model.species, model.cutoff))
        return (
            float(results["energy"].detach()),
            results["forces"].detach().numpy(),
            results["stress"][0].detach().numpy(),
        )
    copy = atoms.copy()
    copy.set_constraint()  # forces on atoms that are held count, too
    copy.calc = model
    stress = copy.get_stress(voigt=False) if atoms.pbc.all() else np.full((3, 3), np.nan)
    return copy.get_potential_energy(), copy.get_forces(), stress


def summary(data):
    """Errors of a parity Dataset, in all, of the melts between the temperatures `MELTS`, and by species, composition and temperature.

    Returns
    -------
    pandas.DataFrame
        Index (group, value); columns frames, atoms, and root-mean-square and mean absolute errors energy_rmse, energy_mae (meV/atom),
        force_rmse, force_mae (meV/Å, over components), pressure_rmse, pressure_mae and stress_rmse (GPa). A species has forces only.
    """
    error = data.sel(source="model") - data.sel(source="label")
    rows = {("all", "all"): _row(error, np.ones(data.sizes["frame"], bool), np.ones(data.sizes["atom"], bool))}
    melts = (data.temperature.values >= MELTS[0]) & (data.temperature.values <= MELTS[1])
    if melts.any():
        rows["melts", f"{MELTS[0]}-{MELTS[1]} K"] = _row(error, melts, melts[data.frame_of.values])
    for symbol in np.unique(data.species):
        rows["species", str(symbol)] = _row(error, None, data.species.values == symbol)
    for name in ("composition", "temperature"):
        for value in np.unique(data[name].values[~pd.isnull(data[name].values)]):
            frames = data[name].values == value
            rows[name, str(value) if name == "composition" else f"{value:g} K"] = _row(
                error, frames, frames[data.frame_of.values]
            )
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["group", "value"])
    return table


def _row(error, frames, atoms):
    force = error.forces.values[atoms] * 1000
    row = {"frames": 0 if frames is None else int(frames.sum()), "atoms": int(atoms.sum())}
    if frames is not None:
        energy = error.energy.values[frames] * 1000
        row |= {"energy_rmse": _rms(energy), "energy_mae": _mean(np.abs(energy))}
    row |= {"force_rmse": _rms(force), "force_mae": _mean(np.abs(force))}
    if frames is not None:
        pressure, stress = error.pressure.values[frames], error.stress.values[frames] / GPa
        row |= {"pressure_rmse": _rms(pressure), "pressure_mae": _mean(np.abs(pressure)), "stress_rmse": _rms(stress)}
    return row


def _mean(values):
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def _rms(values):
    return float(np.sqrt(_mean(np.square(values))))


def evaluate(model, frames):
    """Errors of `model` on labelled `frames`: `summary(parity(model, frames))`.

    Returns
    -------
    pandas.DataFrame
        See `summary`.
    """
    return summary(parity(model, frames))
