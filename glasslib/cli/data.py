"""From nothing to labelled frames."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import GlasslibError
from .app import Seed, app, example, integers


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

    from ..files import atomic
    from ..systems import random_structure

    made = random_structure(composition, atoms, density, temperature, seed)
    try:
        with atomic(output) as temporary:
            ase.io.write(temporary, made)
    except (ase.io.formats.UnknownFileTypeError, ValueError, KeyError):
        raise GlasslibError(f"{output}: no known format of structures: name it .extxyz, .cif, .vasp or .xyz") from None
    print(
        f"{output}: {len(made)} atoms ({made.info['rounding']:+d} to whole formula units), {made.info['density']:.3f} g/cm³"
    )


@app.command(epilog=example("glasslib sample queue.extxyz --number 150 --seed 7"))
def sample(
    output: Path,
    number: Annotated[int, typer.Option(help="Configurations to make.", min=1)] = 100,
    atoms: Annotated[int, typer.Option(help="Atoms of each, rounded to whole formula units.")] = 63,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    seed: Seed = 0,
):
    """Make melts to label, with classical potentials: all compositions, temperatures and densities in turn; killed at any time, the same command goes on."""
    from ..reference import sampling
    from ..reference.frames import write_plain

    keep = output.parent / f"{output.name.partition('.')[0]}-melts"
    made = sampling.sample(number, seed, atoms, keep=keep, workers=workers, quiet=False)
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
    contacts: Annotated[
        int, typer.Option(help="Of these, how many with two atoms closer than labelled frames tell.", min=0)
    ] = 0,
    seed: Seed = 0,
):
    """Choose configurations to label from melts that a trained potential drives: where its committee disagrees."""
    from ..potential import load_potential
    from ..reference import active, read_frames
    from ..reference.frames import write_plain

    chosen = active.propose(load_potential(potential), number, runs, name, seed, read_frames(known), contacts=contacts)
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
    retry: Annotated[bool, typer.Option("--retry", help="Try again the frames that failed.")] = False,
):
    """Label a queue of configurations with GPAW; killed at any time, the same command goes on."""
    from ..reference import label_queue
    from ..reference.labelling import failures

    done = label_queue(queue, out, workers=workers, ranks=ranks, minutes=minutes, retry=retry)
    print("; ".join(f"{len(names)} {state}" for state, names in done.items()))
    reasons = failures(out)
    for name in done["failed"]:
        print(f"{name}: {reasons[name]}")
    if done["failed"]:
        print("what failed is in no data set; --retry tries it again")


@app.command(epilog=example("glasslib collect labels/ data/frames/mine.extxyz"))
def collect(labels: Path, output: Path):
    """Put finished labels into a data set, with their stress corrected for the finite basis."""
    from ..reference import collect as collected

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
    from ..reference import chain as whole_chain

    if tiny:
        errors = whole_chain.tiny(out, workers)
    else:
        errors = whole_chain.chain(out, samples, labels, atoms, workers, minutes, seed=seed)
    print(errors.round(2).to_string())
    print(out)


@app.command(
    epilog=example(
        "glasslib melts runs/melts/pmmcs.extxyz.gz --number 200 --workers 2",
        "glasslib melts runs/melts/painn.extxyz.gz --number 100 --potential default --name painn --seed 60",
    )
)
def melts(
    output: Path,
    number: Annotated[int, typer.Option(help="Melts to make; each gives three frames.", min=1)] = 200,
    potential: Annotated[
        str, typer.Option(help="What drives them: pmmcs, shik, a trained potential; or random, for starts.")
    ] = "pmmcs",
    name: Annotated[str | None, typer.Option(help="First word of the frames' names; default: the potential.")] = None,
    temperatures: Annotated[str | None, typer.Option(help="K, with commas; default: 300 to 4000.")] = None,
    compositions: Annotated[str | None, typer.Option(help="With commas; default: all.")] = None,
    contact: Annotated[
        float | None, typer.Option(help="Å: of each melt one configuration, and those in which oxygens come closer.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    seed: Seed = 0,
):
    """Make melts with GFN1-xTB labels, to learn from beside ab initio frames; killed at any time, the same command goes on."""
    from ..training.melts import melts as made

    which = {"temperatures": integers("--temperatures", temperatures)} if temperatures else {}
    which |= {"compositions": tuple(compositions.split(","))} if compositions else {}
    print(f"{output}: {len(made(output, number, potential, name, seed, workers, contact=contact, **which))} frames")
