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


@app.command(epilog=example("glasslib sample queue.extxyz --number 150 --seed 7"))
def sample(
    output: Path,
    number: Annotated[int, typer.Option(help="Configurations to make.", min=1)] = 100,
    atoms: Annotated[int, typer.Option(help="Atoms of each, rounded to whole formula units.")] = 63,
    seed: Seed = 0,
):
    """Make melts to label, with classical potentials: all compositions, temperatures and densities in turn."""
    from .reference import sampling
    from .reference.frames import write_plain

    made = sampling.sample(number, seed, atoms)
    write_plain(output, made)
    print(f"{output}: {len(made)} configurations")


@app.command(epilog=example("glasslib propose queue.extxyz --potential committee --number 30 --name painn4 --seed 4"))
def propose(
    output: Path,
    potential: Annotated[str, typer.Option(help="A committee, or one potential.")] = "committee",
    number: Annotated[int, typer.Option(help="Configurations to choose.", min=1)] = 30,
    runs: Annotated[int | None, typer.Option(help="Melts to explore; default: twice as many.", min=1)] = None,
    name: Annotated[str, typer.Option(help="First word of the names, one for each round.")] = "painn",
    known: Annotated[Path, typer.Option(help="Labelled frames.")] = Path("data/frames"),
    seed: Seed = 0,
):
    """Choose configurations to label from melts that a trained potential drives: where its committee disagrees."""
    from .reference import active, read_frames
    from .reference.frames import write_plain
    from .workflow import load_calculator

    chosen = active.propose(load_calculator(potential), number, runs, name, seed, read_frames(known))
    write_plain(output, chosen)
    print(f"{output}: {len(chosen)} configurations")


@app.command(
    epilog=example(
        "glasslib label queue.extxyz --out labels/ --workers 2",
        "glasslib label queue.extxyz --out labels/ --minutes 60",
    )
)
def label(
    queue: Path,
    out: Annotated[Path, typer.Option(help="Folder that gets one file for each labelled frame.")] = Path("labels"),
    workers: Annotated[int, typer.Option(help="Frames labelled at once, each on its own processes.")] = 1,
    ranks: Annotated[int, typer.Option(help="MPI processes that share one frame.")] = 1,
    minutes: Annotated[float | None, typer.Option(help="Begin no frame after so many minutes.")] = None,
):
    """Label a queue of configurations with GPAW; killed at any time, the same command goes on."""
    from .reference import label_queue

    done = label_queue(queue, out, workers=workers, ranks=ranks, minutes=minutes)
    print("; ".join(f"{len(names)} {state}" for state, names in done.items()))


@app.command(epilog=example("glasslib collect labels/ data/frames/mine.extxyz"))
def collect(labels: Path, output: Path):
    """Put finished labels into a data set, with their stress corrected for the finite basis."""
    from .reference import collect as collected

    print(f"{output}: {len(collected(labels, output))} frames")


@app.command(
    epilog=example(
        "glasslib chain runs/chain --workers 2",
        "glasslib chain runs/tiny --tiny   (four cells of six atoms, a minute)",
    )
)
def chain(
    out: Path,
    samples: Annotated[int, typer.Option(help="Configurations of classical melts to choose from.")] = 400,
    labels: Annotated[int, typer.Option(help="Of which so many are labelled.")] = 300,
    atoms: Annotated[int, typer.Option(help="In each.")] = 63,
    workers: Annotated[int, typer.Option(help="Frames labelled at once.")] = 2,
    minutes: Annotated[float | None, typer.Option(help="Begin no frame after so many minutes.")] = None,
    seed: Seed = 0,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="A coarse trial of every step; the other options are not used.")
    ] = False,
):
    """Sample, select, label, train and validate in one go; killed at any time, the same command goes on."""
    from .reference import chain as whole

    if tiny:
        errors = whole.tiny(out, workers)
    else:
        errors = whole.chain(out, samples, labels, atoms, workers, minutes, seed=seed)
    print(errors.round(2).to_string())
    print(out)


@app.command(
    epilog=example(
        "glasslib train data/frames --out runs/mine/model",
        "glasslib train data/frames --out model --set features=64 --set epochs=500",
        "glasslib train data/frames --out model --initial data/models/default/model",
    )
)
def train(
    frames: Path,
    out: Annotated[Path, typer.Option(help="Folder for model, history and checkpoints.")] = Path("model"),
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of TrainConfig, as often as needed.")
    ] = None,
    initial: Annotated[Path | None, typer.Option(help="Model to start from.")] = None,
    validate: Annotated[
        bool, typer.Option(help="Keep the weights that do best on validation frames; without, train on those too.")
    ] = True,
):
    """Train a PaiNN potential on labelled frames, split by parent trajectory; killed at any time, the same command goes on."""
    from .reference import read_frames, split
    from .training import TrainConfig, evaluate
    from .training import train as trained
    from .workflow import load_calculator, pairs, parse_values

    parts = split(read_frames(frames))
    config = TrainConfig.of(parse_values(pairs(setting)))
    if not validate:
        parts["train"], parts["validation"] = parts["train"] + parts["validation"], []
    files = sorted(frames.glob("*.extxyz")) if frames.is_dir() else [frames]
    model = trained(parts["train"], parts["validation"], out, config, initial=initial, inputs=files)
    print(evaluate(load_calculator(model), parts["test"]).round(2).to_string())
    print(model)


