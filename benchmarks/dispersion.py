"""D3(BJ) of a melt: energy, forces and stress beside simple-dftd3, whose sum ends where its forces err as much as ours.

    python benchmarks/dispersion.py --atoms 3000 --rounds 5 --out dispersion.json

simple-dftd3 keeps its tables between calls here, as a run would; both use all cores. What either lacks is measured against a sum to 50 Å.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from analysis import measure
from ase import units
from dftd3.ase import DFTD3

from glasslib import random_structure
from glasslib.potential.dispersion import Dispersion
from glasslib.provenance import processor


def peer(cutoff):
    """simple-dftd3 with a sum to `cutoff` Å."""
    options = {"params_tweaks": {"method": "PBE", "atm": False}, "realspace_cutoff": {"disp2": cutoff, "cn": 20.0}}
    return DFTD3(method="PBE", damping="d3bj", **options)


def main():
    """Print and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    melt = random_structure("NS2", atoms=given.atoms, temperature=3000, seed=1)
    ours, theirs = Dispersion(), peer(40 * units.Bohr)
    step = np.random.default_rng(0)

    def forces(calculator):
        moved = melt.copy()  # other positions every time: nothing may be remembered
        moved.positions += 1e-9 * step.normal(size=moved.positions.shape)
        calculator.calculate(moved, ["energy", "forces", "stress"], ["positions"])
        return calculator.results["forces"]

    rows = measure(
        f"D3(BJ), {len(melt)} atoms", lambda: forces(ours), {"simple-dftd3": lambda: forces(theirs)}, given.rounds
    )
    exact = forces(peer(50.0))
    errors = {
        name: 1000 * float(np.sqrt(((forces(c) - exact) ** 2).mean()))
        for name, c in (("ours", ours), ("simple-dftd3", theirs))
    }
    for row in rows:
        print(
            f"{row['case']}: ours {row['ours_s']:.3f} s, {row['peer']} {row['peer_s']:.3f} s, {row['ratio']:.1f} times; error of the forces (meV/Å): {errors}"
        )
    if given.out:
        given.out.write_text(
            json.dumps({"rows": rows, "force errors meV/Å": errors, "processor": processor()}, indent=1)
        )


if __name__ == "__main__":
    main()
