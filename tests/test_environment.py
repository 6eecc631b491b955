"""The ways to install the project agree with each other."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())


def requirements():
    extras = [r for group in PROJECT["optional-dependencies"].values() for r in group]
    return [r for r in [*PROJECT["dependencies"], *extras] if not r.startswith("glasslib")]


def canonical(name):
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ]", name)[0]).lower()


def test_every_dependency_is_pinned():
    pinned = {canonical(name) for name in CONSTRAINTS}
    assert [r for r in requirements() if canonical(r) not in pinned] == []


def test_pins_of_the_project_and_of_the_constraints_agree():
    exact = dict(r.split("==") for r in requirements() if "==" in r)
    pinned = {canonical(name): version for name, version in CONSTRAINTS.items()}
    assert exact["torch"] == "2.13.0" and exact["jupyter-book"] == "1.0.4.post1"
    assert {name: pinned[canonical(name)] for name in exact} == exact


def test_locks_hold_the_pinned_versions_of_what_is_needed_each_with_a_hash():
    entries = {}
    for name in ("requirements.lock", "requirements-dft.lock"):
        for line in re.sub(r"\s*\\\n\s*", " ", (ROOT / name).read_text()).splitlines():
            pin, *hashes = line.split()
            assert hashes and all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", part) for part in hashes), line
            entries[canonical(pin)] = pin.split("==")[1]
    pinned = {canonical(name): version for name, version in CONSTRAINTS.items()}
    assert {name: entries[name] for name in entries if name in pinned and entries[name] != pinned[name]} == {}
    assert set(entries) - set(pinned) <= {"setuptools", "wheel"}  # which `pip freeze` leaves out
    assert {canonical(r) for r in requirements()} - set(entries) == {"torch", "triton"}


def test_conda_users_get_the_same_packages_and_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"] and PROJECT["requires-python"] == ">=3.11,<3.12"
    assert pip["pip"] == ["--constraint constraints.txt", "--editable .[dev]"]


def test_the_version_is_told_once():
    import glasslib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert glasslib.__version__ == PROJECT["version"] == citation["version"]
