"""From frames to a potential, and how good it is."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import GlasslibError
from .app import SplitSeed, app, example, integers, settings

RECIPE = {"batch": 2, "huber": 1.0, "average": 0.99, "warmup": 50}  # of learning curves, where nothing else is set


@app.command(
    epilog=example(
        "glasslib train data/frames --out runs/mine/model",
        "glasslib train data/frames --out model --set features=64 --set epochs=500",
        "glasslib train my/frames --out model --initial data/models/pretrained/model",
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
    split_seed: SplitSeed = 0,
):
    """Train a PaiNN potential on labelled frames, split by parent trajectory; killed at any time, the same command goes on."""
    from ..potential import load_potential
    from ..reference import extxyz, read_frames, split
    from ..training import TrainConfig, evaluate
    from ..training import train as trained

    needed = ("train", "validation") if validate else ("train",)
    parts = split(read_frames(frames), seed=split_seed, needed=needed)
    config = TrainConfig.of(settings(setting))
    if not validate:
        parts["train"], parts["validation"] = parts["train"] + parts["validation"], []
    model = trained(parts["train"], parts["validation"], out, config, initial=initial, inputs=extxyz(frames))
    if parts["test"]:
        print(evaluate(load_potential(model), parts["test"]).round(2).to_string())
    else:
        print("no frame is left to test it on")
    print(model)


@app.command(
    epilog=example(
        "glasslib distil data/frames data/melts --out runs/distilled --initial data/models/default/model --workers 2",
    )
)
def distil(
    frames: Path,
    melts: Annotated[Path, typer.Argument(help="With GFN1-xTB labels, made by `glasslib melts`.")],
    out: Annotated[Path, typer.Option(help="Folder for teachers and student.")] = Path("runs/distilled"),
    initial: Annotated[Path | None, typer.Option(help="Model that the student starts from.")] = None,
    workers: Annotated[int, typer.Option(help="Processes, each on one core.", min=1)] = 1,
    split_seed: SplitSeed = 0,
):
    """Train teachers of two kinds on labelled frames, and one network on the frames and on melts that the teachers label (needs tblite and SevenNet)."""
    from ..potential import load_potential
    from ..reference import extxyz, read_frames, split
    from ..reference.frames import read_plain
    from ..training import evaluate
    from ..training.distillation import distil as distilled

    files = [extxyz(frames), extxyz(melts)]
    parts = split(read_frames(frames), seed=split_seed, needed=("train", "test"))
    learned = [atoms for file in files[1] for atoms in read_plain(file)]
    known = parts["train"] + parts["validation"]
    model = distilled(known, learned, out, initial, test=parts["test"], inputs=files[0] + files[1], workers=workers)
    print(evaluate(load_potential(model), parts["test"]).round(2).to_string())
    print(model)


@app.command(
    epilog=example(
        "glasslib curve data/frames runs/learning_curve.csv --sizes 8,15,30,60 --initial data/models/pretrained/model",
        "glasslib curve data/frames runs/ablation.csv --sizes 120 --seeds 0,1 --variant features=128 --variant cutoff=6.0",
    )
)
def curve(
    frames: Path,
    out: Path,
    sizes: Annotated[str, typer.Option(help="Numbers of frames, with commas.")] = "8,15,30,60",
    initial: Annotated[Path | None, typer.Option(help="Model to start from, beside random weights.")] = None,
    epochs: Annotated[int, typer.Option(help="From the given model; from random weights twice as many.", min=1)] = 80,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of TrainConfig for all trainings, as often as needed.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Trainings of each kind, with commas.")] = "0",
    temperatures: Annotated[str, typer.Option(help="K, range of the test frames to measure on.")] = "0,10000",
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Another training from random weights, with FIELD=VALUE of TrainConfig (several with commas)."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Trainings at once, each on one core.", min=1)] = 1,
    split_seed: SplitSeed = 0,
):
    """Draw up a learning curve, or an ablation: test errors of trainings on more and more frames, and of other settings."""
    from ..reference import extxyz, read_frames, split
    from ..training import TrainConfig
    from ..training.curve import learning_curve

    numbers, repeats, limits = (
        integers("--sizes", sizes),
        integers("--seeds", seeds),
        integers("--temperatures", temperatures),
    )
    if len(limits) != 2:
        raise GlasslibError(f"--temperatures must be two, as 1500,3500, not {temperatures!r}")
    parts = split(read_frames(frames), seed=split_seed, needed=("train", "test"))
    test = [atoms for atoms in parts["test"] if limits[0] <= atoms.info["temperature_K"] <= limits[1]]
    if not test:
        raise GlasslibError(
            f"no test frame has a temperature between {limits[0]} and {limits[1]} K: widen --temperatures"
        )
    own = settings(setting)
    for name, option in (("epochs", "--epochs"), ("seed", "--seeds")):
        if name in own:
            raise GlasslibError(f"--set {name} has no effect here: use {option}")
    config = TrainConfig.of(RECIPE | own | {"epochs": epochs})
    starts = {"random weights": (None, {"epochs": 2 * epochs})}
    if initial:
        starts["pre-trained"] = (initial, {})
    for changes in variant or ():
        starts[changes] = (None, {"epochs": 2 * epochs} | settings(changes.split(",")))
    known = parts["train"] + parts["validation"]
    print(
        learning_curve(known, test, numbers, out, starts, config, extxyz(frames), repeats, workers).round(1).to_string()
    )
    print(out)


@app.command(epilog=example("glasslib evaluate default data/frames"))
def evaluate(
    potential: str,
    frames: Path,
    part: Annotated[str, typer.Option(help="test, validation, train or all.")] = "test",
    split_seed: SplitSeed = 0,
):
    """Print the errors of a potential on labelled frames."""
    from ..potential import load_potential
    from ..reference import read_frames, split
    from ..training import evaluate as errors

    labelled = read_frames(frames)
    if part not in ("test", "validation", "train", "all"):
        raise GlasslibError(f"--part must be test, validation, train or all, not {part!r}")
    chosen = labelled if part == "all" else split(labelled, seed=split_seed, needed=(part,))[part]
    print(errors(load_potential(potential), chosen).round(2).to_string())


@app.command(epilog=example("glasslib calibrate committee data/frames"))
def calibrate(committee: str, frames: Path, split_seed: SplitSeed = 0):
    """Fit what a committee's disagreement says about its error, on test frames, and keep it beside its members."""
    import pandas as pd

    from ..reference import read_frames, split
    from ..training.calibration import calibrate as calibrated

    found = calibrated(committee, split(read_frames(frames), seed=split_seed, needed=("test",))["test"])
    print(pd.DataFrame(found).T.rename(columns={"floor": "floor (eV/Å)"}).to_string())
