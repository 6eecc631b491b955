"""Compositions, densities and starting structures of oxide melts.

Densities are those of the glasses at room temperature, tabulated against mole fraction of Na2O by Bansal & Doremus
("Handbook of Glass Properties", 1986) as used by Pedone, Bertani & Benassi, J. Chem. Theory Comput. 21, 4769 (2025). Their
22.5 % row repeats the 20 % value, which looks like a copying error, and is left out here.
"""

import math
import re
from dataclasses import dataclass
from numbers import Real

import numba
import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers

from .errors import GlasslibError

OXIDES = {  # formula: atoms in one unit
    "SiO2": {"Si": 1, "O": 2},
    "Na2O": {"Na": 2, "O": 1},
    "Li2O": {"Li": 2, "O": 1},
    "K2O": {"K": 2, "O": 1},
    "B2O3": {"B": 2, "O": 3},
    "Al2O3": {"Al": 2, "O": 3},
    "CaO": {"Ca": 1, "O": 1},
    "MgO": {"Mg": 1, "O": 1},
}
GLASS_DENSITY = (  # mole fraction of Na2O, g/cm³ at 300 K
    (0.0, 2.200), (0.10, 2.294), (0.20, 2.385), (0.30, 2.469), (0.33, 2.494), (0.40, 2.550), (0.50, 2.630),
)  # fmt: skip
# Shortest separations of a random start, Å: below the bonds of the melt, above the core.
SHORTEST = {"OO": 2.0, "OSi": 1.4, "NaO": 1.8, "SiSi": 2.4, "NaSi": 2.4, "NaNa": 2.4}


@dataclass(frozen=True)
class Composition:
    """A mixture of oxides: `moles` maps each oxide to its whole number in the smallest formula unit."""

    name: str
    moles: tuple

    @property
    def unit(self):
        """Atoms of one formula unit, by symbol."""
        atoms = {}
        for oxide, count in self.moles:
            for symbol, number in OXIDES[oxide].items():
                atoms[symbol] = atoms.get(symbol, 0) + count * number
        return dict(sorted(atoms.items()))

    @property
    def unit_size(self):
        """Atoms in one formula unit."""
        return sum(self.unit.values())

    @property
    def unit_mass(self):
        """Mass of one formula unit, u."""
        return sum(n * atomic_masses[atomic_numbers[s]] for s, n in self.unit.items())

    def fraction(self, oxide):
        """Mole fraction of an oxide, 0 to 1."""
        return dict(self.moles).get(oxide, 0) / sum(count for _, count in self.moles)

    def counts(self, atoms):
        """Atoms of each element in the system of whole formula units nearest to `atoms` atoms, one unit at least.

        Returns
        -------
        dict
            Number of atoms by symbol; its sum may differ from `atoms`, which is for the caller to report.
        """
        if not isinstance(atoms, (int, np.integer)) or isinstance(atoms, bool) or atoms < 1:
            raise GlasslibError(f"number of atoms must be a positive whole number, not {atoms!r}")
        formula_units = max(1, round(atoms / self.unit_size))
        return {symbol: n * formula_units for symbol, n in self.unit.items()}


