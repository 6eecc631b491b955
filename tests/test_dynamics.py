"""Schedules, output and guards of molecular dynamics."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.io import write

from glasslib import GlasslibError, analysis, dynamics, load_potential, random_structure
from glasslib.dynamics import Guard, log_frames, read_schedule
from glasslib.dynamics.guard import Watch
from glasslib.files import read_json, sha256
from glasslib.potential import files
from glasslib.provenance import record_path
from glasslib.trajectory import Trajectory

MELT = {"ensemble": "nvt", "temperature": 3000, "length": 1}


@pytest.mark.parametrize(
    ("n_steps", "block", "per_decade"), [(1000, 100, 10), (997, 64, 3), (50, 50, 10), (10, 1, 5), (123456, 10000, 7)]
)
def test_log_frames_are_the_union_of_log_spaced_offsets_from_every_origin(n_steps, block, per_decade):
    expected = {n_steps}
    for origin in range(0, n_steps + 1, block):
        expected.add(origin)
        k = 0
        while (offset := round(10 ** (k / per_decade))) < block:
            expected.add(origin + offset)
            k += 1
    assert log_frames(n_steps, block, per_decade).tolist() == sorted(s for s in expected if s <= n_steps)


def test_log_frames_have_every_lag_time_once_a_block_and_few_frames():
    frames = log_frames(100_000, 1000, 10)
    differences = frames[None, :] - frames[:, None]
    for lag in (1, 2, 3, 10, 100, 501):
        assert (differences == lag).sum() >= 100
    assert (differences == 50_000).any() and len(frames) < 100 * 30
    assert (np.diff(frames) > 0).all() and frames[0] == 0 and frames[-1] == 100_000


@pytest.mark.parametrize("wrong", [(0, 1, 1), (10, 0, 1), (10, 1, 0), (10.5, 1, 1), (True, 1, 1)])
def test_log_frames_refuses_what_is_no_whole_number(wrong):
    with pytest.raises(GlasslibError, match="whole number"):
        log_frames(*wrong)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "no stage"),
        (MELT, "list of stages"),
        ("nvt", "list of stages"),
        (["nvt"], "stage 1 must be a mapping"),
        ([MELT | {"temprature": 3000}], "stage 1: unknown key 'temprature', did you mean 'temperature'"),
        ([MELT | {"name": "melt", "qqq": 1}], r"stage 1 \(melt\): unknown key 'qqq': known are"),
        ([{"ensemble": "nvt", "length": 1}], "ensemble nvt needs 'temperature'"),
        ([{"temperature": 3000, "length": 1}], "'ensemble' is missing"),
        ([MELT | {"ensemble": "nph"}], "ensemble must be one of nve, nvt, npt, not 'nph'"),
        ([MELT, MELT | {"temperature": "3000"}], "stage 2: temperature must be K"),
        ([MELT | {"temperature": True}], "temperature must be K"),
        ([MELT | {"temperature": -5}], "temperature must be K"),
        ([MELT | {"temperature": float("nan")}], "temperature must be K"),
        ([MELT | {"temperature": [3000, 2000, 1000]}], "or a pair"),
        ([MELT | {"timestep": 0}], "timestep must be fs from"),
        ([MELT | {"timestep": [1, 2]}], "timestep must be fs from"),
        ([MELT | {"length": None}], "'length' .* missing"),
        ([MELT | {"rate": 100}], "length or rate, not both"),
        ([{"ensemble": "nvt", "temperature": 3000, "rate": 100}], "rate needs a temperature ramp"),
        ([MELT | {"pressure": 1}], "'pressure' has no meaning in ensemble nvt"),
        ([MELT | {"ensemble": "npt"}], "ensemble npt needs 'pressure'"),
        ([MELT | {"ensemble": "npt", "pressure": 0, "density": 2.4}], "'density' has no meaning in ensemble npt"),
        ([MELT | {"ensemble": "npt", "pressure": 0, "thermostat": "bussi"}], "npt runs with"),
        ([{"ensemble": "nve", "length": 1, "temperature": 300}], "'temperature' has no meaning in ensemble nve"),
        ([MELT | {"thermostat": "andersen"}], "thermostat must be one of"),
        ([MELT | {"output": "all"}], "output must be one of"),
        ([MELT | {"output": "none"}], "no stage of the schedule keeps frames"),
        ([MELT | {"output": "log"}, MELT | {"timestep": 2}], "share one timestep"),
        ([MELT | {"strain": {"xyz": 1}}], "strain must be a mapping"),
        ([MELT | {"strain": {"xx": 4}}], "strain must be made of numbers"),
        ([MELT | {"strain": {"xx": 0.1}, "density": 2.4}], "density or strain, not both"),
        ([MELT | {"name": 3}], "name must be text"),
    ],
)
def test_a_wrong_schedule_is_refused_naming_stage_and_key(stages, message):
    with pytest.raises(GlasslibError, match=message) as caught:
        read_schedule(stages)
    assert "\n" not in str(caught.value)


def test_a_rate_sets_the_length_of_a_ramp_and_the_ramp_is_linear():
    (stage,) = read_schedule([{"ensemble": "nvt", "temperature": [4000, 3000], "rate": 250, "timestep": 2}])
    assert stage.length == 4 and stage.steps == 2000
    assert stage.at("temperature", 0) == pytest.approx(4000, abs=0.3) and stage.at(
        "temperature", 999.5
    ) == pytest.approx(3500)
    assert np.allclose(np.diff([stage.at("temperature", k) for k in range(5)]), -0.5)


@pytest.mark.parametrize("target", [3.0, (2.0, 3.0)])
def test_compression_ends_at_the_density_that_was_asked(target):
    (stage,) = read_schedule([MELT | {"density": target}])
    cell, mass = np.diag([20.0, 21.0, 22.0]), 9000.0
    for share, expected in ((1.0, 3.0), (0.5, 2.5 if isinstance(target, tuple) else None)):
        volume = np.linalg.det(stage.cell_at(share * stage.steps, cell, mass))
        if expected:
            assert mass / 6.02214076e23 / (volume * 1e-24) == pytest.approx(expected, rel=1e-7)


def test_strain_changes_lengths_and_angles_as_its_tensor_says():
    (stage,) = read_schedule([MELT | {"strain": {"xx": 0.1, "xy": 0.04}}])
    cell = np.array([[10.0, 0, 0], [1.0, 9.0, 0], [0.3, -2.0, 11.0]])
    strain = np.array([[0.1, 0.02, 0], [0.02, 0, 0], [0, 0, 0]])
    assert np.allclose(stage.cell_at(stage.steps, cell, 1.0), cell @ (np.eye(3) + strain))
    assert np.allclose(stage.cell_at(stage.steps / 4, cell, 1.0), cell @ (np.eye(3) + strain / 4))


def copper(size=2):
    return bulk("Cu", cubic=True) * (size, size, size)


def test_a_run_writes_the_frames_of_its_schedule_with_their_times(tmp_path):
    stages = [
        {"ensemble": "nvt", "temperature": 600, "length": 0.02, "timestep": 1},
        {"ensemble": "nvt", "temperature": 600, "length": 0.1, "timestep": 2, "output": "linear", "interval": 0.01},
        {
            "ensemble": "nvt",
            "temperature": 600,
            "length": 0.1,
            "timestep": 2,
            "output": "log",
            "block": 0.04,
            "per_decade": 4,
            "interval": 0.03,
        },
    ]
    run = Trajectory.open(
        dynamics.run(copper(), EMT(), stages, tmp_path / "a.h5", quiet=True, attrs={"composition": "Cu"})
    )
    even, spread = 20 + np.arange(0, 51, 5), 70 + np.union1d(log_frames(50, 20, 4), np.arange(0, 51, 15))
    expected = np.union1d(even, spread)
    assert np.array_equal(run.step, expected)
    assert np.allclose(run.time, 0.02 + (expected - 20) * 0.002)
    assert (run.attrs["ensemble"], run.attrs["temperature"], run.attrs["timestep"], run.attrs["composition"]) == (
        "NVT",
        600,
        2,
        "Cu",
    )
    assert run.attrs["potential"] == "emt"
    assert run.log["step"].tolist() == list(range(0, 121, 10))
    record = read_json(record_path(tmp_path / "a.h5"))
    assert record["kind"] == "dynamics" and record["seeds"] == {"run": 0} and len(record["parameters"]["schedule"]) == 3


def test_the_log_agrees_with_ase_for_the_same_frames(tmp_path):
    stages = [{"ensemble": "nve", "length": 0.04, "timestep": 2, "output": "linear", "interval": 0.02}]
    atoms = copper()
    atoms.set_momenta(np.random.default_rng(0).normal(size=(32, 3)))
    path = dynamics.run(atoms, EMT(), stages, tmp_path / "a.h5", quiet=True)
    run = Trajectory.open(path)
    for frame in (0, 1, 2):
        still = run.atoms(frame)
        still.calc = EMT()
        row = 10 * frame // 10
        assert run.log["potential_energy"][row] == pytest.approx(still.get_potential_energy(), abs=1e-4)
        assert run.log["volume"][row] == pytest.approx(still.get_volume())
    end = dynamics.final_state(path)
    end.calc = EMT()
    stress = end.get_stress(include_ideal_gas=True, voigt=False)
    assert run.log["pressure"][-1] == pytest.approx(-np.trace(stress) / 3 * 160.21766, rel=1e-6)
    assert run.log["temperature"][-1] == pytest.approx(end.get_temperature() * 96 / 93, rel=1e-6)


def test_compression_and_strain_leave_the_cell_that_was_asked(tmp_path):
    stages = [{"ensemble": "nvt", "temperature": 300, "length": 0.07, "timestep": 2, "density": 9.4}]
    run = Trajectory.open(dynamics.run(copper(), EMT(), stages, tmp_path / "a.h5", quiet=True))
    assert run.masses.sum() / 6.02214076e23 / (run.volume[-1] * 1e-24) == pytest.approx(9.4, rel=1e-6)
    assert run.ensemble == "NPT"
    for thermostat in ("nose-hoover", "langevin", "bussi"):
        stages = [
            {
                "ensemble": "nvt",
                "temperature": 300,
                "length": 0.05,
                "timestep": 2,
                "strain": {"zz": 0.03},
                "thermostat": thermostat,
            }
        ]
        run = Trajectory.open(dynamics.run(copper(), EMT(), stages, tmp_path / f"{thermostat}.h5", quiet=True))
        assert np.allclose(run.cell[-1], np.diag([7.22, 7.22, 7.22 * 1.03]))


class Scripted(Calculator):
    """No forces until evaluation `when`, then what `then` makes of the results."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, when=10, then=None):
        super().__init__()
        self.when, self.then, self.calls = when, then, 0

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}
        if self.then is disagreement:
            self.results["force_spread"] = np.zeros(len(atoms))
        if self.then and self.calls >= self.when:
            self.then(self.results)


