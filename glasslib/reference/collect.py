"""Finished labels into the data set."""

import warnings
from pathlib import Path

import numpy as np

from ..errors import GlasslibError, shown
from ..files import alone, sha256
from ..provenance import RunRecord
from .frames import check, extxyz, one_level, read_plain, write_frames
from .stress import TABLE, correct

SAME = 1e-6  # eV, to which energies of one label agree


def collect(labels="data/labels-work/early", out="data/frames/melts.extxyz", table=TABLE):
    """Correct every finished label and write them, with what `out` already holds, to one file.

    A label that is damaged or fails the checks of `read_frames` is left out with a warning that says why. A frame is known by its parent and
    its number in it (`frame` in `info`, 0 without): collecting twice adds nothing, and a frame collected before stays though its label file is gone.

    Parameters
    ----------
    labels : path
        A file of labels, or the folder of them (one extended-XYZ file each).
    out : path
        Data set to write.
    table : path
        Measured finite-basis derivatives.

    Returns
    -------
    list of ase.Atoms
        The frames of `out`, sorted by parent. A structure that has been labelled again has its new label, and a warning says so.
    """
    labels, out = Path(labels), Path(out)
    if not labels.exists():
        raise GlasslibError(f"no such file: {labels}")
    with alone(out.parent):  # two at once would each write without what the other adds
        files = extxyz(labels)
        record = RunRecord("data set", {"before": sha256(out) if out.exists() else None}, [*files, table])
        frames = {}
        for file in [out] * out.exists() + files:
            for name, atoms in _corrected(file, table, strict=file == out):  # never write over what cannot be read
                before = frames.get(name)
                if before is not None and abs(before.get_potential_energy() - atoms.get_potential_energy()) > SAME:
                    warnings.warn(
                        f"{file}: {name[0]} has another energy than before; the later label counts", stacklevel=2
                    )
                frames[name] = atoms
        if not frames:
            raise GlasslibError(f"{labels} holds no finished label")
        one_level(frames.values(), f"{labels} with {out}" if out.exists() else labels)
        ordered = [frames[key] for key in sorted(frames)]
        write_frames(out, ordered)
        record.save(out)
    return ordered


def _corrected(file, table, strict):
    """Name and corrected frame of each sound label of a file; unless `strict`, the others are left out with a warning."""
    try:
        labelled = read_plain(file)
    except GlasslibError as error:
        if strict:
            raise
        warnings.warn(f"left out: {error}", stacklevel=3)
        return
    for number, atoms in enumerate(labelled):
        where = f"{file}, frame {number}"
        try:
            atoms = correct(atoms, table)
            check(atoms, where)
            of_parent = atoms.info.get("frame", 0)
            if not isinstance(of_parent, (int, np.integer)):
                raise GlasslibError(f"{where}: frame must be a whole number, not {shown(of_parent)}")
        except GlasslibError as error:
            if strict:
                raise
            told = str(error) if str(file) in str(error) else f"{where}: {error}"
            warnings.warn(f"left out: {told}", stacklevel=3)
            continue
        yield (atoms.info["parent"], int(of_parent), atoms.positions.tobytes()[:24]), atoms
