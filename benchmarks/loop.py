"""What molecular dynamics adds to its potential: integrator, output, checkpoints and guard, as a share of the time of a run.

python benchmarks/loop.py --atoms 297 2997 --out loop.json
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from glasslib import dynamics, load_potential
from glasslib.potential.calculator import PaiNNCalculator


class Timed(PaiNNCalculator):
    """The calculator that knows how long it took."""

    seconds = 0.0

    def calculate(self, *args, **kwargs):
        """Add the time of this evaluation."""
        start = time.perf_counter()
        super().calculate(*args, **kwargs)
        self.seconds += time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, nargs="+", default=[297, 2997])
    parser.add_argument("--steps", type=int, help="default: 400 of 1,500 atoms or more, more where a step costs less")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", help="write the numbers as JSON here")
    options = parser.parse_args()
    calculator, rows = Timed(load_potential().potentials), []
    for atoms in options.atoms:
        melt = dynamics.starting_structure("NS2", atoms, 3000, 0, calculator)
        shares, steps = [], options.steps or max(400, 600_000 // len(melt))
        for _ in range(options.rounds):
            stages = [
                {
                    "ensemble": "nvt",
                    "temperature": 3000,
                    "length": steps / 1000,
                    "timestep": 1.0,
                    "output": "log",
                }
            ]
            with tempfile.TemporaryDirectory() as folder:
                calculator.seconds, start = 0.0, time.perf_counter()
                dynamics.run(melt.copy(), calculator, stages, Path(folder) / "run.h5", quiet=True)
                total = time.perf_counter() - start
            shares.append((total / calculator.seconds - 1, 1e3 * total / steps))
        share, step = sorted(shares)[len(shares) // 2]
        rows.append({"atoms": len(melt), "step ms": round(step, 3), "added": round(share, 4)})
        print(
            f"{len(melt):6d} atoms: {step:8.2f} ms a step, {86.4 / step:6.2f} ns/day at 1 fs, {share:.1%} beside the potential",
            flush=True,
        )
    if options.out:
        Path(options.out).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
