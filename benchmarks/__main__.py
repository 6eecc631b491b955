"""Every benchmark, one table: `make bench`, or `python -m benchmarks --rounds 5 --only analysis`. Each runs in a process of its own, one after the other."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import torch

from glasslib.files import write_json
from glasslib.provenance import library_hash, processor

HERE = Path(__file__).parent
OUT = HERE.parent / "data" / "benchmarks.json"
PARTS = {
    "kernels": lambda rounds: ("kernels", "--rounds", rounds, "--atoms", 297, 2997),
    "sizes": lambda rounds: ("kernels", "--rounds", rounds, "--readable", 0, "--atoms", 297, 999, 2997, 9990, 29970),
    "one thread": lambda rounds: ("kernels", "--rounds", rounds, "--readable", 0, "--threads", 1, "--atoms", 297, 2997),
    "loop": lambda rounds: ("loop",),
    "analysis": lambda rounds: ("analysis", "--rounds", rounds),
    "dispersion": lambda rounds: ("dispersion", "--rounds", rounds),
    "training": lambda rounds: ("training", "--rounds", rounds, "--frames", HERE.parent / "data/frames"),
}


def run(name, *options):
    """The numbers that `benchmarks/<name>.py` writes."""
    print(f"-- {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        subprocess.run([sys.executable, HERE / f"{name}.py", "--out", out, *map(str, options)], check=True)
        return json.loads(out.read_text())


def rows(results):
    """(case, ours in ms, peer, peer in ms, ratio, memory in MB, largest difference) of every comparison."""
    for row in results["kernels"]["rows"]:
        case = f"energy, forces, stress: {row['atoms']} atoms, F = {row['features']}"
        for peer, key, ratio in (("PyTorch", "eager ms", "ratio"), ("SchNetPack", "schnetpack ms", "ratio schnetpack")):
            if key in row:
                difference = f"{row['force largest eV/Å']:.0e} eV/Å" if peer == "PyTorch" else "other weights"
                yield case, row["step ms"], peer, row[key], row[ratio], None, difference
    for row in results["sizes"]["rows"]:
        case = f"energy, forces, stress: {row['atoms']} atoms, F = {row['features']}"
        yield case, row["step ms"], "none", None, None, row["peak memory MB"], ""
    for row in [*results["analysis"]["rows"], *results.get("dispersion", {}).get("rows", [])]:
        yield (
            row["case"],
            1e3 * row["ours_s"],
            row["peer"],
            1e3 * row["peer_s"],
            row["ratio"],
            None,
            f"{row['difference']:.0e}",
        )
    training = results["training"]
    spent = training["seconds"]
    for name, value in spent.items():
        if name != "eager":
            case = f"epoch of training, {name}: {training['case']}"
            ratio, difference = spent["eager"] / value, f"{training['loss_curve_difference']:.0e}"
            yield case, 1e3 * value, "PyTorch, twice backward", 1e3 * spent["eager"], ratio, None, difference


def main():
    """Run, print, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="measure these anew and keep the others of the file")
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.only else {"library": {}}
    for part in options.only or PARTS:
        results[part] = run(*PARTS[part](options.rounds))
        results["library"] = results["library"] | {part: library_hash()}
    before = results.get("machine", {}).get("processor", processor())
    here = (
        processor()
        if processor() == before or not options.only
        else f"{before}; {', '.join(options.only)}: {processor()}"
    )
    results["machine"] = {
        "processor": here,
        "threads": numba.config.NUMBA_NUM_THREADS,
        "torch": torch.__version__,
    }
    table = [
        dict(zip(("case", "ours_ms", "peer", "peer_ms", "ratio", "memory_MB", "difference"), row, strict=True))
        for row in rows(results)
    ]
    print(f"\n{'case':72s} {'ours ms':>9s} {'peer':>24s} {'peer ms':>9s} {'ratio':>7s} {'MB':>6s}  difference")
    for row in table:
        numbers = [f"{row[key]:9.1f}" if row[key] is not None else 9 * " " for key in ("ours_ms", "peer_ms")]
        ratio = f"{row['ratio']:6.1f}×" if row["ratio"] else 7 * " "
        memory = f"{row['memory_MB']:6d}" if row["memory_MB"] else 6 * " "
        print(
            f"{row['case'][:72]:72s} {numbers[0]} {row['peer']:>24s} {numbers[1]} {ratio} {memory}  {row['difference']}"
        )
    write_json(options.out, results | {"table": table})
    print(options.out)


if __name__ == "__main__":
    main()
