"""The GPU kernels compute what the readable model computes (in Triton's interpreter), and they compile for a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from test_kernels import CASES, agree_beyond_the_bounds, close_pair, potential, sheared
from torch.utils._python_dispatch import TorchDispatchMode

from glasslib import GlasslibError, load_potential, random_structure
from glasslib.potential.calculator import PaiNNCalculator, choose
from glasslib.potential.gpu_neighbours import DeviceNeighbours
from glasslib.potential.neighbours import Neighbours

if sys.platform != "linux":
    pytest.skip("Triton is made for Linux only", allow_module_level=True)

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("TRITON_INTERPRET", "1")  # counts while triton is imported
    from glasslib.potential import gpu

BENCHMARK = Path(__file__).parents[1] / "benchmarks/gpu.py"
COMPILE = """
import sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from glasslib.potential import triton_kernels as kernels
double = {"positions", "cell", "charge", "length", "outer", "terms", "energy", "forces", "virials"}
whole = {"species", "listed", "neighbour", "shift", "to", "kind", "piece", "where", "count"}
types = dict.fromkeys(double, "*fp64") | dict.fromkeys(whole, "*i32")
types |= {"K": "i32", "n_species": "i32", "own": "*i64", "back": "*i64"}
def compiled(kernel, **constants):
    types_here = {n: "constexpr" if n in constants else types.get(n, "*fp32") for n in kernel.arg_names}
    triton.compile(ASTSource(kernel, types_here, constants), target=GPUTarget("cuda", 80, 32))
compiled(kernels.edges, CUTOFF=5.0, PIECES=480, INNER=0.55, TERMS=4, SLOTS=128)
for deep in (True, False):
    compiled(kernels.receive, DEEP=deep, F=48, LANES=64, EDGES=8)
    compiled(kernels.give_back, SCALE=96.0, DEEP=deep, F=48, LANES=64, EDGES=8)
