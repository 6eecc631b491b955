"""When a run has left physics: not a number, exploding, atoms inside each other, a committee that disagrees."""

import warnings
from dataclasses import dataclass, field

import numpy as np
from ase import units
from ase.data import atomic_numbers, covalent_radii
from vesin import NeighborList

from ..errors import GlasslibError

# Shortest distance that a run may see: half the sum of the covalent radii (Si-O 0.89 Å, O-O 0.66 Å, Na-O 1.16 Å), but nowhere more than LARGEST Å. Sodium is an ion
# far smaller than its covalent radius: labelled melts hold Na-Na at 1.43 Å, pushed apart by 12 eV/Å.
CORE, LARGEST = 0.5, 1.3
REACH = 2.0  # Å: where a search for pairs costs least; a shorter one walks through more empty cells
COMMITTEE = {
    "force_spread": ("the committee's forces differ by", "a committee of potentials, as `committee` is one"),
    "force_error": ("the committee expects errors of", "a calibrated committee, see `glasslib calibrate`"),
}


@dataclass(frozen=True)
class Guard:
    """Limits beyond which a run stops, its last good state kept.

    Attributes
    ----------
    temperature : float
        Highest kinetic temperature, K. Default: ten times the schedule's highest, at least 20 000 K, since overlaps of a random start heat it.
    distance : dict
        Shortest distance of a pair, Å, e.g. {"Si-O": 1.0}; pairs not named: half the sum of covalent radii, 1.3 Å at most.
    force_spread : float
        Largest disagreement of a committee's forces, eV/Å, where the calculator's results hold "force_spread" [atoms].
        Default: not limited.
    force_error : float
        Largest error that a calibrated committee foretells for a force, eV/Å ("force_error" [atoms]). Default: not limited.
    warn : bool
        Beyond these two limits the run goes on with a warning.
    every : int
        Steps between two checks. The energy is looked at in every step.
    """

    temperature: float = None
    distance: dict = field(default_factory=dict)
    force_spread: float = None
    force_error: float = None
    warn: bool = False
    every: int = 20

    def __post_init__(self):
        for name in ("temperature", *COMMITTEE):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
                raise GlasslibError(f"guard: {name} must be a number above zero, not {value!r}")
        if not isinstance(self.warn, bool):
            raise GlasslibError(f"guard: warn must be true or false, not {self.warn!r}")
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise GlasslibError(f"guard: every must be a whole number of at least 1, not {self.every!r}")
        if not isinstance(self.distance, dict):
            raise GlasslibError(f'guard: distance must look like {{"Si-O": 1.0}} (Å, below 5), not {self.distance!r}')
        for pair, value in self.distance.items():
            if (
                len(_symbols(pair)) != 2
                or isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not 0 <= value < 5
            ):
                raise GlasslibError(
                    f'guard: distance must look like {{"Si-O": 1.0}} (Å, below 5), not {{{pair!r}: {value!r}}}'
                )


class Watch:
    """A guard at work on one set of atoms."""

    def __init__(self, guard, atoms, highest):
        self.guard, self.every, self.warned = guard, guard.every, set()
        self.temperature = guard.temperature or max(10 * highest, 20000.0)
        self.symbols = atoms.get_chemical_symbols()
        kinds = sorted(set(self.symbols))
        self.kind = np.array([kinds.index(s) for s in self.symbols])
        self.shortest = np.array([[min(LARGEST, CORE * (_radius(a) + _radius(b))) for b in kinds] for a in kinds])
        for pair, value in guard.distance.items():
            a, b = _symbols(pair)
            if a in kinds and b in kinds:
                i, j = kinds.index(a), kinds.index(b)
                self.shortest[i, j] = self.shortest[j, i] = value
        reach = max(float(self.shortest.max()), REACH)
        self.neighbours = NeighborList(cutoff=reach, full_list=False, n_threads=1) if self.shortest.any() else None
        self.degrees = max(1, 3 * len(atoms) - 3)

    def trouble(self, atoms, results):
        """What is wrong with the atoms, or None.

        Returns
        -------
        (str, list of int) or None
            A sentence, and the atoms that it is about.
        """
        broken = np.flatnonzero(~(np.isfinite(atoms.positions) & np.isfinite(atoms.arrays["momenta"])).all(axis=1))
        if len(broken):
            return f"positions or momenta of {self._names(broken)} are not finite", broken[:8].tolist()
        if not np.isfinite(results.get("energy", 0.0)):
            return "the potential energy is not finite", []
        close = self.overlap(atoms)
        if close:
            i, j, distance, limit = close
            return (
                f"atoms {i} ({self.symbols[i]}) and {j} ({self.symbols[j]}) are {distance:.2f} Å apart, less than {limit:.2f} Å",
                [i, j],
            )
        kinetic = 0.5 * (atoms.arrays["momenta"] ** 2).sum(axis=1) / atoms.get_masses()
        temperature = 2 * kinetic.sum() / (self.degrees * units.kB)
        if temperature > self.temperature:
            hot = np.argsort(kinetic)[::-1][:4]
            return (
                f"the temperature is {temperature:.0f} K, more than {self.temperature:.0f} K, fastest {self._names(hot)}",
                hot.tolist(),
            )
        for name, (says, needs) in COMMITTEE.items():
            limit, values = getattr(self.guard, name), results.get(name)
            if limit is None or not results:
                continue
            if values is None:
                raise GlasslibError(f"guard: {name} needs {needs}")
            if np.max(values) > limit:
                worst = np.argsort(values)[::-1][:4]
                text = f"{says} {np.max(values):.2f} eV/Å, more than {limit:g}, on {self._names(worst)}"
                if not self.guard.warn:
                    return text, worst.tolist()
                if name not in self.warned:
                    warnings.warn(
                        f"{text}; the run goes on, its log has the disagreement of every logged step", stacklevel=2
                    )
                self.warned.add(name)
        return None

    def overlap(self, atoms):
        """The worst pair that is too close, as (i, j, distance, limit), or None."""
        if self.neighbours is None:
            return None
        first, second, distance = self.neighbours.compute(
            atoms.positions, atoms.cell.array, bool(atoms.pbc.any()), "ijd"
        )
        limits = self.shortest[self.kind[first], self.kind[second]]
        short = distance < limits
        if not short.any():
            return None
        k = np.flatnonzero(short)[np.argmin(distance[short] / limits[short])]
        return int(first[k]), int(second[k]), float(distance[k]), float(limits[k])

    def _names(self, atoms):
        text = ", ".join(f"{i} ({self.symbols[i]})" for i in atoms[:4])
        return ("atom " if len(atoms) == 1 else "atoms ") + text + (", …" if len(atoms) > 4 else "")


def _radius(symbol):
    return float(covalent_radii[atomic_numbers[symbol]])


def _symbols(pair):
    return [s for s in str(pair).split("-") if s in atomic_numbers]
