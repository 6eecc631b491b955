"""London dispersion on top of any potential: D3 with Becke–Johnson damping, D3(BJ).

Grimme, Antony, Ehrlich & Krieg, J. Chem. Phys. 132, 154104 (2010); Grimme, Ehrlich & Goerigk, J. Comput. Chem. 32, 1456 (2011). The pair sum ends
smoothly at `cutoff`, so that energy is conserved; what lies beyond is added as of a fluid without structure, with its forces and its pressure. No
three-body term, as in the published fits of D3(BJ).
"""

import json
from pathlib import Path

import numba
import numpy as np
from ase import units
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from ..errors import GlasslibError
from . import compiled
from .graph import check_geometry

PBE = {"s6": 1.0, "s8": 0.7875, "a1": 0.4289, "a2": 4.4407}  # a2 in bohr
TABLE = Path(__file__).with_name("d3.json")
STEEP, SCALE, WIDTH = 16.0, 4 / 3, 4.0  # of the count of neighbours, of its radii, of the weights of reference systems
COUNTED, COUNT_FADES = 10.0, 8.0  # Å, where the count of neighbours ends and where it begins to
FADES = 3.0  # Å before the cutoff, where the pair sum begins to end
BIN = 3.75  # Å, wanted width of the cells of the grid
REFERENCES = 5  # most reference systems of an element


@numba.njit(inline="always")
def _fade(r, begin, end):
    """1 before `begin`, 0 beyond `end`, smooth to the second derivative between; and its slope."""
    if r <= begin:
        return 1.0, 0.0
    x = (r - begin) / (end - begin)
    return 1.0 - x * x * x * (10.0 - 15.0 * x + 6.0 * x * x), -30.0 * x * x * (1.0 - x) ** 2 / (end - begin)


@numba.njit(inline="always")
def _count(r, radius):
    """How much a neighbour at r counts, and the slope of that."""
    part = 1.0 / (1.0 + np.exp(-STEEP * (radius / r - 1.0)))
    fade, slope = _fade(r, COUNT_FADES, COUNTED)
    return part * fade, part * slope - fade * part * (1.0 - part) * STEEP * radius / (r * r)


@numba.njit(parallel=True, cache=True)
def _counts(points, kind, first, bins, home, offsets, cell, radius):
    """Coordination number of every atom."""
    out = np.zeros(len(points))
    for a in numba.prange(len(points)):
        for o in range(len(offsets)):
            j, sx, sy, sz = _cell_at(home, a, offsets, o, bins, cell)
            for b in range(first[j], first[j + 1]):
                dx = points[b, 0] + sx - points[a, 0]
                dy = points[b, 1] + sy - points[a, 1]
                dz = points[b, 2] + sz - points[a, 2]
                r2 = dx * dx + dy * dy + dz * dz
                if 1e-12 < r2 < COUNTED * COUNTED:
                    out[a] += _count(np.sqrt(r2), radius[kind[a], kind[b]])[0]
    return out


@numba.njit(inline="always")
def _cell_at(home, a, offsets, o, bins, cell):
    """Number of a cell of the grid, seen from that of atom a, and the shift of its image."""
    x, y, z = home[a, 0] + offsets[o, 0], home[a, 1] + offsets[o, 1], home[a, 2] + offsets[o, 2]
    u, v, w = x // bins[0], y // bins[1], z // bins[2]
    j = ((x - u * bins[0]) * bins[1] + y - v * bins[1]) * bins[2] + z - w * bins[2]
    return (
        j,
        u * cell[0, 0] + v * cell[1, 0] + w * cell[2, 0],
        u * cell[0, 1] + v * cell[1, 1] + w * cell[2, 1],
        u * cell[0, 2] + v * cell[1, 2] + w * cell[2, 2],
    )


