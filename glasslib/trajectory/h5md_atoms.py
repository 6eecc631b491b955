"""What an H5MD file says of its atoms."""

import h5py
import numpy as np
from ase.data import atomic_masses, chemical_symbols

from ..errors import GlasslibError
from .h5md_parts import dataset_of


def species_of(file, name, atoms, path, given, masses):
    dataset = dataset_of(file, f"{name}/species", path)
    if dataset.shape not in ((atoms,), (1, atoms)):
        raise GlasslibError(f"{path}: {dataset.name} must have {atoms} values")
    values = dataset[()].reshape(-1)
    names = h5py.check_enum_dtype(dataset.dtype)
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
    if dataset.dtype.kind in "iu":  # identifiers, says the standard: atomic numbers or types
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
