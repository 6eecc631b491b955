"""Time and answers of the analysis against what a user would pick instead: tidynamics, freud, MDAnalysis, dynasor, plain NumPy loops.

    python benchmarks/analysis.py --atoms 1000 --frames 1000 --rounds 5 --out analysis.json

Every case computes the same quantity of the same data; rounds are interleaved and medians taken. Peers that are not installed are left out.
"""

import argparse
import json
import logging
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np

from glasslib import Trajectory, analysis
from glasslib.provenance import processor

LENGTH, STEP = 25.0, 0.05  # Å: size of the cell, standard deviation of a step
PAUSE = 0.3  # s before each call, in which the threads of the one before go to sleep


def melt(atoms, frames, seed=0):
    """A random walk of atoms that start evenly in a cubic cell, one species."""
    rng = np.random.default_rng(seed)
    start = rng.random((1, atoms, 3)) * LENGTH
    x = start + np.cumsum(rng.normal(0, STEP, (frames, atoms, 3)), 0)
    return Trajectory(x, ["Na"] * atoms, np.eye(3) * LENGTH, np.arange(frames) * 0.01)


def cases(run):
    """name → (ours, {peer: its call}); each call returns an array that the others must equal."""
    x, side = run.positions, LENGTH
    lag = analysis.mean_squared_displacement(run, origins=None, drift=False).time.values
    frame = np.rint(lag / 0.01).astype(int)
    few = frame[np.unique(np.linspace(0, len(frame) - 1, 12).astype(int))]
    q = np.array([0.95, 1.7, 2.05])
    r = np.arange(0.05, 6, 0.1)

    def msd_tidynamics():
        import tidynamics

        return np.mean([tidynamics.msd(x[:, k]) for k in range(x.shape[1])], 0)[frame]

    def msd_freud():
        import freud

        return freud.msd.MSD(mode="window").compute(positions=x).msd[frame]

    def waves_numpy():
        return np.array([[np.sinc(v * np.linalg.norm(x[f:] - x[:-f], axis=2) / np.pi).mean() for f in few] for v in q])

    def alpha_numpy():
        squares = [((x[f:] - x[:-f]) ** 2).sum(2) for f in few]
        return np.array([0.6 * (s**2).mean() / s.mean() ** 2 - 1 for s in squares])

    def van_hove_numpy():
        edges, shell = np.arange(61) * 0.1, 4 / 3 * np.pi * np.diff((np.arange(61) * 0.1) ** 3)
        moved = [np.linalg.norm(x[f:] - x[:-f], axis=2).ravel() for f in few]
        return np.array([np.histogram(m, edges)[0][:60] / m.size / shell for m in moved])[:, : len(r)]

    chosen = np.unique(np.linspace(0, len(run) - 1, 20).astype(int))
    inner = np.arange(0.05, 10, 0.1)

    def g_freud():
        import freud

        rdf = freud.density.RDF(bins=len(inner), r_max=10.0, normalization_mode="finite_size")
        box = freud.box.Box.cube(side)
        for f in chosen:
            rdf.compute((box, box.wrap(x[f] - side / 2)), reset=False)
        return rdf.rdf

    def g_mdanalysis():
        import MDAnalysis
        from MDAnalysis.analysis.rdf import InterRDF

        universe = MDAnalysis.Universe.empty(x.shape[1], trajectory=True)
        universe.load_new(x[chosen].astype(np.float32), dimensions=np.array([side] * 3 + [90.0] * 3))
        found = InterRDF(universe.atoms, universe.atoms, nbins=len(inner), range=(0, 10), exclusion_block=(1, 1)).run()
        atoms = x.shape[1]
        return found.results.rdf * atoms / (atoms - 1)  # its normalisation counts the atom itself

    few_vectors = wave_vectors(side, 1.7, 30)

    def coherent_ours():
        found = analysis.coherent_intermediate_scattering(
            run, q=1.7, width=0.1, vectors=30, drift=False, origins=None, time=few * 0.01
        )
        return found.F.values[0, 0]

    def coherent_numpy():
        rho = np.array([np.exp(1j * frame @ few_vectors.T).sum(0) for frame in x]) / np.sqrt(x.shape[1])
        static = (np.abs(rho) ** 2).mean(1)
        return np.array(
            [(rho[f:] * rho[:-f].conj()).real.mean() / (0.5 * (static[f:] + static[:-f])).mean() for f in few]
        )

    window = min(200, len(x) // 4)
    steps = np.arange(1, window) * 0.01

    def both_ours():
        kept = {"drift": False, "origins": None, "time": steps}
        coherent = analysis.coherent_intermediate_scattering(run, q=1.7, width=0.1, vectors=30, **kept).F.values[0, 0]
        return np.array([coherent, analysis.self_intermediate_scattering(run, q=1.7, **kept).F_s.values[0, 0]])

    def both_dynasor():
        from dynasor import compute_dynamic_structure_factors

        found = compute_dynamic_structure_factors(
            InMemory(x, side), few_vectors, dt=10.0, window_size=window, calculate_incoherent=True
        )
        coherent, alone = found.Fqt_coh.mean(0), found.Fqt_incoh.mean(0)
        return np.array([coherent[1:window] / coherent[0], alone[1:window]])

    options = {"drift": False, "origins": None}
    short = {**options, "time": few * 0.01}
    return {
        "mean squared displacement": (
            lambda: analysis.mean_squared_displacement(run, **options).msd.values[0],
            {"tidynamics": msd_tidynamics, "freud": msd_freud},
        ),
        "F_s(q, t), 3 q, 12 lags": (
            lambda: analysis.self_intermediate_scattering(run, q=q, **short).F_s.values[0],
            {"NumPy": waves_numpy},
        ),
        "alpha_2, 12 lags": (lambda: analysis.non_gaussian(run, **short).alpha_2.values[0], {"NumPy": alpha_numpy}),
        "van Hove self, 12 lags": (
            lambda: analysis.van_hove_self(run, r=r, **short).G_s.values[0],
            {"NumPy": van_hove_numpy},
        ),
        "g(r) to 10 Å, 20 frames": (
            lambda: analysis.radial_distribution(run, r=inner, frames=20).g.values[0],
            {"freud": g_freud, "MDAnalysis": g_mdanalysis},
        ),
        "F(q, t), 30 wave vectors": (coherent_ours, {"NumPy": coherent_numpy}),
        f"F and F_s(q, t), {window} lags": (both_ours, {"dynasor": both_dynasor}),
    }


class InMemory:
    """Positions as dynasor's trajectory, so that no reading of files is timed."""

    has_positions, has_velocities, frame_step, atom_types = True, False, 1, ["Na"]

    def __init__(self, positions, side):
        self.positions, self.cell, self.n_atoms = positions, np.eye(3) * side, positions.shape[1]
        self.atomic_indices, self.number_of_frames_read = {"Na": list(range(self.n_atoms))}, len(positions)

    def __iter__(self):
        from dynasor.trajectory.trajectory_frame import TrajectoryFrame

        for number, frame in enumerate(self.positions):
            yield TrajectoryFrame(self.atomic_indices, number, frame)


def wave_vectors(side, q, most):
    """The wave vectors that the library chooses, 1/Å."""
    from glasslib.analysis.waves import wave_vectors as choose

    return choose(np.eye(3) * side, np.array([q]), 0.1, most)[0] * 2 * np.pi / side


def measure(name, ours, peers, rounds):
    """Rows of the table, one for each peer that is installed."""
    exact = np.asarray(ours())
    found, times = {}, {"ours": []}
    for peer, call in peers.items():
        try:
            found[peer] = np.asarray(call())
            times[peer] = []
        except ImportError:
            continue
    for _ in range(rounds):
        for who, call in [("ours", ours), *((p, peers[p]) for p in found)]:
            time.sleep(PAUSE)
            start = time.perf_counter()
            call()
            times[who].append(time.perf_counter() - start)
    rows = []
    for peer, values in found.items():
        difference = float(np.abs(values - exact).max() / np.abs(exact).max())
        here, there = median(times["ours"]), median(times[peer])
        rows.append(
            {
                "case": name,
                "ours_s": here,
                "peer": peer,
                "peer_s": there,
                "ratio": there / here,
                "difference": difference,
            }
        )
    return rows


def main():
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    run = melt(given.atoms, given.frames)
    rows = []
    print(f"{'case':28s} {'ours s':>9s} {'peer':>12s} {'peer s':>9s} {'ratio':>7s} {'difference':>11s}")
    for name, (ours, peers) in cases(run).items():
        for row in measure(name, ours, peers, given.rounds):
            rows.append(row)
            print(
                f"{name:28s} {row['ours_s']:9.3f} {row['peer']:>12s} {row['peer_s']:9.3f} {row['ratio']:7.1f} {row['difference']:11.1e}",
                flush=True,
            )
    if given.out:
        table = {
            "atoms": given.atoms,
            "frames": given.frames,
            "rounds": given.rounds,
            "processor": processor(),
            "rows": rows,
        }
        given.out.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
