"""What a run keeps on disk while it is under way, so that it can be killed at any moment.

Beside the trajectory `run.h5` lies the folder `run.h5.run` until the run is complete:

    frames.bin           one record after another of fixed size; each is in the file before the checkpoint that counts it
    log.bin              the same for the observables
    checkpoint-0, -1     written in turn, each in one atomic step, with a checksum
    lock                 held by the process that runs

A checkpoint knows how many bytes of the two files belong to it, and their CRC-32; a restart cuts off what came later. HDF5 is written
only once, at the end, since a process killed while writing leaves an HDF5 file that nothing can open.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
from ase import Atoms

from ..errors import GlasslibError
from ..files import atomic, explain, folder, room
from ..provenance import record_path
from ..trajectory import Trajectory
from ..trajectory.h5md import Writer

LOG = (
    "step", "time", "temperature", "potential_energy", "kinetic_energy", "pressure", "volume", "conserved_energy", "force_spread",
)  # fmt: skip


def work_folder(out):
    """Folder of an unfinished run."""
    out = Path(out)
    if not out.name:
        raise GlasslibError(f"cannot write {out}: that path is a folder: name a file in it")
    return out.with_name(out.name + ".run")


def frame_type(atoms):
    """NumPy type of one frame."""
    return np.dtype([("step", "<i8"), ("time", "<f8"), ("cell", "<f8", (3, 3)), ("positions", "<f4", (atoms, 3))])


def identity_of(values):
    """Short hash of what makes a run what it is, plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def digest(atoms):
    """Hash of a start."""
    known = hashlib.sha256(atoms.numbers.tobytes())
    momenta = atoms.get_momenta() if atoms.has("momenta") else np.zeros(0)
    for array in (atoms.positions, atoms.cell.array, momenta, atoms.get_masses()):
        known.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return known.hexdigest()[:16]


