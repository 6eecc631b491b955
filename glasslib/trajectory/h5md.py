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
from pathlib import Path

import h5py
import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ..errors import GlasslibError, shown
from ..files import atomic, explain, regular
from .trajectory import Trajectory, check_finite, checked_cell, checked_species, checked_step, checked_time

CHUNK_BYTES = 128_000  # a few frames: small enough to read one, large enough to read all
MOST_ATOMS, MOST_FRAMES = 20_000_000, 50_000_000
RATIO = 1100  # bytes that a dataset may declare for each byte of its file: deflate reaches 1032
MOST_LINKS = 20  # by name, one leading to the next
LENGTH = {"Angstrom": 1.0, "angstrom": 1.0, "A": 1.0, "Å": 1.0, "nm": 10.0, "pm": 0.01}  # in Å
TIME = {"ps": 1.0, "fs": 1e-3, "ns": 1e3, "us": 1e6, "s": 1e12, "second": 1e12}  # in ps
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
                raise explain(OSError(getattr(error, "errno", None), str(error)), self.path) from error
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


class Lazy:
    """Positions on disk, [frames, atoms, 3] in Å: indexing reads these frames, scales them to Å and checks that they are finite."""

    ndim = 3

    def __init__(self, dataset, scale, path, frames=None, atoms=None, image=None, cells=None):
        self._dataset, self._scale, self._path = dataset, scale, path
        self._frames = np.arange(dataset.shape[0]) if frames is None else frames
        self._atoms, self._image, self._cells = atoms, image, cells
        count = dataset.shape[1] if atoms is None else len(atoms)
        self.shape = (len(self._frames), count, 3)
        self.dtype = np.dtype(np.float64 if image is not None or dataset.dtype.itemsize > 4 else np.float32)

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        frames = self._frames[key[0]]
        positions = self.read_frames(np.atleast_1d(frames))
        positions = positions if np.ndim(frames) else positions[0]
        return positions if len(key) == 1 else positions[(slice(None),) * np.ndim(frames) + key[1:]]

    def take(self, frames):
        """View of some frames."""
        return Lazy(self._dataset, self._scale, self._path, self._frames[frames], self._atoms, self._image, self._cells)

    def take_atoms(self, atoms):
        """View of some atoms."""
        atoms = atoms if self._atoms is None else self._atoms[atoms]
        return Lazy(self._dataset, self._scale, self._path, self._frames, atoms, self._image, self._cells)

    def read_frames(self, frames):
        """Frames of the file by their numbers, in any order."""
        out = np.empty((len(frames), *self.shape[1:]), self.dtype)
        breaks = np.flatnonzero(np.diff(frames) != 1) + 1
        for run in np.split(np.arange(len(frames)), breaks):
            if len(run):
                part = slice(int(frames[run[0]]), int(frames[run[-1]]) + 1)
                out[run[0] : run[-1] + 1] = self._read(part)
        check_finite(out, self._path)
        return out

    def _read(self, part):
        try:
            values = self._dataset[part]
            image = None if self._image is None else self._image[part]
        except (OSError, RuntimeError, ValueError):
            raise GlasslibError(
                f"{self._path}: frames {part.start} to {part.stop - 1} are damaged or the file was closed: restore it or run it again"
            ) from None
        if self._scale != 1.0:
            values = values * self._scale
        if image is not None:
            cells = self._cells if self._cells.ndim == 2 else self._cells[part]
            values = values + np.asarray(image, float) @ cells
        return values if self._atoms is None else values[:, self._atoms]


def read_h5md(path):
    """Open an H5MD file of this library or another (positions with `image` flags, fixed time steps, nm and fs are understood)."""
    path = Path(path)
    regular(path)
    try:
        file = h5py.File(path, "r")
    except OSError:
        raise GlasslibError(f"{path} is not a complete HDF5 file: restore it or run it again") from None
    try:
        return _read(file, path)
    except GlasslibError:
        file.close()
        raise
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        file.close()
        raise GlasslibError(
            f"{path} is damaged or no H5MD file ({' '.join(str(error).split())[:120]}): restore it or run it again"
        ) from None


