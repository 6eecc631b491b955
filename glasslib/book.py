"""The rendered book: executed notebooks checked against their sources, put beside the pages of `book/`, and built by jupyter-book."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import notebook
from .errors import GlasslibError
from .files import folder, read_json, write_json
from .profiles import ROOT, load_profile, parameters

PLACES = {"run_dir", "results", "output", "composition", "temperature", "replica", "atoms"}


def outdated(run):
    """What is missing in a run, or was made from sources, data or parameters that have changed since: a list of sentences."""
    problems, name = [], Path(run).name
    here = (ROOT / "profiles" / f"{name}.yml").exists()  # else it was made from a profile that lies elsewhere
    profile = load_profile(name) if here else None
    for source in sorted(notebook.NOTEBOOKS.glob("*.ipynb")):
        executed = Path(run) / "notebooks" / source.name
        if executed.exists():
            wanted = given(profile, source.stem, run) if profile else {}
            problems += [f"{source.stem}: {reason}" for reason in notebook.stale(executed, wanted)]
        else:
            problems.append(f"{source.stem} has not been executed")
    return problems


def given(profile, name, run):
    """Parameters that a profile gives to a notebook, but for those that say where a run lies and which state it is of."""
    values = {key: value for key, (value, _) in notebook.declared(name).items()} | parameters(profile, name, run)
    return {key: value for key, value in values.items() if key not in PLACES}


def stage(run, target="_build/source"):
    """Put together what jupyter-book reads: the pages of `book/` and the executed notebooks of `run`.

    Raises
    ------
    GlasslibError
        Naming executed notebooks that are missing or stale.
    """
    target = Path(target)
    if not Path(run).is_dir():
        raise GlasslibError(f"no run {str(run)!r}: `glasslib run {Path(run).name}` makes it")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "book", folder(target.parent) / target.name)
    folder(target / "notebooks")
    problems = outdated(run)
    for source in sorted(notebook.NOTEBOOKS.glob("*.ipynb")):
        executed = Path(run) / "notebooks" / source.name
        if executed.exists():
            write_json(target / "notebooks" / source.name, tidy(read_json(executed)))
    if problems:
        raise GlasslibError(
            f"the book of {run} would be out of date: {'; '.join(problems)}: run `glasslib run {Path(run).name}` again"
        )
    return target


def tidy(executed):
    """An executed notebook for readers: its parameters cell shows the values that were used, papermill's own cell is gone."""
    given = {}
    for cell in executed["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            exec("".join(cell["source"]), {}, given)  # assignments of literals that papermill wrote
    cells = [cell for cell in executed["cells"] if "injected-parameters" not in cell["metadata"].get("tags", [])]
    for cell in cells:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = re.sub(
                r"^(\w+) = (.*?)(  # .*)$",
                lambda line: f"{line[1]} = {given[line[1]]!r}{line[3]}" if line[1] in given else line[0],
                "".join(cell["source"]),
                flags=re.M,
            )
    return executed | {"cells": cells}


def build_book(run, output="."):
    """Render the book from the executed notebooks of `run` to `<output>/_build/html`, warnings being errors."""
    source = stage(run)
    command = [
        sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source), "--toc", str(ROOT / "book" / "_toc.yml"), "--config",
        str(ROOT / "_config.yml"), "--path-output", str(output), "--warningiserror", "--keep-going", "--quiet",
    ]  # fmt: skip
    html = Path(output) / "_build" / "html"
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "0"})
    log = result.stdout + result.stderr
    if result.returncode or not (html / "index.html").exists():
        shown = [line for line in log.splitlines() if re.search(r"WARNING|ERROR|Error", line)] or log.splitlines()[-15:]
        raise GlasslibError("jupyter-book could not build the book:\n" + "\n".join(shown))
    return html / "index.html"
