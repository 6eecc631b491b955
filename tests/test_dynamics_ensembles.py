"""The integrators, as the runs drive them, sample the ensembles they are named after."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from scipy.optimize import brentq
from scipy.special import expit

from glasslib import dynamics
from glasslib.dynamics.evaluate import Evaluator
from glasslib.dynamics.integrators import build, conserved, draw_momenta, rest
from glasslib.dynamics.schedule import read_schedule
from glasslib.trajectory import Trajectory

T = 1500.0  # hot enough that the springs are far from harmonic, which Nosé-Hoover chains need to be ergodic
PAIRS = ("O-O", "O-Na", "O-Si", "Na-Na", "Na-Si", "Si-Si")
NVT = ("langevin", "bussi", "nose-hoover")
NPT = [("nose-hoover", "isotropic"), ("nose-hoover", "full"), ("langevin", "isotropic"), ("langevin", "full")]


class Nothing(Calculator):
    """No interactions: an ideal gas."""

    implemented_properties = ["energy", "forces", "stress"]

    def calculate(self, atoms=None, properties=None, system_changes=None):
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}


class Springs(Calculator):
    """Neighbours in a crystal joined by springs of 2 eV/Å², a little too long: E = k/2 Σ (|r| - r0)²."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, atoms, length):
        super().__init__()
        from vesin import NeighborList

        pairs = NeighborList(cutoff=1.2 * length, full_list=False).compute(
            atoms.positions, atoms.cell.array, True, "ijS"
        )
        self.first, self.second, self.shift = pairs
        self.length = length

    def calculate(self, atoms=None, properties=None, system_changes=None):
        vector = atoms.positions[self.second] - atoms.positions[self.first] + self.shift @ atoms.cell.array
        distance = np.sqrt((vector**2).sum(axis=1))
        pull = (2.0 * (distance - self.length) / distance)[:, None] * vector
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, self.first, pull)
        np.add.at(forces, self.second, -pull)
        stress = vector.T @ pull / atoms.get_volume()
        self.results = {
            "energy": float(((distance - self.length) ** 2).sum()), "forces": forces, "stress": stress.ravel()[[0, 4, 8, 5, 2, 1]],
        }  # fmt: skip


def crystal():
    """32 atoms of three masses on an fcc lattice, at rest."""
    atoms = bulk("Ar", "fcc", a=4.0, cubic=True) * (2, 2, 2)
    atoms.symbols = np.random.default_rng(0).permutation(["O"] * 14 + ["Na"] * 10 + ["Si"] * 8)
    atoms.calc = Springs(atoms, 4.0 / np.sqrt(2))
    return atoms


class Spheres(Calculator):
    """A fluid of soft spheres, E = k/2 Σ (2.3 Å - r)² for closer pairs: collisions share energy among all atoms within a picosecond."""

    implemented_properties = ["energy", "forces", "stress"]

    def calculate(self, atoms=None, properties=None, system_changes=None):
        edge = atoms.cell.array[0, 0]
        vector = atoms.positions[:, None] - atoms.positions
        vector -= edge * np.round(vector / edge)
        distance = np.sqrt((vector**2).sum(axis=-1)) + 99 * np.eye(len(atoms))
        depth = np.maximum(2.3 - distance, 0)
        push = 5 * (depth / distance)[..., None] * vector
        stress = -0.5 * np.einsum("ijk,ijl->kl", push, vector) / edge**3
        self.results = {
            "energy": 1.25 * (depth**2).sum(), "forces": push.sum(axis=1), "stress": stress.ravel()[[0, 4, 8, 5, 2, 1]],
        }  # fmt: skip


def prepared(atoms, stage, seed=0, temperature=T):
    """The atoms with momenta, and the integrator of a stage."""
    (stage,) = read_schedule([stage | {"length": 1.0}])
    rng = np.random.default_rng(seed)
    draw_momenta(atoms, temperature, rng)
    atoms.calc = Evaluator(atoms.calc, stress=stage.ensemble == "npt")
    return build(stage, atoms, rng)


