"""How well a long run without a thermostat keeps its energy: one melt, melted and held, then left to itself.

python benchmarks/drift.py                       600 atoms of NS2 at 3000 K, 100 ps at 2 fs, with the default potential
python benchmarks/drift.py --potential path/to/model --produce 20 --out runs/nve/mine.h5

Killed at any time, the same command goes on; with another potential in place of the old one it begins anew.
"""

import argparse
from pathlib import Path

import numpy as np

from glasslib import dynamics, load_potential
from glasslib.files import sha256
from glasslib.potential import files
from glasslib.provenance import relative
from glasslib.trajectory import Trajectory


def stages(temperature, timestep, produce):
    """Melt, hold, then no thermostat."""
    melt = {"ensemble": "nvt", "thermostat": "langevin", "temperature": 1.2 * temperature, "damping": 0.02, "length": 1}
    held = {"ensemble": "nvt", "temperature": temperature, "damping": 0.1, "timestep": timestep, "length": 3}
    free = {"ensemble": "nve", "timestep": timestep, "length": produce, "output": "linear", "interval": 1}
    return [melt, held, free]


def drift(time, energy, parts=10):
    """Slope of the energy against time, between the means of the first and last of successive parts, and its standard error.

    The error is that of a random walk of the energy: every part adds an increment of its own. Differences of the means of parts of such a walk that follow each other
    correlate by a quarter, which makes the error of their mean larger.
    """
    means = [part.mean() for part in np.array_split(energy, parts)]
    slopes = np.diff(means) / ((time[-1] - time[0]) / parts)
    count = len(slopes)
    return slopes.mean(), slopes.std(ddof=1) * np.sqrt((1 + 0.5 * (count - 1) / count) / count)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", default="default")
    parser.add_argument("--atoms", type=int, default=600)
    parser.add_argument("--temperature", type=float, default=3000.0, help="K")
    parser.add_argument("--timestep", type=float, default=2.0, help="fs")
    parser.add_argument("--produce", type=float, default=100.0, help="ps")
    parser.add_argument("--out", type=Path, default=Path("runs/nve/NS2_3000K.h5"))
    options = parser.parse_args()
    calculator = load_potential(options.potential)
    melt = dynamics.starting_structure("NS2", options.atoms, options.temperature, 1, calculator)
    schedule = stages(options.temperature, options.timestep, options.produce)
    weights = files(options.potential)
    log = Trajectory.open(dynamics.run(melt, calculator, schedule, options.out, seed=1, inputs=weights)).log
    free = log["time"] > log["time"][-1] - options.produce
    time, energy = log["time"][free], 1000 * log["conserved_energy"][free] / len(melt)  # ps, meV/atom
    slope, error = drift(time, energy)
    for path in weights:
        print(f"{relative(path)}: sha256 {sha256(path)[:16]}")
    print(f"{len(melt)} atoms, {options.timestep:g} fs, {log['temperature'][free].mean():.0f} K without a thermostat")
    print(f"drift {100 * slope:+.3f} ± {100 * error:.3f} meV/atom in 100 ps; the energy scatters by {energy.std():.3f}")
    print(f"kinetic energy scatters by {1000 * log['kinetic_energy'][free].std() / len(melt):.2f} meV/atom")


if __name__ == "__main__":
    main()
