"""H5MD files: de Buyl, Colberg & Höfling, Comput. Phys. Commun. 185, 1546 (2014), version 1.1 (https://www.nongnu.org/h5md).

    h5md/                                version, author, creator, modules (units)
    particles/trajectory/                the name that MDAnalysis expects
        box/                             dimension, boundary; edges/value [frames, 3, 3] Å
        position/value                   [frames, atoms, 3] Å, unwrapped; /step, /time (ps)
        species                          [atoms], enumerated: symbol = atomic number
        mass                             [atoms] u
    parameters/glasslib                  attributes: what is known of the run (JSON), log/: its observables at their own times

Positions are chunked by some frames and carry a checksum (Fletcher 32), so that a flipped bit is an error and not a result.
"""

import json
import re
from pathlib import Path

import h5py
import numpy as np
from ase.data import atomic_numbers

from ..errors import GlasslibError
from ..files import atomic, explain
from .trajectory import check_finite, checked_cell, checked_species, checked_step, checked_time

CHUNK_BYTES = 128_000  # a few frames: small enough to read one, large enough to read all
GROUP = "particles/trajectory"


class Writer:
    """Write an H5MD file block by block; it appears under its name when the `with` block ends without an error.

    Parameters
    ----------
    path : path
    species : sequence of str [atoms]
    masses, attrs, log : as of Trajectory
    dtype : "float32" or "float64"
        Of the positions, see Trajectory.save.

    Examples
    --------
    >>> with Writer("run.h5", species, attrs={"temperature": 3000.0}) as writer:
    ...     writer.append(positions, cell, time, step)
    """

    def __init__(self, path, species, *, masses=None, attrs=None, log=None, dtype="float32"):
        self.path = Path(path)
        self.species = checked_species(species, len(species))
        self.masses, self.attrs, self.log, self.dtype = masses, dict(attrs or {}), dict(log or {}), np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise GlasslibError(f"dtype must be float32 or float64, not {dtype!r}")
        self.last = None, None

    def __enter__(self):
        self._whole = atomic(self.path)
        temporary = self._whole.__enter__()
        try:
            self._file = h5py.File(temporary, "w", libver=("v108", "v110"))  # attributes may then exceed 64 kB
            self._prepare()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                if self._position.shape[0] == 0:
                    raise GlasslibError(f"{self.path}: a trajectory needs at least one frame")
                self._write_attributes()
            if getattr(self, "_file", None):
                self._file.close()
        except BaseException as closing:
            kind, error, trace = type(closing), closing, closing.__traceback__
        if not self._whole.__exit__(kind, error, trace) and kind is not None:
            if isinstance(error, (OSError, RuntimeError)):
                number = re.search(r"errno = (\d+)", str(error))  # HDF5 says it in words only
                number = getattr(error, "errno", None) or (int(number[1]) if number else None)
                raise explain(OSError(number, str(error)), self.path) from error
            raise error

    def append(self, positions, cell, time, step=None):
        """Append frames.

        Parameters
        ----------
        positions : array [frames, atoms, 3] or [atoms, 3]
            Å, unwrapped.
        cell : array [3, 3] or [frames, 3, 3]
            Å.
        time : array [frames] or float
            ps, later than what is there.
        step : int array [frames] or int, optional
            Default: the frame's number.
        """
        positions = np.asarray(positions)
        positions = positions[None] if positions.ndim == 2 else positions
        frames, have = len(positions), self._position.shape[0]
        if positions.shape[1:] != (len(self.species), 3):
            raise GlasslibError(
                f"{self.path}: positions of {len(self.species)} atoms expected, not {list(positions.shape)}"
            )
        check_finite(positions, str(self.path))
        time = checked_time(np.atleast_1d(time), frames)
        step = np.arange(have, have + frames) if step is None else checked_step(np.atleast_1d(step), frames)
        cell = np.broadcast_to(checked_cell(cell, frames), (frames, 3, 3))
        if have and (time[0] <= self.last[0] or step[0] <= self.last[1]):
            raise GlasslibError(f"{self.path}: frames must be appended in the order of time")
        self.last = time[-1], step[-1]
        for dataset, values in zip(
            (self._position, self._edges, self._time, self._step), (positions, cell, time, step), strict=True
        ):
            dataset.resize(have + frames, axis=0)
            dataset[have:] = values

    def _prepare(self):
        from .. import __version__

        atoms = len(self.species)
        head = self._file.create_group("h5md")
        head.attrs["version"] = np.array([1, 1], dtype=np.int32)
        author = head.create_group("author")
        author.attrs["name"] = np.bytes_("user of glasslib")  # required; a login name would not be ours to publish
        creator = head.create_group("creator")
        creator.attrs["name"], creator.attrs["version"] = np.bytes_("glasslib"), np.bytes_(__version__)
        module = head.create_group("modules").create_group("units")
        module.attrs["version"] = np.array([1, 0], dtype=np.int32)
        group = self._file.create_group(GROUP)
        box = group.create_group("box")
        box.attrs["dimension"] = np.int32(3)
        box.attrs["boundary"] = np.array([b"periodic"] * 3)
        frames = max(1, CHUNK_BYTES // (atoms * 3 * self.dtype.itemsize))
        position = group.create_group("position")
        self._position = _growing(position, "value", (atoms, 3), self.dtype, frames, fletcher32=True)
        self._step = _growing(position, "step", (), np.int64, 1024)
        self._time = _growing(position, "time", (), np.float64, 1024)
        edges = box.create_group("edges")
        self._edges = _growing(edges, "value", (3, 3), np.float64, 256)
        edges["step"], edges["time"] = position["step"], position["time"]
        for dataset, unit in ((self._position, "Angstrom"), (self._edges, "Angstrom"), (self._time, "ps")):
            dataset.attrs["unit"] = unit
        numbers = np.array([atomic_numbers[s] for s in self.species.tolist()], dtype=np.int32)
        kinds = h5py.enum_dtype({s: atomic_numbers[s] for s in np.unique(self.species).tolist()}, basetype=np.int32)
        group.create_dataset("species", data=numbers, dtype=kinds)
        if self.masses is not None:
            group.create_dataset("mass", data=np.asarray(self.masses, float)).attrs["unit"] = "u"

    def _write_attributes(self):
        group = self._file.create_group("parameters/glasslib")
        try:
            group.attrs["attributes"] = json.dumps(plain(self.attrs), sort_keys=True)
        except GlasslibError as error:
            raise GlasslibError(f"{self.path}: {error}") from None
        log = group.create_group("log")
        for name, values in self.log.items():
            log.create_dataset(name, data=np.asarray(values))


def plain(attrs):
    """Attributes as JSON keeps them; GlasslibError where one cannot be kept."""
    try:
        return json.loads(
            json.dumps(dict(attrs), default=lambda value: value.tolist())
        )  # NumPy's numbers and arrays have tolist
    except (TypeError, ValueError, AttributeError):
        raise GlasslibError("attrs must be numbers, texts, and lists or mappings of them") from None


def _growing(group, name, shape, dtype, chunk, **options):
    return group.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        dtype=dtype,
        chunks=(chunk, *shape),
        track_times=False,
        **options,
    )