def _read(file, path):
    name = _group_name(file, path)
    position = _dataset(file, f"{name}/position/value", path)
    if position.ndim != 3 or position.shape[2] != 3 or 0 in position.shape or position.dtype.kind != "f":
        raise GlasslibError(
            f"{path}: {position.name} must be real numbers [frames, atoms, 3], not {list(position.shape)}"
        )
    frames, atoms, _ = position.shape
    if atoms > MOST_ATOMS or frames > MOST_FRAMES:
        raise GlasslibError(f"{path}: {frames} frames of {atoms} atoms are more than a trajectory may have")
    step = _regular(file, f"{name}/position/step", frames, path)
    time = _regular(file, f"{name}/position/time", frames, path)
    if time is None:
        raise GlasslibError(f"{path}: {name}/position/time is missing")
    time = time * _scale(_dataset(file, f"{name}/position/time", path), TIME, path)
    cell = _cells(file, name, frames, path)
    image = None if _part(file, f"{name}/image/value", path) is None else _dataset(file, f"{name}/image/value", path)
    if image is not None and image.shape != position.shape:
        raise GlasslibError(f"{path}: {image.name} has another shape than the positions")
    masses = None if _part(file, f"{name}/mass", path) is None else _dataset(file, f"{name}/mass", path)
    if masses is not None and masses.shape != (atoms,):
        raise GlasslibError(f"{path}: {masses.name} must have {atoms} values, not the shape {list(masses.shape)}")
    masses = None if masses is None else masses[()]
    scale = _scale(position, LENGTH, path)
    try:
        cell = checked_cell(cell, frames)
        step = None if step is None else checked_step(step.astype(np.int64), frames)
        part = Lazy(position, scale, str(path), image=image, cells=cell)
        trajectory = Trajectory(
            part, _species(file, name, atoms, path), cell, time, step=step, masses=masses, attrs=_attributes(file, path), log=_log(file, path)
        )  # fmt: skip
    except GlasslibError as error:
        raise GlasslibError(f"{path}: {error}") from None
    trajectory.path = path
    return trajectory


def _group_name(file, path):
    particles = _part(file, "particles", path)
    names = (
        [
            n
            for n in particles
            if isinstance(part := _part(file, f"particles/{n}", path), h5py.Group) and "position" in part
        ]
        if isinstance(particles, h5py.Group)
        else []
    )
    if not names:
        raise GlasslibError(f"{path} holds no particles with positions: is it an H5MD trajectory?")
    return f"particles/{'trajectory' if 'trajectory' in names else names[0]}"


def _part(file, name, path):
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


def _dataset(file, name, path):
    part = _part(file, name, path)
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


def _regular(file, name, frames, path):
    """Values of step or time [frames]: as stored, or from a fixed increment (a scalar with an optional attribute `offset`)."""
    if _part(file, name, path) is None:
        return None
    dataset = _dataset(file, name, path)
    if dataset.dtype.kind not in "fiu":
        raise GlasslibError(f"{path}: {name} must hold numbers, not {dataset.dtype}")
    if dataset.shape == ():
        return dataset.attrs.get("offset", 0) + dataset[()] * np.arange(frames)
    if dataset.shape != (frames,):
        raise GlasslibError(
            f"{path}: {name} has the shape {list(dataset.shape)} for {frames} frames: restore the file or run it again"
        )
    return dataset[()]


def _scale(dataset, known, path):
    unit = dataset.attrs.get("unit")
    unit = unit.decode(errors="replace") if isinstance(unit, bytes) else unit
    if not isinstance(unit, str) or unit not in known:
        raise GlasslibError(
            f"{path}: unit {shown(unit)} of {dataset.name} is not among {', '.join(known)}: set its attribute 'unit'"
        )
    return known[unit]


def _cells(file, name, frames, path):
    edges = _part(file, f"{name}/box/edges", path)
    fixed = isinstance(edges, h5py.Dataset)
    dataset = _dataset(file, f"{name}/box/edges" if fixed else f"{name}/box/edges/value", path)
    leading = () if fixed else (frames,)
    if dataset.shape not in ((*leading, 3), (*leading, 3, 3)):
        raise GlasslibError(f"{path}: {dataset.name} must have the shape {[*leading, 3, 3]}, not {list(dataset.shape)}")
    unit = dataset if "unit" in dataset.attrs else _dataset(file, f"{name}/position/value", path)
    values = dataset[()] * _scale(unit, LENGTH, path)
    return values[..., None] * np.eye(3) if dataset.ndim == len(leading) + 1 else values


def _species(file, name, atoms, path):
    dataset = _dataset(file, f"{name}/species", path)
    if dataset.shape not in ((atoms,), (1, atoms)):
        raise GlasslibError(f"{path}: {dataset.name} must have {atoms} values")
    values = dataset[()].reshape(-1)
    names = h5py.check_enum_dtype(dataset.dtype)
    if names:
        symbols = {number: symbol for symbol, number in names.items()}
        return [symbols.get(int(v), "?") for v in values]
    if dataset.dtype.kind in "iu":
        return [chemical_symbols[int(v)] if 0 < v < len(chemical_symbols) else "?" for v in values]
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _attributes(file, path):
    group = _part(file, "parameters/glasslib", path)
    if group is None:
        return {}
    attributes = json.loads(group.attrs.get("attributes", "{}"))
    if not isinstance(attributes, dict):
        raise GlasslibError(f"{path}: attributes of the run must be a mapping")
    return attributes


def _log(file, path):
    group = _part(file, "parameters/glasslib/log", path)
    return (
        {} if group is None else {name: _dataset(file, f"parameters/glasslib/log/{name}", path)[()] for name in group}
    )