@numba.njit(parallel=True, cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _pairs(points, kind, first, bins, home, offsets, cell, weight, seen, slope, eight, r6, r8, s6, cutoff):
    """Energy, its slope in the coordination number, force and virial of every atom: half of each of its pairs."""
    n = len(points)
    energy, by_count, force, virial = np.zeros(n), np.zeros(n), np.zeros((n, 3)), np.zeros((n, 6))
    for a in numba.prange(n):
        for o in range(len(offsets)):
            j, sx, sy, sz = _cell_at(home, a, offsets, o, bins, cell)
            for b in range(first[j], first[j + 1]):
                dx = points[b, 0] + sx - points[a, 0]
                dy = points[b, 1] + sy - points[a, 1]
                dz = points[b, 2] + sz - points[a, 2]
                r2 = dx * dx + dy * dy + dz * dz
                if r2 >= cutoff * cutoff or r2 < 1e-12:
                    continue
                k = kind[b]
                c6 = dc6 = 0.0
                for p in range(REFERENCES):
                    c6 += seen[a, k, p] * weight[b, p]
                    dc6 += slope[a, k, p] * weight[b, p]
                r = np.sqrt(r2)
                r4 = r2 * r2
                six, both = 1.0 / (r4 * r2 + r6[kind[a], k]), 1.0 / (r4 * r4 + r8[kind[a], k])
                shape = -(s6 * six + eight[kind[a], k] * both)
                steep = r4 * r * (6.0 * s6 * six * six + 8.0 * r2 * eight[kind[a], k] * both * both)
                fade, fading = _fade(r, cutoff - FADES, cutoff)
                energy[a] += 0.5 * c6 * shape * fade
                by_count[a] += dc6 * shape * fade
                pull = c6 * (steep * fade + shape * fading) / r
                _add(force, virial, a, pull, dx, dy, dz)
    return energy, by_count, force, virial


@numba.njit(inline="always")
def _add(force, virial, a, pull, dx, dy, dz):
    """A pair's slope over its distance, times its vector: force on a, and a's half of what strain does."""
    force[a, 0] += pull * dx
    force[a, 1] += pull * dy
    force[a, 2] += pull * dz
    virial[a, 0] += 0.5 * pull * dx * dx
    virial[a, 1] += 0.5 * pull * dy * dy
    virial[a, 2] += 0.5 * pull * dz * dz
    virial[a, 3] += 0.5 * pull * dy * dz
    virial[a, 4] += 0.5 * pull * dx * dz
    virial[a, 5] += 0.5 * pull * dx * dy


@numba.njit(parallel=True, cache=True)
def _through_counts(points, kind, first, bins, home, offsets, cell, radius, by_count, force, virial):
    """Add what the energy changes as atoms are counted more or less."""
    for a in numba.prange(len(points)):
        for o in range(len(offsets)):
            j, sx, sy, sz = _cell_at(home, a, offsets, o, bins, cell)
            for b in range(first[j], first[j + 1]):
                dx = points[b, 0] + sx - points[a, 0]
                dy = points[b, 1] + sy - points[a, 1]
                dz = points[b, 2] + sz - points[a, 2]
                r2 = dx * dx + dy * dy + dz * dz
                if 1e-12 < r2 < COUNTED * COUNTED:
                    r = np.sqrt(r2)
                    pull = (by_count[a] + by_count[b]) * _count(r, radius[kind[a], kind[b]])[1] / r
                    _add(force, virial, a, pull, dx, dy, dz)


class Dispersion(Calculator):
    """D3(BJ), alone or added to a potential.

    Parameters
    ----------
    potential : ase Calculator, optional
        What it is added to; further results of it (energies of atoms, a committee's disagreement) are handed on.
    cutoff : float
        Å.
    parameters : dict
        s6, s8, a1 and a2 (bohr) of a functional; default: those of PBE.

    Raises
    ------
    GlasslibError
        For an element without reference data, or a cell that is periodic in some directions only.

    >>> atoms.calc = Dispersion(load_potential("default"))
    """

    implemented_properties = ("energy", "free_energy", "energies", "forces", "stress")

    def __init__(self, potential=None, cutoff=15.0, parameters=PBE):
        super().__init__()
        if potential is not None and not isinstance(potential, Calculator):
            raise GlasslibError(f"the potential must be an ASE Calculator, not {type(potential).__name__}")
        if isinstance(cutoff, bool) or not isinstance(cutoff, (int, float)) or not COUNTED <= cutoff <= 60:
            raise GlasslibError(f"cutoff must lie between {COUNTED:g} and 60 Å, not {cutoff!r}")
        if set(parameters) != set(PBE):
            raise GlasslibError(f"parameters must be {', '.join(PBE)}, not {', '.join(parameters)}")
        compiled.once()
        self.potential, self.cutoff, self.d3 = potential, float(cutoff), dict(parameters)
        self._symbols = None

    @property
    def weights(self):
        """Hash of the potential's weights, where it has one, and that dispersion was added."""
        return f"{getattr(self.potential, 'weights', '')} D3(BJ)".strip()

    def reset(self):
        """Forget results, the potential's too."""
        super().reset()
        if self.potential is not None:
            self.potential.reset()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Fill `results`: energy (eV), energies [atoms] (eV), forces [atoms, 3] (eV/Å) and, in a periodic cell, stress (Voigt, eV/Å³)."""
        super().calculate(atoms, properties, system_changes)
        energies, forces, virial = self.compute(self.atoms)
        base = {}
        if self.potential is not None:
            self.potential.calculate(self.atoms, properties, system_changes)
            base = dict(self.potential.results)
        found = {"energies": energies, "energy": energies.sum(), "forces": forces}
        if self.atoms.pbc.all():
            found["stress"] = full_3x3_to_voigt_6_stress(virial / self.atoms.get_volume())
        self.results = base | {k: v + base[k] if k in base else v for k, v in found.items() if not base or k in base}
        self.results["free_energy"] = self.results["energy"]  # electrons of a potential have no entropy

    def compute(self, atoms):
        """Dispersion alone: energies [atoms] eV, forces [atoms, 3] eV/Å, and dE/d(strain) [3, 3] eV."""
        check_geometry(atoms)
        self._prepare(atoms)
        points, cell = _boxed(atoms, self.cutoff)
        order, points, home, bins, first = _grid(points, cell)
        kind = self._kind[order]
        close, far = (_offsets(cell, bins, reach) for reach in (COUNTED, self.cutoff))
        grid = points, kind, first, bins, home
        counts = _counts(*grid, close, cell, self._radius)
        weight, seen, slope = self._references(counts, kind)
        energy, by_count, force, virial = _pairs(
            *grid, far, cell, weight, seen, slope, self._eight, self._r6, self._r8, self.d3["s6"], self.cutoff
        )
        beyond = 0.0
        if atoms.pbc.all():  # what lies beyond the cutoff
            number = np.arange(len(self._names))
            sums = np.array([weight[kind == k].sum(0) for k in number])
            tail = -self._tail[kind] / abs(np.linalg.det(cell))
            own = (tail * np.einsum("akp,kp->ak", seen, sums)).sum(1)
            by_count += (tail * np.einsum("akp,kp->ak", slope, sums)).sum(1)
            energy += 0.5 * own
            beyond = 0.5 * own.sum()
        _through_counts(*grid, close, cell, self._radius, by_count, force, virial)
        total = virial.sum(0)
        strain = np.array(
            [[total[0], total[5], total[4]], [total[5], total[1], total[3]], [total[4], total[3], total[2]]]
        )
        energies, forces = np.empty_like(energy), np.empty_like(force)
        energies[order], forces[order] = energy, force
        return energies, forces, strain - beyond * np.eye(3)

    def _prepare(self, atoms):
        """Tables of the pairs of elements, in eV and Å; made anew where the elements change."""
        symbols = tuple(atoms.symbols)
        if symbols == self._symbols:
            return
        table = json.loads(TABLE.read_text())
        known, c6 = table["elements"], table["c6"]
        self._names = sorted(set(symbols))
        missing = [name for name in self._names if name not in known]
        if missing:
            raise GlasslibError(f"no reference data of D3 for {', '.join(missing)}: there are {', '.join(known)}")
        self._kind = np.array([self._names.index(symbol) for symbol in symbols])
        numbers = {symbol: number for symbol, number in zip(symbols, atoms.numbers, strict=True)}
        size = len(self._names)
        radius = np.array([known[name]["radius"] for name in self._names])
        self._radius = SCALE * (radius[:, None] + radius)
        self._cn = np.full((size, REFERENCES), np.nan)
        self._c6 = np.zeros((size, size, REFERENCES, REFERENCES))
        for i, a in enumerate(self._names):
            self._cn[i, : len(known[a]["cn"])] = known[a]["cn"]
            for j, b in enumerate(self._names):
                values = np.array(c6[f"{a}-{b}"]) if f"{a}-{b}" in c6 else np.array(c6[f"{b}-{a}"]).T
                self._c6[i, j, : values.shape[0], : values.shape[1]] = values * units.Hartree * units.Bohr**6
        moment = np.array([np.sqrt(0.5 * known[name]["r4_over_r2"] * np.sqrt(numbers[name])) for name in self._names])
        ratio = 3.0 * moment[:, None] * moment * units.Bohr**2  # C8 / C6
        damped = self.d3["a1"] * np.sqrt(ratio) + self.d3["a2"] * units.Bohr
        self._eight, self._r6, self._r8 = self.d3["s8"] * ratio, damped**6, damped**8
        r = np.linspace(self.cutoff - FADES, 40 * self.cutoff, 200_001)
        fade = np.array([_fade(x, self.cutoff - FADES, self.cutoff)[0] if x < self.cutoff else 0.0 for x in r])
        self._tail = np.empty((size, size))
        for i in range(size):
            for j in range(size):
                shape = self.d3["s6"] / (r**6 + self._r6[i, j]) + self._eight[i, j] / (r**8 + self._r8[i, j])
                self._tail[i, j] = np.trapezoid(4 * np.pi * r**2 * (1 - fade) * shape, r)
        self._symbols = symbols

    def _references(self, counts, kind):
        """Weights of the reference systems of every atom [atoms, references], and C6 to those of other elements, with its slope in the count."""
        apart = counts[:, None] - self._cn[kind]
        exponent = np.where(np.isnan(apart), -np.inf, -WIDTH * apart**2)
        weight = np.exp(exponent - exponent.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
        rise = -2 * WIDTH * np.where(np.isnan(apart), 0.0, apart)
        rise = weight * (rise - (weight * rise).sum(1, keepdims=True))
        seen, slope = np.empty((2, len(kind), len(self._names), REFERENCES))
        for k in range(len(self._names)):
            mine = kind == k
            seen[mine] = np.einsum("ap,kpq->akq", weight[mine], self._c6[k])
            slope[mine] = np.einsum("ap,kpq->akq", rise[mine], self._c6[k])
        return weight, seen, slope


def without_dispersion(frames, **options):
    """Copies of labelled frames whose labels have D3(BJ) taken off, for a potential that it is added to: of PBE-D3(BJ), PBE is left.

    Parameters
    ----------
    frames : list of ase.Atoms
        With energy (eV), forces (eV/Å) and, where they have it, stress (eV/Å³).
    options
        Of `Dispersion`.
    """
    calculator, made = Dispersion(**options), []
    for atoms in frames:
        known, bare = atoms.calc.results, atoms.copy()
        calculator.calculate(atoms)
        taken = {
            name: known[name] - calculator.results[name] for name in ("energy", "forces", "stress") if name in known
        }
        bare.info = {name: value for name, value in bare.info.items() if name not in known}
        bare.calc = SinglePointCalculator(bare, **taken)
        made.append(bare)
    return made


def _boxed(atoms, cutoff):
    """Positions, and a periodic cell: that of the atoms, or, of atoms in no cell, one in which no image is within reach."""
    if atoms.pbc.all():
        return atoms.positions, atoms.cell.array
    if atoms.pbc.any():
        raise GlasslibError("D3(BJ) takes atoms that are periodic in all directions or in none")
    low, high = atoms.positions.min(0), atoms.positions.max(0)
    return atoms.positions - low, np.diag(high - low + 2 * cutoff)


def _grid(points, cell):
    """Atoms sorted by the cells of a grid: their order, wrapped positions and cells; cells along each axis; first atom of each."""
    inside = np.linalg.solve(cell.T, points.T).T % 1.0
    inside[inside == 1.0] = 0.0
    widths = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    bins = np.maximum(1, (widths / BIN).astype(np.int64))
    home = np.minimum((inside * bins).astype(np.int64), bins - 1)
    number = (home[:, 0] * bins[1] + home[:, 1]) * bins[2] + home[:, 2]
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], np.arange(bins.prod() + 1))
    return order, inside[order] @ cell, home[order], bins, first


def _offsets(cell, bins, reach):
    """Cells of the grid that hold what is within reach of another, as steps from that."""
    steps = cell / bins[:, None]
    widths = 1 / np.linalg.norm(np.linalg.inv(steps), axis=0)
    most = np.ceil(reach / widths).astype(np.int64)
    found = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), -1).reshape(-1, 3)
    if np.count_nonzero(steps) == 3:  # of a rectangular cell: the nearest corners
        return found[np.linalg.norm(np.maximum(np.abs(found) - 1, 0) @ steps, axis=1) < reach]
    diagonal = np.linalg.norm(np.abs(steps).sum(0))
    return found[np.linalg.norm(found @ steps, axis=1) < reach + diagonal]
