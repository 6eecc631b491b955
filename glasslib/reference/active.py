"""Active learning: melts driven by the potential that is to learn, and of those the structures it knows least about."""

import numpy as np
from ase import units
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import FIRE

from ..dynamics.guard import Guard, Watch
from ..dynamics.integrators import Langevin
from ..errors import GlasslibError
from ..potential.calculator import PaiNNCalculator
from ..progress import Progress
from ..systems import density, random_structure
from .sampling import states
from .selection import select

CHECK = 10  # steps between two looks at the distances
HOT = 4500  # K


def explore(calculator, state, atoms=60, melt_ps=1.0, hold_ps=3.0, every_ps=0.25, timestep_fs=1.0):
    """Configurations of a melt that a trained potential drives, from a random start over a melt at 4500 K.

    Where two atoms come closer than half the sum of their covalent radii the run ends, and the configuration just before is the last:
    that is what the potential must learn.

    Parameters
    ----------
    calculator : ase Calculator
        Of several members or one.
    state : sampling.State
        `state.potential` is the first word of the parent's name.
    atoms : int
    melt_ps, hold_ps, every_ps : float
        Time at 4500 K, time at the temperature, and time between two configurations of it.
    timestep_fs : float

    Returns
    -------
    list of ase.Atoms
        Wrapped, with the fields of a queue and their number (`frame`) in `info`; one parent.
    """
    start = random_structure(
        state.composition, atoms, density=density(state.composition) * state.scale, seed=state.seed
    )
    start.calc, rng = calculator, np.random.default_rng(state.seed)
    FIRE(start, logfile=None).run(fmax=3.0, steps=200)
    thermalize_momenta(start, temperature_K=HOT, rng=rng)
    watch, step = Watch(Guard(), start, HOT), timestep_fs * units.fs
    every, found, last = max(1, round(1000 * every_ps / timestep_fs / CHECK)), [], None
    for stage, (temperature, length) in enumerate(((HOT, melt_ps), (state.temperature, hold_ps))):
        motion = Langevin(start, step, temperature_K=temperature, T_tau=50 * units.fs, rng=rng)
        for turn in range(1, round(1000 * length / timestep_fs / CHECK) + 1):
            motion.run(CHECK)
            if watch.trouble(start, start.calc.results):
                return found + ([_candidate(last, state, len(found))] if last is not None else [])
            last = start.copy()
            # the second half of the time at the temperature counts: before, the melt is on its way
            if stage == 1 and turn % every == 0 and turn * CHECK * timestep_fs >= 500 * length:
                found.append(_candidate(last, state, len(found)))
    return found


def _candidate(atoms, state, number):
    made = atoms.copy()
    made.calc = None
    del made.arrays["momenta"]
    made.wrap()
    made.info = {
        "composition": state.composition, "temperature_K": state.temperature, "density_scale": state.scale, "parent": state.parent,
        "frame": number,
    }  # fmt: skip
    return made


def propose(calculator, number, runs=None, name="painn", seed=0, known=(), atoms=60, quiet=False, **which):
    """One round of active learning: explore many states, choose what to label.

    Parameters
    ----------
    calculator : ase Calculator
        A committee (its members drive the melts in turn, its disagreement chooses), or one potential (then dissimilarity alone chooses).
    number : int
        Structures wanted.
    runs : int, optional
        Melts to explore; default twice `number`.
    name : str
        First word of the parents' names: give each round its own.
    seed : int
    known : list of ase.Atoms
        Labelled frames: what is chosen differs from them.
    which
        Compositions, temperatures and densities, see `sampling.states`.

    Returns
    -------
    list of ase.Atoms
        A queue, with `info["force_spread"]` (eV/Å) where there is a committee.
    """
    if not name or not name.replace("_", "").isalnum():
        raise GlasslibError(f"name must be letters and digits, not {name!r}")
    runs = 2 * number if runs is None else runs
    members = getattr(calculator, "potentials", ())
    committee = calculator if len(members) > 1 else None
    drivers = [PaiNNCalculator([member], calculator.kernel) for member in members] if committee else [calculator]
    candidates = []
    with Progress(runs, "exploring", "melts", **({"every": 1e9} if quiet else {})) as bar:
        for turn, state in enumerate(states(runs, seed, potentials=(name,), **which)):
            candidates += explore(drivers[turn % len(drivers)], state, atoms)
            bar.update(note=f"{len(candidates)} candidates, last {state.parent}")
    if not candidates:
        raise GlasslibError("every melt fell apart at once: train the potential on melts of a classical one first")
    return select(candidates, min(number, len(candidates)), committee, known)
