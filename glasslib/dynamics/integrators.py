"""ASE's integrators made from a stage, with the state that a restart needs.

The total momentum of a periodic system is conserved and set to zero, so 3N - 3 degrees of freedom carry the temperature. ASE's
thermostats count 3N; here they are told the right number, and Langevin noise is projected so that the centre of mass stays.
"""

import warnings

import numpy as np
from ase import units
from ase.md.bussi import Bussi
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.nose_hoover_chain import (
    MTKNPT,
    IsotropicMTKBarostat,
    IsotropicMTKNPT,
    MTKBarostat,
    NoseHooverChainNVT,
    NoseHooverChainThermostat,
)
from ase.md.verlet import VelocityVerlet

PS = 1000 * units.fs
CHAIN = ("_thermostat._eta", "_thermostat._p_eta")
BAROSTAT = ("_barostat._xi", "_barostat._p_xi")
STATE = {  # attributes beside positions, momenta, cell and random state that decide the next step
    "VelocityVerlet": (),
    "Bussi": ("transferred_energy",),
    "Langevin": (),
    "LangevinNPT": ("p_eps", "force_eps"),
    "NoseHooverChainNVT": CHAIN,
    "IsotropicMTKNPT": (*CHAIN, *BAROSTAT, "_eps", "_p_eps", "_volume0", "_cell0"),
    "MTKNPT": (*CHAIN, *BAROSTAT, "_p_g", "_h"),
}
SYMMETRIC = 6  # numbers in a symmetric 3 x 3 matrix


class Langevin(LangevinBAOAB):
    """BAOAB Langevin dynamics (Leimkuhler & Matthews, J. Chem. Phys. 138, 174102 (2013)) that leaves the centre of mass at rest.

    Removing the mean velocity after the random kick is the orthogonal projection in mass-weighted coordinates, so the remaining
    3N - 3 degrees of freedom keep the exact canonical distribution.
    """

    def _BAOAB_OU(self, drag_gamma_mod=0.0):
        super()._BAOAB_OU(drag_gamma_mod)
        momenta = self.atoms.arrays["momenta"]
        momenta -= self.masses * (momenta.sum(axis=0) / self.masses.sum())


class LangevinNPT(Langevin):
    """The same with a Langevin piston (Quigley & Probert, J. Chem. Phys. 120, 11432 (2004))."""

    def _set_barostat_mass(self, mass, factor):
        self.Ndof = degrees(self.atoms)  # asked for just before the masses are set
        super()._set_barostat_mass(mass, factor)

    def _barostat_BAOAB_OU_gamma_mod(self):
        if self.hydrostatic:
            return super()._barostat_BAOAB_OU_gamma_mod()
        # ASE 3.29 adds the trace to every element: it belongs on the diagonal (Quigley & Probert, eq. 9)
        return (self.p_eps + np.trace(self.p_eps) / self.Ndof * np.eye(3)) / self.barostat_mass


def build(stage, atoms, rng):
    """The integrator of a stage, for atoms with a calculator and momenta, at the temperature and pressure of the stage's start."""
    dt, damping, temperature = stage.timestep * units.fs, stage.damping * PS, stage.first("temperature")
    if stage.ensemble == "nve":
        return VelocityVerlet(atoms, dt)
    if stage.ensemble == "nvt":
        return _nvt(stage.thermostat, atoms, dt, temperature, damping, rng)
    pressure, slow = stage.first("pressure") * units.GPa, stage.barostat_damping * PS
    isotropic = stage.cell == "isotropic"
    if stage.thermostat == "langevin":
        with warnings.catch_warnings():  # ASE announces its heuristic barostat mass as a warning
            warnings.simplefilter("ignore")
            return LangevinNPT(
                atoms, dt, temperature_K=temperature, externalstress=-pressure, hydrostatic=isotropic, T_tau=damping, P_tau=slow, rng=rng
            )  # fmt: skip
    kind = IsotropicMTKNPT if isotropic else MTKNPT
    integrator = kind(atoms, dt, temperature_K=temperature, pressure_au=pressure, tdamp=damping, pdamp=slow)
    barostat = IsotropicMTKBarostat if isotropic else MTKBarostat
    integrator._num_atoms_global = len(atoms) - 1
    integrator._thermostat = _chain(atoms, temperature, damping)
    integrator._barostat = barostat(num_atoms_global=len(atoms) - 1, temperature_K=temperature, pdamp=slow)
    if not isotropic:  # ASE 3.29 counts nine, but the momentum of the cell stays symmetric, as the stress is
        integrator._barostat._cell_dof = SYMMETRIC
        integrator._barostat._R[0] = SYMMETRIC * integrator._barostat._kT * slow**2
    return integrator


