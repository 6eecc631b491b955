"""The pipeline: profiles, the execution of notebooks, the run of a whole profile, and the building of the book.

The Snakefile holds the arrows; this file holds what the arrows do. A profile is a YAML file in `profiles/`: the sweep (compositions,
temperatures, replicas) and, under the name of each notebook, values for its parameters.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import yaml

from . import notebook
from .errors import GlasslibError, shown
from .files import atomic, explain, folder, read_json, regular, write_json
from .sweep import trajectory_path
from .systems import composition, random_structure

ROOT = Path(__file__).parent.parent
SWEEP = {"compositions": list, "temperatures": list, "replicas": int, "threads": int, "results": list}
SIMULATION = "04_simulation"
TRAINING_THREADS = 2
MOST = {"replicas": 10_000, "threads": 4096, "atoms": 10_000_000}
MOST_NODES = 100_000  # of a YAML file, aliases written out
FIGURES = (
    "05_structure",
    "06_mean_squared_displacement",
    "07_relaxation",
    "08_van_hove",
    "09_non_gaussian",
    "10_heterogeneity",
)


def load_profile(name_or_path):
    """Read and check a profile.

    Parameters
    ----------
    name_or_path : str
        "quick", "standard", "paper", or the path of a YAML file.

    Returns
    -------
    dict
        name, compositions, temperatures (K), replicas, threads (of one simulation), notebooks (name → parameters).

    Raises
    ------
    GlasslibError
        Naming the key that is unknown, missing or of a wrong type.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yml", ".yaml"):
        path = ROOT / "profiles" / f"{name_or_path}.yml"
    try:
        there = path.exists()
    except OSError:  # a name too long
        there = False
    if not there:
        known = ", ".join(sorted(p.stem for p in (ROOT / "profiles").glob("*.yml")))
        raise GlasslibError(f"no profile {shown(name_or_path)}: there are {known}, or give the path of a .yml file")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise GlasslibError(f"profile {path} must be a mapping of keys to values")
    names = sorted(p.stem for p in notebook.NOTEBOOKS.glob("*.ipynb"))
    for key in content:
        if key not in SWEEP and key not in names:
            raise GlasslibError(
                f"profile {path.name}: unknown key {shown(key)}{notebook.suggestion(key, [*SWEEP, *names])}"
            )
    for key, kind in SWEEP.items():
        if key not in content:
            if key in ("compositions", "temperatures"):
                raise GlasslibError(f"profile {path.name}: key {key!r} is missing")
            continue
        if not isinstance(content[key], kind) or isinstance(content[key], bool):
            raise GlasslibError(
                f"profile {path.name}: {key!r} must be of type {kind.__name__}, not {shown(content[key])}"
            )
    for key in ("compositions", "temperatures"):
        if not content[key]:
            raise GlasslibError(f"profile {path.name}: {key!r} is empty: give at least one")
    for name in content["compositions"]:
        if not isinstance(name, str):
            raise GlasslibError(f"profile {path.name}: composition {shown(name)} must be a name such as NS2")
        mixture, atoms = sized(name)
        composition(mixture).counts(atoms or 1)
    for value in content["temperatures"]:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 20000 or value % 1:
            raise GlasslibError(
                f"profile {path.name}: temperature {shown(value)} must be a whole number of kelvin above zero and below 20000"
            )
    for key in ("compositions", "temperatures"):
        if len(set(content[key])) < len(content[key]):
            raise GlasslibError(f"profile {path.name}: {key!r} names one value twice: {shown(content[key])}")
    profile = {"name": path.stem, "replicas": 1, "threads": 1, "results": []} | {
        k: v for k, v in content.items() if k in SWEEP
    }
    for name in names:
        if not isinstance(content.get(name) or {}, dict):
            raise GlasslibError(f"profile {path.name}: {name!r} must be a mapping of parameters to values")
    profile["notebooks"] = {name: notebook.checked(name, content.get(name) or {}) for name in names}
    for key in ("replicas", "threads"):
        most = MOST[key]
        if not 1 <= profile[key] <= most:
            raise GlasslibError(f"profile {path.name}: {key!r} must be from 1 to {most}, not {shown(profile[key])}")
    return profile


def sized(name):
    """Mixture and number of atoms of "NS2@300", a composition in a box of its own size; None for the number of "NS2"."""
    mixture, sign, atoms = name.partition("@")
    if sign and not (atoms.isdecimal() and atoms.isascii() and 0 < int(atoms) <= MOST["atoms"]):
        raise GlasslibError(f"composition {shown(name)}: after @ comes the number of atoms, from 1 to {MOST['atoms']}")
    return mixture, int(atoms) if sign else None