def composition(spec):
    """A Composition from a name or from mole fractions.

    Parameters
    ----------
    spec : str, dict or Composition
        "SiO2"; "NSx" for Na2O·xSiO2 ("NS2", "NS" or "NS1" for the metasilicate, "NS0.5"); a formula of oxides
        "Na2O-2SiO2" or "20Na2O-80SiO2"; or mole fractions {"Na2O": 0.2, "SiO2": 0.8}, in any scale.

    Raises
    ------
    GlasslibError
        For anything that is no mixture of the oxides known here.

    >>> composition("NS4").unit
    {'Na': 2, 'O': 9, 'Si': 4}
    """
    if isinstance(spec, Composition):
        return spec
    if isinstance(spec, dict):
        moles, name = spec, None
    elif isinstance(spec, str):
        moles, name = _parse(spec), spec
    else:
        raise GlasslibError(
            f"a composition is a name like 'NS2' or mole fractions like {{'Na2O': 1, 'SiO2': 2}}, not {spec!r}"
        )
    for oxide, amount in moles.items():
        if oxide not in OXIDES:
            raise GlasslibError(f"unknown oxide {oxide!r} in composition {spec!r}: known are {', '.join(OXIDES)}")
        if (
            isinstance(amount, bool)
            or not isinstance(amount, (int, float, np.number))
            or not math.isfinite(amount)
            or amount < 0
        ):
            raise GlasslibError(
                f"amount of {oxide} in composition {spec!r} must be a number not below zero, not {amount!r}"
            )
    moles = {oxide: float(amount) for oxide, amount in moles.items() if amount > 0}
    if not moles:
        raise GlasslibError(f"composition {spec!r} holds nothing: give at least one oxide an amount above zero")
    whole = _whole(moles, spec)
    return Composition(name or "-".join(f"{n}{oxide}" for oxide, n in whole), whole)


def _parse(text):
    if text in OXIDES:
        return {text: 1}
    if match := re.fullmatch(r"NS(\d+(?:\.\d+)?)?", text):
        return {"Na2O": 1.0, "SiO2": float(match[1] or 1)}
    moles = {}
    for part in re.split(r"[-·.](?=\d*\.?\d*[A-Z])", text):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)?([A-Z][A-Za-z0-9]*)", part)
        if not match or match[2] not in OXIDES:
            raise GlasslibError(
                f"unknown composition {text!r}: use SiO2, NS2 (that is Na2O·2SiO2), or oxides such as 20Na2O-80SiO2 "
                f"of {', '.join(OXIDES)}"
            )
        moles[match[2]] = moles.get(match[2], 0.0) + float(match[1] or 1)
    return moles


def _whole(moles, spec, largest=1000):
    """The amounts as the smallest whole numbers in the same proportion (to 1 part in 1e4)."""
    least = min(moles.values())
    for factor in range(1, largest + 1):
        scaled = {oxide: amount / least * factor for oxide, amount in moles.items()}
        if all(abs(x - round(x)) <= 1e-4 * x for x in scaled.values()):
            return tuple((oxide, round(x)) for oxide, x in scaled.items())
    raise GlasslibError(f"composition {spec!r} is no ratio of whole numbers up to {largest}: round the mole fractions")


def density(spec, temperature=None, expansion=6e-5):
    """Density of Na2O–SiO2 at zero pressure, interpolated in the table of glasses.

    Parameters
    ----------
    spec : str, dict or Composition
    temperature : float, optional
        K. Without it, the glass at 300 K; with it, ρ(T) = ρ(300 K) / (1 + expansion · (T − 300 K)).
    expansion : float
        Volume expansion coefficient, 1/K. The default lies between glass and melt of these compositions; it is a convenience
        for starting volumes, not a measured equation of state.

    Returns
    -------
    float
        g/cm³.
    """
    mixture = composition(spec)
    others = [oxide for oxide, _ in mixture.moles if oxide not in ("Na2O", "SiO2")]
    if others:
        raise GlasslibError(
            f"no density is tabulated for {mixture.name} (holds {', '.join(others)}): give `density` in g/cm³"
        )
    x, table = mixture.fraction("Na2O"), np.array(GLASS_DENSITY)
    if x > table[-1, 0]:
        raise GlasslibError(
            f"no density is tabulated above 50 % Na2O ({mixture.name} has {x:.0%}): give `density` in g/cm³"
        )
    value = float(np.interp(x, table[:, 0], table[:, 1]))
    if temperature is None:
        return value
    if isinstance(temperature, bool) or not isinstance(temperature, Real) or not 0 <= temperature < math.inf:
        raise GlasslibError(f"temperature must be a number of kelvin not below zero, not {temperature!r}")
    return value / (1 + expansion * (temperature - 300))


_tabulated = density  # random_structure has an argument of that name


