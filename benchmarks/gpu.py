"""Time of one step's forces on a CUDA GPU, and their agreement with the readable model.

    python benchmarks/gpu.py --features 64 128 --atoms 300 1000 3000 10000 30000 --out gpu.json

A step is the evaluation (positions to the GPU, results back, list checked) and its share of a rebuild of the neighbour
list. Every evaluation is of a moved configuration; medians are taken. The first evaluation compiles the kernels and
captures the CUDA graph.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import numpy as np
import torch
from kernels import LARGEST_READABLE, STEPS_PER_LIST, melt, timed

from glasslib.potential.graph import build, species_index
from glasslib.potential.model import Potential
from glasslib.potential.painn import PaiNN


def agreement(potential, structure, energies, forces, virial):
    """Largest differences from the readable model in double precision on the CPU."""
    batch = build([structure], potential.species, potential.cutoff, torch.float64)
    result = {name: value.detach().numpy() for name, value in potential.double()(batch).items()}
    return {
        "energy eV/atom": float(abs(energies.sum() - result["energy"][0]) / len(structure)),
        "force rms eV/Å": float(np.sqrt(np.mean((forces - result["forces"]) ** 2))),
        "force largest eV/Å": float(np.abs(forces - result["forces"]).max()),
        "stress eV/Å³": float(np.abs(virial / structure.get_volume() - result["stress"][0]).max()),
    }


def measure(features, atoms, rounds, largest):
    """One row of the table."""
    from glasslib.potential.gpu import Gpu

    torch.manual_seed(0)
    torch.cuda.reset_peak_memory_stats()
    structure, rng = melt(atoms), np.random.default_rng(0)
    potential = Potential(PaiNN(features=features), [-430.0, -5.0, -100.0], 2.0)
    kinds = species_index(structure, potential.species)
    engine = Gpu(potential)
    _, first, _ = timed(lambda: engine.compute(structure, kinds))
    alone, rebuilt = [], []
    for _ in range(rounds):
        for _ in range(5):
            structure.positions += rng.normal(0, 0.005, structure.positions.shape)
            rebuilds = engine.neighbours.rebuilds
            results, wall, _ = timed(lambda: engine.compute(structure, kinds))
            if engine.neighbours.rebuilds == rebuilds:
                alone.append(wall)
        engine.neighbours.forget()
        results, wall, _ = timed(lambda: engine.compute(structure, kinds))
        rebuilt.append(wall)
    row = {"features": features, "atoms": len(structure), "edges": int(engine.count.sum()), "first s": round(first, 2)}
    row["evaluation ms"] = round(1e3 * median(alone), 3)
    row["rebuild ms"] = round(1e3 * (median(rebuilt) - median(alone)), 3)
    row["step ms"] = round(row["evaluation ms"] + row["rebuild ms"] / STEPS_PER_LIST, 3)
    row["peak memory MB"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return row | (agreement(potential, structure, *results) if len(structure) <= largest else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--atoms", type=int, nargs="+", default=[300, 1000, 3000, 10000, 30000])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--readable", type=int, default=LARGEST_READABLE, help="largest number of atoms to compare")
    parser.add_argument("--out", help="write the numbers as JSON here")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("nothing measured: PyTorch finds no CUDA GPU on this machine")
        return
    print(
        f"{'F':>4} {'atoms':>6} {'step ms':>9} {'alone':>9} {'list':>9} {'MB':>7} "
        f" {'ΔE/atom':>8} {'ΔF rms':>8} {'Δσ':>8}"
    )
    rows = []
    for features in options.features:
        for atoms in options.atoms:
            row = measure(features, atoms, options.rounds, options.readable)
            rows.append(row)
            differences = " ".join(
                f"{row.get(key, float('nan')):8.1e}" for key in ("energy eV/atom", "force rms eV/Å", "stress eV/Å³")
            )
            print(
                f"{features:4d} {row['atoms']:6d} {row['step ms']:9.3f} {row['evaluation ms']:9.3f} "
                f"{row['rebuild ms']:9.3f} {row['peak memory MB']:7d}  {differences}",
                flush=True,
            )
    if options.out:
        machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda}
        content = {"rows": rows, "machine": machine, "rounds": options.rounds}
        Path(options.out).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
