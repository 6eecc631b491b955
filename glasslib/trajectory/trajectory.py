"""The trajectory that every observable takes."""

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from ..errors import GlasslibError, shown

BLOCK_BYTES = 64_000_000  # of float64 positions that `blocks` holds at a time


class Trajectory:
    """Unwrapped positions of a fixed set of atoms against time.

    Parameters
    ----------
    positions : array or lazy array [frames, atoms, 3]
        Å, unwrapped: an atom that leaves the cell is not folded back.
    species : sequence of str [atoms]
        Chemical symbols.
    cell : array [3, 3] or [frames, 3, 3]
        Rows are the cell vectors, Å. Frames that all have one cell may be given as [3, 3].
    time : array [frames]
        ps, strictly increasing, any spacing.
    step : int array [frames], optional
        Integration step of each frame. Differences of integers make exact lag times.
    masses : array [atoms], optional
        u; default: standard atomic masses.
    attrs : dict, optional
        What is known of the run: temperature (K), composition, ensemble ("NVE", "NVT", "NPT"), potential, timestep (fs), …
    log : dict of arrays, optional
        Observables of the run at their own times: "time" (ps), "temperature" (K), "potential_energy" (eV), …

    Raises
    ------
    GlasslibError
        Naming the argument whose shape, order or values are wrong.

    Notes
    -----
    `positions` of an opened file stays on disk; indexing it (`positions[5]`, `positions[10:20]`, `positions[[3, 9]]`) reads
    and checks just these frames. `trajectory[a:b]`, `trajectory[indices]` and `select` are views that copy nothing from disk.
    """

    def __init__(self, positions, species, cell, time, *, step=None, masses=None, attrs=None, log=None):
        lazy = hasattr(positions, "read_frames")
        positions = positions if lazy else _array("positions", positions)
        if positions.ndim != 3 or positions.shape[2] != 3 or 0 in positions.shape:
            raise GlasslibError(f"positions must have the shape [frames, atoms, 3], not {list(positions.shape)}")
        if not lazy:
            if positions.dtype.kind not in "fiu":
                raise GlasslibError(f"positions must be real numbers, not {positions.dtype}")
            if positions.dtype.kind != "f" or positions.dtype.itemsize < 4:
                positions = positions.astype(np.float64)
            check_finite(positions)
        frames, atoms, _ = positions.shape
        self.positions = positions
        self.species = checked_species(species, atoms)
        self.time = checked_time(time, frames)
        self.cell = checked_cell(cell, frames)
        self.step = None if step is None else checked_step(step, frames)
        self._masses = None if masses is None else _array("masses", masses, float)
        if masses is not None and (self._masses.shape != (atoms,) or not (self._masses > 0).all()):
            raise GlasslibError(f"masses must be {atoms} positive numbers, one for each atom")
        self.attrs, self.log = dict(_mapping("attrs", attrs)), checked_log(log)
        self.path = self._whole = None

    @classmethod
    def open(cls, path):
        """Open an H5MD file; positions stay on disk until they are indexed.

        Raises
        ------
        GlasslibError
            Where the file is missing, truncated, corrupt, or not H5MD with positions, species, cell and units.
        """
        from .h5md_reader import read_h5md

        return read_h5md(path)

    @classmethod
    def from_ase(cls, images, time=None, **options):
        """Trajectory of a list of ase.Atoms.

        Parameters
        ----------
        images : list of ase.Atoms
            The same atoms in the same order. Wrapped positions are unwrapped by the minimum image; a step beyond a third of the
            cell is then an error, since it could not be told from a jump across the boundary.
        time : array [frames], optional
            ps; default: `info["time"]` (ps) of the images, or 1 ps a frame where there is one frame only.
        options
            As of Trajectory; and `wrapped`, whether positions are wrapped (default: whether all atoms lie inside the cell, or one jumps
            by more than half a cell vector between two frames; an error where one jumps and those of a frame reach over more than a
            cell). False keeps positions as they are.
        """
        from .foreign import from_images

        return from_images(cls, images, time, **options)

    def save(self, path, dtype=None):
        """Write H5MD in one atomic step and return the path.

        Parameters
        ----------
        dtype : "float32" or "float64", optional
            Default: float32 where all coordinates are below 1024 Å, else float64. float32 rounds a coordinate below 1024 Å by at most
            3e-5 Å, below 128 Å by 4e-6 Å; a thermal displacement of one step is 1e-2 Å.
        """
        from .h5md import Writer

        if dtype not in (None, "float32", "float64"):
            raise GlasslibError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
        if dtype is None:
            wide = any(np.abs(block).max() >= 1024 for _, block in self.blocks())
            dtype = "float64" if wide else "float32"
        with Writer(path, self.species, masses=self._masses, attrs=self.attrs, log=self.log, dtype=dtype) as writer:
            for frames, block in self.blocks():
                step = None if self.step is None else self.step[frames]
                writer.append(block, self.cells[frames], self.time[frames], step)
        return writer.path

    def load(self):
        """The same trajectory with its positions in memory."""
        if isinstance(self.positions, np.ndarray):
            return self
        return self._with(np.asarray(self.positions), self.species, np.arange(len(self)))

    def __len__(self):
        return self.positions.shape[0]

    def __repr__(self):
        counts = {s: int((self.species == s).sum()) for s in sorted(set(self.species.tolist()))}
        formula = "".join(f"{s}{n}" for s, n in counts.items())
        return f"Trajectory({len(self)} frames, {formula}, {self.time[0]:g} to {self.time[-1]:g} ps)"

    def __getitem__(self, frames):
        """View of some frames: a slice, an increasing sequence of indices, or a mask."""
        try:
            index = np.arange(len(self))[frames]
        except (IndexError, TypeError, ValueError) as error:
            raise GlasslibError(f"no such frames in a trajectory of {len(self)}: {error}") from None
        if np.ndim(index) != 1 or index.size == 0 or (np.diff(index) <= 0).any():
            raise GlasslibError(
                "choose frames by a slice or a list of increasing indices that leaves at least one frame"
            )
        positions = (
            self.positions.take(frames=index) if hasattr(self.positions, "take_atoms") else self.positions[frames]
        )
        return self._with(positions, self.species, index)

    def select(self, species):
        """View of the atoms of one species or several.

        Parameters
        ----------
        species : str or list of str

        Raises
        ------
        GlasslibError
            Where the trajectory has none of that species.
        """
        index = self.indices(species)
        lazy = hasattr(self.positions, "take_atoms")
        positions = self.positions.take_atoms(index) if lazy else self.positions[:, index]
        return self._with(positions, self.species[index], np.arange(len(self)), atoms=index)

    def indices(self, species):
        """Indices of the atoms of one species or several."""
        wanted = [species] if isinstance(species, str) or not np.iterable(species) else list(species)
        missing = [s for s in wanted if s not in self.species]
        if missing or not wanted:
            known = ", ".join(sorted(set(self.species.tolist())))
            raise GlasslibError(
                f"no atoms of species {', '.join(map(str, missing))!r} in this trajectory: it has {known}"
            )
        return np.flatnonzero(np.isin(self.species, wanted))

    def blocks(self, frames=None):
        """Iterate over the trajectory in time.

        Parameters
        ----------
        frames : int, optional
            Frames of one block; default: as many as 64 MB hold.

        Yields
        ------
        (slice, float64 array [frames of the block, atoms, 3])
        """
        if frames is None:
            frames = max(1, BLOCK_BYTES // (self.n_atoms * 24))
        for start in range(0, len(self), frames):
            part = slice(start, min(start + frames, len(self)))
            yield part, np.asarray(self.positions[part], dtype=np.float64)

    @property
    def n_frames(self):
        """Number of frames."""
        return self.positions.shape[0]

    @property
    def n_atoms(self):
        """Number of atoms."""
        return self.positions.shape[1]

    @property
    def masses(self):
        """Masses [atoms], u."""
        if self._masses is None:
            self._masses = atomic_masses[[atomic_numbers[s] for s in self.species.tolist()]]
        return self._masses

    @property
    def constant_cell(self):
        """Whether all frames have one cell."""
        return self.cell.ndim == 2

    @property
    def cells(self):
        """Cell of every frame [frames, 3, 3], Å."""
        return np.broadcast_to(self.cell, (len(self), 3, 3))

    @property
    def volume(self):
        """Volume, Å³: a number for a constant cell, else [frames]."""
        volume = np.abs(np.linalg.det(self.cell))
        return float(volume) if self.constant_cell else volume

    @property
    def ensemble(self):
        """ "NVE", "NVT", "NPT"; where the run did not say, "NPT" if the cell changes and "unknown" otherwise."""
        return str(self.attrs.get("ensemble", "unknown" if self.constant_cell else "NPT")).upper()

    @property
    def timestep(self):
        """Integration step in fs, or None where unknown."""
        return self.attrs.get("timestep")

    def atoms(self, frame=-1, wrap=True):
        """One frame as ase.Atoms, positions folded into the cell unless `wrap` is false."""
        from ase import Atoms

        frame = range(len(self))[frame]
        atoms = Atoms(self.species.tolist(), np.asarray(self.positions[frame], float), cell=self.cells[frame], pbc=True)
        atoms.info["time"] = float(self.time[frame])
        if wrap:
            atoms.wrap()
        return atoms

    @property
    def whole(self):
        """The trajectory with all atoms, of which this may be a view of some: its log and its centre of mass are those of the whole."""
        return self._whole or self

    def _with(self, positions, species, frames, atoms=None):
        part = object.__new__(type(self))
        part.positions, part.species, part.time = positions, species, self.time[frames]
        part.cell = self.cell if self.constant_cell else collapsed(self.cell[frames])
        part.step = None if self.step is None else self.step[frames]
        part._masses = self._masses if self._masses is None or atoms is None else self._masses[atoms]
        part.attrs, part.log, part.path, part._whole = dict(self.attrs), dict(self.log), self.path, None
        if atoms is not None or self._whole is not None:
            part._whole = self.whole if len(frames) == len(self) else self.whole[frames]
        if atoms is not None or len(frames) < len(self):  # no longer the run that it was, nor with its last state
            part.attrs = {k: v for k, v in part.attrs.items() if k not in ("run", "probe")}
            part.log = {k: v for k, v in part.log.items() if not str(k).startswith("final_")}
        return part


def check_finite(positions, where="positions"):
    """Raise GlasslibError naming the first frame and atom that is not a finite number."""
    if not np.isfinite(positions).all():
        frame, atom = np.argwhere(~np.isfinite(positions))[0][:2]
        raise GlasslibError(
            f"{where}: frame {frame}, atom {atom} is not a finite number: leave out that frame or run it again"
        )


def checked_species(species, atoms):
    """Symbols as an array of str [atoms]."""
    try:
        species = np.asarray(list(species), dtype=str)
    except (TypeError, ValueError):
        raise GlasslibError(f"species must be the symbols of {atoms} atoms, not {shown(species)}") from None
    if species.shape != (atoms,):
        raise GlasslibError(f"species must name {atoms} atoms, not {species.size}")
    for symbol in np.unique(species).tolist():
        if atomic_numbers.get(symbol, 0) < 1:
            raise GlasslibError(f"species {symbol!r} is no chemical symbol")
    return species


def checked_time(time, frames):
    """Times as float64 [frames], strictly increasing."""
    time = _array("time", time, np.float64)
    if time.shape != (frames,):
        raise GlasslibError(f"time must have {frames} values, one for each frame, not shape {list(time.shape)}")
    if not np.isfinite(time).all() or not (np.diff(time) > 0).all():
        raise GlasslibError("time must be finite and strictly increasing: sort the frames and drop repeated ones")
    return time


def checked_step(step, frames):
    """Integration steps as int64 [frames], strictly increasing."""
    step = np.asarray(step)
    if step.shape != (frames,) or step.dtype.kind not in "iu" or not (np.diff(step.astype(np.int64)) > 0).all():
        raise GlasslibError(f"step must be {frames} strictly increasing integers, one for each frame")
    return step.astype(np.int64)


def checked_cell(cell, frames):
    """Cell as float64 [3, 3], or [frames, 3, 3] where it changes."""
    cell = _array("cell", cell, np.float64)
    if cell.shape not in ((3, 3), (frames, 3, 3)):
        raise GlasslibError(f"cell must have the shape [3, 3] or [{frames}, 3, 3], not {list(cell.shape)}")
    if not np.isfinite(cell).all() or not (np.abs(np.linalg.det(cell)) > 1e-6).all():
        raise GlasslibError("cell must be finite with a volume above zero: give the periodic cell in Å")
    return cell if cell.ndim == 2 else collapsed(cell)


def checked_log(log):
    """Observables as arrays [entries, …], all with as many entries; those of the end of a run, named final_…, have shapes of their own."""
    log = {name: _array(f"log: {name}", values) for name, values in _mapping("log", log).items()}
    for name, values in log.items():
        if values.dtype.kind not in "fiub":
            raise GlasslibError(f"log: {name} must be numbers, not {values.dtype}")
    lengths = {name: values.shape[:1] for name, values in log.items() if not str(name).startswith("final_")}
    if len(set(lengths.values())) > 1 or () in lengths.values():
        found = ", ".join(f"{name} has {length[0] if length else 'no'}" for name, length in lengths.items())
        raise GlasslibError(f"log: every observable needs as many entries as there are times, but {found}")
    return log


def _mapping(name, values):
    """A mapping, empty for None."""
    if values is not None and not isinstance(values, Mapping):
        raise GlasslibError(f"{name} must be a mapping of names to values, not {shown(values)}")
    return values or {}


def _array(name, values, dtype=None):
    """Values as an array; GlasslibError that names them where they are ragged, or no numbers where these are wanted."""
    try:
        return np.asarray(values, dtype)
    except (TypeError, ValueError):
        raise GlasslibError(f"{name} must be an array of numbers, not {shown(values)}") from None


def collapsed(cell):
    """[3, 3] where all frames have the same cell, else what was given."""
    return cell[0].copy() if (cell == cell[0]).all() else cell
