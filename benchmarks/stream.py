"""Memory of every observable on a file that is larger than it: 3,000 atoms, 20,000 frames, 720 MB.

    python benchmarks/stream.py --frames 20000 --limit 900

The trajectory is a random walk of an NS2 melt. Each observable runs with default options in a process of its own, which opens the file, computes, and
tells the peak of its memory (resident set, Python and libraries included) and its time; one that takes longer than the limit is stopped and listed so.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from glasslib import Trajectory, analysis, random_structure
from glasslib.analysis.collection import DYNAMICS, STRUCTURE
from glasslib.errors import GlasslibError
from glasslib.trajectory.h5md import Writer

BLOCK = 200  # frames written at once


def write(path, atoms, frames):
    """A random walk, 0.1 ps between frames; sodium's steps are larger."""
    melt = random_structure("NS2", atoms, density=2.3, seed=1)
    rng, positions = np.random.default_rng(0), melt.positions.astype(np.float32)
    step = np.where(melt.symbols == "Na", 0.15, 0.03)[:, None].astype(np.float32)
    with Writer(path, melt.get_chemical_symbols()) as writer:
        for start in range(0, frames, BLOCK):
            count = min(BLOCK, frames - start)
            walk = positions + np.cumsum(step * rng.standard_normal((count, len(melt), 3), np.float32), 0)
            numbers = np.arange(start, start + count)
            writer.append(walk, np.repeat(melt.cell.array[None], count, 0), 0.1 * numbers, numbers)
            positions = walk[-1]


def one(path, name):
    """Print time and peak memory of one observable."""
    start = time.perf_counter()
    try:
        getattr(analysis, name)(Trajectory.open(path))
        said = ""
    except GlasslibError as error:
        said = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps({"seconds": round(time.perf_counter() - start, 1), "peak memory MB": round(peak), "left out": said})
    )


def main():
    """Write the file, run every observable, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, default=3000)
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one observable")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2)
    options = parser.parse_args()
    if options.one:
        return one(*options.one)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "walk.h5"
        write(path, options.atoms, options.frames)
        size = path.stat().st_size / 2**20
        print(f"{options.atoms} atoms, {options.frames} frames, {size:.0f} MB")
        for name in (f.__name__ for f in (*STRUCTURE, *DYNAMICS)):
            command = [sys.executable, __file__, "--one", str(path), name]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=options.limit)
                row = json.loads(done.stdout)
            except subprocess.TimeoutExpired:
                row = {"seconds": None, "peak memory MB": None, "left out": f"takes more than {options.limit:g} s"}
            rows.append({"observable": name} | row)
            print(
                f"{name:34s} {row['seconds'] or 0:7.1f} s {row['peak memory MB'] or 0:6d} MB  {row['left out']}",
                flush=True,
            )
    if options.out:
        options.out.write_text(
            json.dumps({"atoms": options.atoms, "frames": options.frames, "file MB": round(size), "rows": rows})
        )


if __name__ == "__main__":
    main()