compiled(kernels.collect, SLOTS=128)
print("compiled")
"""


@pytest.fixture(autouse=True)
def interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")


def tilted():
    return sheared(random_structure("NS2", 9, seed=5))


def contact():
    atoms = random_structure("NS2", 9, seed=6)
    atoms.positions[4] = atoms.positions[7] + [0.9, 0.3, 0]
    return atoms


MELTS = {
    "melt": (lambda: random_structure("NS2", 18, seed=1), 32),
    "features that fill no block": (lambda: random_structure("NS2", 9, density=1.5, seed=1), 48),
    "small cell with several images": (CASES["small cell with several images"], 32),
    "sheared cell": (tilted, 16),
    "close contact": (contact, 16),
    "isolated atoms": (CASES["isolated atoms"], 32),
    "dimer": (CASES["dimer"], 16),
    "one atom": (CASES["one atom"], 16),
}


@pytest.mark.parametrize("case", MELTS)
def test_gpu_kernels_and_readable_model_agree(case):
    structure, features = MELTS[case]
    atoms, model = structure(), potential(features)
    ours = PaiNNCalculator([model], "triton")
    ours.calculate(atoms)
    readable = PaiNNCalculator([model.double()], "reference", torch.float64)
    readable.calculate(atoms)
    a, b = ours.results, readable.results
    assert a["energy"] == pytest.approx(b["energy"], abs=1e-5 * len(atoms))
    np.testing.assert_allclose(a["energies"], b["energies"], atol=1e-5)
    assert np.sqrt(np.mean((a["forces"] - b["forces"]) ** 2)) < 1e-4
    assert ("stress" in a) == ("stress" in b) == bool(atoms.pbc.all())
    if "stress" in a:
        np.testing.assert_allclose(a["stress"], b["stress"], atol=1e-5)


def test_gpu_kernels_and_readable_model_agree_beyond_the_bounds():
    agree_beyond_the_bounds("triton", random_structure("NS2", 18, seed=1))


def test_a_list_that_ages_grows_and_follows_the_cell_gives_the_forces_of_a_fresh_one():
    model = potential(16, interactions=2)
    aged = PaiNNCalculator([model], "triton")
    atoms, rng = random_structure("NS", 6, density=1.2, seed=2), np.random.default_rng(0)
    widths, rebuilds = [], []
    for scale in (1.0, 1.0, 1.002, 0.8):
        atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
        atoms.set_cell(atoms.cell.array * scale, scale_atoms=True)
        aged.calculate(atoms)
        compiled = PaiNNCalculator([model], "numba")
        compiled.calculate(atoms)
        for key in ("forces", "stress", "energies"):
            np.testing.assert_allclose(aged.results[key], compiled.results[key], atol=1e-4)
        widths.append(aged.engines[0].neighbours.width)
        rebuilds.append(aged.engines[0].neighbours.rebuilds)
    assert rebuilds == [1, 1, 1, 2] and widths[-1] > widths[0]


def test_an_evaluation_reads_nothing_back_and_has_fixed_shapes():
    """What a CUDA graph cannot hold: values that the host reads, and sizes that depend on values."""

    class Refuse(TorchDispatchMode):
        def __torch_dispatch__(self, function, kinds, args=(), kwargs=None):
            name = function.overloadpacket.__name__
            assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "bincount", "_unique2"), name
            return function(*args, **(kwargs or {}))

    engine, atoms = gpu.Gpu(potential(16, interactions=2)), Atoms("O3", [[0, 0, 0], [1.2, 0, 0], [0, 2, 0]])
    energies, _, _ = engine.compute(atoms, np.zeros(len(atoms), int))
    engine.results.zero_()
    with Refuse():
        engine._evaluate()
    assert np.array_equal(engine.results.numpy()[: len(atoms)] + engine.species_energies[0], energies)


def far_apart():
    atoms = random_structure("NS2", 54, seed=2)
    atoms.positions += np.random.default_rng(0).integers(-40, 41, (len(atoms), 3)) @ atoms.cell.array
    return atoms


def wire():
    positions = np.random.default_rng(0).uniform(0, 12, (20, 3))
    return Atoms("O20", positions, cell=[0, 0, 9], pbc=[False, False, True])


LISTS = CASES | {
    "close contact": close_pair,
    "atoms that wandered": far_apart,
    "wire": wire,
    "large melt": lambda: random_structure("NS2", 999, seed=4),
    "two cells wide": lambda: random_structure("NS2", 99, seed=4),
}


@pytest.mark.parametrize("case", LISTS)
def test_lists_of_gpu_and_cpu_are_the_same(case):
    atoms = LISTS[case]()
    ours, theirs = DeviceNeighbours(5.0), Neighbours(5.0)
    ours.update(atoms)
    theirs.update(atoms)
    assert np.array_equal(ours.listed.numpy(), np.diff(theirs.first))
    used = np.arange(ours.width) < ours.listed.numpy()[:, None]
    assert np.array_equal(ours.neighbour.numpy()[used], theirs.neighbour)
    assert np.array_equal(ours.shift.numpy()[used], theirs.shift)
    assert np.array_equal(ours.back.numpy()[used], np.flatnonzero(used)[theirs.back])


def test_a_list_holds_until_an_atom_has_moved_half_the_skin():
    atoms = random_structure("NS2", 54, seed=3)
    listed = DeviceNeighbours(4.0, 0.8)
    assert listed.update(atoms) and not listed.update(atoms)
    atoms.positions[5] += [0.39, 0, 0]
    assert not listed.update(atoms)
    atoms.positions[5] += [0.02, 0, 0]
    assert listed.update(atoms) and listed.rebuilds == 2
    listed.forget()
    assert listed.update(atoms)
    assert listed.update(atoms[:-1])
    atoms.positions[0] = np.nan
    with pytest.raises(GlasslibError, match="atom 0 is not finite"):
        listed.update(atoms)


def test_a_committee_shares_one_list_and_gives_its_members_mean():
    atoms, members = random_structure("NS", 6, density=1.5, seed=3), [potential(16), potential(32)]
    ours, theirs = PaiNNCalculator(members, "triton"), PaiNNCalculator(members, "numba")
    for calculator in (ours, theirs):
        calculator.calculate(atoms)
    for key in ("forces", "stress", "force_spread"):
        np.testing.assert_allclose(ours.results[key], theirs.results[key], atol=1e-4)
    assert ours.engines[0].neighbours is ours.engines[1].neighbours


def test_atoms_on_top_of_each_other_are_refused():
    atoms = Atoms("ONaSiO", [[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 3, 0]])
    with np.errstate(all="ignore"), pytest.raises(GlasslibError, match="atoms 2 and 3"):
        PaiNNCalculator([potential(16)], "triton").calculate(atoms)


def test_too_little_memory_is_a_clear_error_and_the_next_evaluation_starts_anew(monkeypatch):
    def full():
        raise torch.OutOfMemoryError("CUDA out of memory")

    calculator, atoms = PaiNNCalculator([potential(16)], "triton"), Atoms("SiO", [[0, 0, 0], [1.6, 0, 0]])
    with monkeypatch.context() as patch, pytest.raises(GlasslibError, match="2 atoms do not fit.*numba"):
        patch.setattr(calculator.engines[0], "_evaluate", full)
        calculator.calculate(atoms)
    calculator.calculate(atoms)
    assert np.abs(calculator.results["forces"]).max() > 0


def test_without_a_gpu_or_the_right_features_the_error_says_what_to_do(monkeypatch):
    with pytest.raises(GlasslibError, match="multiple of 16.*reference"):
        PaiNNCalculator([potential(24)], "triton")
    monkeypatch.delenv("TRITON_INTERPRET")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(GlasslibError, match="CUDA GPU.*TRITON_INTERPRET=1"):
        load_potential(kernel="triton")
    assert choose("auto", potential(16)) == "numba"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose("auto", potential(16)) == "triton" and choose("auto", potential(24)) == "reference"
    monkeypatch.setattr("glasslib.potential.calculator.find_spec", lambda name: None)
    assert choose("auto", potential(16)) == "numba"
    with pytest.raises(GlasslibError, match="pip install triton"):
        choose("triton", potential(16))


def outside(tmp_path, *arguments):
    """Output of a Python process without the interpreter."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    return subprocess.check_output([sys.executable, *arguments], env=environment, text=True)


def test_the_kernels_compile_for_a_gpu(tmp_path):
    script = tmp_path / "compile.py"  # Triton reads the sources of what it compiles
    script.write_text(COMPILE)
    assert outside(tmp_path, str(script)) == "compiled\n"


def test_the_benchmark_measures_a_gpu_or_says_that_there_is_none(tmp_path):
    out = tmp_path / "gpu.json"
    printed = outside(
        tmp_path, str(BENCHMARK), "--features", "64", "--atoms", "300", "--rounds", "2", "--out", str(out)
    )
    if not torch.cuda.is_available():
        assert printed == "nothing measured: PyTorch finds no CUDA GPU on this machine\n" and not out.exists()
        return
    (row,) = json.loads(out.read_text())["rows"]
    assert row["energy eV/atom"] < 1e-5 and row["force rms eV/Å"] < 1e-4 and row["stress eV/Å³"] < 1e-5
