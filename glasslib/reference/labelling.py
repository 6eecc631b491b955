"""A queue of frames and the processes that label it.

Each frame has three possible files in the output folder: `<name>.claim`, locked by the process that works on it; `<name>.extxyz`, its label;
`<name>.failed.json`, why it has none. The lock belongs to the process and goes with it, however it ends, and results appear in one step: after
kill -9 the same command goes on, with nothing lost and nothing done twice. Any number of processes may share a folder, those of `mpiexec`
included.
"""

import errno
import fcntl
import os
import re
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

from ..errors import GlasslibError, shown
from ..files import explain, folder, read_json, write_json
from ..progress import Progress
from ..provenance import key_of
from . import gpaw
from .frames import NUMBERS, TEXT, check_composition, read_plain, voigt, write_plain
from .stress import oxide_units

WORKER = "glasslib.reference.worker"
FULL_DISK = errno.ENOSPC, errno.EDQUOT, errno.EROFS
STRESS = "dE_dlnE", "stress_raw", "stress_correction"
ATTEMPTS = 3  # calls of `label_queue`, alive to see it, of which a process may die while it works on a frame


def names(frames):
    """Name of each frame of a queue, as its files have it: parent, and its number where there is one.

    Raises
    ------
    GlasslibError
        Where a frame lacks a field of the data set, holds nonsense, or two have one name.
    """
    found = []
    for number, atoms in enumerate(frames):
        for field in TEXT[:2] + NUMBERS:
            if field not in atoms.info:
                raise GlasslibError(f"queue, frame {number}: {field} is missing")
        for field in NUMBERS:
            value = atoms.info[field]
            if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not 0 <= value < 1e6:
                raise GlasslibError(
                    f"queue, frame {number}: {field} must be a number not below zero, not {shown(value)}"
                )
        for field in TEXT[:2]:
            if not isinstance(atoms.info[field], str):
                raise GlasslibError(f"queue, frame {number}: {field} must be text, not {shown(atoms.info[field])}")
        if not len(atoms) or 0 in atoms.numbers:
            raise GlasslibError(f"queue, frame {number}: it needs atoms of known elements")
        if not np.isfinite(atoms.positions).all() or not atoms.pbc.all() or not atoms.cell.volume > 1:
            raise GlasslibError(f"queue, frame {number}: positions must be finite and the cell periodic")
        check_composition(atoms, f"queue, frame {number}")
        name = atoms.info["parent"]
        if "frame" in atoms.info:
            if not isinstance(atoms.info["frame"], (int, np.integer)):
                raise GlasslibError(
                    f"queue, frame {number}: frame must be a whole number, not {shown(atoms.info['frame'])}"
                )
            name += f"-{int(atoms.info['frame'])}"
        if not re.fullmatch(r"[\w+=-][\w.+=-]{0,149}", name, re.ASCII):
            raise GlasslibError(
                f"queue, frame {number}: parent {name[:160]!r} must be at most 150 letters, digits and . _ + = -"
            )
        found.append(name)
    for name, count in Counter(found).items():
        if count > 1:
            raise GlasslibError(f"queue: {count} frames are named {name}: number them in info['frame']")
    return found


