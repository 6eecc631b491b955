"""Runs that are killed, starved of disk or damaged go on bit for bit as if nothing had happened."""

import os
import signal
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from glasslib import GlasslibError, dynamics, files, provenance
from glasslib.dynamics import simulation, store
from glasslib.trajectory import Trajectory

KILLS = int(os.environ.get("GLASSLIB_KILLS", "14"))
STAGES = {
    "nve": {"ensemble": "nve"},
    "langevin": {"ensemble": "nvt", "thermostat": "langevin", "temperature": [900, 500]},
    "bussi": {"ensemble": "nvt", "thermostat": "bussi", "temperature": [900, 500]},
    "nose-hoover": {"ensemble": "nvt", "thermostat": "nose-hoover", "temperature": [900, 500]},
    "mtk": {"ensemble": "npt", "temperature": [900, 500], "pressure": [0, 2]},
    "mtk full": {"ensemble": "npt", "cell": "full", "temperature": 700, "pressure": 1},
    "langevin npt": {"ensemble": "npt", "thermostat": "langevin", "temperature": [900, 500], "pressure": [0, 2]},
    "langevin npt full": {
        "ensemble": "npt",
        "thermostat": "langevin",
        "cell": "full",
        "temperature": 700,
        "pressure": 1,
    },
    "compress": {"ensemble": "nvt", "temperature": 700, "density": 9.5},
    "strain": {"ensemble": "nvt", "temperature": 700, "thermostat": "nose-hoover", "strain": {"xx": 0.05, "xy": 0.02}},
}


def crystal():
    """Copper hot enough that neighbour lists are rebuilt within a few steps."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=1)
    return atoms


def schedule(kind="langevin", length=0.08):
    """Two recorded stages and the boundary between them, 2 fs a step."""
    warm = {
        "ensemble": "nvt",
        "temperature": 1200,
        "length": 0.03,
        "timestep": 2,
        "output": "linear",
        "interval": 0.004,
    }
    return [warm, STAGES[kind] | {"length": length, "timestep": 2, "output": "log", "block": length / 2}]


def go(out, kind="langevin", calculator=None, **options):
    settings = {"seed": 3, "checkpoint_every": 4, "log_every": 3, "quiet": True} | options
    return dynamics.run(crystal(), calculator or Remembering(), schedule(kind), out, **settings)


def content(path):
    run = Trajectory.open(path)
    return {"positions": np.asarray(run.positions), "cell": run.cells, "time": run.time, "step": run.step} | run.log


def assert_same_run(found, expected):
    found, expected = content(found), content(expected)
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name].tobytes() == expected[name].tobytes(), name


class Interrupted(Exception):
    pass


class Remembering(EMT):
    """EMT whose forces depend on where its neighbour list was last built, as rounding does with a real list, only far more."""

    built = None

    def reset(self):
        super().reset()
        self.built = None

    def calculate(self, *args):
        super().calculate(*args)
        if self.built is None or np.abs(self.atoms.positions - self.built).max() > 0.05:
            self.built = self.atoms.positions.copy()
        self.results["forces"] = self.results["forces"] + 1e-7 * (self.atoms.positions - self.built)


class Flaky(Remembering):
    """A potential that stops at its n-th evaluation, like a process that dies."""

    def __init__(self, last):
        super().__init__()
        self.left = last

    def calculate(self, *args):
        self.left -= 1
        if self.left < 0:
            raise Interrupted
        super().calculate(*args)


def in_child(action):
    """Run `action` in a forked process and return its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return pid


@pytest.mark.parametrize("kind", STAGES)
def test_an_interrupted_run_of_every_integrator_continues_bit_for_bit(tmp_path, kind):
    whole = go(tmp_path / "whole.h5", kind)
    for last in (9, 14, 18):
        with pytest.raises(Interrupted):
            go(tmp_path / "b.h5", kind, Flaky(last))
        assert not (tmp_path / "b.h5").exists()
    assert_same_run(go(tmp_path / "b.h5", kind), whole)
    assert not store.work_folder(tmp_path / "b.h5").exists()


