import json

import pytest
from ase.build import molecule

from glasslib import GlasslibError, notebook
from glasslib.provenance import (
    RunRecord,
    ancestry,
    content_hash,
    hashes,
    keep_key,
    key_of,
    library_files,
    made_for,
    record_path,
    verify_manifest,
    write_manifest,
)


def test_ancestry_leads_to_the_sources_and_sees_alterations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("frames", "model", "figure"):
        (tmp_path / name).write_text(name)
    RunRecord("training", {"features": 64}, inputs=["frames"]).save("model")
    RunRecord("analysis", {}, inputs=["model"], seeds={"bootstrap": 1}).save("figure")
    lines = list(ancestry("figure"))
    assert [(depth, name) for depth, name, _ in lines] == [(0, "figure"), (1, "model"), (2, "frames")]
    assert lines[2][2] == "source"
    (tmp_path / "frames").write_text("changed")
    assert "not the version" in list(ancestry("figure"))[2][2]
    (tmp_path / "model").write_text("changed")
    assert "altered" in list(ancestry("figure"))[1][2]
    (tmp_path / "frames").unlink()
    assert list(ancestry("figure"))[2][2] == "missing"


def test_ancestry_finds_an_input_that_was_replaced_where_it_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("data/frames", "data/old", "data/model"):
        (tmp_path / name).write_text(name)
    RunRecord("training", {}, inputs=["data/frames"]).save("data/old")
    (tmp_path / "data" / "model").write_text("data/old")  # the old model was the model then, …
    RunRecord("training", {}, inputs=["data/model"]).save("data/model")  # … and the new one began from it
    (tmp_path / "data" / "model").write_text("new")
    write_manifest("data")
    lines = list(ancestry("data/model"))
    assert [name for _, name, _ in lines] == ["data/model", "data/old", "data/frames"]
    assert "(then data/model)" in lines[1][2]


def test_a_record_names_what_was_read_and_not_what_came_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("frames", "model"):
        (tmp_path / name).write_text(name)
    record, before = RunRecord("training", {}, inputs=["frames"]), hashes(["frames"])
    (tmp_path / "frames").write_text("more")
    record.save("model")
    assert json.loads(record_path("model").read_text())["inputs"] == before


def test_a_record_holds_what_a_reader_needs(tmp_path):
    (tmp_path / "x.h5").write_text("x")
    RunRecord("dynamics", {"temperature": 3000}, seeds={"velocities": 7}).save(tmp_path / "x.h5")
    content = json.loads(record_path(tmp_path / "x.h5").read_text())
    assert content["parameters"] == {"temperature": 3000} and content["seeds"] == {"velocities": 7}
    assert {"sha256", "library", "packages", "machine", "started", "wall_seconds", "inputs"} <= content.keys()
    assert str(tmp_path) not in record_path(tmp_path / "x.h5").read_text()


def test_content_hash_changes_with_each_ingredient(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    first = content_hash({"q": 1.7}, [path], ("analysis",))
    assert first == content_hash({"q": 1.7}, [path], ("analysis",))
    assert first != content_hash({"q": 1.8}, [path], ("analysis",))
    assert first != content_hash({"q": 1.7}, [path], ("systems",))
    path.write_text("2")
    assert first != content_hash({"q": 1.7}, [path], ("analysis",))


def test_every_part_that_a_notebook_names_exists():
    for parts in [*notebook.PARTS.values(), notebook.FIGURE_PARTS]:
        assert library_files(parts)
    with pytest.raises(GlasslibError):
        library_files(("nowhere",))


def test_manifest_finds_missing_altered_and_unlisted_files(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path)
    assert verify_manifest(tmp_path) == []
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_text("x")
    (tmp_path / "d").write_text("d")
    problems = verify_manifest(tmp_path)
    assert [p.split(":")[0] for p in problems] == ["missing", "altered", "not in the manifest"]


def test_files_of_one_name_in_two_folders_both_count(tmp_path):
    paths = [tmp_path / folder / "x.nc" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.write_text("1")
    assert len(hashes(paths)) == 2
    for path in paths:
        before = content_hash({}, paths, ("systems",))
        path.write_text("2")
        assert content_hash({}, paths, ("systems",)) != before


def test_what_was_made_from_something_else_is_not_taken_for_current(tmp_path):
    water, path = molecule("H2O"), tmp_path / "made"
    moved = water.copy()
    moved.positions[0, 0] += 1e-9
    assert key_of([water], 1.0) == key_of([water.copy()], 1.0)
    assert len({key_of([water], 1.0), key_of([moved], 1.0), key_of([water], 2.0), key_of([water, water], 1.0)}) == 4
    keep_key(path, "first")
    assert not made_for(path, "first")  # not there yet
    path.touch()
    assert made_for(path, "first") and not made_for(path, "second")


def test_ancestry_is_found_from_any_folder(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project / "data", project / "runs", elsewhere):
        folder.mkdir(parents=True)
    monkeypatch.chdir(project)
    (project / "data/frames").write_text("frames")
    (project / "runs/model").write_text("model")
    RunRecord("training", {}, inputs=["data/frames"]).save("runs/model")
    monkeypatch.chdir(elsewhere)
    assert [remark for *_, remark in ancestry(project / "runs/model")][1] == "source"
    record_path(project / "runs/model").write_text("[1]")
    with pytest.raises(GlasslibError, match="no record of this library"):
        list(ancestry(project / "runs/model"))