@app.command(
    epilog=example(
        "glasslib curve data/frames runs/learning_curve.csv --sizes 8,15,30,60 --initial data/models/pretrained/model"
    )
)
def curve(
    frames: Path,
    out: Path,
    sizes: Annotated[str, typer.Option(help="Numbers of frames, with commas.")] = "8,15,30,60",
    initial: Annotated[Path | None, typer.Option(help="Model to start from, beside random weights.")] = None,
    epochs: Annotated[int, typer.Option(help="From the given model; from random weights twice as many.", min=1)] = 80,
):
    """Draw up a learning curve: test errors of trainings on more and more frames."""
    from .reference import read_frames, split
    from .training import TrainConfig
    from .training.curve import learning_curve

    try:
        numbers = [int(size) for size in sizes.split(",")]
    except ValueError:
        raise GlasslibError(f"--sizes must be whole numbers with commas between, not {sizes!r}") from None
    parts = split(read_frames(frames))
    config = TrainConfig(epochs=epochs, batch=2, huber=1.0, average=0.99, warmup=50)
    starts = {"random weights": (None, {"epochs": 2 * epochs})}
    if initial:
        starts["pre-trained"] = (initial, {})
    files = sorted(frames.glob("*.extxyz")) if frames.is_dir() else [frames]
    known = parts["train"] + parts["validation"]
    print(learning_curve(known, parts["test"], numbers, out, starts, config, files).round(1).to_string())
    print(out)


@app.command(epilog=example("glasslib evaluate default data/frames"))
def evaluate(
    potential: str,
    frames: Path,
    part: Annotated[str, typer.Option(help="test, validation, train or all.")] = "test",
):
    """Print the errors of a potential on labelled frames."""
    from .reference import read_frames, split
    from .training import evaluate as errors
    from .workflow import load_calculator

    labelled = read_frames(frames)
    if part not in ("test", "validation", "train", "all"):
        raise GlasslibError(f"--part must be test, validation, train or all, not {part!r}")
    chosen = labelled if part == "all" else split(labelled)[part]
    print(errors(load_calculator(potential), chosen).round(2).to_string())


@app.command(
    epilog=example(
        "glasslib simulate NS2 run.h5 --temperature 3000 --produce 20",
        "glasslib simulate start.extxyz run.h5 --schedule schedule.yml",
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
    schedule: Annotated[Path | None, typer.Option(help="YAML list of stages, in place of the two above.")] = None,
    seed: Seed = 0,
):
    """Run molecular dynamics to an H5MD trajectory; killed at any time, the same command goes on."""
    from . import dynamics, workflow
    from .potential import files

    calculator = workflow.load_calculator(potential)
    melt = workflow.starting_structure(start, atoms, temperature, seed, calculator)
    stages = (
        workflow.read_yaml(schedule)
        if schedule
        else workflow.melt_schedule(temperature, equilibrate, produce, timestep)
    )
    dynamics.run(
        melt,
        calculator,
        stages,
        output,
        seed=seed,
        inputs=files(potential),
        attrs={"composition": melt.info.get("composition", start)},
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
    from .workflow import run as run_profile

    missing = run_profile(profile, cores, dry_run)
    if missing:
        names = ", ".join(path.stem for path in missing)
        raise GlasslibError(
            f"{len(missing)} state point(s) failed: {names}; the book was made without them, the same command tries them again"
        )


@app.command(epilog=example("glasslib plan standard"))
def plan(profile: Annotated[str, typer.Argument()] = "quick"):
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
    if not isinstance(given, dict):
        raise GlasslibError(f"--json must be an object of names and values, not {values[:60]!r}")
    given |= workflow.parse_values(workflow.pairs(parameter))
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

    if not path.exists():
        raise GlasslibError(f"no such file: {path}")
    for depth, name, remark in ancestry(path):
        print(f"{'  ' * depth}{name}  [{remark}]")


@app.command(epilog=example("glasslib verify"))
def verify(folder: Annotated[Path, typer.Argument()] = Path("data")):
    """Compare the shipped data with their manifest."""
    from .provenance import verify_manifest

    problems = verify_manifest(folder)
    if problems:
        raise GlasslibError(f"{len(problems)} file(s) differ from the manifest: " + "; ".join(problems))
    print(f"{folder}: every file as listed")


@app.command(hidden=True)
def manifest(folder: Annotated[Path, typer.Argument()] = Path("data")):
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
