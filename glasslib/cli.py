"""The `glasslib` command: every step of the pipeline over the same library calls that the notebooks use."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .errors import GlasslibError

app = typer.Typer(
    name="glasslib",
    help="From ab initio frames to the dynamics of sodium silicate melts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)

Threads = Annotated[int | None, typer.Option(help="Threads to use; default: all cores.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]


def example(*lines):
    """Text for the foot of a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  [cyan]{line}[/cyan]" for line in lines)


@app.command(
    epilog=example(
        "glasslib structure NS2 melt.extxyz --atoms 300", "glasslib structure 20Na2O-80SiO2 start.extxyz --density 2.3"
    )
)
def structure(
    composition: str,
    output: Path,
    atoms: Annotated[int, typer.Option(help="Wanted number of atoms; rounded to whole formula units.")] = 300,
    density: Annotated[float | None, typer.Option(help="g/cm³; default: the experimental table.")] = None,
    temperature: Annotated[float | None, typer.Option(help="K, thermal expansion for the tabulated density.")] = None,
    seed: Seed = 0,
):
    """Make a random starting structure."""
    import ase.io

    from .files import atomic
    from .systems import random_structure

    made = random_structure(composition, atoms, density, temperature, seed)
    with atomic(output) as temporary:
        ase.io.write(temporary, made)
    print(
        f"{output}: {len(made)} atoms ({made.info['rounding']:+d} to whole formula units), {made.info['density']:.3f} g/cm³"
    )


@app.command(
    epilog=example("glasslib run quick", "glasslib run profiles/mine.yml --cores 16", "glasslib run paper --dry-run")
)
def run(
    profile: str,
    cores: Annotated[int | None, typer.Option(help="Cores to use; default: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Print what would run and its cost.")] = False,
):
    """Run a profile from labels to book: whatever is up to date is not run again."""
    from .workflow import run as run_profile

    missing = run_profile(profile, cores, dry_run)
    if missing:
        names = ", ".join(path.stem for path in missing)
        raise GlasslibError(
            f"{len(missing)} state point(s) failed: {names}; the book was made without them, the same command tries them again"
        )


@app.command(epilog=example("glasslib plan standard"))
def plan(profile: str = "quick"):
    """Print the simulations of a profile and their estimated cost in core hours."""
    from . import workflow

    print(workflow.plan(workflow.load_profile(profile)))


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
    from . import workflow

    try:
        given = json.loads(values)
    except ValueError as error:
        raise GlasslibError(f"--json is no JSON object: {error}") from None
    pairs = [text.partition("=") for text in parameter or []]
    for key, sign, _ in pairs:
        if not sign:
            raise GlasslibError(f"parameter {key!r} has no value: write {key}=VALUE")
    given |= workflow.parse_values((key, value) for key, _, value in pairs)
    workflow.execute(Path(name).stem, output, given)
    print(output)


@app.command(epilog=example("glasslib book runs/quick"))
def book(run: Path):
    """Render the book from the executed notebooks of a run."""
    from .workflow import build_book

    print(build_book(run))


@app.command(
    epilog=example(
        "glasslib analyse run.h5 --out results/", "glasslib analyse a.h5 b.h5 --out results/   (replicas of one state)"
    )
)
def analyse(
    trajectories: list[Path],
    out: Annotated[Path, typer.Option(help="Folder for the NetCDF results.")] = Path("results"),
):
    """Compute every observable of a trajectory (H5MD, LAMMPS dump, ASE); several files are replicas of one state."""
    from . import analysis
    from .trajectory import read

    results = analysis.everything([read(path) for path in trajectories])
    analysis.save(results, out / f"{trajectories[0].stem}.nc")
    print(analysis.summary(results))
    print(out / f"{trajectories[0].stem}.nc")


@app.command(epilog=example("glasslib trace data/models/default/potential.safetensors"))
def trace(path: Path):
    """Print where an artefact came from, down to the ab initio frames."""
    from .provenance import ancestry

    for depth, name, remark in ancestry(path):
        print(f"{'  ' * depth}{name}  [{remark}]")


@app.command(epilog=example("glasslib verify"))
def verify(folder: Path = Path("data")):
    """Compare the shipped data with their manifest."""
    from .provenance import verify_manifest

    problems = verify_manifest(folder)
    if problems:
        raise GlasslibError(f"{len(problems)} file(s) differ from the manifest: " + "; ".join(problems))
    print(f"{folder}: every file as listed")


@app.command(hidden=True)
def manifest(folder: Path = Path("data")):
    """Write the manifest anew, after files were added or changed on purpose."""
    from .provenance import write_manifest

    write_manifest(folder)
    print(folder / "MANIFEST.json")


def main():
    """Entry point: errors meant for users are one line on standard error, exit status 2."""
    try:
        app()
    except GlasslibError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
