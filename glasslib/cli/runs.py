"""From a potential to trajectories, and whole profiles."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import GlasslibError
from .app import Seed, app, example, settings


@app.command(
    epilog=example(
        "glasslib simulate NS2 run.h5 --temperature 3000 --produce 20",
        "glasslib simulate start.extxyz run.h5 --schedule schedule.yml",
        "glasslib simulate NS4 run.h5 --potential committee --force-error 1.5",
    )
)
def simulate(
    start: Annotated[str, typer.Argument(help="Composition, for a random start, or a file that ASE reads.")],
    output: Path,
    potential: str = "default",
    temperature: Annotated[float, typer.Option(help="K.")] = 3000.0,
    atoms: Annotated[int, typer.Option(help="Of a random start.")] = 300,
    equilibrate: Annotated[float, typer.Option(help="ps.")] = 5.0,
    produce: Annotated[float, typer.Option(help="ps.")] = 20.0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    schedule: Annotated[
        Path | None,
        typer.Option(help="YAML list of stages, in place of those that temperature, lengths and time step give."),
    ] = None,
    force_spread: Annotated[
        float | None, typer.Option(help="Stop where a committee's forces on an atom differ by more, eV/Å.")
    ] = None,
    force_error: Annotated[
        float | None, typer.Option(help="Stop where a calibrated committee expects a larger error of a force, eV/Å.")
    ] = None,
    warn: Annotated[bool, typer.Option("--warn", help="Beyond these two limits warn, and go on.")] = False,
    dispersion: Annotated[bool, typer.Option("--dispersion", help="Add D3(BJ) to a trained potential.")] = False,
    seed: Seed = 0,
):
    """Run molecular dynamics to an H5MD trajectory; killed at any time, the same command goes on."""
    from .. import dynamics
    from ..files import read_yaml
    from ..potential import files, load_potential

    calculator = load_potential(potential, dispersion=dispersion)
    melt = dynamics.starting_structure(start, atoms, temperature, seed, calculator)
    stages = read_yaml(schedule) if schedule else dynamics.melt_schedule(temperature, equilibrate, produce, timestep)
    dynamics.run(
        melt,
        calculator,
        stages,
        output,
        seed=seed,
        guard=dynamics.Guard(force_spread=force_spread, force_error=force_error, warn=warn),
        inputs=files(potential),
        attrs={name: melt.info[name] for name in ("composition",) if name in melt.info},
    )
    print(output)


@app.command(
    epilog=example("glasslib run quick", "glasslib run profiles/mine.yml --cores 16", "glasslib run paper --dry-run")
)
def run(
    profile: str,
    cores: Annotated[int | None, typer.Option(help="Cores to use; default: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Print what would run and its cost.")] = False,
):
    """Run a profile from labels to book: whatever is up to date is not run again."""
    from ..workflow import run as run_profile

    missing = run_profile(profile, cores, dry_run)
    if missing:
        names = ", ".join(path.stem for path in missing)
        raise GlasslibError(
            f"{len(missing)} state point(s) failed: {names}; the book was made without them, the same command tries them again"
        )


@app.command(epilog=example("glasslib plan standard"))
def plan(profile: Annotated[str, typer.Argument()] = "quick"):
    """Print the simulations of a profile and their estimated cost in core hours."""
    from .. import profiles

    print(profiles.plan(profiles.load_profile(profile)))


@app.command(
    epilog=example(
        "glasslib notebook 07_relaxation out.ipynb -p q='[1.7, 2.1]'",
        "glasslib notebook 04_simulation out.ipynb -p composition=NS4",
    )
)
def notebook(
    name: str,
    output: Path,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", help="NAME=VALUE, as often as needed; a value is read as JSON if it is.")
    ] = None,
    values: Annotated[str, typer.Option("--json", help="All parameters as one JSON object.")] = "{}",
):
    """Execute a notebook with other parameters; its name is that of the file in notebooks/."""
    from ..workflow import execute

    try:
        given = json.loads(values)
    except ValueError as error:
        raise GlasslibError(f"--json is no JSON object: {error}") from None
    if not isinstance(given, dict):
        raise GlasslibError(f"--json must be an object of names and values, not {values[:60]!r}")
    given |= settings(parameter)
    execute(Path(name).stem, output, given)
    print(output)


@app.command(epilog=example("glasslib book runs/quick"))
def book(run: Path):
    """Render the book from the executed notebooks of a run."""
    from ..book import build_book

    print(build_book(run))