def label_queue(queue, out, workers=1, minutes=None, coarse=False, ranks=1, retry=False, quiet=False):
    """Label every frame of a queue that has no label yet.

    Parameters
    ----------
    queue : path
        Extended XYZ: composition, temperature_K, density_scale and parent in `info`.
    out : path
        Folder of the labels, one file each (raw stress; `collect` corrects it).
    workers : int
        Processes that each label one frame at a time.
    minutes : float, optional
        No frame is begun after that time; those under way are finished.
    coarse : bool
        Quick, wrong settings for tests.
    ranks : int
        MPI processes for each worker; 1 is the most efficient where there are more frames than cores.
    retry : bool
        Try again the frames recorded as failed.

    Returns
    -------
    dict of lists
        Names "labelled", "failed" and "left".

    Raises
    ------
    GlasslibError
        For a bad queue, a label in `out` that belongs to another structure, GPAW missing, or every worker lost.
    """
    queue = Path(queue)
    frames = read_plain(queue)
    wanted = names(frames)
    reason = gpaw.missing()
    if reason:
        raise GlasslibError(reason)
    for key, value in (("workers", workers), ("ranks", ranks)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise GlasslibError(f"{key} must be a whole number of at least 1, not {value!r}")
    if ranks > 1 and not gpaw.scalapack():
        raise GlasslibError(
            "this GPAW was compiled without ScaLAPACK and cannot share a frame among MPI processes: use workers in place of ranks"
        )
    out = folder(out)
    level = gpaw.COARSE if coarse else gpaw.FULL
    for name, atoms in zip(wanted, frames, strict=True):
        failed = out / f"{name}.failed.json"
        if retry or (failed.exists() and read_json(failed).get("structure", _key(atoms, level)) != _key(atoms, level)):
            failed.unlink(missing_ok=True)
        _same(out / f"{name}.extxyz", atoms, level)
        if not coarse and "dE_dlnE" not in _measured(atoms, level):  # without its stress the label would be of no use
            oxide_units(Counter(atoms.get_chemical_symbols()), name)
    end = 0.0 if minutes is None else time.time() + 60 * minutes
    beside = Path(sys.executable).with_name(
        "mpiexec"
    )  # the MPI that GPAW was compiled against, where it came with the environment
    mpiexec = str(beside) if beside.exists() else "mpiexec"
    begin = [sys.executable] if ranks == 1 else [mpiexec, "-n", str(ranks), sys.executable, "-m", "gpaw", "python"]
    command = [*begin, "-m", WORKER, str(queue), str(out), str(end), str(int(coarse)), str(os.getpid())]
    running = []
    try:
        for _ in range(min(workers, len(_open(out, wanted)))):
            running.append(
                subprocess.Popen(
                    command,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        _watch(running, out, wanted, quiet)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            process.wait()
    if any(process.returncode for process in running):
        _count(out, wanted)
    left = _open(out, wanted)
    over = end and time.time() >= end
    if left and not over and any(p.returncode for p in running):
        raise GlasslibError(
            f"workers ended with {sorted({p.returncode for p in running})} and {len(left)} frames to go: the reason stands above or in {out}/*.log; then run the same again"
        )
    failed = [name for name in wanted if (out / f"{name}.failed.json").exists()]
    return {"labelled": [n for n in wanted if (out / f"{n}.extxyz").exists()], "failed": failed, "left": left}


def failures(out):
    """Reason why a frame has no label, by name."""
    return {
        p.name.removesuffix(".failed.json"): read_json(p)["reason"] for p in sorted(Path(out).glob("*.failed.json"))
    }


def _open(out, wanted):
    return [n for n in wanted if not (out / f"{n}.extxyz").exists() and not (out / f"{n}.failed.json").exists()]


def _key(atoms, level):
    """Which structure failed, and at which level: another one of that name is tried."""
    return key_of(atoms.numbers.tolist(), (atoms.positions.round(6) + 0.0).tolist(), (atoms.cell.array.round(6) + 0.0).tolist(), level.name)[:16]  # fmt: skip


def _same(path, atoms, level):
    """Refuse to take the label of another structure or level for this one's."""
    if not path.exists():
        return
    known = read_plain(path)[0]
    if (
        len(known) != len(atoms)
        or (known.numbers != atoms.numbers).any()
        or not np.allclose(known.positions, atoms.positions, atol=1e-6)
        or not np.allclose(known.cell.array, atoms.cell.array, atol=1e-6)
    ):
        raise GlasslibError(f"{path} is the label of another structure of that name: choose another folder")
    if known.info.get("level") != level.name:
        raise GlasslibError(f"{path} is at level {known.info.get('level')}, not {level.name}: choose another folder")


def _watch(running, out, wanted, quiet):
    left = len(_open(out, wanted))
    with Progress(
        len(wanted),
        "labels",
        "frames",
        done=len(wanted) - left,
        every=60,
        quiet=quiet,
    ) as bar:
        while any(process.poll() is None for process in running):
            time.sleep(0.2)
            now = len(_open(out, wanted))
            bar.update(left - now, note=lambda: f"{len(failures(out))} failed")
            left = now


def claim(out, name, structure=None):
    """Lock a frame for this process: an open file to keep until it is done, or None where another has it or it is done.

    `structure` goes into the record of a frame that is given up, see `_key`.
    """
    path = out / f"{name}.claim"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    if not _open(out, [name]):  # finished between our look and our lock
        _release(handle, path)
        return None
    attempts = os.pread(handle, 100, 0).count(b"\n")
    if attempts >= ATTEMPTS:
        reason = f"{attempts} times a process died while it worked on it (memory?)"
        write_json(out / f"{name}.failed.json", {"reason": reason} | ({"structure": structure} if structure else {}))
        _release(handle, path)
        return None
    return handle


def _count(out, wanted):
    """Count an attempt at each open frame that nobody works on any more: its process died, and nobody stopped this one on purpose."""
    for name in _open(out, wanted):
        try:
            handle = os.open(out / f"{name}.claim", os.O_RDWR | os.O_APPEND)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(handle, b"\n")
        except OSError:  # another process has it
            pass
        finally:
            os.close(handle)


def _release(handle, path):
    # safe to remove: whoever opened it before finds the result as soon as it has the lock
    Path(path).unlink(missing_ok=True)
    os.close(handle)


def work(queue, out, end=0.0, coarse=False, parent=None):
    """Label frames of a queue until none is free, time is over, or the process `parent` is gone; what a worker runs."""
    from gpaw.mpi import world

    out, frames = Path(out), read_plain(queue)
    level, wanted = gpaw.COARSE if coarse else gpaw.FULL, names(frames)
    for number, name in enumerate(wanted):
        handle = None
        go = np.zeros(1)
        if world.rank == 0:
            if (end and time.time() > end) or (parent and not _alive(parent)):
                go[0] = -1
            elif _open(out, [name]):
                handle = claim(out, name, _key(frames[number], level))
                go[0] = handle is not None
        world.broadcast(go, 0)
        if go[0] < 0:
            return
        if go[0]:
            try:
                _label_one(frames[number], name, out, level, world.rank == 0)
            finally:  # what ends this process from within, a full disk, is not the frame's fault
                if handle is not None:
                    _release(handle, out / f"{name}.claim")


def _label_one(atoms, name, out, level, master):
    began = time.time()
    try:
        results = gpaw.label(atoms, level, out / f"{name}.log")
        derivative = gpaw.finite_basis_derivative(atoms, level) if level is not gpaw.FULL else None
    except Exception as error:  # whatever goes wrong inside the electronic structure must not stop the queue
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise explain(error, out / f"{name}.log") from error
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = (
            " ".join(str(error).split())[:500]
            or f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}: {where.line}"
        )
        if master:
            write_json(
                out / f"{name}.failed.json",
                {
                    "reason": reason,
                    "kind": type(error).__name__,
                    "level": level.name,
                    "structure": _key(atoms, level),
                    "seconds": round(time.time() - began, 1),
                },
            )
        return
    if master:
        done = atoms.copy()
        done.info = _measured(atoms, level) | {
            "level": level.name,
            "stress_kind": "raw",
            "energy": results["energy"],
            "stress": results["stress"],
        }
        if derivative is not None:
            done.info["dE_dlnE"] = derivative
        done.calc = SinglePointCalculator(
            done, energy=results["energy"], forces=results["forces"], stress=voigt(results["stress"])
        )
        write_plain(out / f"{name}.extxyz", [done])


def _measured(atoms, level):
    """`info` of a frame without what belongs to the stress of another level, where it was labelled there before."""
    before = atoms.info.get("level", level.name) != level.name
    return {key: value for key, value in atoms.info.items() if not (before and key in STRESS)}


def _alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
