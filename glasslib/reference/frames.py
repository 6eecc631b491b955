"""Labelled frames in extended XYZ: read with checks, written whole, summarised.

Units: Å, eV, eV/Å, eV/Å³ (ASE's sign: tensile stress is positive, pressure = −tr/3), K.
"""

import gzip
from io import StringIO
from pathlib import Path

import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.neighborlist import neighbor_list
from ase.units import GPa

from ..errors import GlasslibError
from ..files import atomic, checked_xyz, listed, regular, unpacked
from ..systems import composition

TEXT, NUMBERS = ("composition", "parent", "level"), ("temperature_K", "density_scale")
FULL = "GPAW-PBE-PW600"  # level of the data set
MOST_BYTES = 2_000_000_000
AMU_PER_A3 = 1.66053906892  # g/cm³, CODATA 2022


def read_frames(path):
    """Labelled frames of an extended-XYZ file, or of all `*.extxyz` of a folder in the order of their names.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of ase.Atoms
        Each with a SinglePointCalculator that holds energy (eV), forces (eV/Å) and stress (Voigt, eV/Å³, corrected for the
        finite basis), and `info` with composition, temperature_K, density_scale, parent (the trajectory it came from), level,
        stress_kind, energy, and stress, stress_raw and stress_correction [3, 3].

    Raises
    ------
    GlasslibError
        Naming file, frame (counted from 0) and field: a truncated file, something missing, of a wrong shape, not finite or in
        other units; labels of more than one level of theory; one frame in two files of the folder.
    """
    path = Path(path)
    if path.is_dir():
        files = extxyz(path)
        if not files:
            raise GlasslibError(f"{path} holds no *.extxyz file: give a file of labelled frames, or a folder of such")
        return one_level(_once([(file, frame) for file in files for frame in read_frames(file)]), path)
    frames = read_plain(path)
    for number, atoms in enumerate(frames):
        check(atoms, f"{path}, frame {number}")
    return one_level(frames, path)


def _once(found):
    """Frames of (file, frame) pairs, refused where two files hold the same one: it would count twice."""
    seen = {}
    for file, atoms in found:
        key = atoms.info["parent"], str(atoms.info.get("frame", 0)), atoms.positions.tobytes()
        if seen.setdefault(key, file) != file:
            raise GlasslibError(
                f"{seen[key]} and {file} both hold a frame of {key[0]}, and it would count twice: remove one"
            )
    return [atoms for _, atoms in found]


def one_level(frames, name):
    """The frames, whose labels must be of one level of theory: energies of two do not compare."""
    levels = sorted({atoms.info["level"] for atoms in frames})
    if len(levels) > 1:
        raise GlasslibError(f"{name} mixes levels of theory ({', '.join(levels)}): keep each in a data set of its own")
    return frames


def read_plain(path):
    """Frames of one file, gzipped or not, with labels in place but only the file itself checked (a queue, or labels yet to be corrected)."""
    with unpacked(path, MOST_BYTES) as file:
        return _read(file, Path(path))


