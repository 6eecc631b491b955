"""One potential that has learned from several: teachers of two kinds, matched to the same frames, label many melts for it.

Potentials that know different things beforehand err in different ways on what they learn from the same few frames, and their mean errs less; a single network that
learns the mean costs no more than one of them (Hinton, Vinyals & Dean, arXiv 1503.02531, 2015). The two kinds: networks that learn what GFN1-xTB with a pair
potential lacks to the labels (Δ-learning, Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087, 2015), and SevenNet-0 with a pair potential, refined on
the labels (`foundation`). Errors of the two kinds have little in common (`compare`).
"""

from dataclasses import asdict, is_dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from ase import units

from ..errors import GlasslibError
from ..files import atomic, folder
from ..processes import all_done
from ..provenance import RunRecord, key_of
from ..reference.frames import read_plain, write_plain
from .config import TrainConfig
from .distributed import together
from .foundation import REFINE, Foundation, refine
from .foundation import need_installed as need_foundation
from .frames import labels
from .lessons import Teachers, calculator_of, labels_of, taught, values
from .loop import train
from .xtb import Corrected, label_gap, need_installed, xtb

DELTA = TrainConfig(epochs=110, batch=2, huber=1.0, average=0.99, warmup=50)
STUDENT = TrainConfig(epochs=40, batch=4, rate=1e-3, huber=1.0, average=0.998, warmup=100, optimiser="muon")
MEMBER = replace(STUDENT, epochs=5)
SMOOTH = 0.005  # of the pair potentials
KEEP = 60  # frames labelled by another level of theory before they are kept
WEIGHT = 2  # times that an ab initio frame counts for one of the melts


def distil(
    frames, melts, out, initial=None, deltas=2, refined=1, members=4, delta=DELTA, refinement=REFINE, student=STUDENT, member=MEMBER,
    test=(), inputs=(), workers=1,
):  # fmt: skip
    """Train teachers on labelled frames, label melts with their mean, and train one network on all of it.

    Killed at any time, the same call goes on; with other frames, melts or settings, what depends on them is made again.

    Parameters
    ----------
    frames : list of ase.Atoms
        Labelled ab initio. Leave the test part out of them.
    melts : list of ase.Atoms
        With labels of GFN1-xTB, see `melts.melts`.
    out : path
        Gets `bases.extxyz`, `test-bases.extxyz` and `foundation.extxyz` (GFN1-xTB and SevenNet-0 of the frames), `delta1/` …, `refined1/` …, `lessons/` and `teacher.extxyz` (the melts as the
        teachers label them), `student/`, and a committee, `member1/` …, each of whose members has learned from one teacher
        (`teacher1.extxyz` …, of both kinds in turn) and not from the mean.
    initial : path, optional
        Model that the student begins from; the committee begins from the student.
    deltas, refined, members : int
        Networks for what GFN1-xTB lacks, refined networks, and members of the committee. More of a kind gain little.
    delta, refinement, student, member : TrainConfig
    test : list of ase.Atoms
        Labelled ab initio, of other trajectories: `out/errors.csv` gets the errors of every teacher, of all together and of the student on them, and a record
        that names all of these and the settings.
        Melts of their trajectories (`info["parent"]`) are left out, so that the student does not learn them from its teachers.
    inputs : list of paths
        Files that frames and melts came from, for the records.
    workers : int
        Processes of one core each: networks that are trained at once, or that share one training (whose weights differ by rounding then).

    Returns
    -------
    pathlib.Path
        The student, as `glasslib.potential.storage.load_model` takes it.
    """
    if not frames or not melts:
        raise GlasslibError("distillation needs labelled frames and melts: give at least one of each")
    if min(deltas, refined, members) < 0 or not deltas + refined:
        raise GlasslibError("distillation needs at least one teacher: deltas or refined must be above zero")
    unseen = {atoms.info.get("parent") for atoms in test} - {None}
    melts = [atoms for atoms in melts if atoms.info.get("parent") not in unseen]
    if not melts:
        raise GlasslibError("every melt belongs to a trajectory of the test part: make others with `glasslib melts`")
    for kind, part in (("frame", frames), ("melt", melts), ("test frame", test)):
        for number, atoms in enumerate(part):
            if labels(atoms, f"{kind} {number}")[2] is None:
                raise GlasslibError(f"{kind} {number} has no stress: label it again, melts by `glasslib melts`")
    need_installed()
    if refined:
        need_foundation()
    out = folder(out)
    bases = _bases(frames, out / "bases.extxyz", xtb, workers)
    # now: a test frame that has no label stops here, and not after hours
    unseen_bases = _bases(test, out / "test-bases.extxyz", xtb, workers)
    base = Corrected(frames, bases, smooth=SMOOTH)
    gaps = [label_gap(atoms, base.label(atoms, known)) for atoms, known in zip(frames, bases, strict=True)]
    made, pairs = [], None
    if refined:
        pairs = Corrected(
            frames, _bases(frames, out / "foundation.extxyz", _published, workers), "SevenNet-0", smooth=SMOOTH
        )
        rest = [label_gap(atoms, pairs.correction.label(atoms)) for atoms in frames]
        sharing = min(
            workers, refinement.batch
        )  # each batch, between processes: one network takes longer than all else
        for seed in range(1, refined + 1):
            settings = replace(refinement, seed=seed)
            made.append(together(sharing, _trained, inputs, refine, rest, out / f"refined{seed}", settings))
    jobs = [(train, gaps, [], out / f"delta{seed}", replace(delta, seed=seed)) for seed in range(1, deltas + 1)]
    made += all_done([(_trained, inputs, *job) for job in jobs], workers)
    files = [weights(path) for path in made]
    teachers = partial(Teachers.load, base, made[refined:], files[:refined], pairs)
    lessons = taught(out, teachers, melts, members, key_of(list(frames), *files), [*inputs, *files], workers)
    known = WEIGHT * list(frames)
    mean = known + read_plain(lessons[0])
    path = together(
        min(workers, student.batch), _trained, [*inputs, lessons[0]], train, mean, [], out / "student", student, initial
    )
    jobs = [
        (_trained, [*inputs, own], train, known + read_plain(own), [], out / f"member{seed}", replace(member, seed=seed), path)
        for seed, own in enumerate(lessons[1:], 1)
    ]  # fmt: skip
    committee = all_done(jobs, workers)
    if test:
        settings = {"weight": WEIGHT, "deltas": deltas, "refined": refined, "delta": delta, "refinement": refinement, "student": student, "member": member}  # fmt: skip
        settings = {name: asdict(value) if is_dataclass(value) else value for name, value in settings.items()}
        record = RunRecord("distillation", settings, [*inputs, *files, *map(weights, [path, *committee])])
        table = compare(teachers(), path, committee, test, unseen_bases)
        with atomic(out / "errors.csv") as temporary:
            table.to_csv(temporary, float_format="%.3f")
        record.save(out / "errors.csv")
    return path


