"""Time of one evaluation (energy, forces, stress): compiled kernels against the readable model in PyTorch.

    python benchmarks/kernels.py --features 64 128 --atoms 300 2997 29997 --out kernels.json

Rounds are interleaved, every evaluation is of a moved configuration, medians and minima are taken; processor time beside the wall time
tells how much other work shared the cores. The compiled kernel includes its neighbour list: reused while the skin lasts, and one rebuild
shared by the steps that it lasts in a melt at 3000 K.
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numba
import numpy as np
import torch

from glasslib import random_structure
from glasslib.potential.fast import Fast
from glasslib.potential.graph import build, species_index
from glasslib.potential.model import Potential
from glasslib.potential.painn import PaiNN
from glasslib.provenance import processor

PEERS = Path(__file__).parents[1] / ".venv-peers/bin/python"
PEER = Path(__file__).with_name("peer_schnetpack.py")
LARGEST_READABLE = 5000  # atoms; autograd keeps every edge's features
STEPS_PER_LIST = 8  # at 1 fs and 3000 K, measured: the fastest of 300 atoms covers half the skin of 0.8 Å


def melt(atoms):
    """A random NS2 structure at the density of the melt; large ones are repeats of one of about 3,000 atoms."""
    copies = max(1, round(atoms / 2997))
    structure = random_structure("NS2", atoms=atoms // copies, density=2.32, seed=1)
    sides = min(
        (
            (a, b, copies // (a * b))
            for a in range(1, copies + 1)
            for b in range(1, copies + 1)
            if copies % (a * b) == 0
        ),
        key=max,
    )
    return structure.repeat(sides)


def timed(call):
    """Result, wall time and processor time of a call, s."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


