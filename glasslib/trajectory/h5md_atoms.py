"""What an H5MD file says of its atoms."""

import h5py
import numpy as np
from ase.data import atomic_masses, chemical_symbols

from ..errors import GlasslibError
from .h5md_parts import dataset_of, part_of

BLOCK_VALUES = 1_000_000  # of one value for each atom, read at a time


class Sorted:
    """A dataset [frames, atoms, …] whose atoms are stored in another order in each frame, read in the order of their ids."""

    def __init__(self, dataset, ids):
        self.dataset, self.ids = dataset, ids
        self.shape, self.dtype = dataset.shape, dataset.dtype

    def __getitem__(self, part):
        values, order = self.dataset[part], np.argsort(self.ids[part], axis=1)
        return np.take_along_axis(values, order.reshape(order.shape + (1,) * (values.ndim - 2)), axis=1)


def changing_ids(file, name, shape, path):
    """Dataset of ids [frames, atoms] where the order of the atoms changes from frame to frame, else None.

    Raises
    ------
    GlasslibError
        Where atoms come and go, or two have one id.
    """
    if part_of(file, f"{name}/id/value", path) is None:
        return None
    ids = dataset_of(file, f"{name}/id/value", path)
    if ids.ndim != 2 or 0 in ids.shape or ids.shape[1] != shape[1] or ids.dtype.kind not in "iu":
        raise GlasslibError(f"{path}: {ids.name} must be integers {list(shape)}, not {ids.dtype} {list(ids.shape)}")
    if all((ids[part] == ids[0]).all() for part in blocks(ids.shape)):
        return None
    known = np.sort(ids[0])
    if ids.shape != shape or (np.diff(known) == 0).any():
        raise GlasslibError(f"{path}: {ids.name} does not tell the atoms of each frame apart: write one id for each")
    if any((np.sort(ids[part], axis=1) != known).any() for part in blocks(shape)):
        raise GlasslibError(f"{path}: {ids.name} changes between frames: write the same atoms in all of them")
    return ids


def blocks(shape):
    """Slices of the frames of a dataset [frames, atoms] that take some ten MB each."""
    size = max(1, BLOCK_VALUES // shape[1])
    return [slice(k, min(k + size, shape[0])) for k in range(0, shape[0], size)]


def values_of(file, name, shape, ids, path):
    """One value for each atom, stored once or frame by frame, and the type of its dataset; None where there is none.

    Parameters
    ----------
    shape : (frames, atoms)
    ids : dataset [frames, atoms] or None
        Of `changing_ids`: the values are then in the order of the ids.

    Raises
    ------
    GlasslibError
        Where an atom has one value in one frame and another in the next.
    """
    stored = part_of(file, name, path)
    if stored is None:
        return None, None
    dataset = dataset_of(file, f"{name}/value" if isinstance(stored, h5py.Group) else name, path)
    frames, atoms = shape
    if dataset.shape not in ((atoms,), (1, atoms), shape):
        raise GlasslibError(f"{path}: {dataset.name} must have {atoms} values, not the shape {list(dataset.shape)}")
    once = dataset[()].reshape(-1) if dataset.size == atoms else None
    if once is not None and ids is None:
        return once, dataset.dtype
    first = None
    for part in blocks(shape):
        rows = np.broadcast_to(once, (part.stop - part.start, atoms)) if once is not None else dataset[part]
        if ids is not None:
            rows = np.take_along_axis(rows, np.argsort(ids[part], axis=1), axis=1)
        first = rows[0] if first is None else first
        if (rows != first).any():
            raise GlasslibError(f"{path}: {dataset.name} changes between frames: every atom must keep its value")
    return first, dataset.dtype


def species_of(file, name, shape, ids, path, given, masses):
    """Symbols of the atoms: those that the file names, or `given` ones, for each type or, where it has no species, for each atom."""
    values, kind = values_of(file, f"{name}/species", shape, ids, path)
    if values is None:
        if given is None or len(given) != shape[1]:
            raise GlasslibError(
                f"{path}: {name}/species is missing: pass species, the symbols of all {shape[1]} atoms (--species)"
            )
        return given
    names = h5py.check_enum_dtype(kind)
    if given is not None and (names or values.dtype.kind not in "iu"):
        raise GlasslibError(f"{path} names its species: leave out species")
    if given is not None:
        if not 0 < values.min() <= values.max() <= len(given):
            raise GlasslibError(
                f"{path}: atom types {values.min()} to {values.max()} but {len(given)} species: one for each type"
            )
        return [given[int(v) - 1] for v in values]
    if names:
        symbols = {number: symbol for symbol, number in names.items()}
        return [symbols.get(int(v), "?") for v in values]
    if values.dtype.kind in "iu":  # identifiers, says the standard: atomic numbers or types
        _check_numbers(values, masses, path)
        return [chemical_symbols[int(v)] if 0 < v < len(chemical_symbols) else "?" for v in values]
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _check_numbers(values, masses, path):
    """Refuse species that are numbered in another way than by atomic number."""
    if masses is not None:
        near = np.abs(atomic_masses[np.clip(values, 0, len(atomic_masses) - 1)] - masses) < 0.5
        wrong = not near.all()
    else:
        wrong = np.array_equal(np.unique(values), np.arange(1, len(np.unique(values)) + 1))
    if wrong:
        raise GlasslibError(
            f"{path} numbers its species by type, not by atomic number: pass species, the symbols of types 1, 2, … (--species)"
        )
