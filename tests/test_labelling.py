"""The labelling queue: nothing lost, nothing done twice, and real labels that are right."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from glasslib.errors import GlasslibError
from glasslib.files import listed
from glasslib.reference import collect, gpaw, labelling, read_frames
from glasslib.reference.frames import read_plain, write_plain
from glasslib.reference.labelling import claim, failures, label_queue, names, work
from glasslib.reference.stress import correct

needs_gpaw = pytest.mark.skipif(gpaw.missing() is not None, reason=str(gpaw.missing()))
FORK = multiprocessing.get_context("fork")


def cell(seed, parent=None):
    """One unit of SiO2 in a small cell: wrong physics, quick."""
    rng = np.random.default_rng(seed)
    positions = np.array([(0, 0, 0), (1.6, 0.1, 0), (-1.0, 1.2, 0.3)]) + rng.normal(scale=0.05, size=(3, 3))
    atoms = Atoms("SiO2", positions, cell=[4.2, 4.1, 4.0], pbc=True)
    atoms.info = {"composition": "SiO2", "temperature_K": 300, "density_scale": 1.0, "parent": parent or f"cell-{seed}"}
    return atoms


def queue_of(path, count):
    write_plain(path, [cell(s) for s in range(count)])
    return path


def invent(delay, journal):
    """A stand-in for the electronic structure that writes down each frame it labels."""

    def label(atoms, level, log_file=None):
        with open(journal, "a") as stream:
            stream.write(f"begin {atoms.info['parent']}\n")
        time.sleep(delay)
        if atoms.info["parent"] == "cell-2":
            raise GlasslibError("not converged after 120 iterations")
        return {"energy": -20.0, "forces": np.zeros((3, 3)), "stress": np.zeros((3, 3))}

    return label


def raises(error):
    """A function that raises `error`, whatever it is given."""

    def wrong(*others):
        raise error

    return wrong


@pytest.fixture
def quick(monkeypatch, tmp_path):
    journal = tmp_path / "journal"
    journal.touch()
    monkeypatch.setattr(gpaw, "label", invent(0.05, journal))
    monkeypatch.setattr(gpaw, "finite_basis_derivative", lambda atoms, level: -1.0)
    return journal


@needs_gpaw
def test_processes_that_share_a_queue_label_each_frame_once(quick, tmp_path):
    queue, out = queue_of(tmp_path / "queue.extxyz", 12), tmp_path / "labels"
    out.mkdir()
    crowd = [FORK.Process(target=work, args=(queue, out, 0.0, True)) for _ in range(5)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join()
        assert process.exitcode == 0
    assert sorted(quick.read_text().split("\n")[:-1]) == sorted(f"begin cell-{s}" for s in range(12))
    assert len(list(out.glob("*.extxyz"))) == 11 and not list(out.glob("*.claim"))


@needs_gpaw
def test_failed_frame_is_recorded_with_its_reason_and_never_in_the_data_set(quick, tmp_path):
    queue, out = queue_of(tmp_path / "queue.extxyz", 4), tmp_path / "labels"
    out.mkdir()
    work(queue, out, coarse=True)
    assert failures(out) == {"cell-2": "not converged after 120 iterations"}
    assert [a.info["parent"] for a in collect(out, tmp_path / "set.extxyz")] == ["cell-0", "cell-1", "cell-3"]
    before = quick.read_text()
    work(queue, out, coarse=True)
    assert quick.read_text() == before  # nothing is tried again unasked


@needs_gpaw
def test_killed_process_leaves_its_frame_to_the_next(quick, monkeypatch, tmp_path):
    queue, out = queue_of(tmp_path / "queue.extxyz", 2), tmp_path / "labels"
    out.mkdir()
    monkeypatch.setattr(gpaw, "label", invent(60, quick))
    victim = FORK.Process(target=work, args=(queue, out, 0.0, True))
    victim.start()
    for _ in range(300):
        if "begin cell-0" in quick.read_text():
            break
        time.sleep(0.1)
    assert claim(out, "cell-0") is None  # held by the living
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    assert not list(out.glob("*.extxyz"))
    monkeypatch.setattr(gpaw, "label", invent(0, quick))
    work(queue, out, coarse=True)
    assert sorted(p.name for p in out.glob("*.extxyz")) == ["cell-0.extxyz", "cell-1.extxyz"]
    assert quick.read_text().count("begin cell-0") == 2 and quick.read_text().count("begin cell-1") == 1


@needs_gpaw
def test_frame_that_kills_its_process_again_and_again_is_given_up(tmp_path, monkeypatch):
    queue, out = queue_of(tmp_path / "queue.extxyz", 2), tmp_path / "labels"

    def dies(running, out, wanted, quiet):
        for process in running:
            process.kill()
            process.wait()
        handle = claim(out, "cell-1")
        if handle is not None:
            os.close(handle)  # the lock goes, as with a process that died

    monkeypatch.setattr(labelling, "_watch", dies)
    for _ in range(labelling.ATTEMPTS):
        assert not failures(out)
        with pytest.raises(GlasslibError, match="workers ended"):
            label_queue(queue, out, coarse=True, quiet=True)
    assert claim(out, "cell-1") is None
    assert list(failures(out)) == ["cell-1"] and "3 times" in failures(out)["cell-1"]


@needs_gpaw
def test_a_failure_is_of_a_structure_at_a_level_and_not_of_a_name(quick, tmp_path, monkeypatch):
    def fails(*others):
        raise RuntimeError("did not converge")

    queue, out = queue_of(tmp_path / "queue.extxyz", 1), tmp_path / "labels"
    out.mkdir()
    monkeypatch.setattr(gpaw, "label", fails)
    work(queue, out, coarse=True)
    assert failures(out) == {"cell-0": "did not converge"}
    begun = []
    monkeypatch.setattr(labelling.subprocess, "Popen", lambda *others, **options: begun.append(1) or Ended())
    assert label_queue(queue, out, coarse=True, quiet=True)["failed"] == ["cell-0"] and not begun
    write_plain(queue, [cell(7, parent="cell-0")])
    assert label_queue(queue, out, coarse=True, quiet=True) == {"labelled": [], "failed": [], "left": ["cell-0"]}
    assert begun


class Ended:
    """A process that did nothing."""

    returncode = 0

    def poll(self):
        return 0

    def wait(self):
        return 0


@needs_gpaw
def test_no_frame_is_begun_after_the_time_is_over(quick, tmp_path):
    queue, out = queue_of(tmp_path / "queue.extxyz", 3), tmp_path / "labels"
    out.mkdir()
    work(queue, out, end=time.time() - 1, coarse=True)
    assert quick.read_text() == "" and not list(out.glob("*.extxyz"))


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda f: f[1].info.pop("parent"), "frame 1: parent"),
        (lambda f: f[1].info.pop("temperature_K"), "frame 1: temperature_K"),
        (lambda f: f[1].info.update(parent="../../etc"), "letters, digits"),
        (lambda f: f[1].info.update(parent="x" * 300), "at most 150"),
        (lambda f: f[1].info.update(parent=7), "frame 1: parent must be text"),
        (lambda f: f[1].info.update(composition="NS2"), "frame 1: composition is NS2"),
        (lambda f: f[1].info.update(parent=""), "at most 150"),
        (lambda f: f[1].info.update(parent="cell-0"), "2 frames are named cell-0"),
        (lambda f: f[1].positions.fill(np.nan), "finite"),
        (lambda f: f[1].set_pbc(False), "periodic"),
    ],
)
def test_bad_queue_is_refused_before_anything_starts(change, word):
    frames = [cell(0), cell(1)]
    change(frames)
    with pytest.raises(GlasslibError, match=word):
        names(frames)


@needs_gpaw
def test_numbered_frames_of_one_parent_are_labelled_apart(quick, tmp_path):
    twins = [cell(0), cell(1, parent="cell-0")]
    for number, atoms in enumerate(twins):
        atoms.info["frame"] = number
    write_plain(tmp_path / "queue.extxyz", twins)
    (tmp_path / "labels").mkdir()
    work(tmp_path / "queue.extxyz", tmp_path / "labels", coarse=True)
    assert len(collect(tmp_path / "labels", tmp_path / "set.extxyz")) == 2


@needs_gpaw
@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2"])
def test_senseless_number_of_workers_is_refused(tmp_path, number):
    with pytest.raises(GlasslibError, match="workers"):
        label_queue(queue_of(tmp_path / "queue.extxyz", 1), tmp_path / "labels", workers=number)


def test_derivative_is_the_slope_against_the_logarithm_of_the_cutoff(monkeypatch):
    class Sloped(Calculator):
        implemented_properties = ("energy",)

        def __init__(self, cutoff):
            super().__init__()
            self.cutoff = cutoff

        def calculate(self, atoms=None, properties=(), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            self.results = {"energy": -40.0 * np.log(self.cutoff)}

    monkeypatch.setattr(gpaw, "calculator", lambda level, log_file=None, cutoff=None: Sloped(cutoff))
    monkeypatch.setattr(gpaw, "_energy", lambda atoms, level: atoms.get_potential_energy())
    assert gpaw.finite_basis_derivative(cell(0)) == pytest.approx(-40.0)


@needs_gpaw
def test_corrected_stress_is_the_slope_of_the_energy_and_raw_stress_is_not():
    # the analytical stress at a constant number of plane waves, corrected, is dE/dV at a constant cutoff
    level = gpaw.Level("GPAW-PBE-PW400", 400.0, 1e-3, 1e-3, 1e-3)  # where the energy is nearly linear in ln E_cut
    energies, volumes = [], []
    for stretch in (0.99, 1.01):
        atoms = cell(0)
        atoms.set_cell(atoms.cell * stretch, scale_atoms=True)
        energies.append(gpaw.label(atoms, level)["energy"])
        volumes.append(atoms.get_volume())
    slope = (energies[1] - energies[0]) / (volumes[1] - volumes[0])
    atoms, raw = cell(0), gpaw.label(cell(0), level)
    atoms.info |= {"level": level.name, "stress_kind": "raw", "energy": raw["energy"], "stress": raw["stress"]}
    atoms.info["dE_dlnE"] = gpaw.finite_basis_derivative(atoms, level)
    atoms.calc = SinglePointCalculator(atoms, energy=raw["energy"], forces=raw["forces"])
    before, after = np.trace(raw["stress"]) / 3, np.trace(correct(atoms).info["stress"]) / 3
    assert abs(after - slope) < 0.3 * abs(before - slope), (before, after, slope)


@needs_gpaw
def test_label_of_another_structure_of_the_same_name_is_not_taken(quick, tmp_path):
    queue, out = queue_of(tmp_path / "queue.extxyz", 1), tmp_path / "labels"
    out.mkdir()
    work(queue, out, coarse=True)
    write_plain(queue, [cell(7, parent="cell-0")])
    with pytest.raises(GlasslibError, match="another structure"):
        label_queue(queue, out, coarse=True, quiet=True)
    wider = read_plain(out / "cell-0.extxyz")[0].copy()
    wider.set_cell(1.05 * wider.cell.array)
    write_plain(queue, [wider])
    with pytest.raises(GlasslibError, match="another structure"):
        label_queue(queue, out, coarse=True, quiet=True)


@needs_gpaw
def test_queue_killed_midway_goes_on_and_its_labels_are_right(tmp_path):
    """The whole chain with GPAW: two workers, kill -9 of everything, the same command again, labels in the data set."""
    queue, out = queue_of(tmp_path / "queue.extxyz", 3), tmp_path / "labels"
    code = f"from glasslib.reference.labelling import label_queue; print(label_queue({str(queue)!r}, {str(out)!r}, workers=2, coarse=True, quiet=True))"
    boss = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    for _ in range(1200):
        if listed(out, "*.extxyz"):
            break
        time.sleep(0.05)
    workers = [
        int(p) for p in subprocess.run(["pgrep", "-P", str(boss.pid)], capture_output=True, text=True).stdout.split()
    ]
    for process in [boss.pid, *workers]:
        os.kill(process, signal.SIGKILL)
    boss.wait()
    first = {p.name: p.read_bytes() for p in listed(out, "*.extxyz")}
    assert first
    result = label_queue(queue, out, workers=2, coarse=True, quiet=True)
    assert result == {"labelled": ["cell-0", "cell-1", "cell-2"], "failed": [], "left": []}
    assert {name: (out / name).read_bytes() for name in first} == first
    frames = collect(out, tmp_path / "set.extxyz")
    assert len(read_frames(tmp_path / "set.extxyz")) == len(frames) == 3

    # the forces are the slope of the energy along a displacement, at this coarse level to a per cent or so
    atoms, h = read_plain(out / "cell-0.extxyz")[0], 0.02
    along = atoms.get_forces() / np.linalg.norm(atoms.get_forces())
    energies = []
    for sign in (1, -1):
        moved = cell(0)
        moved.positions = atoms.positions + sign * h * along
        energies.append(gpaw.label(moved, gpaw.COARSE)["energy"])
    assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(np.linalg.norm(atoms.get_forces()), rel=0.05)
    assert frames[0].info["dE_dlnE"] < 0  # more plane waves, lower energy
    assert not [p for p in out.glob("*.json")], json.dumps(failures(out))


@needs_gpaw
def test_a_frame_whose_labelling_is_stopped_on_purpose_is_not_given_up(tmp_path, monkeypatch):
    queue, out = queue_of(tmp_path / "queue.extxyz", 1), tmp_path / "labels"

    def interrupted(running, out, wanted, quiet):
        for process in running:
            process.terminate()
            process.wait()
        os.close(claim(out, "cell-0"))  # as the worker did before it was stopped
        raise KeyboardInterrupt  # or a kill -9 of everything, which leaves the same files

    monkeypatch.setattr(labelling, "_watch", interrupted)
    for _ in range(2 * labelling.ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            label_queue(queue, out, coarse=True, quiet=True)
    assert not failures(out)


@needs_gpaw
def test_a_label_that_cannot_be_written_is_not_its_frames_fault(quick, tmp_path, monkeypatch):
    def full(path, frames):
        raise GlasslibError(f"cannot write {path}: the disk is full")

    queue, out = queue_of(tmp_path / "queue.extxyz", 1), tmp_path / "labels"
    out.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "write_plain", full)
        for _ in range(2 * labelling.ATTEMPTS):
            with pytest.raises(GlasslibError, match="disk is full"):
                work(queue, out, coarse=True)
            labelling._count(out, ["cell-0"])  # as the living queue does that saw its worker end
    with monkeypatch.context() as patch:
        patch.setattr(gpaw, "label", raises(OSError(errno.ENOSPC, "No space left on device")))  # its protocol
        with pytest.raises(GlasslibError, match="disk is full"):
            work(queue, out, coarse=True)
    assert not failures(out) and not list(out.glob("*.claim"))
    work(queue, out, coarse=True)
    assert len(read_plain(out / "cell-0.extxyz")) == 1


@needs_gpaw
def test_a_frame_labelled_at_another_level_leaves_its_derivative_behind(quick, tmp_path):
    stale, same = cell(0), cell(1)
    for atoms, level in ((stale, "other"), (same, gpaw.FULL.name)):
        atoms.info |= {"level": level, "dE_dlnE": -77.0, "stress_raw": np.eye(3), "stress_correction": np.eye(3)}
    write_plain(tmp_path / "queue.extxyz", [stale, same])
    (tmp_path / "labels").mkdir()
    work(tmp_path / "queue.extxyz", tmp_path / "labels")
    old, kept = (read_plain(tmp_path / f"labels/cell-{s}.extxyz")[0].info for s in (0, 1))
    assert not {"dE_dlnE", "stress_raw", "stress_correction"} & set(old) and kept["dE_dlnE"] == -77.0


@needs_gpaw
def test_the_force_on_an_atom_held_in_place_is_labelled(monkeypatch):
    class Pull(Calculator):
        implemented_properties = ("energy", "forces", "stress")

        def calculate(self, atoms=None, properties=(), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            self.results = {"energy": 1.0, "forces": np.ones((3, 3)), "stress": np.zeros(6)}

    monkeypatch.setattr(gpaw, "calculator", lambda level, log_file=None: Pull())
    held = cell(0)
    held.set_constraint(FixAtoms([0]))
    assert (gpaw.label(held)["forces"] == 1).all() and held.constraints
