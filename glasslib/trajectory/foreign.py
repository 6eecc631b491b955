"""Trajectories from elsewhere: LAMMPS text dumps, ASE trajectories, extended XYZ."""

from numbers import Real
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, chemical_symbols

from ..errors import GlasslibError
from ..files import checked_xyz, regular
from .h5md_reader import read_h5md
from .trajectory import Trajectory
from .wrapping import are_wrapped, crossings, doubtful, unwrap, wide

POSITION_COLUMNS = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))
LAMMPS_TIME = {"metal": 1.0, "real": 1e-3}  # in ps
SIGNATURES = {b"\x89HDF": "h5md", b"ITEM:": "lammps", b"- of Ulm": "traj"}  # first bytes of a file
ROUNDED = 0.01  # of the time between two frames: so far may it be rounded in a file or on the command line


def read(path, interval=None, timestep=None, species=None, wrapped=None, units=None):
    """Read a trajectory: H5MD (lazily), LAMMPS text dump, ASE .traj, extended XYZ.

    Parameters
    ----------
    path : path
    interval : float, optional
        ps between frames, where the file does not say it (ASE formats without `time` in their info).
    timestep : float, optional
        fs of one integration step, for LAMMPS dumps that give only step numbers.
    species : list of str, optional
        Symbols of the atom types 1, 2, …, for LAMMPS dumps and H5MD files that give types only; of all atoms for H5MD without species.
    wrapped : bool, optional
        Whether positions are wrapped into the cell, where the file does not say it. Default: where all atoms lie inside the cell or jump by
        more than half a cell vector between two frames.
    units : "metal" or "real", optional
        Å with ps, or Å with fs, for H5MD files and LAMMPS dumps with times that do not give theirs (as `dump h5md` of LAMMPS writes them).

    Returns
    -------
    Trajectory
        Unwrapped: by image flags where the file has them, else, where positions are wrapped, by the minimum image. (Files of glasslib and
        xu of LAMMPS are unwrapped.)

    Raises
    ------
    GlasslibError
        In one line, for a file that is missing, truncated, of an unknown format, lacks the above or contradicts it, or whose atoms jump
        though those of one frame reach over more than a cell.
    """
    for name, value in (("interval", interval), ("timestep", timestep)):
        if value is not None and not (isinstance(value, Real) and 0 < value < np.inf):
            raise GlasslibError(f"{name} must be a number above zero, not {value!r}")
    _known_wrapped(wrapped)
    if units is not None and units not in LAMMPS_TIME:
        raise GlasslibError(f"units must be {' or '.join(map(repr, LAMMPS_TIME))}, not {units!r}")
    regular(path)
    path = Path(path)
    form = _format(path)
    _meaningful(path, form, interval, timestep, species, units)
    if form == "h5md":
        return read_h5md(path, _symbols(species), interval, wrapped, None if units is None else LAMMPS_TIME[units])
    try:
        if form == "lammps":
            trajectory = read_lammps(path, timestep, _symbols(species), wrapped, units)
        else:
            trajectory = _read_ase(path, form, interval, wrapped)
    except GlasslibError as error:  # of the checks that do not know where the numbers come from
        raise error if str(path) in str(error) else GlasslibError(f"{path}: {error}") from None
    trajectory.path = path
    return trajectory


def _known_wrapped(wrapped):
    """Refuse a text such as "False", which would count as true."""
    if wrapped is not None and not isinstance(wrapped, (bool, np.bool_)):
        raise GlasslibError(f"wrapped must be True or False, or None where it is not known, not {wrapped!r}")