def states(profile):
    """All (composition, temperature, replica) of a profile, in the order in which they are worth running."""
    return [
        (c, t, r)
        for r in range(profile["replicas"])
        for t in sorted(profile["temperatures"], reverse=True)
        for c in profile["compositions"]
    ]


def parameters(profile, name, run, **extra):
    """Parameters that the workflow gives to notebook `name`: those of the profile, where the run lies, and `extra`."""
    known = notebook.declared(name)
    values = dict(profile["notebooks"][name])
    places = {"run_dir": str(run), "results": f"{run}/results", **extra}
    if "composition" in extra:
        places["composition"], atoms = sized(extra["composition"])
        places |= {"atoms": atoms} if atoms else {}
    return values | {key: value for key, value in places.items() if key in known}


def execute(name, output, given=None, timeout=None):
    """Execute a notebook with papermill.

    The executed notebook appears at `output` only when every cell has run; otherwise what was done stays beside it as
    `<output>.failed.ipynb`.

    Parameters
    ----------
    name : str
        Notebook in `notebooks/`, without the suffix.
    output : path
    given : dict, optional
        Parameters that differ from the notebook's own.
    timeout : float, optional
        Seconds that one cell may take.

    Raises
    ------
    GlasslibError
        The error that stopped the notebook, in one line.
    """
    import papermill

    output = Path(output)
    notebook.checked(name, given or {})
    if notebook.PROFILE in os.environ:  # a job of the workflow
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    failed = output.with_suffix(".failed.ipynb")
    with atomic(output) as temporary:
        try:
            papermill.execute_notebook(
                notebook.NOTEBOOKS / f"{name}.ipynb", temporary, given, kernel_name="python3", progress_bar=False, log_output=False,
                stdout_file=sys.stderr, stderr_file=sys.stderr, execution_timeout=timeout,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )  # fmt: skip
        except papermill.exceptions.PapermillExecutionError as error:
            shutil.copyfile(temporary, failed)
            raise GlasslibError(f"notebook {name}: {error.evalue} (as far as it came: {failed})") from None
    failed.unlink(missing_ok=True)