def _published(atoms):
    """Labels of SevenNet-0 as published."""
    return _foundation().label(atoms)


@cache
def _foundation():
    return Foundation()


def weights(model):
    """File of a model's weights."""
    return Path(model).with_suffix(".safetensors")


def _trained(inputs, function, *arguments):
    return function(*arguments, resume="same", inputs=inputs)


def compare(teachers, student, committee, test, bases):
    """Errors of every teacher, of all together as `lessons` has their word, of the student and of the committee's mean on labelled frames.

    Returns
    -------
    pandas.DataFrame
        Index: potential; force_rmse (meV/Å) and its median over the frames, energy_rmse (meV/atom), pressure_rmse (GPa), correlation of the errors of the forces with those of the last
        teacher, SevenNet-0 where there is one.
    """
    names = ["GFN1-xTB + pairs"]
    names += [f"GFN1-xTB + pairs + PaiNN {number}" for number in range(1, len(teachers.deltas) + 1)]
    names += [f"SevenNet-0, refined {number}, + pairs" for number in range(1, len(teachers.refined) + 1)]
    found = {name: [] for name in names}
    kinds_of_all = []
    for atoms, base in zip(test, bases, strict=True):
        kinds = teachers.answers(atoms, base)
        kinds_of_all.append(kinds)
        for name, answer in zip(names, [values(teachers.base.label(atoms, base)), *kinds[0], *kinds[1]], strict=True):
            found[name].append(answer)
    found["the teachers together"] = [
        values(teachers.word(atoms, base, kinds)[0])
        for atoms, base, kinds in zip(test, bases, kinds_of_all, strict=True)
    ]
    for name, models in (("student", [student]), ("committee", committee)):
        if models:
            calculator = calculator_of(*models)
            found[name] = [labels_of(atoms, calculator) for atoms in test]
    truth = [values(atoms) for atoms in test]
    table = pd.DataFrame({name: _errors(made, truth) for name, made in found.items()}).T.rename_axis("potential")
    wrong = {
        name: np.concatenate([np.ravel(a[1] - b[1]) for a, b in zip(made, truth, strict=True)])
        for name, made in found.items()
    }
    last = wrong[names[-1]]
    return table.assign(correlation=[np.corrcoef(last, wrong[name])[0, 1] for name in table.index])


def _errors(made, truth):
    def rms(values):
        return float(np.sqrt(np.mean(np.concatenate([np.ravel(value) for value in values]) ** 2)))

    pairs = list(zip(made, truth, strict=True))
    return {
        "force_rmse": 1e3 * rms([a[1] - b[1] for a, b in pairs]),
        "force_median": 1e3 * float(np.median([rms([a[1] - b[1]]) for a, b in pairs])),
        "energy_rmse": 1e3 * rms([(a[0] - b[0]) / len(b[1]) for a, b in pairs]),
        "pressure_rmse": rms([np.mean(a[2][:3] - b[2][:3]) for a, b in pairs]) / units.GPa,
    }


def _bases(frames, path, label, workers=1):
    """Labels of a level of theory for the frames, kept in a file."""
    kept = {_name(atoms): atoms for atoms in read_plain(path)} if Path(path).exists() else {}
    new = [atoms for atoms in frames if _name(atoms) not in kept]
    for begin in range(0, len(new), KEEP):
        part = new[begin : begin + KEEP]
        made = all_done([(_labelled, label, atoms) for atoms in part], workers, Path(path).stem, "frames")
        kept |= {_name(atoms): known for atoms, known in zip(part, made, strict=True)}
        write_plain(path, kept.values())
    if new:
        kept = {
            _name(atoms): atoms for atoms in read_plain(path)
        }  # rounded as in the file, so that a later call finds the same
    return [kept[_name(atoms)] for atoms in frames]


def _name(atoms):
    """What tells a frame from others, also after it was written to a file."""
    return atoms.get_chemical_formula("hill"), atoms.positions.round(8).tobytes(), atoms.cell.array.round(8).tobytes()


def _labelled(label, atoms):
    try:
        return label(atoms)
    except GlasslibError as error:
        raise GlasslibError(
            f"frame of {atoms.info.get('parent', 'no parent')}, {atoms.get_chemical_formula()}: {error}"
        ) from None