class SchNetPack:
    """SchNetPack's PaiNN of the same size in a process of its own; None times where `.venv-peers` is not there."""

    def __init__(self, structure, features, cutoff):
        self.process = None
        if not PEERS.exists():
            return
        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            np.savez(file, numbers=structure.numbers, positions=structure.positions, cell=structure.cell.array)
            file.flush()
            command = [PEERS, PEER, file.name, str(features), str(cutoff), str(torch.get_num_threads())]
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )  # fmt: skip
            if not self.process.stdout.readline():
                self.process = None

    def seconds(self):
        """Of one evaluation, its neighbour list not counted."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self):
        """End the process."""
        if self.process:
            self.process.communicate()


def machine_limits():
    """What all cores reach here: float32 operations/s of a matrix product, and bytes/s read and written by a copy within the cache."""
    a = torch.randn(1024, 1024)
    product = min(timed(lambda: a @ a)[1] for _ in range(20))
    source, target = torch.randn(2_000_000), torch.empty(2_000_000)
    copy = min(timed(lambda: target.copy_(source))[1] for _ in range(50))
    return 2 * 1024**3 / product, 2 * 4 * 2_000_000 / copy


def floor_ms(features, atoms, edges, limits, interactions=3):
    """Time that no implementation of this structure can beat here, ms: the larger of operations and of bytes over what the machine reaches.

    An atom and layer: 30 F² operations in matrix products, as many again backwards. An edge and layer: 25 F operations and 24 F bytes
    (three scalars and three vector components of the neighbour) forwards, 2.5 times that backwards.
    """
    operations = interactions * (60 * features**2 * atoms + 3.5 * 25 * features * edges)
    return 1e3 * max(operations / limits[0], interactions * 3.5 * 24 * features * edges / limits[1])


def measure(features, atoms, rounds, largest, limits):
    """One row of the table."""
    torch.manual_seed(0)
    structure, rng = melt(atoms), np.random.default_rng(0)
    potential = Potential(PaiNN(features=features), [-430.0, -5.0, -100.0], 2.0)
    kinds = species_index(structure, potential.species).astype(np.int64)
    fast = Fast(potential)
    fast.compute(structure, kinds)
    readable = len(structure) <= largest
    peer = SchNetPack(structure, features, potential.cutoff) if readable else None
    times = {"fast": [], "fast cpu": [], "list": [], "eager": [], "eager cpu": [], "schnetpack": []}
    for _ in range(rounds):
        structure.positions += rng.normal(0, 0.005, structure.positions.shape)
        for _ in range(3):
            (energies, forces, virial), wall, cpu = timed(lambda: fast.compute(structure, kinds))
            times["fast"].append(wall)
            times["fast cpu"].append(cpu)
        fast.neighbours.forget()
        times["list"].append(timed(lambda: fast.neighbours.update(structure))[1])
        if readable:
            result, wall, cpu = timed(lambda: potential(build([structure], potential.species, potential.cutoff)))
            times["eager"].append(wall)
            times["eager cpu"].append(cpu)
            if peer.process:
                times["schnetpack"].append(peer.seconds())
    if peer:
        peer.end()
    row = {"features": features, "atoms": len(structure), "edges": int(fast.count.sum())}
    row["floor ms"] = round(floor_ms(features, len(structure), row["edges"], limits), 2)
    row |= {f"{name} ms": round(1e3 * median(values), 3) for name, values in times.items() if values}
    row |= {f"{name} least ms": round(1e3 * min(values), 3) for name, values in times.items() if values}
    row["step ms"] = round(row["fast ms"] + row["list ms"] / STEPS_PER_LIST, 3)
    row["step least ms"] = round(row["fast least ms"] + row["list least ms"] / STEPS_PER_LIST, 3)
    row["peak memory MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if readable:
        result = {name: value.detach().numpy() for name, value in result.items()}
        row["ratio"] = round(row["eager ms"] / row["step ms"], 1)
        row["ratio of least"] = round(row["eager least ms"] / row["step least ms"], 1)
        if times["schnetpack"]:
            row["ratio schnetpack"] = round(row["schnetpack ms"] / row["step ms"], 1)
        row["energy eV/atom"] = float(abs(energies.sum() - result["energy"][0]) / len(structure))
        difference = forces - result["forces"]
        row["force rms eV/Å"] = float(np.sqrt(np.mean(difference**2)))
        row["force largest eV/Å"] = float(np.abs(difference).max())
        row["stress eV/Å³"] = float(np.abs(virial / structure.get_volume() - result["stress"][0]).max())
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--atoms", type=int, nargs="+", default=[300, 2997, 29970])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="default: all cores")
    parser.add_argument("--readable", type=int, default=LARGEST_READABLE, help="largest number of atoms for the others")
    parser.add_argument("--out", help="write the numbers as JSON here")
    options = parser.parse_args()
    threads = options.threads or numba.config.NUMBA_NUM_THREADS
    numba.set_num_threads(threads)
    torch.set_num_threads(threads)
    limits = machine_limits()
    print(
        f"{'F':>4} {'atoms':>6} {'step':>9} {'least':>9} {'cpu':>9} {'µs/atom':>8} {'eager':>9} {'least':>9} {'cpu':>9} {'ratio':>6}   ms; medians"
    )
    rows = []
    for atoms in options.atoms:  # small ones first: the peak of memory only grows
        for features in options.features:
            row = measure(features, atoms, options.rounds, options.readable, limits)
            rows.append(row)
            eager = [
                row.get(key, float("nan")) for key in ("eager ms", "eager least ms", "eager cpu least ms", "ratio")
            ]
            print(
                f"{features:4d} {row['atoms']:6d} {row['step ms']:9.2f} {row['step least ms']:9.2f} {row['fast cpu least ms']:9.2f} "
                f"{1e3 * row['step least ms'] / row['atoms']:8.2f} {eager[0]:9.1f} {eager[1]:9.1f} {eager[2]:9.1f} {eager[3]:6.1f}",
                flush=True,
            )
    if options.out:
        content = {"rows": rows, "machine": {"processor": processor(), "threads": threads}, "rounds": options.rounds}
        Path(options.out).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
