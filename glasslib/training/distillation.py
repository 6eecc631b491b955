"""One potential that has learned from several: teachers of two kinds, matched to the same frames, label many melts for it.

Potentials that are trained in different ways on the same few frames err in different ways, and the mean of them errs less; a single
network that learns the mean costs no more than one of them (Hinton, Vinyals & Dean, arXiv 1503.02531, 2015). The two kinds are networks refined
straight on the ab initio labels, and networks that learn what GFN1-xTB with a pair potential lacks to them (Δ-learning, Ramakrishnan et al., J. Chem.
Theory Comput. 11, 2087, 2015). The mean gives each kind half.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from ase import units

from ..errors import GlasslibError
from ..files import atomic, folder
from ..potential.calculator import PaiNNCalculator
from ..potential.storage import load_model
from ..progress import progress
from ..provenance import RunRecord, keep_key, key_of, made_for
from ..reference.frames import read_plain, write_plain
from .config import TrainConfig
from .loop import train
from .xtb import XTBTeacher, difference, labelled, xtb

SMALL = TrainConfig(batch=2, huber=1.0, average=0.99, warmup=50)  # suits some tens of frames
DELTA, DIRECT = replace(SMALL, epochs=110), replace(SMALL, epochs=80)
STUDENT = TrainConfig(epochs=60, batch=4, huber=1.0, average=0.998, warmup=100)
SPREAD = 0.8  # eV/Å; where the networks differ by more (root mean square of a melt) they know nothing, and GFN1-xTB with pairs has the word
WEIGHT = 2  # times that an ab initio frame counts for one of the melts
MEMBER = 4  # epochs of the student for one of a member


class Teachers:
    """The mean of both kinds of teachers.

    Parameters
    ----------
    base : XTBTeacher
    deltas, directs : lists of ase Calculators
        Networks for what `base` lacks, and for everything.
    """

    def __init__(self, base, deltas, directs):
        self.base, self.deltas, self.directs = base, deltas, directs

    def answers(self, atoms, base):
        """What each teacher says of `atoms`: energy (eV), forces (eV/Å) and stress (Voigt, eV/Å³) of those of either kind.

        `base` are the same atoms with the labels of GFN1-xTB.
        """
        start = self.base.label(atoms, base)
        return (
            [_sum(start, atoms, calculator) for calculator in self.deltas],
            [_labels(atoms, calculator) for calculator in self.directs],
        )

    def label(self, atoms, base):
        """A copy of `atoms` labelled with the mean, and the teachers' disagreement: root mean square over force components, eV/Å."""
        kinds = self.answers(atoms, base)
        return _mean(atoms, kinds), _spread(kinds)


def _mean(atoms, kinds):
    made = labelled(atoms, *(np.mean([np.mean([one[k] for one in kind], 0) for kind in kinds], 0) for k in range(3)))
    made.info["level"] = "mean of potentials trained on ab initio frames"
    return made


def _spread(kinds):
    return float(np.sqrt(np.mean(np.std([one[1] for kind in kinds for one in kind], 0) ** 2)))


def _labels(atoms, calculator):
    work = atoms.copy()
    work.calc = calculator
    return _of(work)


def _of(atoms):
    """Energy (eV), forces (eV/Å) and stress (Voigt, eV/Å³)."""
    return atoms.get_potential_energy(), atoms.get_forces().copy(), atoms.get_stress().copy()


def _sum(start, atoms, calculator):
    energy, forces, stress = _labels(atoms, calculator)
    return start.get_potential_energy() + energy, start.get_forces() + forces, start.get_stress() + stress


