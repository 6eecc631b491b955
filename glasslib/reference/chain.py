"""From nothing to a validated potential: sample, select, label, train, validate."""

import warnings
from pathlib import Path

import numpy as np

from ..errors import GlasslibError
from ..files import folder
from ..provenance import forget_key, keep_key, key_of, made_for
from . import gpaw
from .collect import collect
from .frames import read_plain, write_plain
from .labelling import label_queue
from .sampling import sample
from .selection import force_spread, select
from .splits import split

TINY = {"compositions": ("SiO2",), "temperatures": (2000, 3000), "potentials": ("pmmcs",)}


def chain(
    out, samples=400, labels=300, atoms=63, workers=2, minutes=None, coarse=False, config=None, committee=None, known=(), seed=0,
    melt_ps=3.0, hold_ps=5.0, which=None, quiet=False,
):  # fmt: skip
    """Make reference data and train on it; the same call goes on where an earlier one was stopped, another one makes anew what depends on what changed.

    Parameters
    ----------
    out : path
        Gets `candidates.extxyz`, `queue.extxyz`, `frames.extxyz`, `model/` and `errors.csv`, and for every way to make melts (atoms, times) and to label them a folder
        `melts-…` and `labels-…` of its own.
    samples, labels : int
        Structures from classical melts, and how many of them are labelled.
    atoms : int
        In each.
    workers, minutes, coarse : as of label_queue
        `coarse` takes seconds and means nothing physical.
    config : TrainConfig, optional
    committee : optional
        Potentials whose disagreement chooses among the candidates, see `select`.
    known : list of ase.Atoms
        Frames labelled before: the chosen ones differ from them, and training includes them.
    seed : int
    melt_ps, hold_ps : float
        See `sampling.melt`.
    which : dict, optional
        Compositions, temperatures, densities and potentials of the samples, see `sampling.states`.

    Returns
    -------
    pandas.DataFrame
        Errors on the test part, as of `glasslib.training.evaluate`.

    Raises
    ------
    GlasslibError
        Where labels are missing still, because time was up: run it again. Frames whose label failed are left out, with a warning.
    """
    from ..potential.storage import load_model
    from ..training import evaluate, train

    if gpaw.missing():
        raise GlasslibError(gpaw.missing())
    for name, value in (("samples", samples), ("labels", labels), ("workers", workers)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise GlasslibError(f"{name} must be a whole number of at least 1, not {value!r}")
    if labels > samples:
        raise GlasslibError(f"{labels} labels of {samples} samples cannot be: take more samples")
    out = folder(out)
    way = key_of(atoms, melt_ps, hold_ps)[:8]
    labelled = out / f"labels-{way}{'-coarse' if coarse else ''}"
    candidates, queue = out / "candidates.extxyz", out / "queue.extxyz"
    key = key_of(samples, seed, atoms, melt_ps, hold_ps, which)
    if not made_for(candidates, key):
        made = sample(samples, seed, atoms, melt_ps, hold_ps, 0, out / f"melts-{way}", workers, quiet, **(which or {}))
        forget_key(candidates)
        write_plain(candidates, made)
        keep_key(candidates, key)
    key = key_of(key, labels, list(known), _voice(committee, read_plain(candidates)))
    if not made_for(queue, key):
        forget_key(queue)
        write_plain(queue, select(read_plain(candidates), labels, committee, known))
        keep_key(queue, key)
    result = label_queue(queue, labelled, workers, minutes, coarse, quiet=quiet)
    if result["left"]:
        raise GlasslibError(f"{len(result['left'])} of {labels} frames have no label yet: run the same again")
    if result["failed"]:
        warnings.warn(
            f"{len(result['failed'])} of {labels} frames are left out, their labels failed: {', '.join(result['failed'])} (why: {labelled}/<name>.failed.json)",
            stacklevel=2,
        )
    wanted = {
        atoms.info["parent"] for atoms in read_plain(queue)
    }  # labels of an earlier call with other arguments stay where they are
    (out / "frames.extxyz").unlink(missing_ok=True)  # of labels alone, none of which is another way's
    collected = collect(labelled, out / "frames.extxyz")
    frames = [atoms for atoms in collected if atoms.info["parent"] in wanted] + list(known)
    parts = _filled(frames)
    path = train(
        parts["train"], parts["validation"], out / "model", config, resume="same", inputs=[out / "frames.extxyz"]
    )
    errors = evaluate(load_model(path), parts["test"])
    errors.to_csv(Path(out) / "errors.csv")
    return errors


def _voice(committee, candidates):
    """What tells a committee from another, whatever its kind: its disagreement on some candidates; None without one."""
    return None if committee is None else np.round(force_spread(candidates[:3], committee), 6).tolist()


def _filled(frames, tries=200):
    """The first division that fills every part: with a handful of parents seed 0 may not."""
    for seed in range(tries):
        try:
            return split(frames, seed=seed)
        except GlasslibError:
            continue
    raise GlasslibError(
        f"{len(frames)} frames of {len({a.info['parent'] for a in frames})} trajectories cannot fill train, validation and test: label more"
    )


def tiny(out, workers=2, quiet=False):
    """The chain on four cells of one formula unit with coarse settings: a minute, to see that every piece works."""
    from ..training import TrainConfig

    small = TrainConfig(features=16, interactions=1, epochs=20, batch=2, cutoff=4.0, warmup=5)
    return chain(
        out,
        8,
        4,
        atoms=6,
        workers=workers,
        coarse=True,
        config=small,
        melt_ps=0.2,
        hold_ps=0.2,
        which=TINY,
        quiet=quiet,
    )