def checked_seed(seed):
    """A seed as an int, or a GlasslibError."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise GlasslibError(f"seed must be a whole number of at least 0, not {seed!r}")
    return int(seed)


class Records:
    """A file of records of fixed size that grows, and can be cut back to a checkpoint."""

    def __init__(self, path, kind):
        self.path, self.kind = Path(path), kind
        self.size = self.crc = 0
        try:
            self.file = open(path, "a+b", buffering=0)  # noqa: SIM115, closed by close()
        except OSError as error:
            raise explain(error, path) from None

    def append(self, record):
        """Write one record; a short write or a full disk is an error."""
        data = record.tobytes()
        try:
            written = self.file.write(data)
        except OSError as error:
            raise explain(error, self.path) from None
        if written != len(data):
            raise GlasslibError(
                f"cannot write {self.path}: the disk is full: free some space and run the same command again"
            )
        self.size += written
        self.crc = zlib.crc32(data, self.crc)

    def sync(self):
        """Bring all records to the disk; a file that was removed under the run is written again from the open one."""
        try:
            os.fsync(self.file.fileno())
            if not self.path.exists() or not os.path.samestat(os.stat(self.path), os.fstat(self.file.fileno())):
                folder(self.path.parent)
                self.file.seek(0)
                with atomic(self.path) as temporary, open(temporary, "wb") as copy:
                    shutil.copyfileobj(self.file, copy)
                self.file.close()
                self.file = open(self.path, "a+b", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise explain(error, self.path) from None

    def holds(self, size, crc):
        """Whether the first `size` bytes are there and have this CRC-32."""
        self.file.seek(0)
        found, left = 0, size
        while left:
            data = self.file.read(min(left, 1 << 24))
            if not data:
                return False
            found, left = zlib.crc32(data, found), left - len(data)
        return found == crc

    def cut(self, size, crc):
        """Forget all after the first `size` bytes."""
        try:
            self.file.truncate(size)
        except OSError as error:
            raise explain(error, self.path) from None
        self.size, self.crc = size, crc

    def read(self):
        """All records as an array that stays on disk."""
        count = self.size // self.kind.itemsize
        return np.memmap(self.path, self.kind, "r", shape=(count,)) if count else np.empty(0, self.kind)

    def close(self):
        """Close the file."""
        self.file.close()


class Store:
    """Files of one unfinished run; use as a context manager, which holds the lock."""

    def __init__(self, out, atoms):
        self.out, self.path = Path(out), work_folder(out)
        if self.out.is_dir():
            raise GlasslibError(f"cannot write {out}: that path is a folder: choose another name")
        folder(self.path)
        self.turn = 0
        try:
            self._lock = open(self.path / "lock", "a")  # noqa: SIM115, released by close()
        except OSError as error:
            raise explain(error, self.path / "lock") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise GlasslibError(
                f"another process is running {self.out}: wait for it, stop it, or choose another output"
            ) from None
        self.frames = Records(self.path / "frames.bin", frame_type(atoms))
        self.log = Records(self.path / "log.bin", np.dtype([(name, "<f8") for name in LOG]))

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *_):
        if kind is not None and not begun(self.out) and self._mine():
            shutil.rmtree(self.path, ignore_errors=True)  # nothing to go on from
        for part in (self.frames, self.log, self._lock):
            part.close()

    def _mine(self):
        """Whether the folder is still the one whose lock this is."""
        try:
            return os.path.samestat(os.stat(self.path / "lock"), os.fstat(self._lock.fileno()))
        except OSError:
            return False

    def save(self, meta, arrays):
        """Write a checkpoint: `meta` plain values, `arrays` name → array."""
        self.frames.sync()
        self.log.sync()
        meta = meta | {"frames": [self.frames.size, self.frames.crc], "log": [self.log.size, self.log.crc]}
        buffer = io.BytesIO()
        np.savez(buffer, __meta__=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
        data = buffer.getvalue()
        with atomic(self.path / f"checkpoint-{self.turn}") as temporary:
            temporary.write_bytes(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        self.turn = 1 - self.turn

    def load(self):
        """The newest checkpoint that is whole and whose records are, with the files cut back to it; None where there is none.

        Returns
        -------
        (dict, dict of arrays) or None
        """
        found = []
        for turn in (0, 1):
            path = self.path / f"checkpoint-{turn}"
            if path.exists():
                content = read_checkpoint(path)
                if content is None:
                    warnings.warn(f"checkpoint {path} is damaged: falling back to the one before", stacklevel=2)
                else:
                    found.append((content[0]["step"], turn, content))
        for _, turn, (meta, arrays) in sorted(found, key=lambda item: item[0], reverse=True):
            if self.frames.holds(*meta["frames"]) and self.log.holds(*meta["log"]):
                self.frames.cut(*meta["frames"])
                self.log.cut(*meta["log"])
                self.turn = 1 - turn
                return meta, arrays
            warnings.warn(
                f"{self.path}: frames or log do not match checkpoint {turn}: falling back to the one before",
                stacklevel=2,
            )
        if begun(self.out):
            raise GlasslibError(
                f"no checkpoint in {self.path} is whole: restore that folder, or remove it to begin again"
            )
        self.frames.cut(0, 0)
        self.log.cut(0, 0)
        return None

    def columns(self):
        """The observables, name → array, without those that were never written."""
        return _columns(self.log.read())

    def write(self, symbols, attrs, log, masses=None):
        """The trajectory, a part at a time; that of another run is moved aside, that of this one (killed just after) written again."""
        frames = self.frames.read()
        room(self.out, frames.nbytes + self.log.size)
        if self.out.exists() and not same_run(kept(self.out), attrs):
            set_aside(self.out, "another run")
        size = max(1, 64_000_000 // frames.itemsize)
        with Writer(self.out, symbols, masses=masses, attrs=attrs, log=log) as writer:
            for start in range(0, len(frames), size):
                part = frames[start : start + size]
                writer.append(part["positions"], part["cell"], part["time"], part["step"])

    def remove(self):
        """Remove the folder, after the trajectory stands under its name; at once for whoever looks, even if killed half-way."""
        done = self.path.with_name(f"{self.path.name}.done")
        shutil.rmtree(done, ignore_errors=True)
        self.path.rename(done)
        shutil.rmtree(done, ignore_errors=True)


def read_checkpoint(path):
    """Meta data and arrays of a checkpoint, or None where it is damaged."""
    try:
        digest, _, data = Path(path).read_bytes().partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() != digest:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        return json.loads(arrays.pop("__meta__").tobytes()), arrays
    except (OSError, ValueError, KeyError):
        return None


def begun(out):
    """Whether there is an unfinished run that has come to a checkpoint, whole or not."""
    return any((work_folder(out) / f"checkpoint-{turn}").exists() for turn in (0, 1))


def finished(out):
    """Attributes of the trajectory of a run that is complete; empty where there is none."""
    return {} if begun(out) else kept(out)


def same_run(known, attrs):
    """Whether attributes of two trajectories are of one run: the same settings and, where it is known, forces on the start."""
    if known.get("run") is None or known["run"] != attrs["run"]:
        return False
    return bool(np.allclose(known.get("probe", 0.0), attrs.get("probe", 0.0), rtol=1e-3))


def kept(out):
    """Attributes of the trajectory at a path; empty where there is none."""
    if not Path(out).exists():
        return {}
    try:
        return Trajectory.open(out).attrs
    except GlasslibError:
        return {}


def set_aside(path, what="an unfinished run with other settings"):
    """Move the file or folder of another run out of the way, a file's record with it, and say so."""
    path, number = Path(path), 1
    while (target := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    try:
        path.rename(target)
        if record_path(path).exists():
            record_path(path).rename(record_path(target))
    except OSError as error:
        raise explain(error, target) from None
    print(f"{path} holds {what}: moved to {target}", file=sys.stderr)


def _columns(log):
    found = {name: np.array(log[name]) for name in LOG if np.isfinite(log[name]).any()}
    return found | ({"step": found["step"].astype(np.int64)} if "step" in found else {})


def so_far(out):
    """Trajectory of a run under way or stopped: the frames and observables up to now.

    Parameters
    ----------
    out : path
        The H5MD file that the run will write.

    Raises
    ------
    GlasslibError
        Where there is no such run, or no frame yet.
    """
    if Path(out).exists() and not begun(out):
        return Trajectory.open(out)
    meta, _ = _newest(out)
    symbols = meta["symbols"]
    path, kind = work_folder(out) / "frames.bin", frame_type(len(symbols))
    count = path.stat().st_size // kind.itemsize
    if not count:
        raise GlasslibError(f"the run of {out} has kept no frame yet: its first stages keep none, or it has just begun")
    frames, kept = np.memmap(path, kind, "r", shape=(count,)), np.dtype([(name, "<f8") for name in LOG])
    bytes_kept = (work_folder(out) / "log.bin").read_bytes()
    log = _columns(np.frombuffer(bytes_kept, kept, count=len(bytes_kept) // kept.itemsize))
    return Trajectory(
        frames["positions"], symbols, frames["cell"], frames["time"], step=frames["step"], attrs=meta["attrs"], log=log
    )


def final_state(out):
    """Atoms with momenta at the end of a run, or at the last checkpoint of one that was stopped, to start another run from.

    Parameters
    ----------
    out : path
        The H5MD file of the run.

    Returns
    -------
    ase.Atoms
        Positions unwrapped; `info` holds "time" (ps).
    """
    if begun(out) or not Path(out).exists():
        meta, arrays = _newest(out)
        symbols, time = meta["symbols"], meta["time"]
        positions, momenta, cell, masses = (arrays[name] for name in ("positions", "momenta", "cell", "masses"))
    else:
        run = Trajectory.open(out)
        if "final_momenta" not in run.log:
            raise GlasslibError(f"{out} does not hold the momenta of its end: it was not written by a run")
        positions, momenta, cell = (run.log[f"final_{name}"] for name in ("positions", "momenta", "cell"))
        symbols, masses = run.species.tolist(), run.masses
        time = float(run.log["final_time" if "final_time" in run.log else "time"][-1])
    atoms = Atoms(symbols, positions, cell=cell, pbc=True, masses=masses)
    atoms.set_momenta(momenta)
    atoms.info["time"] = time
    return atoms


def _newest(out):
    found = [c for c in (read_checkpoint(work_folder(out) / f"checkpoint-{turn}") for turn in (0, 1)) if c]
    if not found:
        raise GlasslibError(f"there is no run of {out}, nor a whole checkpoint of one")
    return max(found, key=lambda content: content[0]["step"])
