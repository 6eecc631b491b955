"""Does the potential hold where it will be used? Long runs of every composition from glass to hot melt, and quenches at zero pressure.

python benchmarks/stability.py --workers 2 --out data/models/stability.csv  everything: some three hours on two cores
python benchmarks/stability.py --only hot                                3,000 atoms of NS2 at 4000 K, 20 ps
python benchmarks/stability.py --only quench_NS2                         1500 to 300 K at zero pressure, then a rest at 300 K without and with D3(BJ)
python benchmarks/stability.py --only held --seen runs/painn/trajectories  only what finished runs of the same potential tell

Each case is a run of its own below runs/stability, which goes on where it was killed; its line is written when it is finished. A run that the guard stops is
a line that says so. Closest distances are those of any frame, 0.1 ps apart; the guard looks every 20 steps. Two oxygens that stay together are a peroxide,
of which labelled frames tell little: the table has the longest life of one. A state point that a finished trajectory of
the same weights (`--seen`) has held for longer is not run again: its line is that trajectory's. Lines of other weights stay.
"""

import argparse
import os
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
import pandas as pd
from ase.neighborlist import neighbor_list

from glasslib import Trajectory, dynamics, load_potential
from glasslib.errors import StoppedError
from glasslib.files import atomic
from glasslib.potential import files
from glasslib.potential.dispersion import Dispersion
from glasslib.processes import pool
from glasslib.reference.active import closest_pairs
from glasslib.reference.frames import AMU_PER_A3

COMPOSITIONS = "SiO2", "NS6", "NS4", "NS3", "NS2", "NS"
TEMPERATURES = 300, 1500, 2500, 3500  # K
PAIRS = "O-O", "Na-Na", "Na-O", "Na-Si", "O-Si", "Si-Si"
BOND = 2.2  # Å, largest length of a Si–O bond
PEROXIDE = 2.0  # Å, within which two oxygens are bound: thermal collisions end within one or two frames
DISPERSION = "+D3"  # ends the name of a case that goes on from the one before it, with dispersion


def cases():
    """Name → composition, atoms, temperature (K), last stage (without output)."""
    hot = {"ensemble": "nvt", "temperature": 4000, "length": 20}
    yield "hot", ("NS2", 3000, 4000, hot)
    for kind in COMPOSITIONS:
        for temperature in TEMPERATURES:
            held = {"ensemble": "nvt", "temperature": temperature, "length": 50}
            yield f"{kind}_{temperature}K", (kind, 600, temperature, held)
    rest = {"ensemble": "npt", "temperature": 300, "pressure": 0.0, "length": 5}
    for kind in ("NS2", "NS4", "SiO2"):
        yield f"quench_{kind}", (kind, 600, 1500, rest)
        yield f"quench_{kind}{DISPERSION}", (kind, 600, 300, rest)


def stages(name, temperature, last, timestep):
    """Melt, bring to the temperature, and the stage that is looked at."""
    last = last | {"name": "hold", "timestep": timestep, "output": "linear", "interval": 0.1}
    rest = {key: value for key, value in last.items() if key not in ("output", "interval")} | {"name": "rest"}
    if name.endswith(DISPERSION):
        return [rest, last]
    hot = max(1.2 * temperature, 3500)
    melt = {"ensemble": "nvt", "thermostat": "langevin", "temperature": hot, "damping": 0.02, "length": 2}
    melt["name"] = "melt"
    cool = {"name": "cool", "ensemble": "nvt", "temperature": [hot, temperature], "length": 10, "timestep": timestep}
    if not name.startswith("quench"):
        return [melt, cool, last]
    # at zero pressure a hotter melt nearly boils (NS2 at 3500 K: 1.1 g/cm³), and its network does not close up again in picoseconds
    quench = {"name": "quench", "ensemble": "npt", "temperature": [temperature, 300], "rate": 50, "pressure": 0.0}
    return [melt, cool | {"length": 20}, quench | {"timestep": timestep}, rest, last]


def closest(trajectory):
    """Shortest distance of each pair of species in any frame (Å), and the mean number of oxygens bound to silicon in the last one."""
    shortest = dict.fromkeys(PAIRS, np.inf)
    for frame in range(trajectory.n_frames):
        for pair, (distance, *_) in closest_pairs(trajectory.atoms(frame), 4.0).items():
            shortest["-".join(pair)] = min(shortest["-".join(pair)], distance)
    last = trajectory.atoms(-1)
    bonds = len(neighbor_list("i", last, {("O", "Si"): BOND})) / 2
    return shortest, bonds / np.count_nonzero(trajectory.species == "Si")