def _nvt(thermostat, atoms, dt, temperature, damping, rng):
    if thermostat == "langevin":
        return Langevin(atoms, dt, temperature_K=temperature, T_tau=damping, rng=rng)
    if thermostat == "bussi":
        integrator = Bussi(atoms, dt, temperature_K=temperature, taut=damping, rng=rng)
        integrator.ndof = degrees(atoms)
        set_targets(integrator, temperature)
        return integrator
    integrator = NoseHooverChainNVT(atoms, dt, temperature_K=temperature, tdamp=damping)
    integrator._thermostat = _chain(atoms, temperature, damping)
    return integrator


def _chain(atoms, temperature, damping):
    masses = atoms.get_masses()[:, None]
    return NoseHooverChainThermostat(
        num_atoms_global=len(atoms) - 1, masses=masses, temperature_K=temperature, tdamp=damping
    )


def set_targets(integrator, temperature=None, pressure=None):
    """Change temperature (K) and pressure (GPa) in the midst of a run; masses of the thermostat and barostat stay."""
    if temperature is not None:
        if isinstance(integrator, LangevinBAOAB):
            integrator.set_temperature(temperature)
        elif isinstance(integrator, Bussi):
            integrator.temp = units.kB * temperature
            integrator.target_kinetic_energy = 0.5 * integrator.temp * integrator.ndof
        else:
            for part in (integrator, integrator._thermostat, getattr(integrator, "_barostat", None)):
                if part is not None:
                    part._kT = units.kB * temperature
    if pressure is not None:
        if isinstance(integrator, LangevinBAOAB):
            stress = -pressure * units.GPa
            integrator.externalstress = stress if integrator.hydrostatic else stress * np.eye(3)
        else:
            integrator._pressure_au = pressure * units.GPa


def get_state(integrator):
    """What the integrator knows beside the atoms: name → float array."""
    return {path: np.array(_get(integrator, path), dtype=float) for path in STATE[type(integrator).__name__]}


def set_state(integrator, state):
    """Undo get_state on a newly built integrator."""
    for path in STATE[type(integrator).__name__]:
        value = np.array(state[path])
        *owner, name = path.split(".")
        setattr(_get(integrator, owner[0]) if owner else integrator, name, value if value.ndim else float(value))


def _get(integrator, path):
    for name in path.split("."):
        integrator = getattr(integrator, name)
    return integrator


def deform(integrator, cell):
    """Give the atoms another cell, positions following affinely."""
    atoms = integrator.atoms
    atoms.set_cell(cell, scale_atoms=True)
    if hasattr(integrator, "_q"):
        integrator._q = atoms.get_positions()


def conserved(integrator, potential, kinetic):
    """The quantity that the equations of motion conserve, eV; NaN for Langevin dynamics."""
    if isinstance(integrator, LangevinBAOAB):
        return np.nan
    if isinstance(integrator, Bussi):
        return potential + kinetic - integrator.transferred_energy
    if isinstance(integrator, VelocityVerlet):
        return potential + kinetic
    chain = integrator._thermostat
    energy = potential + kinetic + chain.get_thermostat_energy()
    if hasattr(integrator, "_barostat"):
        energy += integrator._barostat.get_barostat_energy() + integrator._pressure_au * integrator._get_volume()
        momentum = integrator._p_g if hasattr(integrator, "_p_g") else integrator._p_eps
        energy += float(np.sum(np.square(momentum))) / (2 * integrator._barostat.W)
    return energy


def degrees(atoms):
    """Degrees of freedom that carry the temperature: all but those of the centre of mass."""
    return max(1, 3 * len(atoms) - 3)


def draw_momenta(atoms, temperature, rng):
    """Maxwell–Boltzmann momenta at a temperature (K), centre of mass at rest."""
    masses = atoms.get_masses()[:, None]
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    atoms.set_momenta(momenta)
    rest(atoms)


def rest(atoms):
    """Bring the centre of mass to rest."""
    masses = atoms.get_masses()[:, None]
    momenta = atoms.get_momenta()
    atoms.set_momenta(momenta - masses * (momenta.sum(axis=0) / masses.sum()))
