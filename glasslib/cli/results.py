"""What a trajectory says, and where a result came from."""

import os
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from ..errors import GlasslibError
from .app import app, example


@app.command(
    epilog=example(
        "glasslib analyse run.h5 --out results/",
        "glasslib analyse a.h5 b.h5 --out results/   (replicas of one state)",
        "glasslib analyse md.traj --interval 0.1",
        "glasslib analyse md.dump --timestep 1 --species O,Na,Si",
    )
)
def analyse(
    trajectories: list[Path],
    out: Annotated[Path, typer.Option(help="Folder for the NetCDF results.")] = Path("results"),
    interval: Annotated[float | None, typer.Option(help="ps between frames, for ASE files that do not say it.")] = None,
    timestep: Annotated[float | None, typer.Option(help="fs of a step, for LAMMPS dumps of step numbers only.")] = None,
    species: Annotated[
        str | None,
        typer.Option(
            help='Symbols of atom types 1, 2, …, such as "O,Na,Si", for files that give types only; of all atoms for H5MD without species.'
        ),
    ] = None,
    wrapped: Annotated[
        bool | None,
        typer.Option("--wrapped/--unwrapped", help="Whether positions are wrapped, for files that do not show it."),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(help='"metal" (Å, ps) or "real" (Å, fs), for H5MD files and LAMMPS dumps that give none.'),
    ] = None,
):
    """Compute every observable of a trajectory (H5MD, LAMMPS dump, ASE); several files are replicas of one state."""
    from .. import analysis
    from ..files import folder
    from ..provenance import RunRecord
    from ..trajectory import read

    target, source = out / f"{trajectories[0].stem}.nc", _source(trajectories)
    _refuse_others(target, source, trajectories)
    symbols = None if species is None else [symbol.strip() for symbol in species.split(",")]
    replicas = [read(path, interval, timestep, symbols, wrapped, units) for path in trajectories]
    folder(out)  # rather an error now than after the analysis
    record = RunRecord(
        "analysis",
        {"interval": interval, "timestep": timestep, "species": symbols, "wrapped": wrapped, "units": units},
        trajectories,
    )
    results = analysis.everything(replicas)
    analysis.save(results, target, source=source)
    record.save(target)
    print(analysis.summary(results))
    print(target)


def _source(trajectories):
    """Hashes of where the trajectories lie (the paths themselves would tell whose they are); GlasslibError where a file is given twice."""
    places = [path.resolve() for path in trajectories]
    for path, place in zip(trajectories, places, strict=True):
        if places.count(place) > 1:
            raise GlasslibError(f"{path} is given twice, which would count it as two replicas: give each file once")
    return " ".join(sorted(sha256(os.fsencode(place)).hexdigest()[:16] for place in places))


def _refuse_others(target, source, trajectories):
    """GlasslibError where `target` holds results of a trajectory that is not among these; those that do not say of which are overwritten."""
    from ..sweep import attributes

    try:
        known = attributes(target).get("source", source) if target.exists() else source
    except (OSError, ValueError):  # no results at all
        return
    if not set(known.split()) <= set(source.split()):
        raise GlasslibError(
            f"{target} holds results of another {trajectories[0].stem}, or of other replicas, than {', '.join(map(str, trajectories))}: choose another folder (--out), or remove it"
        )


@app.command(epilog=example("glasslib merge runs/pmmcs/results data/results/pmmcs"))
def merge(
    source: Annotated[Path, typer.Argument(help="Folder of new results.")],
    target: Annotated[Path, typer.Argument(help="Folder that gets them; what it has of other states stays.")],
):
    """Put the states of one folder of results into another; those that both have are replaced."""
    from ..sweep import merge as merged

    for what, states in merged(source, target).items():
        print(f"{what}: {', '.join(f'{c} at {t:g} K' for c, t in states) or 'none'}")


@app.command(epilog=example("glasslib trace data/models/default/model.safetensors"))
def trace(path: Path):
    """Print where an artefact came from, down to the ab initio frames."""
    from ..files import regular
    from ..provenance import ancestry

    regular(path)
    for depth, name, remark in ancestry(path):
        print(f"{'  ' * depth}{name}  [{remark}]")


@app.command(
    epilog=example("glasslib verify", "glasslib verify runs/quick   (is anything in it missing or out of date?)")
)
def verify(folder: Annotated[Path, typer.Argument()] = Path("data")):
    """Compare the shipped data with their manifest, or the notebooks of a run with what they were made from."""
    from ..book import outdated
    from ..provenance import verify_manifest

    if (folder / "data" / "MANIFEST.json").is_file():  # the project's own folder
        folder = folder / "data"
    if (folder / "notebooks").is_dir():
        problems = outdated(folder)
        if problems:
            raise GlasslibError(
                f"{folder} is out of date: {'; '.join(problems)}: run `glasslib run {folder.name}` again"
            )
        print(f"{folder}: every notebook is up to date")
        return
    problems = verify_manifest(folder)
    if problems:
        raise GlasslibError(f"{len(problems)} file(s) differ from the manifest: " + "; ".join(problems))
    print(f"{folder}: every file as listed")


@app.command(hidden=True)
def manifest(folder: Annotated[Path, typer.Argument()] = Path("data")):
    """Write the manifest anew, after files were added or changed on purpose."""
    from ..provenance import write_manifest

    write_manifest(folder)
    print(folder / "MANIFEST.json")
