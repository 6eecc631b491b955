"""The command: every step can be asked for help, and every bad input ends in one line that says what to do."""

import re
from pathlib import Path

import h5py
import pytest

from glasslib import cli


def glasslib(monkeypatch, capsys, *words):
    """Exit status, standard output and standard error of a command."""
    monkeypatch.setattr("sys.argv", ["glasslib", *map(str, words)])
    try:
        cli.main()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    return status, *capsys.readouterr()


COMMANDS = [command.name or command.callback.__name__ for command in cli.app.registered_commands if not command.hidden]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(monkeypatch, capsys, command):
    status, text, _ = glasslib(monkeypatch, capsys, command, "--help")
    assert status == 0
    assert f"glasslib {command}" in re.sub(r"\x1b\[[0-9;]*m", "", text).split("Examples")[1]


BAD = {
    "unknown element": (["structure", "NX2", "a.xyz"], "NX2"),
    "unbalanced formula": (["structure", "20Na2O-", "a.xyz"], "Na2O"),
    "output in a folder that cannot be": (["structure", "NS2", "/proc/none/a.xyz"], "/proc/none"),
    "full disk": (["structure", "NS2", "/dev/full/a.xyz"], "/dev/full"),
    "negative density": (["structure", "NS2", "a.xyz", "--density", "-1"], "density"),
    "missing queue": (["label", "none.extxyz"], "none.extxyz"),
    "no labels folder": (["collect", "none", "a.extxyz"], "none"),
    "missing frames": (["train", "none"], "none"),
    "misspelt setting": (["train", "seed.extxyz", "--set", "featurs=3"], "featurs"),
    "setting without value": (["train", "seed.extxyz", "--set", "features"], "features"),
    "misspelt setting of a variant": (
        ["curve", "seed.extxyz", "a.csv", "--sizes", "1", "--variant", "featurs=3"],
        "featurs",
    ),
    "no such potential": (["evaluate", "nowhere", "seed.extxyz"], "nowhere"),
    "text for frames": (["evaluate", "default", "text.txt"], "text.txt"),
    "no such part": (["evaluate", "default", "seed.extxyz", "--part", "tset"], "tset"),
    "negative temperature": (["simulate", "NS2", "run.h5", "--temperature", "-5"], "temperature"),
    "missing start": (["simulate", "none.xyz", "run.h5"], "none.xyz"),
    "missing schedule": (["simulate", "NS2", "run.h5", "--schedule", "none.yml"], "none.yml"),
    "schedule that is a text": (["simulate", "NS2", "run.h5", "--schedule", "text.txt"], "schedule"),
    "misspelt profile": (["run", "quik"], "quik"),
    "misspelt profile to plan": (["plan", "quik"], "quik"),
    "trajectory of letters": (["analyse", "text.txt"], "text.txt"),
    "missing trajectory": (["analyse", "none.h5"], "none.h5"),
    "truncated trajectory": (["analyse", "torn.h5"], "torn.h5"),
    "HDF5 of something else": (["analyse", "other.h5"], "other.h5"),
    "no such notebook": (["notebook", "99_nothing", "a.ipynb"], "99_nothing"),
    "misspelt parameter": (["notebook", "07_relaxation", "a.ipynb", "-p", "qq=1"], "qq"),
    "parameters that are no JSON": (["notebook", "07_relaxation", "a.ipynb", "--json", "{"], "JSON"),
    "parameters that are a list": (["notebook", "07_relaxation", "a.ipynb", "--json", "[1]"], "object"),
    "run that is not there": (["book", "none"], "none"),
    "nothing to trace": (["trace", "none.nc"], "none.nc"),
    "no manifest": (["verify", "."], "MANIFEST"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(monkeypatch, capsys, tmp_path, case):
    words, named = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("no atoms in here\n")
    (tmp_path / "seed.extxyz").write_bytes((Path(__file__).parents[1] / "data/frames/seed.extxyz").read_bytes())
    with h5py.File("other.h5", "w") as file:
        file["numbers"] = [1, 2, 3]
    (tmp_path / "torn.h5").write_bytes((tmp_path / "other.h5").read_bytes()[:1000])
    before = sorted(tmp_path.iterdir())
    status, _, message = glasslib(monkeypatch, capsys, *words)
    assert status == 2
    assert message.startswith("error: ") and message.count("\n") == 1, message
    assert named in message and "Traceback" not in message
    assert sorted(tmp_path.iterdir()) == before
