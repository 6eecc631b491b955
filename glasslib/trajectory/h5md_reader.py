"""Reading H5MD files, of this library (see `h5md.py`) or another."""

import json
from pathlib import Path

import h5py
import numpy as np

from ..errors import GlasslibError
from ..files import regular
from .h5md_atoms import Sorted, changing_ids, species_of, values_of
from .h5md_parts import LENGTH, TIME, dataset_of, part_of, spaced, text_of, unit_of
from .trajectory import Trajectory, check_finite, checked_cell, checked_step
from .wrapping import image_flags

MOST_ATOMS, MOST_FRAMES = 20_000_000, 50_000_000


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
        dots = [n for n, part in enumerate(key) if part is Ellipsis]
        if len(key) - len(dots) > 3 or len(dots) > 1 or any(part is None for part in key):
            raise GlasslibError("positions have three indices: frames, atoms, coordinates")
        if dots:
            key = (*key[: dots[0]], *[slice(None)] * (4 - len(key)), *key[dots[0] + 1 :])
        frames = self._frames[key[0]]
        if np.ndim(frames) > 1:
            raise GlasslibError("frames are chosen by a number, a slice or a list of numbers")
        positions = self.read_frames(np.atleast_1d(frames))
        if np.ndim(frames) == 0:
            first = 0
        else:  # a list goes together with lists of atoms or coordinates, as NumPy has it
            first = slice(None) if isinstance(key[0], slice) else np.arange(len(frames))
        return positions[(first, *key[1:])]

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


def read_h5md(path, species=None, interval=None, wrapped=None, clock=None):
    """Open an H5MD file of this library or another (positions with `image` flags, fixed time steps, nm and fs are understood).

    A file of another program without `image` flags is read through once: where atoms jump by more than half a cell vector between two
    frames, positions are wrapped and are unwrapped by the minimum image. Files of glasslib are unwrapped; their frames may lie far apart.
    Atoms that are stored in another order in each frame are put in the order of their ids. `species` are the symbols of atom types 1, 2, …
    where the file numbers its species, or of all atoms where it has none; `interval` the ps between frames where it gives no time,
    `wrapped` as of `read`. Where the file gives no units, `clock` is that of its times in ps and lengths are in Å.
    """
    regular(path)
    path = Path(path)
    try:
        file = h5py.File(path, "r")
    except OSError:
        with open(path, "rb") as stream:
            if not stream.read(8).startswith(b"\x89HDF"):
                raise GlasslibError(
                    f"{path} is no HDF5 file: open other formats with glasslib.trajectory.read"
                ) from None
        raise GlasslibError(f"{path} is not a complete HDF5 file: restore it or run it again") from None
    try:
        return _read(file, path, species, interval, wrapped, clock)
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


