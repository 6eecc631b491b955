"""D3(BJ) of a melt: energy, forces and stress beside simple-dftd3, with a sum to 40 bohr and with one that ends where ours does.

    python benchmarks/dispersion.py --repeat 3 4 4 --rounds 5 --out dispersion.json

Both use all cores, and simple-dftd3 keeps its tables between calls, as in a run. What each lacks is measured against a sum to 50 Å. The melt is a labelled frame, repeated.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from analysis import measure
from ase import units
from dftd3.ase import DFTD3

from glasslib.potential.dispersion import Dispersion
from glasslib.provenance import processor
from glasslib.reference import read_frames


def peer(cutoff, counted=20.0, width=0.0):
    """simple-dftd3 with a sum to `cutoff` Å that counts neighbours to `counted` Å."""
    reach = {"disp2": cutoff, "cn": counted, "width2": width}
    return DFTD3(method="PBE", damping="d3bj", params_tweaks={"method": "PBE", "atm": False}, realspace_cutoff=reach)


def main():
    """Print and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, nargs=3, default=(3, 4, 4))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    frames = read_frames(Path(__file__).parents[1] / "data/frames/seed.extxyz")
    frame = next(atoms for atoms in frames if atoms.info["composition"] == "NS2")
    melt, step = frame.copy() * given.repeat, np.random.default_rng(0)

    def forces(calculator):
        moved = melt.copy()  # other positions every time: nothing may be remembered
        moved.positions += 1e-9 * step.normal(size=moved.positions.shape)
        calculator.calculate(moved, ["energy", "forces", "stress"], ["positions"])
        return calculator.results["forces"]

    ours = Dispersion()
    peers = {"simple-dftd3": peer(40 * units.Bohr), "simple-dftd3, 15 Å": peer(15.0, 10.0, 3.0)}
    calls = {name: partial(forces, calculator) for name, calculator in peers.items()}
    rows = measure(f"D3(BJ), {len(melt)} atoms", partial(forces, ours), calls, given.rounds)
    exact = forces(peer(50.0))
    errors = {
        name: 1000 * float(np.sqrt(((forces(c) - exact) ** 2).mean())) for name, c in {"ours": ours, **peers}.items()
    }
    for row in rows:
        print(
            f"{row['case']}: ours {row['ours_s']:.3f} s, {row['peer']} {row['peer_s']:.3f} s, {row['ratio']:.1f} times"
        )
    print("errors of the forces (meV/Å):", {name: round(value, 3) for name, value in errors.items()})
    if given.out:
        found = {"rows": rows, "force errors meV/Å": errors, "processor": processor()}
        given.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
