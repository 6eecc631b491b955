"""The execution of notebooks, and the run of a whole profile. The Snakefile holds the arrows; this file holds what the arrows do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import notebook
from .errors import GlasslibError
from .files import alone, atomic
from .processes import follow
from .profiles import ROOT, load_profile, plan, states
from .sweep import trajectory_path

TRAINING_THREADS = 2
FIGURES = (
    "05_structure",
    "06_mean_squared_displacement",
    "07_relaxation",
    "08_van_hove",
    "09_non_gaussian",
    "10_heterogeneity",
)


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
    if notebook.PROFILE in os.environ:  # a job of the workflow: with it ends its notebook's kernel
        follow(os.getppid())
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


def run(profile_name, cores=None, dry_run=False):
    """Run a profile: training, every state point, figures and book. A state point that fails does not stop the others.

    Killed at any moment, the same command goes on: nothing finished is made again, nothing unfinished is taken for finished. Trajectories that an
    earlier version of the profile left, and those of state points that fail now, are set aside (`*.h5.aside`) and not drawn.

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
        _snakemake(profile_name, cores, "--dry-run")
        return []
    # Snakemake's own lock is a file that stays when it is killed, and would refuse the next run; this one goes with its last holder
    with alone(target, f"another process is running {target}: wait for it or stop it") as lock:
        _arrange(target, wanted)
        quiet = ("--quiet", "progress", "rules", "--keep-going")
        ok = _snakemake(profile_name, cores, *quiet, "--until", "simulate", lock=lock)
        done = [path for path in wanted if (target / "simulations" / f"{path.stem}.ipynb").exists()]
        _arrange(target, done)
        if not done:
            raise GlasslibError(f"no state point of profile {profile['name']} could be run: see the messages above")
        missing = [path for path in wanted if path not in done]
        if not _snakemake(profile_name, cores, *quiet, partial=bool(missing) or not ok, lock=lock):
            raise GlasslibError(
                f"profile {profile['name']} did not finish: see the messages above; the same command goes on from there"
            )
    return missing


def _arrange(target, wanted):
    """Let the figures find these trajectories and no others."""
    for path in (target / "trajectories").glob("*.h5"):
        if path not in wanted:
            path.replace(_aside(path))
    for path in wanted:
        if _aside(path).exists() and not path.exists():
            _aside(path).replace(path)


def _aside(path):
    return path.with_name(f"{path.name}.aside")


def _snakemake(profile_name, cores, *options, partial=False, lock=None):
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores or len(os.sched_getaffinity(0))),
        "--rerun-incomplete", "--config", f"profile={profile_name}", f"partial={int(partial)}", *options,
        *([] if lock is None else ["--nolock"]),
    ]  # fmt: skip
    return subprocess.run(command, cwd=Path.cwd(), pass_fds=[] if lock is None else [lock]).returncode == 0