def _end_with(parent):
    """End this process, and with it its notebook's kernel, once `parent` has: else a Snakemake that is killed leaves its jobs behind."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def run(profile_name, cores=None, dry_run=False, forced=False):
    """Run a profile: training, every state point, figures and book. A state point that fails does not stop the others.

    Killed at any moment, the same command goes on: nothing finished is made again, nothing unfinished is taken for finished.

    Returns
    -------
    list of Path
        Trajectories that could not be made; empty when all went well.
    """
    profile = load_profile(profile_name)
    target = Path("runs") / profile["name"]
    wanted = [trajectory_path(target, *state) for state in states(profile)]
    if dry_run:
        print(plan(profile))
        _snakemake(profile_name, cores, "--dry-run", "--quiet", "rules", "reason")
        return []
    with _alone(target) as lock:
        force = ["--forceall"] if forced else []
        ok = _snakemake(profile_name, cores, "--keep-going", "--until", "simulate", *force, lock=lock)
        missing = [path for path in wanted if not path.exists()]
        if len(missing) == len(wanted):
            raise GlasslibError(f"no state point of profile {profile['name']} could be run: see the messages above")
        if not _snakemake(profile_name, cores, "--keep-going", partial=bool(missing) or not ok, lock=lock):
            raise GlasslibError(
                f"profile {profile['name']} did not finish: see the messages above; the same command goes on from there"
            )
    return missing


@contextmanager
def _alone(target):
    """Hold the lock of a run, for this process and the Snakemake that inherits it.

    Snakemake's own lock is a file that stays when it is killed, and would refuse the next run; this one goes with its last holder.
    """
    path = folder(target) / "lock"
    try:
        file = open(path, "a")  # noqa: SIM115, closed below
    except OSError as error:
        raise explain(error, path) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GlasslibError(f"another process is running {target}: wait for it or stop it") from None
        yield file.fileno()


def _snakemake(profile_name, cores, *options, partial=False, lock=None):
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores or len(os.sched_getaffinity(0))),
        "--rerun-incomplete", "--quiet", "progress", "rules", "--config", f"profile={profile_name}", f"partial={int(partial)}", *options,
        *([] if lock is None else ["--nolock"]),
    ]  # fmt: skip
    if "--dry-run" in options:
        command = [c for c in command if c not in ("--quiet", "progress", "rules", "reason")]
    return subprocess.run(command, cwd=Path.cwd(), pass_fds=[] if lock is None else [lock]).returncode == 0


def plan(profile):
    """What a profile will compute and what that costs, as text; the potential is timed here and now for the estimate."""
    from .dynamics import core_seconds_per_atom_step

    settings = profile["notebooks"][SIMULATION]
    values = {k: v for k, (v, _) in notebook.declared(SIMULATION).items()} | settings
    length = sum(values[k] for k in ("melt", "equilibrate", "produce"))
    steps = length * 1000 / values["timestep"]
    price = core_seconds_per_atom_step(values["potential"])
    total = 0.0
    lines = [
        f"profile {profile['name']}: {len(states(profile))} simulations of {length:g} ps, {steps:.0f} steps of {values['timestep']:g} fs"
    ]
    for name in profile["compositions"]:
        mixture, atoms = sized(name)
        counts = composition(mixture).counts(atoms or values["atoms"])
        hours = sum(counts.values()) * steps * price / 3600
        number = len(profile["temperatures"]) * profile["replicas"]
        total += hours * number
        lines.append(f"  {name}: {sum(counts.values())} atoms, {number} runs of {hours:.2g} core hours")
    lines.append(
        f"  together about {total:.2g} core hours at {price * 1e6:.0f} µs per atom and step on one core (timed now)"
    )
    return "\n".join(lines)


def outdated(run):
    """What is missing in a run, or was made from sources, data or parameters that have changed since: a list of sentences."""
    problems = []
    for source in sorted(notebook.NOTEBOOKS.glob("*.ipynb")):
        executed = Path(run) / "notebooks" / source.name
        if executed.exists():
            problems += [f"{source.stem}: {reason}" for reason in notebook.stale(executed)]
        else:
            problems.append(f"{source.stem} has not been executed")
    return problems


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


def parse_values(pairs):
    """Parameters from the command line: `name value` pairs, each value read as JSON where it is JSON and as a string where not."""
    values = {}
    for name, text in pairs:
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def pairs(texts):
    """(name, value) of each "name=value"; GlasslibError where the sign is missing."""
    split = [text.partition("=") for text in texts or []]
    for name, sign, _ in split:
        if not sign:
            raise GlasslibError(f"parameter {name!r} has no value: write {name}=VALUE")
    return [(name, value) for name, _, value in split]


def read_yaml(path):
    """Plain data of a YAML file, bounded in size also after its aliases are written out, with errors that name it."""
    regular(path, 1_000_000)
    try:
        loader = yaml.SafeLoader(Path(path).read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _bounded(node, path)
        return None if node is None else loader.construct_document(node)
    except RecursionError:
        raise GlasslibError(f"{path} cannot be read: it is nested too deeply") from None
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        OverflowError,
        yaml.YAMLError,
    ) as error:  # of its tags
        reason = " ".join(str(error).split())[:300]
        raise GlasslibError(f"{path} cannot be read: {reason or type(error).__name__}") from None


def _bounded(node, path):
    """Refuse what aliases blow up, and keys given twice, of which YAML would silently keep the last."""
    left, seen = [node], 0
    while left:
        node = left.pop()
        seen += 1
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(keys)) < len(keys):
                twice = next(key for key in keys if keys.count(key) > 1)
                raise GlasslibError(f"{path} gives the key {shown(twice)} twice: keep one")
            left += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
        if seen + len(left) > MOST_NODES:
            raise GlasslibError(
                f"{path} holds more than {MOST_NODES} values once its aliases are written out: make it smaller"
            )


def load_calculator(name_or_path):
    """The calculator behind a potential's name or a model's path."""
    from .potential import load_potential

    return load_potential(str(name_or_path))


def starting_structure(start, atoms, temperature, seed, calculator):
    """A structure from a file, or a random one of a composition, relaxed until nothing pushes hard."""
    import ase.io
    from ase.optimize import FIRE

    if Path(start).suffix:
        try:
            return ase.io.read(start)
        except Exception as error:  # ASE's readers raise whatever their format suggests
            raise GlasslibError(f"{start} cannot be read as a structure: {error}") from None
    melt = random_structure(start, atoms, temperature=temperature, seed=seed)
    melt.calc = calculator
    FIRE(melt, logfile=None).run(fmax=3.0, steps=200)
    return melt


def melt_schedule(temperature, equilibrate, produce, timestep, melt=2.0, hot=4500.0):
    """Stages that melt a random start, equilibrate it and record it."""
    common = {"ensemble": "nvt", "thermostat": "langevin"}
    return [
        common | {"name": "melt", "temperature": max(hot, temperature), "length": melt, "timestep": min(timestep, 1.0)},
        common | {"name": "equilibrate", "temperature": temperature, "length": equilibrate, "timestep": timestep},
        {
            "name": "produce",
            "ensemble": "nvt",
            "temperature": temperature,
            "length": produce,
            "timestep": timestep,
            "output": "log",
        },
    ]
