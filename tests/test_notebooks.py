"""Notebooks are tidy, and refuse what they cannot use with an error that says what to do."""

import json
import re
from pathlib import Path

import pytest

from glasslib import notebook, reference, workflow
from glasslib.errors import GlasslibError

NAMES = sorted(path.stem for path in notebook.NOTEBOOKS.glob("*.ipynb"))
UNITS = ("K", "ps", "fs", "Å", "1/Å", "g/cm³", "eV", "1", "no unit", "weight", "share", "rate", "level", "part of")


def cells(name):
    """Cells of a notebook."""
    return json.loads((notebook.NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]


def code(name):
    """Sources of the code cells."""
    return ["".join(cell["source"]) for cell in cells(name) if cell["cell_type"] == "code"]


def parameters_cell(name):
    """Source of the parameters cell."""
    (cell,) = (cell for cell in cells(name) if "parameters" in cell["metadata"].get("tags", []))
    return "".join(cell["source"])


def test_there_is_a_notebook_for_every_step():
    assert [name[:2] for name in NAMES] == [f"{k:02d}" for k in range(1, len(NAMES) + 1)]
    assert set(workflow.FIGURES) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_valid_and_stripped(name):
    import nbformat

    nbformat.validate(nbformat.read(notebook.NOTEBOOKS / f"{name}.ipynb", as_version=4))
    for cell in cells(name):
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert "papermill" not in cell["metadata"] and "execution" not in cell["metadata"]
    assert len({cell["id"] for cell in cells(name)}) == len(cells(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_comment_and_every_number_a_unit(name):
    lines = parameters_cell(name).strip().splitlines()
    assert lines
    for line in lines:
        match = re.fullmatch(r"(\w+) = (.+?)  # (\S.*)", line)
        assert match, f"{name}: {line!r} is not `name = value  # unit, comment`"
        value, comment = eval(match[2]), match[3]
        if isinstance(value, float) or (isinstance(value, list) and value and isinstance(value[0], float)):
            assert any(re.search(rf"(^|[\s,;:(]){re.escape(unit)}($|[\s,;:)/²³])", comment) for unit in UNITS), (
                f"{name}: {line!r} names no unit"
            )
    assert notebook.declared(name).keys() == {line.split(" = ")[0] for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_define_nothing_and_begin_and_sign(name):
    source = "\n".join(code(name))
    assert not re.search(r"^\s*(def|class|async def)\s", source, re.M)
    assert not re.search(r"\blambda\b", source)
    assert f'notebook.begin(globals(), "{name}")' in source
    assert "run.sign()" in source
    drawn = [c for c in code(name) if re.search(r"figures\.(?!style|about|as_png|front)\w+\(", c)]
    assert all("run.sign()" in cell for cell in drawn)


@pytest.mark.parametrize("name", NAMES)
def test_prose_outweighs_nothing_but_is_there(name):
    prose = [cell for cell in cells(name) if cell["cell_type"] == "markdown"]
    assert "".join(prose[0]["source"]).startswith("# ")
    assert sum(len("".join(cell["source"]).split()) for cell in prose) > 80


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"run_dri": "runs/quick"}, "no parameter 'run_dri': did you mean 'run_dir'"),
        ({"run_dir": 3}, "parameter 'run_dir' .*must be of type str"),
        ({"run_dir": "runs/nothing-here"}, "no trajectories in runs/nothing-here/trajectories: make them with"),
    ],
)
def test_a_wrong_parameter_stops_papermill_with_an_error_that_helps(given, message, tmp_path, monkeypatch):
    import papermill

    monkeypatch.chdir(Path(__file__).parent.parent)
    source = notebook.NOTEBOOKS / "06_mean_squared_displacement.ipynb"
    with pytest.raises(papermill.exceptions.PapermillExecutionError) as caught:
        papermill.execute_notebook(source, tmp_path / "out.ipynb", given, kernel_name="python3", progress_bar=False)
    assert caught.value.ename == "GlasslibError"
    assert re.search(message, caught.value.evalue)


def test_the_workflow_passes_the_error_on_and_leaves_no_half_notebook(tmp_path):
    out = tmp_path / "out.ipynb"
    with pytest.raises(GlasslibError, match="make them with"):
        workflow.execute("06_mean_squared_displacement", out, {"run_dir": str(tmp_path / "nothing")})
    assert not out.exists()


@pytest.mark.parametrize("name", ["01_reference_data", "03_validation"])
def test_a_handful_of_frames_without_sodium_can_be_looked_at(name, tmp_path, monkeypatch):
    import papermill

    monkeypatch.chdir(Path(__file__).parent.parent)
    known = reference.split(reference.read_frames("data/frames"))["test"]
    silica = [atoms for atoms in known if "Na" not in atoms.symbols][:4]
    reference.write_frames(tmp_path / "frames.extxyz", silica)
    given = {"frames": str(tmp_path / "frames.extxyz")} | ({"length": 0.1} if name == "03_validation" else {})
    source = notebook.NOTEBOOKS / f"{name}.ipynb"
    made = papermill.execute_notebook(source, tmp_path / "out.ipynb", given, kernel_name="python3", progress_bar=False)
    assert sum(len(cell.outputs) for cell in made.cells if cell.cell_type == "code") > 5


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stale_when_any_part_that_it_uses_changes(name):
    text = (notebook.NOTEBOOKS / f"{name}.ipynb").read_text()
    used = set(re.findall(r"glasslib\.([a-z_]+)", text))
    for line in re.findall(r"from glasslib import ([a-z_, ]+)", text):
        used |= set(line.split(", "))
    lazy = {"load_potential": "potential", "random_structure": "systems"}
    used = {lazy.get(part, part) for part in used} - {"notebook", "files", "errors"}
    assert used <= set(notebook.parts(name))