def broken_force(results):
    results["forces"][3, 1] = np.nan


def broken_energy(results):
    results["energy"] = np.nan


def explosion(results):
    results["forces"][5] = 1e6


def disagreement(results):
    results["force_spread"] = np.where(np.arange(len(results["forces"])) == 7, 2.0, 0.1)


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (broken_force, r"atom 3 \(O\) are not finite"),
        (broken_energy, "energy is not finite"),
        (explosion, r"temperature is .* fastest atoms 5 \(O\)|are .* Å apart"),
        (disagreement, r"forces differ by 2.00 eV/Å, more than 1, on atoms 7 \(Na\)"),
    ],
)
def test_a_guard_stops_the_run_and_says_why_where_which_atoms_and_how_to_go_on(tmp_path, then, message):
    atoms = Atoms(
        "O6Na6", positions=3.0 * np.array([(i % 3, i // 3 % 2, i // 6) for i in range(12)]), cell=[9, 6, 6], pbc=True
    )
    stages = [{"name": "hold", "ensemble": "nvt", "temperature": 50, "length": 0.1}]
    with pytest.raises(GlasslibError, match=message) as caught:
        dynamics.run(
            atoms,
            Scripted(30, then),
            stages,
            tmp_path / "a.h5",
            quiet=True,
            checkpoint_every=10,
            guard={"every": 1} | ({"force_spread": 1.0} if then is disagreement else {}),
        )
    text = str(caught.value)
    assert (
        "\n" not in text
        and "at step" in text
        and "stage 1 (hold)" in text
        and "go on from dynamics.final_state" in text
    )
    assert (tmp_path / "a.h5.stopped.extxyz").exists() and not (tmp_path / "a.h5").exists()
    good = dynamics.final_state(tmp_path / "a.h5")
    assert np.isfinite(good.positions).all() and np.isfinite(good.get_momenta()).all() and good.info["time"] >= 0.01


def test_a_limit_on_disagreement_needs_a_committee(tmp_path):
    with pytest.raises(GlasslibError, match="needs a committee"):
        dynamics.run(
            Atoms("O3", positions=[[0, 0, 0], [3, 0, 0], [0, 3, 0]], cell=[6, 6, 6], pbc=True),
            Scripted(),
            [{"ensemble": "nvt", "temperature": 50, "length": 0.1}],
            tmp_path / "a.h5",
            quiet=True,
            guard={"force_spread": 1.0},
        )


def test_approaching_atoms_are_named_with_distance_and_limit(tmp_path):
    atoms = Atoms("SiOSi", positions=[[1, 1, 1], [4, 1, 1], [7, 7, 7]], cell=[12, 12, 12], pbc=True)
    atoms.set_velocities([[0.05, 0, 0], [-0.05, 0, 0], [0, 0, 0]])
    with pytest.raises(GlasslibError, match=r"atoms 0 \(Si\) and 1 \(O\) are 1\.\d\d Å apart, less than 1.20 Å"):
        dynamics.run(
            atoms,
            Scripted(),
            [{"ensemble": "nve", "length": 1}],
            tmp_path / "a.h5",
            quiet=True,
            guard={"distance": {"Si-O": 1.2}, "every": 1},
        )


def test_the_guard_finds_the_worst_overlap_that_brute_force_finds():
    rng = np.random.default_rng(2)
    for _ in range(20):
        cell = np.diag([6.0, 7.0, 8.0]) + rng.uniform(-0.8, 0.8, (3, 3))
        atoms = Atoms(
            rng.choice(["O", "Na", "Si"], 30),
            rng.uniform(-10, 20, (30, 3)),
            cell=cell,
            pbc=True,
            momenta=np.zeros((30, 3)),
        )
        watch = Watch(Guard(), atoms, 0.0)
        ratio = atoms.get_all_distances(mic=True) / watch.shortest[watch.kind][:, watch.kind]
        np.fill_diagonal(ratio, np.inf)
        found = watch.overlap(atoms)
        if ratio.min() >= 1:
            assert found is None
        else:
            assert found[2] / found[3] == pytest.approx(ratio.min(), abs=1e-6)
            assert set(found[:2]) == set(np.unravel_index(np.argmin(ratio), ratio.shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"log_every": 2.5}, "log_every"),
        ({"seed": -1}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"guard": {"distances": {}}}, "guard must be a mapping with some of"),
        ({"guard": {"temperature": -1}}, "temperature must be a number above zero"),
        ({"guard": {"distance": {"Si+O": 1.0}}}, "distance must look like"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, message):
    with pytest.raises(GlasslibError, match=message):
        dynamics.run(copper(), EMT(), [MELT], tmp_path / "a.h5", **options)


def test_a_start_that_cannot_run_is_refused(tmp_path):
    def start(**change):
        atoms = copper()
        for name, value in change.items():
            setattr(atoms, name, value)
        return atoms

    broken = copper()
    broken.positions[3] = np.nan
    overlapping = copper()
    overlapping.positions[1] = overlapping.positions[0] + 0.1
    for atoms, message in (
        (start(pbc=False), "periodic in three directions"),
        (broken, "not finite"),
        (overlapping, r"atoms 0 \(Cu\) and 1 \(Cu\) of the start are 0.17 Å apart"),
        (copper()[:1], "at least two atoms"),
    ):
        with pytest.raises(GlasslibError, match=message):
            dynamics.run(atoms, EMT(), [MELT], tmp_path / "a.h5", quiet=True)
    with pytest.raises(GlasslibError, match="at rest and the first stage is nve"):
        dynamics.run(copper(), EMT(), [{"ensemble": "nve", "length": 1}], tmp_path / "a.h5", quiet=True)
    with pytest.raises(GlasslibError, match="ASE Calculator, not str"):
        dynamics.run(copper(), "emt", [MELT], tmp_path / "a.h5", quiet=True)


def test_the_plan_states_length_frames_and_cost(tmp_path, capsys):
    dynamics.run(copper(), EMT(), [{"ensemble": "nvt", "temperature": 300, "length": 0.05}], tmp_path / "a.h5")
    text = capsys.readouterr().err
    assert (
        "1 stage(s), 0.05 ps in 50 steps of 32 atoms" in text
        and "ms a step (timed now)" in text
        and "ns/day" in text
        or "50/50" in text
    )


def test_one_evaluation_of_the_potential_a_step(tmp_path):
    for number, stage in enumerate(
        (
            {"ensemble": "nve"},
            {"ensemble": "nvt", "temperature": 10},
            {"ensemble": "npt", "temperature": 10, "pressure": 0},
        )
    ):
        potential = Scripted()
        atoms = copper()
        atoms.set_momenta(np.random.default_rng(0).normal(size=(32, 3)))
        dynamics.run(
            atoms, potential, [stage | {"length": 0.1}], tmp_path / f"{number}.h5", quiet=True, checkpoint_every=50
        )
        assert potential.calls <= 100 + 4


def test_no_two_runs_of_a_sweep_share_their_random_numbers():
    states = [
        (s, c, t, r) for s in (1, 2) for c in ("NS2", "NS2@600", "NS4") for t in (2000, 2500.5) for r in range(12)
    ]
    seeds = {dynamics.seed_of(*state) for state in states}
    assert len(seeds) == len(states) and min(seeds) >= 0
    assert dynamics.seed_of(1, "NS2", 3000) == dynamics.seed_of(1.0, "NS2", 3000.0, 0)


@pytest.mark.parametrize("start", ["NS2.5", "NS3.5"])
def test_a_composition_with_a_point_is_no_file(start):
    made = dynamics.starting_structure(start, 30, 3000.0, 0, LennardJones(epsilon=0.01, rc=4.0))
    assert set(made.symbols) == {"Na", "Si", "O"}


def test_a_start_is_a_file_whatever_its_name_or_says_that_it_is_neither(tmp_path):
    write(tmp_path / "POSCAR", bulk("Cu", cubic=True), format="vasp")
    assert len(dynamics.starting_structure(tmp_path / "POSCAR", 30, 3000.0, 0, None)) == 4
    with pytest.raises(GlasslibError, match="no file, and no composition"):
        dynamics.starting_structure("nowhere.xyz", 30, 3000.0, 0, None)


def test_a_trajectory_names_the_weights_of_its_potential(tmp_path):
    """ "default" stands for other networks tomorrow."""
    melt = random_structure("NS2", atoms=27, seed=3)
    run = Trajectory.open(
        dynamics.run(melt, load_potential(), [MELT | {"length": 0.01}], tmp_path / "run.h5", quiet=True)
    )
    assert run.attrs["weights"] == sha256(files()[0])[:12]
    assert analysis.radial_distribution(run).attrs["weights"] == run.attrs["weights"]


def test_propensity_of_one_configuration_is_one_call_that_goes_on_where_it_was(tmp_path):
    crystal, potential = bulk("Cu", cubic=True) * (2, 2, 2), EMT()
    made = dynamics.isoconfigurational(crystal, potential, tmp_path, 300, 0.05, runs=3, seed=5)
    assert made.propensity.shape[1] == len(crystal) and float(made.propensity[-1].min()) > 0
    assert np.isfinite(made.explained).all() and sorted(p.name for p in tmp_path.glob("*.h5")) == [
        "0.h5",
        "1.h5",
        "2.h5",
    ]
    runs = [Trajectory.open(tmp_path / f"{k}.h5") for k in range(3)]
    np.testing.assert_allclose(made.propensity, analysis.propensity(runs).propensity)
    np.testing.assert_allclose(runs[0].positions[0], runs[2].positions[0])
    assert np.abs(runs[0].positions[-1] - runs[2].positions[-1]).max() > 0.01
    times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.h5")}
    dynamics.isoconfigurational(crystal, potential, tmp_path, 300, 0.05, runs=4, seed=5)
    assert {p: p.stat().st_mtime_ns for p in times} == times and (tmp_path / "3.h5").exists()
    for runs in (1, True, 2.0):
        with pytest.raises(GlasslibError, match="at least 2"):
            dynamics.isoconfigurational(crystal, potential, tmp_path, 300, 0.05, runs=runs)