def _read(file, path, symbols, interval, wrapped, clock):
    name = _group_name(file, path)
    position = dataset_of(file, f"{name}/position/value", path)
    if position.ndim != 3 or position.shape[2] != 3 or 0 in position.shape or position.dtype.kind != "f":
        raise GlasslibError(
            f"{path}: {position.name} must be real numbers [frames, atoms, 3], not {list(position.shape)}"
        )
    frames, atoms, _ = position.shape
    if atoms > MOST_ATOMS or frames > MOST_FRAMES:
        raise GlasslibError(f"{path}: {frames} frames of {atoms} atoms are more than a trajectory may have")
    step = spaced(file, f"{name}/position/step", frames, path)
    time = spaced(file, f"{name}/position/time", frames, path)
    if time is None and interval is None:
        raise GlasslibError(f"{path}: {name}/position/time is missing: pass interval, the ps between frames")
    if time is not None and interval is not None:
        raise GlasslibError(f"{path} says its own times: leave out interval")
    if time is None:
        time = np.arange(frames) * float(interval)
    else:
        time = time * unit_of(dataset_of(file, f"{name}/position/time", path), TIME, path, clock)
    length = None if clock is None else 1.0
    cell = _cells(file, name, frames, path, length)
    ids = changing_ids(file, name, (frames, atoms), path)
    image = None
    if part_of(file, f"{name}/image/value", path) is not None:
        image = dataset_of(file, f"{name}/image/value", path)
        if image.shape != position.shape:
            raise GlasslibError(f"{path}: {image.name} has another shape than the positions")
    masses, _ = values_of(file, f"{name}/mass", (frames, atoms), ids, path)
    species = species_of(file, name, (frames, atoms), ids, path, symbols, masses)
    scale = unit_of(position, LENGTH, path, length)
    if ids is not None:
        position, image = Sorted(position, ids), None if image is None else Sorted(image, ids)
    try:
        cell = checked_cell(cell, frames)
        step = None if step is None else checked_step(step.astype(np.int64), frames)
        part = Lazy(position, scale, str(path), image=image, cells=cell)
        trajectory = Trajectory(
            part, species, cell, time, step=step, masses=masses, attrs=_attributes(file, path), log=_log(file, path)
        )  # fmt: skip
        unwrapped = image is not None or _ours(file, path)
        if unwrapped and wrapped:
            raise GlasslibError(f"{path} says itself how its positions are unwrapped: leave out wrapped")
        if not unwrapped:
            image = image_flags(trajectory, _periodic(file, name, path), wrapped)
            if image is not None:
                trajectory.positions = Lazy(position, scale, str(path), image=image, cells=cell)
    except GlasslibError as error:
        raise error if str(path) in str(error) else GlasslibError(f"{path}: {error}") from None
    trajectory.path = path
    return trajectory


def _group_name(file, path):
    particles = part_of(file, "particles", path)
    names = (
        [
            n
            for n in particles
            if isinstance(part := part_of(file, f"particles/{n}", path), h5py.Group) and "position" in part
        ]
        if isinstance(particles, h5py.Group)
        else []
    )
    if not names:
        raise GlasslibError(f"{path} holds no particles with positions: is it an H5MD trajectory?")
    return f"particles/{'trajectory' if 'trajectory' in names else names[0]}"


def _cells(file, name, frames, path, length):
    edges = part_of(file, f"{name}/box/edges", path)
    fixed = isinstance(edges, h5py.Dataset)
    dataset = dataset_of(file, f"{name}/box/edges" if fixed else f"{name}/box/edges/value", path)
    leading = () if fixed else (frames,)
    if dataset.shape not in ((*leading, 3), (*leading, 3, 3)):
        raise GlasslibError(f"{path}: {dataset.name} must have the shape {[*leading, 3, 3]}, not {list(dataset.shape)}")
    unit = dataset if "unit" in dataset.attrs else dataset_of(file, f"{name}/position/value", path)
    values = dataset[()] * unit_of(unit, LENGTH, path, length)
    return values[..., None] * np.eye(3) if dataset.ndim == len(leading) + 1 else values


def _ours(file, path):
    """Whether glasslib wrote the file."""
    creator = part_of(file, "h5md/creator", path)
    return creator is not None and text_of(creator.attrs.get("name")) == "glasslib"


def _periodic(file, name, path):
    """Directions in which the cell is periodic: all of which the file does not say "none"."""
    words = [text_of(word) for word in np.ravel(part_of(file, f"{name}/box", path).attrs.get("boundary", "periodic"))]
    return np.array([word != "none" for word in (words * 3 if len(words) == 1 else words)])


def _attributes(file, path):
    group = part_of(file, "parameters/glasslib", path)
    if group is None:
        return {}
    attributes = json.loads(group.attrs.get("attributes", "{}"))
    if not isinstance(attributes, dict):
        raise GlasslibError(f"{path}: attributes of the run must be a mapping")
    return attributes


def _log(file, path):
    group = part_of(file, "parameters/glasslib/log", path)
    return (
        {} if group is None else {name: dataset_of(file, f"parameters/glasslib/log/{name}", path)[()] for name in group}
    )
