"""What teachers say of melts: their mean, and each one's own word, kept melt by melt."""

from shutil import rmtree

import numpy as np

from ..files import folder
from ..potential.calculator import PaiNNCalculator
from ..potential.storage import load_model
from ..processes import all_done
from ..provenance import RunRecord, forget_key, keep_key, key_of, made_for
from ..reference.frames import read_plain, write_plain
from .foundation import Foundation
from .loop import one_thread
from .xtb import labelled

WEIGHTS = 1, 2  # of the kinds in the mean: refined networks err less
SPREAD = 0.8  # eV/Å; where the teachers differ by more (root mean square of a melt), the refined network has the word: it knows close pairs
PART = 60  # melts that a process labels in one go


class Teachers:
    """Both kinds of teachers, and their mean.

    Parameters
    ----------
    base : xtb.Corrected
        GFN1-xTB with a pair potential.
    deltas : list of ase Calculators
        Networks for what `base` lacks.
    refined : list of foundation.Foundation
    pairs : xtb.Corrected, optional
        What goes with `refined`.
    """

    def __init__(self, base, deltas, refined=(), pairs=None):
        self.base, self.deltas, self.refined, self.pairs = base, deltas, refined, pairs

    @classmethod
    def load(cls, base, deltas, refined, pairs):
        """The same, of files: models of `deltas`, weights of `refined`."""
        return cls(base, [calculator_of(path) for path in deltas], [Foundation(path) for path in refined], pairs)

    def answers(self, atoms, base):
        """What each teacher says of `atoms`: energy (eV), forces (eV/Å) and stress (Voigt, eV/Å³) of those of either kind.

        `base` are the same atoms with the labels of GFN1-xTB.
        """
        start = self.base.label(atoms, base)
        return (
            [_sum(start, atoms, calculator) for calculator in self.deltas],
            [values(self.pairs.label(atoms, network.label(atoms))) for network in self.refined],
        )

    def word(self, atoms, base, kinds, most=SPREAD):
        """A copy of `atoms` with what all teachers together say by their `answers`, and whether they agree within `most` (eV/Å).

        Their mean where they do; else the word of the refined network, which knows close pairs, or of the base where there is none.
        """
        if spread_of(kinds) <= most:
            return mean_of(atoms, kinds), True
        return (labelled(atoms, *kinds[1][0]) if kinds[1] else self.base.label(atoms, base)), False


def mean_of(atoms, kinds):
    """A copy of `atoms` labelled with the mean of the `answers`."""
    shares = [weight for weight, kind in zip(WEIGHTS, kinds, strict=True) if kind]
    means = [[np.mean([one[k] for one in kind], 0) for k in range(3)] for kind in kinds if kind]
    total = (sum(w * mean[k] for w, mean in zip(shares, means, strict=True)) / sum(shares) for k in range(3))
    made = labelled(atoms, *total)
    made.info["level"] = "mean of potentials trained on ab initio frames"
    return made


def spread_of(kinds):
    """Disagreement of the `answers`: root mean square over force components, eV/Å."""
    return float(np.sqrt(np.mean(np.std([one[1] for kind in kinds for one in kind], 0) ** 2)))


def _in_turn(kinds, count):
    """One of the first kind, one of the second, the next of the first …, from the beginning again where a kind has no more."""
    there = [kind for kind in kinds if kind]
    return [there[k % len(there)][k // len(there) % len(there[k % len(there)])] for k in range(count)]


def labels_of(atoms, calculator):
    work = atoms.copy()
    work.calc = calculator
    return values(work)


def values(atoms):
    """Energy (eV), forces (eV/Å) and stress (Voigt, eV/Å³)."""
    return atoms.get_potential_energy(), atoms.get_forces().copy(), atoms.get_stress().copy()


def _sum(start, atoms, calculator):
    energy, forces, stress = labels_of(atoms, calculator)
    return start.get_potential_energy() + energy, start.get_forces() + forces, start.get_stress() + stress


def taught(out, load, melts, members, key, inputs=(), workers=1):
    """Label melts with the teachers' words; killed at any time, the same call goes on, and more melts cost no more than themselves.

    Parameters
    ----------
    out : path
        Folder that gets the files, and `lessons/` with one file for each trajectory (`info["parent"]`).
    load : callable
        Gives the `Teachers`, also in another process.
    melts : list of ase.Atoms
        With labels of the teachers' base.
    members : int
    key : str
        Of the teachers: with another one everything is labelled again.
    inputs, workers
        As `distillation.distil` takes them.

    Returns
    -------
    list of pathlib.Path
        The melts with the mean of the teachers, then `members` times with the word of one of them, of both kinds in turn. Where the teachers differ by more
        than `SPREAD`, all of them have the word of the refined network, or else of the base.
    """
    paths = [out / "teacher.extxyz", *(out / f"teacher{k}.extxyz" for k in range(1, members + 1))]
    key = key_of(key, SPREAD, WEIGHTS, members)
    whole = key_of(key, list(melts))
    if all(made_for(path, whole) for path in paths):
        return paths
    record = RunRecord("teachers' labels", {"spread": SPREAD, "weights": WEIGHTS, "members": members}, inputs)
    kept = out / "lessons"
    if not made_for(kept, key):
        rmtree(kept, ignore_errors=True)
        keep_key(folder(kept), key)
    trajectories = {}
    for number, atoms in enumerate(melts):
        name = str(atoms.info.get("parent", f"melt-{number}")).replace("/", "-")
        trajectories.setdefault(name, []).append(number)
    left = []
    for name, numbers in trajectories.items():
        path, own = kept / f"{name}.extxyz", [melts[number] for number in numbers]
        if not made_for(path, key_of(key, own)):
            left.append((path, key_of(key, own), own))
    each = max(1, PART * len(trajectories) // len(melts))
    jobs = [(_lessons, load, left[begin : begin + each], members, SPREAD) for begin in range(0, len(left), each)]
    all_done(jobs, workers, "teachers' labels", "parts")
    words = [[None] * len(melts) for _ in paths]
    for name, numbers in trajectories.items():
        found = iter(read_plain(kept / f"{name}.extxyz"))
        for number in numbers:
            for of_one in words:
                of_one[number] = next(found)
    for path, of_one in zip(paths, words, strict=True):
        forget_key(path)
        write_plain(path, of_one)
        record.save(path)
        keep_key(path, whole)
    return paths


def _lessons(load, trajectories, members, most):
    """Write for each of the trajectories, (path, key, melts), what the teachers say: of each melt the mean, then every member's word."""
    with one_thread():
        teachers = load()
        for path, key, melts in trajectories:
            made = []
            for atoms in melts:
                kinds = teachers.answers(atoms, atoms)
                word, agreed = teachers.word(atoms, atoms, kinds, most)
                own = (labelled(atoms, *one) for one in _in_turn(kinds, members)) if agreed else [word] * members
                made += [word, *own]
            forget_key(path)
            write_plain(path, made)
            keep_key(path, key)


def calculator_of(*paths):
    return PaiNNCalculator([load_model(path) for path in paths])