def follow(integrator, steps, every, measure, skip=500):
    """Values of `measure(atoms)` every so many steps."""
    for _ in range(skip):
        integrator.step()
    found = []
    for number in range(steps):
        integrator.step()
        if number % every == 0:
            found.append(measure(integrator.atoms))
    return np.array(found)


def test_springs_have_forces_and_stress_of_their_energy():
    atoms = crystal()
    atoms.rattle(0.1, seed=1)
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    moved, h = atoms.copy(), 1e-5
    moved.calc = atoms.calc
    energies = []
    for sign in (1, -1):
        moved.positions[3, 1] = atoms.positions[3, 1] + sign * h
        energies.append(moved.get_potential_energy())
    assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(forces[3, 1], abs=1e-6)
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * h * np.outer([0, 1, 0], [0, 1, 0])), scale_atoms=True)
        strained.calc = atoms.calc
        energies.append(strained.get_potential_energy())
    assert (energies[0] - energies[1]) / (2 * h * atoms.get_volume()) == pytest.approx(stress[1, 1], abs=1e-7)


def nve(timestep, steps=4000):
    atoms = crystal()
    integrator = prepared(atoms, {"ensemble": "nve", "timestep": timestep})
    count = round(steps / timestep)
    return np.array([(integrator.step(), atoms.get_total_energy())[1] for _ in range(count)])


def test_nve_energy_error_is_of_second_order_and_does_not_drift():
    coarse, fine = nve(4.0), nve(2.0)
    assert np.std(coarse) / np.std(fine) == pytest.approx(4.0, rel=0.25)
    for energy in (coarse, fine):
        quarter = len(energy) // 4
        assert abs(energy[-quarter:].mean() - energy[:quarter].mean()) < 0.5 * np.std(energy)


def test_nve_runs_backwards_to_where_it_came_from():
    atoms = crystal()
    integrator = prepared(atoms, {"ensemble": "nve", "timestep": 2.0})
    start = atoms.positions.copy()
    for _ in range(1000):
        integrator.step()
    assert np.abs(atoms.positions - start).max() > 0.1
    atoms.set_momenta(-atoms.get_momenta())
    for _ in range(1000):
        integrator.step()
    assert np.abs(atoms.positions - start).max() < 1e-8


def simulation_data(ensemble, **observables):
    """What physical_validation takes, in the units of this package."""
    pv = pytest.importorskip("physical_validation")
    system = pv.data.SystemData(
        natoms=32, nconstraints=0, ndof_reduction_tra=3, ndof_reduction_rot=0, mass=np.ones(32), molecule_idx=np.arange(32),
        nconstraints_per_molecule=np.zeros(32),
    )  # fmt: skip
    unit = pv.data.UnitData(
        kb=units.kB, energy_str="eV", energy_conversion=96.485332, length_str="A", length_conversion=0.1, volume_str="A3",
        volume_conversion=1e-3, temperature_str="K", temperature_conversion=1, pressure_str="GPa", pressure_conversion=1e4,
        time_str="ps", time_conversion=1,
    )  # fmt: skip
    ensemble = pv.data.EnsembleData(natoms=32, **ensemble)
    return pv.data.SimulationData(
        units=unit, ensemble=ensemble, system=system, observables=pv.data.ObservableData(**observables)
    )


def kinetic_deviation(kinetic):
    """Deviations of mean and width of a kinetic-energy distribution from the canonical one, in standard errors."""
    pv = pytest.importorskip("physical_validation")
    data = simulation_data(
        {"ensemble": "NVT", "volume": 512.0, "temperature": T},
        kinetic_energy=kinetic,
        potential_energy=kinetic,
        total_energy=kinetic,
    )
    return pv.kinetic_energy.distribution(data, strict=False, verbosity=0, bs_repetitions=200, bootstrap_seed=1)


