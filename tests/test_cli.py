"""The command: every step can be asked for help, and every bad input ends in one line that says what to do."""

import re
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms

from glasslib import GlasslibError, Trajectory, analysis, cli
from glasslib.files import read_json, sha256
from glasslib.provenance import record_path


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
    "misspelt setting of all trainings": (
        ["curve", "seed.extxyz", "a.csv", "--sizes", "1", "--set", "featurs=3"],
        "featurs",
    ),
    "seeds in words": (["curve", "seed.extxyz", "a.csv", "--sizes", "1", "--seeds", "one"], "--seeds"),
    "one temperature": (["curve", "seed.extxyz", "a.csv", "--sizes", "1", "--temperatures", "2000"], "--temperatures"),
    "no test frame so hot": (["curve", "seed.extxyz", "a.csv", "--sizes", "1", "--temperatures", "9000,9999"], "9000"),
    "committee of one": (["calibrate", "default", "seed.extxyz"], "calibrate a committee"),
    "results of nothing": (["merge", "none", "into"], "none"),
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
    "dump of types without species": (["analyse", "types.dump", "--timestep", "1"], "--species"),
    "dump with a species too few": (["analyse", "types.dump", "--timestep", "1", "--species", "O,Na"], "2 species"),
    "dump with a misspelt species": (["analyse", "types.dump", "--timestep", "1", "--species", "O,Na,Xx"], "'Xx'"),
    "dump of steps without timestep": (["analyse", "types.dump", "--species", "O,Na,Si"], "--timestep"),
    "one trajectory as two replicas": (["analyse", "md.traj", "./md.traj", "--interval", "1"], "given twice"),
    "frames without time": (["analyse", "md.traj"], "--interval"),
    "negative interval": (["analyse", "md.traj", "--interval", "-1"], "interval"),
    "no such notebook": (["notebook", "99_nothing", "a.ipynb"], "99_nothing"),
    "misspelt parameter": (["notebook", "07_relaxation", "a.ipynb", "-p", "qq=1"], "qq"),
    "parameters that are no JSON": (["notebook", "07_relaxation", "a.ipynb", "--json", "{"], "JSON"),
    "parameters that are a list": (["notebook", "07_relaxation", "a.ipynb", "--json", "[1]"], "object"),
    "run that is not there": (["book", "none"], "none"),
    "nothing to trace": (["trace", "none.nc"], "none.nc"),
    "no manifest": (["verify", "."], "MANIFEST"),
}


SYMBOLS = ["O", "O", "O", "Na", "Na", "Si"]


def write_walk():
    """The same wrapped walk as md.traj, which has no time, and types.dump, of types and step numbers only; its unwrapped positions."""
    rng = np.random.default_rng(0)
    walk = rng.random((6, 3)) * 8 + np.cumsum(rng.normal(0.2, 0.3, (30, 6, 3)), axis=0)
    ase.io.write("md.traj", [Atoms(SYMBOLS, frame % 8, cell=[8] * 3, pbc=True) for frame in walk])
    with open("types.dump", "w") as out:
        for number, frame in enumerate(walk % 8):
            out.write(
                f"ITEM: TIMESTEP\n{number * 50}\nITEM: NUMBER OF ATOMS\n6\nITEM: BOX BOUNDS pp pp pp\n" + "0 8\n" * 3
            )
            out.write("ITEM: ATOMS id type x y z\n")
            for atom, (x, y, z) in enumerate(frame):
                out.write(f"{atom + 1} {['O', 'Na', 'Si'].index(SYMBOLS[atom]) + 1} {x:.9f} {y:.9f} {z:.9f}\n")
    return walk


@pytest.mark.parametrize(
    ("name", "options"),
    [("md.traj", ["--interval", "0.1"]), ("types.dump", ["--timestep", "2", "--species", "O, Na,Si"])],
)
def test_analyse_takes_what_foreign_files_do_not_say(monkeypatch, capsys, tmp_path, name, options):
    monkeypatch.chdir(tmp_path)
    walk = write_walk()
    status, text, message = glasslib(monkeypatch, capsys, "analyse", name, *options, "--out", "results")
    assert status == 0, message
    path = tmp_path / "results" / f"{Path(name).stem}.nc"
    assert str(path.relative_to(tmp_path)) in text
    record = read_json(record_path(path))
    assert record["kind"] == "analysis" and record["inputs"] == {name: sha256(tmp_path / name)}
    found = analysis.load(path)["mean_squared_displacement"].msd
    exact = analysis.mean_squared_displacement(Trajectory(walk, SYMBOLS, np.eye(3) * 8, np.arange(30) * 0.1)).msd
    np.testing.assert_allclose(found.time, exact.time)
    np.testing.assert_allclose(found.sel(species=exact.species), exact, rtol=1e-6)


@pytest.mark.parametrize(("option", "kept"), [("--wrapped", False), ("--unwrapped", True)])
def test_analyse_is_told_whether_positions_are_wrapped(monkeypatch, capsys, tmp_path, option, kept):
    monkeypatch.chdir(tmp_path)
    walk = write_walk()
    seen = []

    def everything(replicas):
        seen.extend(replicas)
        raise GlasslibError("far enough")

    monkeypatch.setattr(analysis, "everything", everything)
    glasslib(monkeypatch, capsys, "analyse", "md.traj", "--interval", "0.1", option)
    assert np.allclose(np.diff(seen[0].positions, axis=0), np.diff(walk % 8 if kept else walk, axis=0))


def test_analyse_replaces_results_of_its_own_trajectory_only(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    for path in ("run.h5", "other/run.h5"):
        Trajectory(np.random.default_rng(0).random((1, 6, 3)) * 8, SYMBOLS, np.eye(3) * 8, [0.0]).save(path)
    target = tmp_path / "results" / "run.nc"
    for words in (["run.h5"], [str(tmp_path / "other" / ".." / "run.h5")], ["run.h5", "other/run.h5"]):
        assert glasslib(monkeypatch, capsys, "analyse", *words)[0] == 0
    before = target.read_bytes()
    for word in ("other/run.h5", "run.h5"):  # each alone would drop a replica
        status, _, message = glasslib(monkeypatch, capsys, "analyse", word)
        assert status == 2 and "results of another run" in message and "--out" in message
    assert target.read_bytes() == before and str(tmp_path).encode() not in before
    analysis.save(analysis.load(target), target)  # as written without a source
    assert glasslib(monkeypatch, capsys, "analyse", "other/run.h5")[0] == 0
    target.write_text("no results")
    assert glasslib(monkeypatch, capsys, "analyse", "run.h5")[0] == 0


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(monkeypatch, capsys, tmp_path, case):
    words, named = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("no atoms in here\n")
    (tmp_path / "seed.extxyz").write_bytes((Path(__file__).parents[1] / "data/frames/seed.extxyz").read_bytes())
    write_walk()
    with h5py.File("other.h5", "w") as file:
        file["numbers"] = [1, 2, 3]
    (tmp_path / "torn.h5").write_bytes((tmp_path / "other.h5").read_bytes()[:1000])
    before = sorted(tmp_path.iterdir())
    status, _, message = glasslib(monkeypatch, capsys, *words)
    assert status == 2
    assert message.startswith("error: ") and message.count("\n") == 1, message
    assert named in message and "Traceback" not in message
    assert sorted(tmp_path.iterdir()) == before