@pytest.mark.parametrize("kind", STAGES)
def test_checkpoints_do_not_disturb_the_dynamics(tmp_path, kind):
    """State that a checkpoint forgets is lost in the unbroken run, too: it must go on as if there were no checkpoint."""
    often = content(go(tmp_path / "often.h5", kind, EMT(), checkpoint_every=3))
    never = content(go(tmp_path / "never.h5", kind, EMT(), checkpoint_every=10**6))
    assert np.allclose(often["positions"], never["positions"], atol=2e-6)
    assert np.allclose(often["cell"], never["cell"], atol=1e-8) and np.array_equal(often["time"], never["time"])
    for name in never.keys() - {"positions", "cell", "time", "step"}:
        assert np.allclose(often[name], never[name], rtol=1e-7, atol=1e-8, equal_nan=True), name


def test_kill_9_at_random_moments_leaves_no_trace_in_the_trajectory(tmp_path):
    start = time.monotonic()
    whole = go(tmp_path / "whole.h5", checkpoint_every=1)
    span = time.monotonic() - start
    rng = np.random.default_rng(11)
    kills = 0
    for attempt in range(20 * KILLS):
        if kills >= KILLS:
            break
        out = tmp_path / f"{attempt}.h5"
        while not out.exists():
            pid = in_child(lambda out=out: go(out, checkpoint_every=1))
            time.sleep(rng.uniform(0.05, 0.9) * span)
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            kills += os.WIFSIGNALED(status)
        assert_same_run(go(out, checkpoint_every=1), whole)
    assert kills >= KILLS


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_kill_9_within_each_write_leaves_no_trace_in_the_trajectory(tmp_path, call):
    whole = go(tmp_path / "whole.h5")

    def killed_at(number, out):
        count = [0]

        def armed(real):
            def function(*args, **options):
                count[0] += 1
                if count[0] == number:
                    if call == "write":  # a torn record
                        real(args[0], bytes(args[1])[: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            return function

        if call == "write":
            append = armed(lambda file, data: file.write(data))

            def torn(records, record):
                data = record.tobytes()
                append(records.file, data)
                records.size += len(data)
                records.crc = store.zlib.crc32(data, records.crc)

            store.Records.append = torn
        else:
            setattr(os, call, armed(getattr(os, call)))
        go(out)

    for number in (1, 2, 3, 5, 8, 14):
        out = tmp_path / f"{number}.h5"
        _, status = os.waitpid(in_child(lambda number=number, out=out: killed_at(number, out)), 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert_same_run(go(out), whole)


def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path, monkeypatch):
    whole = go(tmp_path / "whole.h5")
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 20:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GlasslibError, match="disk is full: free some space and run the same command again"):
        go(tmp_path / "b.h5")
    monkeypatch.undo()
    assert len(dynamics.so_far(tmp_path / "b.h5")) > 0
    assert_same_run(go(tmp_path / "b.h5"), whole)


def test_a_folder_removed_under_the_run_is_made_again_with_all_frames(tmp_path):
    whole = go(tmp_path / "whole.h5")

    class Removing(Remembering):
        calls = 0

        def calculate(self, *args):
            Removing.calls += 1
            if Removing.calls == 30:
                store.shutil.rmtree(tmp_path / "sub")
            super().calculate(*args)

    assert_same_run(go(tmp_path / "sub" / "b.h5", calculator=Removing()), whole)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    whole = go(tmp_path / "whole.h5")
    with pytest.raises(Interrupted):
        go(tmp_path / "b.h5", calculator=Flaky(40))
    folder = store.work_folder(tmp_path / "b.h5")
    newest = max((folder / "checkpoint-0", folder / "checkpoint-1"), key=lambda p: store.read_checkpoint(p)[0]["step"])
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes({"truncated": data[: len(data) // 2], "flipped": data, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="is damaged: falling back to the one before"):
        found = go(tmp_path / "b.h5")
    assert_same_run(found, whole)


@pytest.mark.parametrize(("place", "lost"), [(-10, False), (0, True)])
def test_damaged_frames_are_noticed(tmp_path, place, lost):
    whole = go(tmp_path / "whole.h5")
    with pytest.raises(Interrupted):
        go(tmp_path / "b.h5", calculator=Flaky(40))
    frames = store.work_folder(tmp_path / "b.h5") / "frames.bin"
    data = bytearray(frames.read_bytes())
    data[place] ^= 1
    frames.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if lost:  # that frame belongs to both checkpoints
            with pytest.raises(GlasslibError, match="restore that folder, or remove it"):
                go(tmp_path / "b.h5")
        else:
            assert_same_run(go(tmp_path / "b.h5"), whole)


def test_two_processes_cannot_run_the_same_output(tmp_path):
    with store.Store(tmp_path / "a.h5", 32), pytest.raises(GlasslibError, match="another process is running"):
        go(tmp_path / "a.h5")


def test_a_run_that_is_complete_is_not_run_again(tmp_path):
    path = go(tmp_path / "a.h5")
    stamp = path.stat().st_mtime_ns
    go(tmp_path / "a.h5")
    assert path.stat().st_mtime_ns == stamp
    go(tmp_path / "a.h5", seed=4)
    assert path.stat().st_mtime_ns != stamp
    assert (tmp_path / "a.h5.aside-1").stat().st_mtime_ns == stamp  # the other run is kept


def test_a_folder_in_place_of_the_output_is_refused_before_the_run(tmp_path):
    (tmp_path / "a.h5").mkdir()
    with pytest.raises(GlasslibError, match="is a folder"):
        go(tmp_path / "a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_a_disk_without_room_for_the_trajectory_is_told_and_nothing_is_lost(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(GlasslibError, match="disk is full"):
        patch.setattr(files.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
        go(tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()
    assert_same_run(go(tmp_path / "a.h5"), go(tmp_path / "b.h5"))


def test_a_kill_while_its_work_folder_is_removed_does_not_cost_the_run(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(store.shutil, "rmtree", lambda *args, **options: None)  # as if killed before it began
        path = go(tmp_path / "a.h5")
    stamp = path.stat().st_mtime_ns
    go(tmp_path / "a.h5")
    assert path.stat().st_mtime_ns == stamp


def test_a_kill_before_its_work_folder_is_removed_leaves_one_copy_of_the_run(tmp_path, monkeypatch):
    whole = go(tmp_path / "whole.h5")
    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "remove", lambda self: None)
        path = go(tmp_path / "a.h5")
    assert store.work_folder(path).exists()
    assert_same_run(go(tmp_path / "a.h5"), whole)
    assert not store.work_folder(path).exists() and not list(tmp_path.glob("*.aside-*"))


def test_an_unfinished_run_with_other_settings_is_kept_aside(tmp_path, capsys):
    with pytest.raises(Interrupted):
        go(tmp_path / "a.h5", calculator=Flaky(30))
    assert_same_run(go(tmp_path / "a.h5", seed=4), go(tmp_path / "b.h5", seed=4))
    assert (tmp_path / "a.h5.run.aside-1" / "frames.bin").exists()
    assert "moved to" in capsys.readouterr().err


def test_another_potential_does_not_continue_the_run(tmp_path):
    class Stiffer(Remembering):
        def calculate(self, *args):
            super().calculate(*args)
            self.results["forces"] = 1.1 * self.results["forces"]

    with pytest.raises(Interrupted):
        go(tmp_path / "a.h5", calculator=Flaky(30))
    assert_same_run(go(tmp_path / "a.h5", calculator=Stiffer()), go(tmp_path / "b.h5", calculator=Stiffer()))
    assert_same_run(go(tmp_path / "b.h5"), go(tmp_path / "c.h5"))  # nor does it replace a run that is complete
    assert (tmp_path / "b.h5.aside-1").exists()


def test_frames_of_a_run_under_way_can_be_read(tmp_path):
    whole = Trajectory.open(go(tmp_path / "whole.h5"))
    with pytest.raises(Interrupted):
        go(tmp_path / "a.h5", calculator=Flaky(40))
    part = dynamics.so_far(tmp_path / "a.h5")
    assert 0 < len(part) < len(whole)
    assert np.array_equal(part.positions, whole.positions[: len(part)]) and np.array_equal(
        part.time, whole.time[: len(part)]
    )
    assert part.attrs["potential"] == "flaky"


def test_a_ramp_resumed_in_the_middle_continues_at_its_temperature(tmp_path, monkeypatch):
    asked = []
    real = dynamics.simulation.set_targets
    monkeypatch.setattr(dynamics.simulation, "set_targets", lambda i, t, p: (asked.append(t), real(i, t, p)))
    with pytest.raises(Interrupted):
        go(tmp_path / "a.h5", calculator=Flaky(45))
    before = len(asked)
    go(tmp_path / "a.h5")
    ramp = 900 + (500 - 900) * (np.arange(40) + 0.5) / 40
    assert asked[:before] == pytest.approx(ramp[:before])
    assert asked[before:] == pytest.approx(ramp[40 - (len(asked) - before) :])
    assert 0 < 40 - (len(asked) - before) <= before


def test_final_state_starts_the_next_run_where_the_last_one_ended(tmp_path):
    path = go(tmp_path / "a.h5", "nve", log_every=7)  # whose last entry is not the end
    atoms = dynamics.final_state(path)
    assert atoms.info["time"] == pytest.approx(0.11)
    run = Trajectory.open(path)
    assert np.allclose(atoms.positions, run.positions[-1], atol=1e-6)
    atoms.calc = EMT()
    total = atoms.get_total_energy()
    assert total == pytest.approx(run.log["conserved_energy"][-1], abs=0.02)


def test_where_nothing_can_be_written_the_error_names_the_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GlasslibError, match="file"):
        go(Path(tmp_path / "file" / "a.h5"))


def test_a_refused_run_does_not_hide_the_finished_one_of_that_name(tmp_path):
    path = go(tmp_path / "a.h5")
    stamp, end = path.stat().st_mtime_ns, dynamics.final_state(path).positions
    with pytest.raises(GlasslibError, match="at rest"):
        dynamics.run(crystal(), EMT(), [{"ensemble": "nve", "length": 0.02}], path, quiet=True)
    assert not store.work_folder(path).exists()
    store.work_folder(path).mkdir()  # as left by a kill before the first checkpoint
    assert (dynamics.final_state(path).positions == end).all() and len(dynamics.so_far(path)) == len(
        Trajectory.open(path)
    )
    go(tmp_path / "a.h5")
    assert path.stat().st_mtime_ns == stamp


def test_what_another_process_has_ended_meanwhile_is_not_run_again(tmp_path, monkeypatch):
    path = go(tmp_path / "a.h5")
    stamp, answers = path.stat().st_mtime_ns, iter([False])
    asked = simulation.Simulation._complete
    monkeypatch.setattr(
        simulation.Simulation, "_complete", lambda self: next(answers, None) is not False and asked(self)
    )
    go(tmp_path / "a.h5")
    assert path.stat().st_mtime_ns == stamp and not store.work_folder(path).exists()


def test_a_trajectory_that_is_moved_aside_takes_its_record_along(tmp_path):
    path = go(tmp_path / "a.h5")
    before = provenance.record_path(path).read_bytes()
    go(tmp_path / "a.h5", seed=4)
    aside = tmp_path / "a.h5.aside-1"
    assert provenance.record_path(aside).read_bytes() == before != provenance.record_path(path).read_bytes()