def distil(
    frames,
    melts,
    out,
    initial=None,
    members=4,
    delta=DELTA,
    direct=DIRECT,
    student=STUDENT,
    test=(),
    inputs=(),
    workers=1,
):
    """Train teachers on labelled frames, label melts with their mean, and train one network on all of it.

    Killed at any time, the same call goes on; with other frames, melts or settings, what depends on them is made again.

    Parameters
    ----------
    frames : list of ase.Atoms
        Labelled ab initio. Leave the test part out of them.
    melts : list of ase.Atoms
        With labels of GFN1-xTB, see `melts.melts`.
    out : path
        Gets `bases.extxyz` (GFN1-xTB of the frames), `delta1/` …, `direct/`, `teacher.extxyz` (the melts as the teachers label them), `student/`, and a committee,
        `member1/` …, each of whose members has learned from one of the networks for what GFN1-xTB lacks (`teacher1.extxyz` …) and not from the mean.
    initial : path, optional
        Model that the direct teacher and the committee begin from; the student begins from that teacher.
    members : int
        Networks for what GFN1-xTB lacks, of seeds 1, 2, …
    delta, direct, student : TrainConfig
    test : list of ase.Atoms
        Labelled ab initio, of other trajectories: `out/errors.csv` gets the errors of every teacher, of their mean and of the student on them.
    inputs : list of paths
        Files that frames and melts came from, for the records.
    workers : int
        Networks that are trained at once, each on one core.

    Returns
    -------
    pathlib.Path
        The student, as `glasslib.potential.storage.load_model` takes it.
    """
    if not frames or not melts:
        raise GlasslibError("distillation needs labelled frames and melts: give at least one of each")
    out = folder(out)
    bases = _bases(frames, out / "bases.extxyz")
    base = XTBTeacher(frames, bases, smooth=0.005)
    gaps = [difference(atoms, base.label(atoms, known)) for atoms, known in zip(frames, bases, strict=True)]
    jobs = [(frames, [], out / "direct", direct, initial)]
    jobs += [(gaps, [], out / f"delta{seed}", replace(delta, seed=seed)) for seed in range(1, members + 1)]
    start, *deltas = _all_trained(jobs, inputs, workers)
    teachers = Teachers(base, [_calculator(path) for path in deltas], [_calculator(start)])
    files = [weights(path) for path in (*deltas, start)]
    key = key_of(SPREAD, list(melts), list(frames), *files)
    lessons = taught(out, teachers, melts, key, [*inputs, *files])
    known = WEIGHT * list(frames)
    jobs = [(known + read_plain(lessons[0]), [], out / "student", student, start)]
    for seed, own in enumerate(lessons[1:], 1):
        changed = replace(student, epochs=max(1, student.epochs // MEMBER), seed=seed)
        jobs.append((known + read_plain(own), [], out / f"member{seed}", changed, initial))
    path, *_ = _all_trained(jobs, inputs, workers)
    if test:
        members = [load_model(out / f"member{seed}/model") for seed in range(1, len(deltas) + 1)]
        table = compare(
            teachers, _calculator(path), test, _bases(test, out / "test-bases.extxyz"), PaiNNCalculator(members)
        )
        with atomic(out / "errors.csv") as temporary:
            table.to_csv(temporary, float_format="%.3f")
    return path


def weights(model):
    """File of a model's weights."""
    return Path(model).with_suffix(".safetensors")


def taught(out, teachers, melts, key, inputs=()):
    """Files of the melts as the teachers label them: their mean, then each of those that build on GFN1-xTB alone."""
    paths = [out / "teacher.extxyz", *(out / f"teacher{k}.extxyz" for k in range(1, len(teachers.deltas) + 1))]
    if not all(made_for(path, key) for path in paths):
        made, record = [[] for _ in paths], RunRecord("teachers' labels", {"spread": SPREAD}, inputs)
        for atoms in progress(melts, "teachers' labels", "frames"):
            kinds = teachers.answers(atoms, atoms)
            if _spread(kinds) > SPREAD:
                only = teachers.base.label(atoms, atoms)
                for kept in made:
                    kept.append(only)
            else:
                for kept, new in zip(
                    made, [_mean(atoms, kinds), *(labelled(atoms, *one) for one in kinds[0])], strict=True
                ):
                    kept.append(new)
        for path, labels in zip(paths, made, strict=True):
            write_plain(path, labels)
            record.save(path)
            keep_key(path, key)
    return paths


def _all_trained(jobs, inputs, workers):
    """Paths of the models of several trainings, each given by the first arguments of `train`."""
    if workers == 1:
        return [train(*job, resume="same", inputs=inputs) for job in jobs]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return [one.result() for one in [pool.submit(train, *job, resume="same", inputs=inputs) for job in jobs]]


def compare(teachers, student, test, bases, committee=None):
    """Errors of every teacher, of their mean, of the student and of the committee's mean on labelled frames.

    Returns
    -------
    pandas.DataFrame
        Index: potential; force_rmse (meV/Å), energy_rmse (meV/atom), pressure_rmse (GPa).
    """
    start = [teachers.base.label(atoms, base) for atoms, base in zip(test, bases, strict=True)]
    found = {"GFN1-xTB + pairs": [_of(made) for made in start]}
    for number, calculator in enumerate(teachers.deltas, 1):
        found[f"GFN1-xTB + pairs + PaiNN {number}"] = [
            _sum(made, atoms, calculator) for made, atoms in zip(start, test, strict=True)
        ]
    for number, calculator in enumerate(teachers.directs, 1):
        found[f"PaiNN {number}"] = [_labels(atoms, calculator) for atoms in test]
    found["mean of the teachers"] = [
        _of(teachers.label(atoms, base)[0]) for atoms, base in zip(test, bases, strict=True)
    ]
    found["student"] = [_labels(atoms, student) for atoms in test]
    if committee:
        found["committee"] = [_labels(atoms, committee) for atoms in test]
    truth = [_of(atoms) for atoms in test]
    return pd.DataFrame({name: _errors(made, truth) for name, made in found.items()}).T.rename_axis("potential")


def _errors(made, truth):
    def rms(values):
        return float(np.sqrt(np.mean(np.concatenate([np.ravel(value) for value in values]) ** 2)))

    pairs = list(zip(made, truth, strict=True))
    return {
        "force_rmse": 1e3 * rms([a[1] - b[1] for a, b in pairs]),
        "energy_rmse": 1e3 * rms([(a[0] - b[0]) / len(b[1]) for a, b in pairs]),
        "pressure_rmse": rms([np.mean(a[2][:3] - b[2][:3]) for a, b in pairs]) / units.GPa,
    }


def _bases(frames, path):
    """Labels of GFN1-xTB for the frames, kept in a file."""
    kept = {atoms.positions.tobytes(): atoms for atoms in read_plain(path)} if Path(path).exists() else {}
    found = [kept.get(atoms.positions.round(8).tobytes()) for atoms in frames]
    if None in found:
        found = [
            known or _bare(xtb(atoms))
            for atoms, known in progress(list(zip(frames, found, strict=True)), "GFN1-xTB", "frames")
        ]
        write_plain(path, found)
        found = read_plain(path)  # rounded as in the file, so that a later call finds the same
    return found


def _bare(atoms):
    """Without what the data set says of the ab initio labels."""
    for name in ("stress_raw", "stress_correction", "stress_kind", "level"):
        atoms.info.pop(name, None)
    return atoms


def _calculator(path):
    return PaiNNCalculator([load_model(path)])
