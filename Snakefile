# The arrows of the data flow. `glasslib run quick` (or `make book`) is the way in; `snakemake --config profile=quick` works alone, too.
#
#   data/frames ──► 02 training ──► model ─┐
#                                          ├─► 04 simulation (composition × temperature × replica) ──► 05–10 ──► 11 claims ──► book
#   data/models ───────────────────────────┘
import json
import os
import shlex
import sys
from pathlib import Path

from glasslib import notebook, profiles, provenance, sweep
from glasslib import workflow as pipeline  # `workflow` is a name of Snakemake
from glasslib.potential import files

PROFILE = profiles.load_profile(config.get("profile", "quick"))
NAME = PROFILE["name"]
RUN = f"runs/{NAME}"
STATES = profiles.states(PROFILE)
TRAJECTORIES = [str(sweep.trajectory_path(RUN, *state)) for state in STATES]
if int(config.get("partial", 0)):  # some state points failed: the figures are drawn from those that did not
    TRAJECTORIES = [path for path in TRAJECTORIES if Path(path).exists()]
NOTEBOOKS = sorted(p.stem for p in Path("notebooks").glob("*.ipynb"))
FRAMES = sorted(map(str, Path("data/frames").rglob("*.extxyz*")))
MODELS = sorted(map(str, [*Path("data/models").rglob("*.safetensors"), *Path("data/models").rglob("*.json")]))
SHIPPED = sorted(map(str, Path("data/results").rglob("*.nc")))
# exec: Snakemake itself is the parent of the process, which ends when that does
RUN_NOTEBOOK = f"{notebook.PROFILE}={shlex.quote(NAME)} exec {shlex.quote(sys.executable)} -m glasslib.cli notebook"


wildcard_constraints:
    composition="[^_/]+",
    temperature=r"\d+",
    replica=r"\d+",


def library(name):
    """Sources on which the notebook `name` depends: a change in one of them runs it again."""
    return [str(p) for p in provenance.library_files(notebook.parts(name))] + [f"notebooks/{name}.ipynb"]


def values(name, **extra):
    """The parameters of a notebook as JSON, ready for a shell."""
    return shlex.quote(json.dumps(profiles.parameters(PROFILE, name, RUN, **extra), sort_keys=True))


def potential():
    """Files of the potential that drives the simulations: the shipped one, or the one that this run trains."""
    name = PROFILE["notebooks"][profiles.SIMULATION].get("potential", "default")
    if name.startswith(f"{RUN}/"):
        return [f"{RUN}/notebooks/02_training.ipynb"]
    weights = [os.path.relpath(path) for path in files(name)]
    return weights + [str(path) for path in (Path(p).with_suffix(".json") for p in weights) if path.exists()]


rule all:
    input:
        f"_build/{NAME}.built",


rule reference_data:
    input:
        library("01_reference_data"), FRAMES,
    output:
        f"{RUN}/notebooks/01_reference_data.ipynb",
    params:
        values=values("01_reference_data"),
    shell:
        "{RUN_NOTEBOOK} 01_reference_data {output} --json {params.values}"


rule speed:
    input:
        library("12_speed"), "data/benchmarks.json", "data/streaming.json",
    output:
        f"{RUN}/notebooks/12_speed.ipynb",
    params:
        values=values("12_speed"),
    shell:
        "{RUN_NOTEBOOK} 12_speed {output} --json {params.values}"


rule train:
    input:
        library("02_training"), FRAMES, MODELS, sorted(map(str, Path("data/models").glob("*.csv"))),
    output:
        f"{RUN}/notebooks/02_training.ipynb",
    params:
        values=values("02_training"),
    threads: pipeline.TRAINING_THREADS
    shell:
        "OMP_NUM_THREADS={threads} {RUN_NOTEBOOK} 02_training {output} --json {params.values}"


rule validate:
    input:
        library("03_validation"), FRAMES, MODELS, f"{RUN}/notebooks/02_training.ipynb",
    output:
        f"{RUN}/notebooks/03_validation.ipynb",
    params:
        values=values("03_validation"),
    shell:
        "{RUN_NOTEBOOK} 03_validation {output} --json {params.values}"


rule simulate:
    input:
        library(profiles.SIMULATION), potential(),
    output:
        # update: Snakemake would delete a finished trajectory before a rerun; the dynamics decide whether it is still good
        trajectory=update(f"{RUN}/trajectories/{{composition}}_{{temperature}}K_{{replica}}.h5"),
        notebook=f"{RUN}/simulations/{{composition}}_{{temperature}}K_{{replica}}.ipynb",
    params:
        values=lambda w: values(
            profiles.SIMULATION,
            composition=w.composition,
            temperature=float(w.temperature),
            replica=int(w.replica),
            output=str(sweep.trajectory_path(RUN, w.composition, float(w.temperature), int(w.replica))),
        ),
    threads: PROFILE["threads"]
    shell:
        "NUMBA_NUM_THREADS={threads} OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} "
        "{RUN_NOTEBOOK} 04_simulation {output.notebook} --json {params.values}"


rule example:  # the book shows one of the simulations
    input:
        f"{RUN}/simulations/{Path(TRAJECTORIES[0]).stem}.ipynb" if TRAJECTORIES else [],
    output:
        f"{RUN}/notebooks/04_simulation.ipynb",
    shell:
        "cp {input} {output}"


rule figure:
    input:
        lambda w: library(w.name), TRAJECTORIES, SHIPPED,
    output:
        f"{RUN}/notebooks/{{name}}.ipynb",
    wildcard_constraints:
        name="|".join(pipeline.FIGURES),
    params:
        values=lambda w: values(w.name),
    threads: 1  # two notebooks side by side, each with threads for all cores, wait for each other
    shell:
        "NUMBA_NUM_THREADS={threads} OMP_NUM_THREADS={threads} {RUN_NOTEBOOK} {wildcards.name} {output} --json {params.values}"


rule claims:
    input:
        library("11_claims"), [f"{RUN}/notebooks/{name}.ipynb" for name in pipeline.FIGURES], SHIPPED,
    output:
        f"{RUN}/notebooks/11_claims.ipynb",
    params:
        values=values("11_claims"),
    shell:
        "{RUN_NOTEBOOK} 11_claims {output} --json {params.values}"


rule book:
    input:
        [f"{RUN}/notebooks/{name}.ipynb" for name in NOTEBOOKS],
        [str(p) for p in sorted(Path("book").rglob("*")) if p.is_file()],
        "_config.yml",
    output:
        f"_build/{NAME}.built",
    shell:
        shlex.quote(sys.executable) + " -m glasslib.cli book {RUN} && date > {output}"
