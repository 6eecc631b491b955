import io
import os
import signal
import subprocess
import sys

import pytest

from glasslib import GlasslibError
from glasslib.files import atomic, folder, read_json, sha256, write_json
from glasslib.progress import Progress, clock


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError), atomic(path) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_kill_while_writing_never_shows_a_part(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import sys, time; from glasslib.files import atomic\n"
        f"with atomic({str(path)!r}) as t:\n t.write_text('half'); print('now', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "now\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert path.read_text() == "old"


def test_a_full_disk_is_a_clear_error():
    with pytest.raises(GlasslibError, match="disk is full|cannot write"), atomic("/dev/full/a.txt"):
        pass


def test_a_file_in_the_way_of_a_folder_is_a_clear_error(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(GlasslibError, match="choose another"):
        folder(tmp_path / "x")
    with pytest.raises(GlasslibError, match="choose another"), atomic(tmp_path / "x" / "y.txt"):
        pass


def test_json_round_trip_and_bad_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": [1, 2.5, "ü"]})
    assert read_json(path) == {"x": [1, 2.5, "ü"]}
    with pytest.raises(GlasslibError):
        write_json(path, {"x": float("nan")})
    assert read_json(path) == {"x": [1, 2.5, "ü"]}
    path.write_text('{"x": ')
    with pytest.raises(GlasslibError, match="not valid JSON"):
        read_json(path)
    with pytest.raises(GlasslibError, match="no such file"):
        read_json(tmp_path / "b.json")
    path.write_text("[" * 100_000)
    with pytest.raises(GlasslibError):
        read_json(path)


def test_sha256_of_the_empty_file(tmp_path):
    (tmp_path / "e").touch()
    assert sha256(tmp_path / "e") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_progress_in_a_log_is_plain_and_rare():
    log = io.StringIO()
    with Progress(10_000, "work", "steps", every=1000.0, stream=log) as bar:
        for _ in range(10_000):
            bar.update()
    assert log.getvalue().count("\n") == 1 and "\r" not in log.getvalue()
    assert "10000/10000 steps (100%)" in log.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (75, "1 min 15 s"), (7260, "2 h 1 min")])
def test_clock(seconds, text):
    assert clock(seconds) == text