def _format(path):
    """ "h5md", "lammps", "traj" or "extxyz", by the first bytes of a file and, for the last, its name."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise GlasslibError(f"cannot read {path}: {error.strerror}") from None
    for signature, form in SIGNATURES.items():
        if head.startswith(signature):
            return form
    if head.startswith(b"\x1f\x8b"):
        raise GlasslibError(f"{path} is compressed: unpack it first (gunzip -k {path.name})")
    if path.suffix in (".xyz", ".extxyz"):
        return "extxyz"
    raise GlasslibError(
        f"{path} is neither H5MD, a LAMMPS text dump, an ASE .traj nor an .xyz/.extxyz: convert it to one of them"
    )


def _meaningful(path, form, interval, timestep, species, units):
    """Refuse options that mean nothing for a format."""
    if form == "lammps" and interval is not None:
        raise GlasslibError(f"{path} is a LAMMPS dump, which gives steps: pass timestep (fs) in place of interval")
    if form != "lammps" and timestep is not None:
        raise GlasslibError(f"{path} is no LAMMPS dump: timestep has no meaning for it, leave it out")
    if form not in ("lammps", "h5md") and units is not None:
        raise GlasslibError(f"{path} is of a format with fixed units: leave out units")
    if form not in ("lammps", "h5md") and species is not None:
        raise GlasslibError(f"{path} names its species: leave out species")


def _read_ase(path, form, interval, wrapped):
    """Trajectory of an ASE .traj or an extended XYZ, see read()."""
    if form == "extxyz":
        checked_xyz(path)
    images = _ase_images(path, form)
    try:
        time = None
        if interval is not None:
            time = np.arange(len(images)) * float(interval)
            if all("time" in image.info for image in images):
                time = _agreed(path, _times(images), time, "interval")
        return from_images(Trajectory, images, time, wrapped)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise GlasslibError(f"{path} is damaged ({str(error)[:120]}): restore it or run it again") from None


def _agreed(path, said, given, option):
    """The times that a file says, ps; GlasslibError where those of an option differ by more than rounding."""
    steps, wanted = np.diff(said), np.diff(given)
    wrong = ~np.isclose(steps, wanted, rtol=ROUNDED, atol=0)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise GlasslibError(
            f"{path} says its own times, {steps[k]:g} ps from frame {k} to the next, but {option} makes it {wanted[k]:g} ps: leave out {option}, or take "
            "the times out of the file"
        )
    return said


def _symbols(species):
    """Symbols of atom types as a list, checked."""
    if species is None:
        return None
    symbols = species.split(",") if isinstance(species, str) else list(species)
    symbols = [symbol.strip() if isinstance(symbol, str) else symbol for symbol in symbols]
    strange = [symbol for symbol in symbols if symbol not in chemical_symbols[1:]]
    if strange or not symbols:
        raise GlasslibError(f"species must be chemical symbols, one for each atom type, not {species!r}")
    return symbols


def from_images(cls, images, time=None, wrapped=None, **options):
    """Trajectory of a list of ase.Atoms, see Trajectory.from_ase."""
    _known_wrapped(wrapped)
    images = list(images)
    if not images:
        raise GlasslibError("a trajectory needs at least one frame")
    strange = next((image for image in images if not isinstance(image, Atoms)), None)
    if strange is not None:
        raise GlasslibError(f"frames must be ase.Atoms, not {type(strange).__name__}")
    if any((image.numbers < 1).any() for image in images):
        raise GlasslibError("every atom needs an element: an atomic number is below one")
    species = images[0].get_chemical_symbols()
    for number, image in enumerate(images):
        if image.get_chemical_symbols() != species:
            raise GlasslibError(f"frame {number} has other atoms, or in another order, than frame 0")
    cells = np.array([image.cell.array for image in images])
    if not (np.abs(np.linalg.det(cells)) > 1e-6).all():
        raise GlasslibError("every frame needs a periodic cell: set the cell of the images")
    if time is None:
        known = ["time" in image.info for image in images]
        if not all(known) and len(images) > 1:
            raise GlasslibError(
                "the frames do not say their time: give `time` (ps), or `interval` in read() (--interval of glasslib analyse)"
            )
        time = _times(images)
    positions = np.array([image.positions for image in images])
    fractional = np.linalg.solve(cells.transpose(0, 2, 1), positions.transpose(0, 2, 1)).transpose(0, 2, 1)
    periodic = images[0].pbc if images[0].pbc.any() else True  # a cell without directions is a periodic one
    if are_wrapped(fractional, periodic) if wrapped is None else wrapped:
        positions = unwrap(fractional, periodic) @ cells
    if images[0].has("masses"):
        options.setdefault("masses", images[0].get_masses())
    return cls(positions, species, cells, time, **options)


def _times(images):
    """Times that images say, ps [frames]; zero where one says nothing."""
    try:
        return np.array([float(image.info.get("time", 0.0)) for image in images])
    except (TypeError, ValueError, OverflowError):
        raise GlasslibError("the time of a frame is no number: set info['time'] in ps") from None


def _ase_images(path, form):
    import ase.io

    try:
        return ase.io.read(path, index=":", format=form)
    except Exception as error:  # ASE's readers raise whatever the broken line leads to
        raise GlasslibError(
            f"{path} is truncated or damaged ({' '.join(str(error).split())[:120]}): restore it or run it again"
        ) from None


def read_lammps(path, timestep=None, species=None, wrapped=None, units=None):
    """Read a LAMMPS text dump (units metal or real: Å), see read()."""
    frames, given = [], units  # units are written once and hold for all frames after
    with open(path, errors="replace") as stream:
        while True:
            try:
                frame = _lammps_frame(stream, species, units)
            except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
                raise GlasslibError(
                    f"{path}: frame {len(frames)} is truncated or damaged ({str(error)[:160]}): cut it off or run it again"
                ) from None
            if frame is None:
                break
            frames.append(frame)
            units = frame["units"]
            if len(frames) > 1:
                _same_atoms(path, len(frames) - 1, frame, frames[0])
    if not frames:
        raise GlasslibError(f"{path} holds no frame")
    if given is not None and frames[-1]["units"] != given:
        raise GlasslibError(f"{path} says units {frames[-1]['units']} itself, not {given}: leave out units")
    step = np.array([frame["step"] for frame in frames])
    if all(frame["time"] is not None for frame in frames):
        time = np.array([frame["time"] for frame in frames])
        if timestep is not None:
            time = _agreed(path, time, step * float(timestep) * 1e-3, "timestep")
    elif timestep is not None:
        time = step * float(timestep) * 1e-3
    elif len(frames) == 1:
        time = np.zeros(1)
    else:
        raise GlasslibError(
            f"{path} gives step numbers but no time with units: pass timestep in fs (--timestep of glasslib analyse), say units for its times, or dump "
            "with `dump_modify … time yes units yes`"
        )
    cells = np.array([frame["cell"] for frame in frames])
    positions = np.array([frame["fractional"] for frame in frames])
    unwrapped = all(frame["unwrapped"] for frame in frames)
    if unwrapped and wrapped:
        raise GlasslibError(f"{path} says itself how its positions are unwrapped: leave out wrapped")
    if not unwrapped and wrapped is not False:
        if wrapped is None and wide(positions) and (jumps := crossings(positions)[0]).any():
            raise doubtful(*np.argwhere(jumps)[0][:2])
        positions = unwrap(positions)
    attrs = {} if timestep is None else {"timestep": float(timestep)}
    return Trajectory(positions @ cells, frames[0]["symbols"], cells, time, step=step, attrs=attrs)


def _same_atoms(path, number, frame, first):
    """Refuse frames whose atoms are others, or which nothing tells apart: LAMMPS changes their order as they move."""
    if frame["id"] is None or first["id"] is None:
        raise GlasslibError(
            f"{path} has no column id, so that nothing tells its atoms apart: dump all atoms with their id, or sort by id and dump id"
        )
    if not np.array_equal(frame["id"], first["id"]) or frame["symbols"] != first["symbols"]:
        raise GlasslibError(f"{path}: frame {number} has other atoms than frame 0: dump all atoms with their id")


def _lammps_frame(stream, species, units):
    """One frame as a dict, None at the end of the file; `units` are those of the frame before, None where unknown."""
    frame, count = {"time": None}, None
    while True:
        line = stream.readline()
        if not line:
            if "step" in frame or count is not None:
                raise ValueError("the file ends within a frame")
            return None
        if line.startswith("ITEM: UNITS"):
            units = stream.readline().strip()
            if units not in LAMMPS_TIME:
                raise ValueError(f"units {units!r} are not metal or real")
        elif line.startswith("ITEM: TIMESTEP"):
            frame["step"] = int(stream.readline())
        elif line.startswith("ITEM: TIME"):
            time = float(stream.readline())
            frame["time"] = None if units is None else time * LAMMPS_TIME[units]
        elif line.startswith("ITEM: NUMBER OF ATOMS"):
            count = int(stream.readline())
            if not 0 < count <= 20_000_000:
                raise ValueError(f"{count} atoms")
        elif line.startswith("ITEM: BOX BOUNDS"):
            frame["cell"], origin = _lammps_cell(line.split()[3:], [stream.readline().split() for _ in range(3)])
        elif line.startswith("ITEM: ATOMS"):
            names = line.split()[2:]
            for item, known in (
                ("TIMESTEP", "step" in frame),
                ("NUMBER OF ATOMS", count),
                ("BOX BOUNDS", "cell" in frame),
            ):
                if not known:
                    raise ValueError(f"ITEM: {item} is missing")
            rows = []
            for _ in range(count):
                line = stream.readline()
                rows.append(line.split())
                if len(rows[-1]) != len(names) or not line.endswith("\n"):
                    raise ValueError("the file ends within a frame")
            columns = dict(zip(names, zip(*rows, strict=True), strict=True))
            return frame | {"units": units} | _lammps_atoms(columns, frame["cell"], origin, species)
        elif line.strip():
            raise ValueError(f"unexpected line {line.strip()[:40]!r}")


def _lammps_cell(flags, rows):
    rows = [[float(value) for value in row] for row in rows]
    if "abc" in flags:  # general triclinic: cell vectors and origin
        cell = np.array(rows)
        return cell[:, :3], cell[:, 3]
    (xlo, xhi, *xy), (ylo, yhi, *xz), (zlo, zhi, *yz) = rows
    xy, xz, yz = (float(tilt[0]) if tilt else 0.0 for tilt in (xy, xz, yz))
    xlo, xhi = xlo - min(0, xy, xz, xy + xz), xhi - max(0, xy, xz, xy + xz)
    ylo, yhi = ylo - min(0, yz), yhi - max(0, yz)
    return np.array([[xhi - xlo, 0, 0], [xy, yhi - ylo, 0], [xz, yz, zhi - zlo]]), np.array([xlo, ylo, zlo])


def _lammps_atoms(columns, cell, origin, species):
    order, numbers = slice(None), None
    if "id" in columns:
        numbers = np.array(columns["id"], dtype=np.int64)
        if len(np.unique(numbers)) < len(numbers):
            raise ValueError("two atoms have one id")
        order = np.argsort(numbers)
        numbers = numbers[order]
    names = next((n for n in POSITION_COLUMNS if all(c in columns for c in n)), None)
    if names is None:
        raise ValueError("no positions: dump x y z ix iy iz, or xu yu zu")
    values = np.column_stack([np.array(columns[n], dtype=float) for n in names])[order]
    if not np.isfinite(values).all():
        raise ValueError("a position is not a finite number")
    if "s" not in names[0]:
        values = np.linalg.solve(cell.T, (values - origin).T).T
    unwrapped = names[0].endswith("u")
    if not unwrapped and all(c in columns for c in ("ix", "iy", "iz")):
        values = values + np.column_stack([np.array(columns[c], dtype=np.int64) for c in ("ix", "iy", "iz")])[order]
        unwrapped = True
    return {
        "fractional": values,
        "unwrapped": unwrapped,
        "id": numbers,
        "symbols": np.array(_lammps_symbols(columns, species))[order].tolist(),
    }


def _lammps_symbols(columns, species):
    labels = columns.get("type", [])
    if labels and all(label in chemical_symbols[1:] for label in labels):  # of LAMMPS's `labelmap`
        if species is not None:
            raise GlasslibError("types are labelled by their symbols: leave species out")
        return labels
    if species is None and "element" in columns:
        return columns["element"]
    if species is not None and "type" not in columns:
        raise GlasslibError("species stand for atom types, but the dump has no column type: leave species out")
    if species is not None:
        types = [int(t) for t in labels]
        if not 0 < min(types) <= max(types) <= len(species):
            raise GlasslibError(
                f"atom types {min(types)} to {max(types)} but {len(species)} species: pass one for each type"
            )
        return [species[t - 1] for t in types]
    if "mass" in columns:
        return [_of_mass(float(m)) for m in columns["mass"]]
    raise GlasslibError(
        "no column element: pass species, the symbols of types 1, 2, … (--species of glasslib analyse), or dump element"
    )


def _of_mass(mass):
    """Symbol of the element with that mass, u."""
    number = int(np.argmin(np.abs(atomic_masses[1:] - mass))) + 1
    if not abs(atomic_masses[number] - mass) < 0.3:
        raise ValueError(f"no element has the mass {mass:g} u")
    return chemical_symbols[number]
