"""Learning curve: test error against the number of frames, from random weights and from others."""

import hashlib
from pathlib import Path

import pandas as pd

from ..errors import GlasslibError
from ..files import atomic, folder
from ..potential.storage import load_model, model_files
from ..processes import all_done
from ..provenance import RunRecord, key_of
from .config import TrainConfig
from .evaluate import evaluate
from .loop import one_thread, train


def nested(frames, size):
    """`size` of the frames, chosen by a hash of their positions: a larger choice holds the smaller one."""
    return sorted(frames, key=lambda atoms: hashlib.sha256(atoms.positions.tobytes()).hexdigest())[:size]


def learning_curve(frames, test, sizes, out, starts, config=None, inputs=(), seeds=(0,), workers=1):
    """Train on more and more frames and measure each model on the same test frames.

    Finished trainings are kept in the folder of `out`: the same call goes on where it was stopped.

    Parameters
    ----------
    frames, test : lists of ase.Atoms
        Labelled; of other trajectories.
    sizes : sequence of int
        Numbers of training frames.
    out : path
        CSV file to write.
    starts : dict
        Name → (model to start from or None, TrainConfig fields that differ).
    config : TrainConfig, optional
    inputs : list of paths
        Files the frames came from, for the record.
    seeds : sequence of int
        Trainings of each kind.
    workers : int
        Trainings at once, each on one core.

    Returns
    -------
    pandas.DataFrame
        Rows: start, frames, seed, energy_rmse (meV/atom), force_rmse (meV/Å), pressure_rmse (GPa).

    Raises
    ------
    GlasslibError
        Where more frames are asked for than there are, or twice the same training.
    """
    config = TrainConfig() if config is None else config
    if not sizes or not 0 < min(sizes) or max(sizes) > len(frames):
        raise GlasslibError(f"sizes must lie between 1 and {len(frames)}, the number of training frames")
    if len(set(sizes)) < len(sizes) or len(set(seeds)) < len(seeds):
        raise GlasslibError("sizes and seeds must differ from each other: every training has a folder of its own")
    settings = {name: config.asdict() | dict(changes) for name, (_, changes) in starts.items()}
    for name, values in settings.items():
        TrainConfig.of(values)
        if "seed" in starts[name][1]:
            raise GlasslibError(f"the seed of {name!r} has no effect: give seeds")
    out, rows, jobs = Path(out), [], []
    begun = [path for initial, _ in starts.values() if initial for path in model_files(initial)]
    parameters = config.asdict() | {
        "sizes": list(sizes),
        "starts": {name: changes for name, (_, changes) in starts.items()},
        "test": {"frames": len(test), "key": key_of(list(test))} | _temperatures(test),
    }
    record = RunRecord("learning curve", parameters, [*inputs, *begun], {"training": list(seeds)})
    work = folder(out.parent) / f"{out.stem}-models"
    for name, (initial, _) in starts.items():
        for size in sizes:
            for seed in seeds:
                own = TrainConfig.of(settings[name] | {"seed": seed})
                rows.append({"start": name, "frames": size, "seed": seed})
                jobs.append((_errors, nested(frames, size), test, work / f"{name}-{size}-{seed}", own, initial))
    found = all_done(jobs, workers, out.stem, "trainings")
    table = pd.DataFrame([row | errors for row, errors in zip(rows, found, strict=True)])
    with atomic(out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.3f")
    record.save(out)
    return table


def _temperatures(test):
    """Lowest and highest of the test frames, K, for the record."""
    known = [float(atoms.info["temperature_K"]) for atoms in test if "temperature_K" in atoms.info]
    return {"temperatures": [min(known), max(known)]} if known else {}


def _errors(frames, test, out, config, initial):
    """Of one training: root-mean-square errors of energy (meV/atom), forces (meV/Å) and pressure (GPa)."""
    with one_thread():
        errors = evaluate(load_model(train(frames, [], out, config, initial, resume="same")), test).loc[("all", "all")]
    return {key: float(errors[key]) for key in ("energy_rmse", "force_rmse", "pressure_rmse")}