def random_structure(spec, atoms=300, density=None, temperature=None, seed=0):
    """Atoms at random in a cubic periodic box, none of them overlapping: where a melt run starts.

    Random sequential placement with species-dependent shortest distances, cations first, softened step by step if the box
    is too full for them.

    Parameters
    ----------
    spec : str, dict or Composition
    atoms : int
        Wanted number of atoms, rounded to whole formula units. `info` of the result holds "atoms_asked" and "rounding"
        (atoms made minus atoms asked).
    density : float, optional
        g/cm³; default: `density(spec, temperature)`.
    temperature : float, optional
        K, for the default density.
    seed : int

    Returns
    -------
    ase.Atoms
        Species in random order, fully periodic.
    """
    mixture = composition(spec)
    counts = mixture.counts(atoms)
    total = sum(counts.values())
    value = _tabulated(mixture, temperature) if density is None else density
    if isinstance(value, bool) or not (
        isinstance(value, (int, float, np.number)) and math.isfinite(value) and 0.01 < value < 20
    ):
        raise GlasslibError(f"density must be between 0.01 and 20 g/cm³, not {value!r}")
    mass = mixture.unit_mass * total / mixture.unit_size
    edge = (mass * units._amu * 1e3 / value * 1e24) ** (1 / 3)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise GlasslibError(f"seed must be a whole number not below zero, not {seed!r}")
    rng = np.random.default_rng(seed)
    symbols = np.concatenate([[s] * counts[s] for s in sorted(counts, key="Si B Al Na Li K Ca Mg O".split().index)])
    positions = _place(symbols, edge, rng, mixture.name, value)
    order = rng.permutation(total)
    structure = Atoms(symbols[order], positions=positions[order], cell=[edge] * 3, pbc=True)
    structure.info.update(
        composition=mixture.name, density=float(value), atoms_asked=int(atoms), rounding=total - int(atoms)
    )
    return structure


def shortest(a, b):
    """Shortest starting distance of two species, Å."""
    return SHORTEST.get("".join(sorted((a, b))), 1.8)


def _place(symbols, edge, rng, name, value, tries=20, batch=200):
    kinds, codes = np.unique(symbols, return_inverse=True)
    limits = np.array([[shortest(a, b) for b in kinds] for a in kinds])
    for soft in (1.0, 0.93, 0.86, 0.8, 0.74, 0.68):
        placed = np.empty((len(symbols), 3))
        grid = max(1, int(edge / limits.max()))
        grid = grid if grid > 2 else 1
        head, behind = np.full((grid, grid, grid), -1), np.empty(len(symbols), np.int64)
        for i, code in enumerate(codes):
            for _ in range(tries):
                candidates = rng.uniform(0, edge, (batch, 3))
                if _place_one(candidates, placed, i, codes, soft * limits[code], edge, head, behind):
                    break
            else:
                break
        else:
            return placed
    raise GlasslibError(
        f"{len(symbols)} atoms of {name} do not fit at {value} g/cm³ without overlap: choose a lower density"
    )


@numba.njit(cache=True)
def _place_one(candidates, placed, i, codes, limits, edge, head, behind):
    """Put atom `i` at the first candidate that overlaps with none of the atoms before it; a grid of linked lists finds those nearby."""
    grid = len(head)
    reach = 1 if grid > 1 else 0
    for candidate in candidates:
        x, y, z = [min(int(c / edge * grid), grid - 1) for c in candidate]
        free = True
        for a in range(x - reach, x + reach + 1):
            for b in range(y - reach, y + reach + 1):
                for c in range(z - reach, z + reach + 1):
                    j = head[a % grid, b % grid, c % grid]
                    while j >= 0 and free:
                        delta = placed[j] - candidate
                        delta -= edge * np.round(delta / edge)
                        free = not np.sqrt(np.sum(delta**2)) < limits[codes[j]]
                        j = behind[j]
        if free:
            placed[i] = candidate
            behind[i] = head[x, y, z]
            head[x, y, z] = i
            return True
    return False