def extxyz(path):
    """The file `path`, or those of a folder, in the order of their names: `*.extxyz`, gzipped or not.

    Raises
    ------
    GlasslibError
        Where a folder holds a file both ways: every frame would count twice.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    files = listed(path, "*.extxyz", "*.extxyz.gz")
    twice = [file for file in files if file.with_name(f"{file.name}.gz") in files]
    if twice:
        raise GlasslibError(
            f"{twice[0]} and {twice[0].name}.gz lie side by side, and frames would count twice: remove one"
        )
    return files


def _read(file, path):
    """Frames of `file`, which errors call `path`."""
    size = regular(file, MOST_BYTES)
    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, size - 1))
            last = stream.read()
    except OSError as error:
        raise GlasslibError(f"cannot read {path}: {error.strerror}") from None
    if last != b"\n":  # a number cut short is still a number
        raise GlasslibError(f"{path} is empty or ends in the middle of a line: it was truncated; restore it")
    checked_xyz(file, path)
    frames = []
    try:
        for atoms in ase.io.iread(file, index=":", format="extxyz", parallel=False):
            frames.append(_arranged(atoms))
    except Exception as error:  # the parser raises whatever its regular expressions and casts happen to
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GlasslibError(
            f"{path}, frame {len(frames)} cannot be read ({reason}): truncated or damaged; restore it"
        ) from None
    if not frames:
        raise GlasslibError(f"{path} holds no frame")
    return frames


def _arranged(atoms):
    """Energy and stress in `info` as well as in the calculator, whichever of them the file had; no atom held in place, whose force would read as zero."""
    atoms.set_constraint()
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    for name in ("energy", "stress"):
        if name in atoms.info:
            results.setdefault(name, atoms.info[name])
    if "forces" in atoms.arrays:
        results.setdefault("forces", atoms.arrays.pop("forces"))
    for name in ("stress", "stress_raw", "stress_correction"):
        value = results.get(name) if name == "stress" else atoms.info.get(name)
        if value is not None:
            atoms.info[name] = _matrix(value)
    if "energy" in results:
        atoms.info["energy"] = results["energy"]
    labels = {name: results[name] for name in ("energy", "forces") if name in results}
    if np.shape(atoms.info.get("stress")) == (3, 3):
        labels["stress"] = voigt(atoms.info["stress"])
    atoms.calc = SinglePointCalculator(atoms, **labels) if labels else None
    return atoms


def _matrix(value):
    value = np.asarray(value)
    if value.shape == (6,):
        xx, yy, zz, yz, xz, xy = value
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return value.reshape(3, 3) if value.shape == (9,) else value


def voigt(stress):
    """Stress [3, 3] as xx, yy, zz, yz, xz, xy."""
    return np.asarray(stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def pressure(atoms):
    """Pressure of a labelled frame, GPa."""
    return -np.trace(atoms.info["stress"]) / 3 / GPa


def check(atoms, name):
    """Raise GlasslibError, naming the field, where a labelled frame is not fit for training."""

    def fail(field, what):
        raise GlasslibError(f"{name}: {field} {what}")

    info, results = atoms.info, atoms.calc.results if atoms.calc is not None else {}
    for field in ("energy", "forces", "stress"):
        if field not in results:
            fail(field, "is missing or has a wrong shape")
    for field in TEXT:
        if not isinstance(info.get(field), str) or not info[field]:
            fail(field, f"must be text, not {info.get(field)!r}")
    for field in NUMBERS:
        number = info.get(field)
        real = isinstance(number, (int, float, np.integer, np.floating)) and not isinstance(number, (bool, np.bool_))
        if not real or not np.isfinite(number) or number < 0:
            fail(field, f"must be a number not below zero, not {number!r}")
    if info.get("stress_kind") != "corrected":
        fail(
            "stress_kind",
            f"is {info.get('stress_kind')!r}, not 'corrected': collect the labels first (`glasslib collect LABELS FILE`, glasslib.reference.collect)",
        )
    for field in ("stress", "stress_raw", "stress_correction"):
        if np.shape(info.get(field)) != (3, 3):
            fail(field, "is missing or not 3 x 3")
    values = {
        "positions": atoms.positions,
        "Lattice": atoms.cell.array,
        "energy": results["energy"],
        "forces": results["forces"],
    }
    values |= {field: info[field] for field in ("stress", "stress_raw", "stress_correction")}
    for field, value in values.items():
        value = np.asarray(value)
        if value.dtype.kind not in "fi" or not np.isfinite(value).all():
            fail(field, "is not finite")
    if np.shape(results["forces"]) != (len(atoms), 3):
        fail("forces", f"must have the shape [{len(atoms)}, 3], not {list(np.shape(results['forces']))}")
    if np.ndim(results["energy"]):
        fail("energy", "must be one number")
    if not np.allclose(info["stress"], info["stress"].T, atol=1e-6):
        fail("stress", "is not symmetric")
    if not np.allclose(info["stress"], info["stress_raw"] + info["stress_correction"], atol=1e-7):
        fail("stress", "is not stress_raw + stress_correction")
    _check_units(atoms, fail)
    check_composition(atoms, name)


def _check_units(atoms, fail):
    """Refuse what only a wrong unit explains: bohr, hartree, GPa in place of eV/Å³."""
    if not atoms.pbc.all() or atoms.cell.volume < 1e-3:
        fail("Lattice", "must be a periodic cell in three dimensions")
    if (1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)).min() < 1:
        fail("Lattice", "is thinner than 1 Å: lengths must be in Å")
    dense = atoms.get_masses().sum() / atoms.get_volume() * AMU_PER_A3
    if not 0.01 < dense < 10:
        fail("Lattice", f"gives {dense:.3g} g/cm³: lengths must be in Å")
    near = neighbor_list("d", atoms, 2.4)
    if len(near) == 0 or near.min() < 0.3:
        fail("positions", "have no bond between 0.3 and 2.4 Å: lengths must be in Å")
    full = atoms.info["level"] == FULL
    each = atoms.info["energy"] / len(atoms)
    if not -25 < each < 25 or (full and not -12 < each < -1):
        fail("energy", f"is {each:.4g} an atom: it must be in eV, relative to free atoms")
    if abs(pressure(atoms)) > 300:
        fail("stress", f"is {-pressure(atoms):.3g} GPa: it must be in eV/Å³")
    forces = atoms.calc.results["forces"]
    if np.abs(forces).max() > 500:
        fail("forces", f"reach {np.abs(forces).max():.3g}: they must be in eV/Å")
    slack = 0.05 if full else 0.5  # a coarse grid pulls at the atoms
    if np.abs(forces.sum(0)).max() > slack * max(1.0, np.abs(forces).max()) * np.sqrt(len(atoms)):
        fail("forces", f"do not add up to zero but to {np.round(forces.sum(0), 3).tolist()}")


def check_composition(atoms, name):
    """Refuse atoms that are not of the composition that the frame names."""
    try:
        unit = composition(atoms.info["composition"]).unit
    except GlasslibError:
        return  # a cluster or a defect: any name will do
    have = {symbol: int((atoms.symbols == symbol).sum()) for symbol in set(atoms.symbols)}
    if set(have) != set(unit) or len({have[s] / unit[s] for s in unit}) != 1:
        raise GlasslibError(
            f"{name}: composition is {atoms.info['composition']}, but the atoms are {atoms.get_chemical_formula()}"
        )


def write_frames(path, frames):
    """Write labelled frames to one extended-XYZ file, atomically, after the checks of `read_frames`."""
    for number, atoms in enumerate(frames):
        check(atoms, f"{path}, frame {number}")
    write_plain(path, frames)


def write_plain(path, frames):
    """Write frames without checks of their labels; gzipped where the name ends in `.gz`, and the same bytes every time."""
    stored = [_stored(atoms) for atoms in frames]
    how = {"format": "extxyz", "parallel": False}  # else collective under MPI
    with atomic(path) as temporary:
        if temporary.suffix == ".gz":
            text = StringIO()
            ase.io.write(text, stored, **how)
            temporary.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
        else:
            ase.io.write(temporary, stored, **how)


def _stored(atoms):
    out = atoms.copy()
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    for name in ("energy", "stress"):
        out.info.pop(name, None)
    if results:
        out.calc = SinglePointCalculator(out, **results)
    return out


def statistics(frames):
    """What a set holds, by composition and temperature.

    Returns
    -------
    pandas.DataFrame
        Index composition, temperature_K; columns frames, atoms, parents, density_min, density_max (g/cm³), energy_per_atom (mean,
        eV), force_rms (eV/Å), force_max (eV/Å), pressure (mean, GPa), correction (mean, GPa).
    """
    import pandas as pd

    rows = [
        {
            "composition": a.info["composition"],
            "temperature_K": a.info["temperature_K"],
            "parent": a.info["parent"],
            "atoms": len(a),
            "density": a.get_masses().sum() / a.get_volume() * AMU_PER_A3,
            "energy": a.info["energy"] / len(a),
            "square": float(np.square(a.calc.results["forces"]).mean()),
            "largest": float(np.linalg.norm(a.calc.results["forces"], axis=1).max()),
            "pressure": pressure(a),
            "correction": -np.trace(a.info["stress_correction"]) / 3 / GPa,
        }
        for a in frames
    ]
    groups = pd.DataFrame(rows).groupby(["composition", "temperature_K"])
    return pd.DataFrame(
        {
            "frames": groups.size(),
            "atoms": groups["atoms"].sum(),
            "parents": groups["parent"].nunique(),
            "density_min": groups["density"].min(),
            "density_max": groups["density"].max(),
            "energy_per_atom": groups["energy"].mean(),
            "force_rms": groups["square"].mean() ** 0.5,
            "force_max": groups["largest"].max(),
            "pressure": groups["pressure"].mean(),
            "correction": groups["correction"].mean(),
        }
    )