@pytest.mark.parametrize("thermostat", NVT)
def test_nvt_kinetic_energy_is_canonical_by_physical_validation(thermostat):
    integrator = prepared(crystal(), {"ensemble": "nvt", "thermostat": thermostat, "temperature": T, "timestep": 4.0})
    kinetic = follow(integrator, 8000, 10, lambda atoms: atoms.get_kinetic_energy())
    assert np.abs(kinetic_deviation(kinetic)).max() < 3.5


def test_physical_validation_fails_for_a_width_or_mean_that_is_a_factor_of_two_off():
    rng = np.random.default_rng(3)
    right = rng.gamma(93 / 2, units.kB * T, 800)
    assert np.abs(kinetic_deviation(right)).max() < 3.5
    assert np.abs(kinetic_deviation(2 * right)).max() > 10
    assert np.abs(kinetic_deviation(right.mean() + np.sqrt(2) * (right - right.mean()))).max() > 5
    berendsen = right.mean() + (right - right.mean()) / 2
    assert np.abs(kinetic_deviation(berendsen)).max() > 5


@pytest.mark.parametrize("thermostat", NVT)
def test_every_species_has_the_temperature_of_the_thermostat(thermostat):
    atoms = crystal()
    atoms.calc = Spheres()
    integrator = prepared(
        atoms, {"ensemble": "nvt", "thermostat": thermostat, "temperature": T, "timestep": 4.0}, seed=4
    )
    masses = atoms.get_masses()
    mean = follow(integrator, 9000, 3, lambda a: (a.get_momenta() ** 2).sum(axis=1) / masses).mean(axis=0)
    share = 1 - masses / masses.sum()  # of an atom's motion that is not the centre of mass, which rests
    for species in ("O", "Na", "Si"):
        chosen = atoms.symbols == species
        found = mean[chosen].sum() / (3 * share[chosen].sum() * units.kB)
        assert found == pytest.approx(T, rel=0.08), species


@pytest.mark.parametrize("thermostat", NVT)
def test_the_centre_of_mass_stays_where_it_is(thermostat):
    atoms = crystal()
    integrator = prepared(atoms, {"ensemble": "nvt", "thermostat": thermostat, "temperature": T, "timestep": 4.0})
    start = atoms.get_center_of_mass()
    for _ in range(3000):
        integrator.step()
    assert np.abs(atoms.get_center_of_mass() - start).max() < 1e-9
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-10


def test_drawn_momenta_have_the_temperature_and_rest():
    atoms = Atoms("ONaSi" * 2000, positions=np.zeros((6000, 3)), cell=[1, 1, 1], pbc=True)
    draw_momenta(atoms, T, np.random.default_rng(0))
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-9
    for species in ("O", "Na", "Si"):
        chosen = atoms[atoms.symbols == species]
        assert chosen.get_kinetic_energy() / (1.5 * len(chosen) * units.kB) == pytest.approx(T, rel=0.05)
    atoms.set_momenta(atoms.get_momenta() + 3.0)
    rest(atoms)
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-9


@pytest.mark.parametrize(("thermostat", "cell"), NPT)
def test_ideal_gas_pressure_is_nkt_over_v(thermostat, cell):
    """V is gamma distributed: mean N kT/p and relative width 1/√N, up to terms of order 1/N."""
    number, pressure = 60, 0.5
    expected = number * units.kB * T / (pressure * units.GPa)
    edge = (1.3 * expected) ** (1 / 3)
    atoms = Atoms(
        "O" * number, positions=np.random.default_rng(1).random((number, 3)) * edge, cell=[edge] * 3, pbc=True
    )
    atoms.calc = Nothing()
    stage = {
        "ensemble": "npt",
        "thermostat": thermostat,
        "cell": cell,
        "temperature": T,
        "pressure": pressure,
        "timestep": 4.0,
    }
    integrator = prepared(atoms, stage | {"damping": 0.05, "barostat_damping": 0.1}, seed=6)
    volume = follow(integrator, 7000, 5, lambda a: a.get_volume(), skip=1500)
    assert volume.mean() == pytest.approx(expected, rel=0.06)
    assert volume.std() / volume.mean() == pytest.approx(number**-0.5, rel=0.25)


