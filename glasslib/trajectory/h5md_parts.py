"""Parts of an HDF5 file from outside: found by name, and checked before they are read."""

import h5py
import numpy as np

from ..errors import GlasslibError, shown

RATIO = 1100  # bytes that a dataset may declare for each byte of its file: deflate reaches 1032
MOST_LINKS = 20  # by name, one leading to the next
LENGTH = {"Angstrom": 1.0, "angstrom": 1.0, "A": 1.0, "Å": 1.0, "nm": 10.0, "pm": 0.01}  # in Å
TIME = {"ps": 1.0, "fs": 1e-3, "ns": 1e3, "us": 1e6, "s": 1e12, "second": 1e12}  # in ps


def part_of(file, name, path):
    """Object of that name, None where there is none: a file from outside must not make us read other files."""
    part, pieces, links = file, name.split("/"), 0
    while pieces:
        piece, *pieces = pieces
        link = part.get(piece, getlink=True) if isinstance(part, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise GlasslibError(f"{path}: {name} points to another file: refused")
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > MOST_LINKS:
                raise GlasslibError(f"{path}: {name} is a link that leads nowhere")
            part = file if link.path.startswith("/") else part
            pieces = [p for p in link.path.split("/") if p not in ("", ".")] + pieces
            continue
        part = None if link is None else part.get(piece)
        if part is None:
            return None
    return part


def dataset_of(file, name, path):
    """Dataset of that name; GlasslibError where there is none, or one that declares more than the file can hold."""
    part = part_of(file, name, path)
    if part is None:
        raise GlasslibError(f"{path}: {name} is missing")
    if not isinstance(part, h5py.Dataset):
        raise GlasslibError(f"{path}: {name} must be a dataset")
    if part.external or part.is_virtual:
        raise GlasslibError(f"{path}: {name} points to another file: refused")
    chunk = np.prod(part.chunks or (1,), dtype=float) * part.dtype.itemsize
    if max(float(part.nbytes), chunk) > RATIO * max(path.stat().st_size, 10_000):
        raise GlasslibError(
            f"{path}: {name} declares {part.nbytes} bytes, more than the file can hold: restore it or run it again"
        )
    return part


def spaced(file, name, frames, path):
    """Values of step or time [frames]: as stored, or from a fixed increment (a scalar with an optional attribute `offset`)."""
    if part_of(file, name, path) is None:
        return None
    dataset = dataset_of(file, name, path)
    if dataset.dtype.kind not in "fiu":
        raise GlasslibError(f"{path}: {name} must hold numbers, not {dataset.dtype}")
    if dataset.shape == ():
        return dataset.attrs.get("offset", 0) + dataset[()] * np.arange(frames)
    if dataset.shape != (frames,):
        raise GlasslibError(
            f"{path}: {name} has the shape {list(dataset.shape)} for {frames} frames: restore the file or run it again"
        )
    return dataset[()]


def unit_of(dataset, known, path, default=None):
    """What the unit of a dataset is in ours, `known` by name; `default` where it has none, which one that it has must not contradict."""
    unit = text_of(dataset.attrs.get("unit"))
    if unit is None and default is not None:
        return default
    if not isinstance(unit, str) or unit not in known:
        raise GlasslibError(
            f"{path}: unit {shown(unit)} of {dataset.name} is not among {', '.join(known)}: set its attribute 'unit'"
            + (
                ", or say units ('metal': Å and ps, 'real': Å and fs; --units of glasslib analyse)"
                if unit is None
                else ""
            )
        )
    if default is not None and known[unit] != default:
        raise GlasslibError(f"{path}: {dataset.name} says its unit, {unit}, itself: leave out units")
    return known[unit]


def text_of(value):
    """An attribute as text, whether it was stored as text or bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
