"""What a run costs, timed here and now."""

import time

from ..systems import random_structure


def seconds_per_step(atoms, calculator, repeats=2):
    """Wall time of one evaluation of energy, forces and, where there is one, stress."""
    trial = atoms.copy()
    trial.calc = calculator
    best = float("inf")
    for _ in range(repeats):
        trial.positions += 1e-4  # another configuration, so that no result is taken from the last one
        start = time.perf_counter()
        trial.get_forces()
        best = min(best, time.perf_counter() - start)
    return best


def core_seconds_per_atom_step(potential="default", atoms=200):
    """Processor time of one molecular-dynamics step, divided by the number of atoms.

    Parameters
    ----------
    potential : str
        Name or path as of load_potential.
    atoms : int
        Size of the trial melt.

    Returns
    -------
    float
        Core seconds an atom and step, all threads counted.
    """
    from ..potential import CLASSICAL, load_potential

    trial = random_structure("NS2", atoms=atoms, temperature=3000, seed=0)
    if potential in CLASSICAL:  # LAMMPS keeps its lists from step to step, which single evaluations would not show
        return _of_lammps(potential, trial) / len(trial)
    trial.calc = load_potential(potential)
    trial.get_forces()  # compiles, allocates
    start, steps = time.process_time(), 5
    for _ in range(steps):
        trial.positions += 1e-3
        trial.get_forces()
    return (time.process_time() - start) / (steps * len(trial))


def _of_lammps(potential, trial, steps=200):
    """Processor time of one step in LAMMPS."""
    from ..potential.classical import Engine

    engine = Engine(potential, trial)
    try:
        engine.do("timestep 0.001", "velocity all create 3000 1", "fix move all nve/limit 0.05", "run 50")
        start = time.process_time()
        engine.do(f"run {steps} pre no post no")
        return (time.process_time() - start) / steps
    finally:
        engine.close()