@pytest.mark.parametrize("cell, degrees", [("isotropic", 1), ("full", 6)])
def test_the_cell_moves_at_the_temperature(cell, degrees):
    """Σ p_g²/W = k T for each number that the cell may change: one, or six of a symmetric matrix."""
    atoms = Atoms("O60", positions=np.random.default_rng(2).random((60, 3)) * 13.5, cell=[13.5] * 3, pbc=True)
    atoms.calc = Nothing()
    stage = {"ensemble": "npt", "thermostat": "nose-hoover", "cell": cell, "temperature": T, "pressure": 0.5, "timestep": 4.0}  # fmt: skip
    integrator = prepared(atoms, stage | {"damping": 0.05, "barostat_damping": 0.1}, seed=3)
    part = integrator._barostat
    moved = follow(integrator, 6000, 2, lambda a: np.sum(cell_momentum(integrator) ** 2) / part.W, skip=500)
    assert moved.mean() / (units.kB * T) == pytest.approx(degrees, rel=0.15)


def cell_momentum(integrator):
    return integrator._p_g if hasattr(integrator, "_p_g") else integrator._p_eps


def free_energy_difference(forward, backward, kT):
    """Free energy from the work there and the work back (Bennett, J. Comput. Phys. 22, 245 (1976)), for as many of each."""

    def excess(difference):
        return expit((difference - forward) / kT).sum() - expit(-(difference + backward) / kT).sum()

    return brentq(excess, -100 * kT, 100 * kT)


def test_the_pressure_of_the_log_is_the_slope_of_the_free_energy(tmp_path):
    """F(V2) − F(V1) from energies of a fluid and of the same fluid scaled to the other volume, against −∫ p dV with the pressure that a run writes."""
    kT, blocks, runs = units.kB * T, 10, []
    stage = {"ensemble": "nvt", "temperature": T, "thermostat": "bussi", "damping": 0.1, "timestep": 4.0}
    schedule = [stage | {"length": 2}, stage | {"length": 24, "output": "linear", "interval": 0.02}]
    for number, scale in enumerate((1.0, 1.013)):
        atoms = crystal()
        atoms.set_cell(atoms.cell.array * scale, scale_atoms=True)
        path = dynamics.run(
            atoms,
            Spheres(),
            schedule,
            tmp_path / f"{number}.h5",
            seed=number,
            guard={"distance": dict.fromkeys(PAIRS, 0)},
            quiet=True,
        )
        runs.append(Trajectory.open(path))
    volume = [abs(np.linalg.det(run.cells[0])) for run in runs]
    share = (len(crystal()) - 1) * kT * np.log(volume[1] / volume[0])  # of the ideal gas; the centre of mass rests

    def energies(run, scale):
        atoms, spheres, found = crystal(), Spheres(), []
        atoms.set_cell(run.cells[0] * scale)
        for positions in np.asarray(run.positions, dtype=float):
            atoms.positions = scale * positions
            spheres.calculate(atoms)
            found.append(spheres.results["energy"])
        return np.array(found)

    stretch = (volume[1] / volume[0]) ** (1 / 3)
    forward = energies(runs[0], stretch) - energies(runs[0], 1.0) - share
    backward = energies(runs[1], 1 / stretch) - energies(runs[1], 1.0) + share
    free = [
        free_energy_difference(a, b, kT)
        for a, b in zip(np.array_split(forward, blocks), np.array_split(backward, blocks), strict=True)
    ]

    def work(factor):  # −∫ p dV by the trapezoidal rule, in blocks, its virial multiplied by a factor
        kinetic = [2 * run.log["kinetic_energy"] / (3 * v) for run, v in zip(runs, volume, strict=True)]
        virial = [run.log["pressure"] * units.GPa - k for run, k in zip(runs, kinetic, strict=True)]
        late = runs[0].log["time"] > 2
        total = sum(k + factor * v for k, v in zip(kinetic, virial, strict=True))
        return -(volume[1] - volume[0]) / 2 * np.array([part.mean() for part in np.array_split(total[late], blocks)])

    def deviation(factor):
        difference = np.array(free) - work(factor)
        return abs(difference.mean()) / (difference.std(ddof=1) / np.sqrt(blocks))

    assert deviation(1) < 3.5
    assert deviation(1.1) > 10  # a tenth too much virial is told from it