def longest_together(trajectory, reach=PEROXIDE):
    """Longest time (ps) that two oxygens are within `reach` (Å) in every frame."""
    oxygen = np.flatnonzero(trajectory.species == "O")
    since, longest = {}, 0.0
    for frame, time in enumerate(trajectory.time[:]):
        i, j = neighbor_list("ij", trajectory.atoms(frame)[oxygen], reach)
        since = {pair: since.get(pair, time) for pair in zip(i.tolist(), j.tolist(), strict=True)}
        longest = max([longest, *(time - begin for begin in since.values())])
    return longest


def look(name, case, calculator, weights, timestep, folder):
    """One line of the table."""
    kind, atoms, temperature, last = case
    row = {"case": name, "composition": kind, "temperature_K": last["temperature"]}
    path = folder / f"{name}.h5"
    if name.endswith(DISPERSION):
        before = folder / f"{name.removesuffix(DISPERSION)}.h5"
        if not before.exists():
            return row | {"stopped": "not begun: the case before it did not end"}
        start, calculator = dynamics.final_state(before), Dispersion(calculator)
    else:
        start = dynamics.starting_structure(kind, atoms, temperature, 1, calculator)
    try:
        dynamics.run(start, calculator, stages(name, temperature, last, timestep), path, seed=1, inputs=weights)
    except StoppedError as error:
        return row | {"atoms": len(start), "stopped": str(error).splitlines()[0]}
    return row | told(Trajectory.open(path))


def told(trajectory):
    """What a finished trajectory tells of its case."""
    shortest, bonds = closest(trajectory)
    last = trajectory.atoms(-1)
    density = last.get_masses().sum() * AMU_PER_A3 / np.linalg.det(trajectory.cells[:]).mean()
    row = {"atoms": len(last), "length_ps": round(float(trajectory.time[-1] - trajectory.time[0]), 1), "stopped": ""}
    row |= {f"closest {pair} (Å)": round(float(value), 3) for pair, value in shortest.items() if np.isfinite(value)}
    row["longest O-O bond (ps)"] = round(longest_together(trajectory), 1)
    return row | {"oxygens of silicon": round(bonds, 3), "density (g/cm³)": round(density, 4)}


def finished_elsewhere(folders, identity):
    """(composition, temperature) → trajectory of these weights below `folders`, held at one volume for at least 50 ps."""
    found = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.h5")):
        trajectory = Trajectory.open(path)
        known = trajectory.attrs
        held = known.get("ensemble") == "NVT" and trajectory.time[-1] - trajectory.time[0] >= 50
        if held and trajectory.n_atoms >= 600 and known.get("weights") == identity:
            found.setdefault((known["composition"], known["temperature"]), trajectory)
    return found


def chains(wanted):
    """Lists of cases (name, case) in which each goes on from the one before it."""
    made = []
    for name, case in cases():
        if name.endswith(DISPERSION):
            made[-1].append((name, case))
        else:
            made.append([(name, case)])
    made = [[(name, case) for name, case in chain if wanted(name)] for chain in made]
    return [chain for chain in made if chain]


def lines(chain, potential, timestep, folder):
    """Lines of the table for cases that follow each other."""
    calculator = load_potential(potential)
    return [
        {"potential": calculator.weights} | look(*one, calculator, files(potential), timestep, folder) for one in chain
    ]


def main():
    """Run what is not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", default="default")
    parser.add_argument("--timestep", type=float, default=2.0, help="fs")
    parser.add_argument("--only", nargs="*", default=[""], help="starts of the names of the cases to run")
    parser.add_argument("--seen", type=Path, nargs="*", default=[], help="folders of finished trajectories")
    parser.add_argument("--folder", type=Path, default=Path("runs/stability"))
    parser.add_argument("--out", type=Path, default=Path("runs/stability/stability.csv"))
    parser.add_argument("--workers", type=int, default=1, help="cases at once, each on one core")
    options = parser.parse_args()
    identity = load_potential(options.potential).weights
    rows = pd.read_csv(options.out).to_dict("records") if options.out.exists() else []

    def keep(found):
        rows.extend(found)
        with atomic(options.out) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)
        print(*found, sep="\n", flush=True)

    def missing(name):
        return (identity, name) not in [(row["potential"], row["case"]) for row in rows]

    seen = finished_elsewhere(options.seen, identity)
    for name, (kind, _, temperature, _) in cases():
        if name == f"{kind}_{temperature}K" and missing(name) and (kind, temperature) in seen:
            found = {"potential": identity, "case": name, "composition": kind, "temperature_K": temperature}
            keep([found | told(seen[kind, temperature])])
    left = chains(lambda name: missing(name) and name.startswith(tuple(options.only)))
    jobs = [(chain, options.potential, options.timestep, options.folder / identity) for chain in left]
    if options.workers == 1:
        for job in jobs:
            keep(lines(*job))
        return
    # read by the processes as they begin
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
    with pool(options.workers) as processes:
        for finished in as_completed([processes.submit(lines, *job) for job in jobs]):
            keep(finished.result())


if __name__ == "__main__":
    main()