def volumes(thermostat, pressure):
    stage = {"ensemble": "npt", "thermostat": thermostat, "temperature": T, "pressure": pressure, "timestep": 4.0}
    integrator = prepared(crystal(), stage | {"damping": 0.1, "barostat_damping": 0.2}, seed=7)
    return follow(integrator, 8000, 5, lambda a: (a.get_potential_energy(), a.get_volume()), skip=1500).T


def boltzmann_deviation(data, pressures):
    """Deviation of ln P(V; p1)/P(V; p2) from (p2 - p1) V / kT (Shirts, J. Chem. Theory Comput. 9, 909 (2013)), in standard errors."""
    pv = pytest.importorskip("physical_validation")
    pair = [
        simulation_data(
            {"ensemble": "NPT", "pressure": pressure, "temperature": T}, kinetic_energy=energy, potential_energy=energy, total_energy=energy, volume=volume
        )
        for (energy, volume), pressure in zip(data, pressures, strict=True)
    ]  # fmt: skip
    return np.abs(pv.ensemble.check(*pair, verbosity=0, bootstrap_seed=1)).max()


@pytest.mark.parametrize("thermostat", ["nose-hoover", "langevin"])
def test_npt_volumes_at_two_pressures_differ_by_the_boltzmann_factor_of_p_v(thermostat):
    data = [volumes(thermostat, pressure) for pressure in (0.0, 1.0)]
    assert boltzmann_deviation(data, (0.0, 1.0)) < 3.5
    assert boltzmann_deviation(data, (0.0, 2.0)) > 5  # a barostat with a factor of two in its pressure
    wide = [(energy, volume.mean() + np.sqrt(2) * (volume - volume.mean())) for energy, volume in data]
    assert boltzmann_deviation(wide, (0.0, 1.0)) > 5  # a factor of two in the variance of the volume


@pytest.mark.parametrize(
    "stage",
    [
        {"ensemble": "nve"},
        {"ensemble": "nvt", "thermostat": "bussi", "temperature": T},
        {"ensemble": "nvt", "thermostat": "nose-hoover", "temperature": T},
        {"ensemble": "npt", "temperature": T, "pressure": 0.5},
        {"ensemble": "npt", "cell": "full", "temperature": T, "pressure": 0.5},
    ],
)
def test_the_conserved_quantity_of_every_ensemble_is_conserved(stage):
    atoms = crystal()
    integrator = prepared(atoms, stage | {"timestep": 1.0}, temperature=0.5 * T)
    for _ in range(50):  # Bussi's exchange with its bath begins with the first step
        integrator.step()

    def energies(a):
        potential, kinetic = a.get_potential_energy(), a.get_kinetic_energy()
        return conserved(integrator, potential, kinetic), potential + kinetic

    kept, total = follow(integrator, 1500, 5, energies, skip=0).T
    assert np.std(kept) < 0.01
    if stage["ensemble"] != "nve":
        assert np.std(total) > 20 * np.std(kept)


def test_the_langevin_piston_drags_velocities_along_the_axes_only():
    """Quigley & Probert, J. Chem. Phys. 120, 11432 (2004), eq. 9: the trace of the piston's momentum acts on each axis alike."""
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    stage = read_schedule([{"ensemble": "npt", "cell": "full", "thermostat": "langevin", "temperature": 300, "pressure": 0, "length": 1}])[0]  # fmt: skip
    piston = build(stage, atoms, np.random.default_rng(0))
    piston.p_eps = np.diag([1.0, 2.0, 3.0])
    drag = piston._barostat_BAOAB_OU_gamma_mod() * piston.barostat_mass
    np.testing.assert_allclose(drag, np.diag([1.0, 2.0, 3.0]) + 6 / piston.Ndof * np.eye(3))
