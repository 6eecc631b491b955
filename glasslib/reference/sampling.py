"""Structures to label: melts and quenched glasses of classical potentials, the same ones from the same seed.

State points follow an additive recurrence (Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018), so that every first part of
the queue covers compositions, temperatures and densities evenly: it can be stopped anywhere.
"""

from dataclasses import asdict, dataclass

import numpy as np
from ase import Atoms

from ..errors import GlasslibError
from ..files import folder
from ..processes import all_done
from ..provenance import forget_key, keep_key, key_of, made_for
from ..systems import density, random_structure
from .frames import read_plain, write_plain

COMPOSITIONS = ("SiO2", "NS6", "NS4", "NS3", "NS2", "NS")
TEMPERATURES = (300, 1000, 1500, 2000, 2500, 3000, 3500, 4000)  # K
DENSITIES = (0.88, 1.12)  # of the glass at 300 K
POTENTIALS = ("pmmcs", "shik")
PLASTIC = 1.32471795724474602596  # real root of x³ = x + 1


@dataclass(frozen=True)
class State:
    """State point of one structure: temperature in K, density relative to the glass, and the seed of everything random."""

    composition: str
    temperature: int
    scale: float
    potential: str
    seed: int

    @property
    def parent(self):
        """Name of the trajectory."""
        return f"{self.potential}-{self.composition}-{self.temperature}-{self.scale:.2f}-s{self.seed}"


def states(
    count, seed=0, compositions=COMPOSITIONS, temperatures=TEMPERATURES, densities=DENSITIES, potentials=POTENTIALS
):
    """State points of a queue; a longer queue begins with the shorter one.

    Parameters
    ----------
    count : int
    seed : int
        Shifts the sequence.
    compositions, temperatures, potentials : sequences
        Compositions and potentials take turns.
    densities : pair of float
        Smallest and largest, relative to the glass at 300 K.

    Returns
    -------
    list of State
    """
    if not isinstance(count, (int, np.integer)) or count < 0:
        raise GlasslibError(f"count must be a whole number not below zero, not {count!r}")
    rng = np.random.default_rng(seed)
    start, order, found = rng.random(2), rng.permutation(len(compositions)), []
    for i in range(count):
        turn, which = divmod(i, len(compositions))
        which = int(order[which])
        u, v = (start + i * np.array([1 / PLASTIC, 1 / PLASTIC**2])) % 1
        temperature = temperatures[int(u * len(temperatures))]
        scale = round(densities[0] + v * (densities[1] - densities[0]), 2)
        found.append(
            State(
                compositions[which],
                int(temperature),
                scale,
                potentials[(turn + which) % len(potentials)],
                1000 * (seed + 1) + i,
            )
        )
    return found


def melt(state, atoms=63, melt_ps=3.0, hold_ps=5.0, timestep_fs=1.0):
    """One structure at a state point, from a random start over a melt at 4500 K.

    Parameters
    ----------
    state : State
    atoms : int
        Wanted number, rounded to whole formula units; 54 to 84 are worth labelling.
    melt_ps, hold_ps : float
        Time at 4500 K; time of cooling (the first half) and at the temperature.

    Returns
    -------
    ase.Atoms
        Wrapped, with the fields of the data set in `info` but for labels.
    """
    from ..dynamics.classical import run_classical

    start = random_structure(
        state.composition, atoms, density=density(state.composition) * state.scale, seed=state.seed
    )
    run = run_classical(
        start,
        state.potential,
        state.temperature,
        hold_ps,
        timestep_fs / 1000,
        timestep_fs,
        seed=state.seed,
        frames=np.array([1]),
        melt_ps=melt_ps,
    )
    made = Atoms(start.get_chemical_symbols(), run.positions[-1], cell=start.cell, pbc=True)
    made.wrap()
    made.info = {
        "composition": state.composition, "temperature_K": state.temperature, "density_scale": state.scale, "parent": state.parent,
    }  # fmt: skip
    return made


def sample(count, seed=0, atoms=63, melt_ps=3.0, hold_ps=5.0, skip=0, keep=None, workers=1, quiet=True, **which):
    """Structures of the first `count` states of a queue, without its first `skip`; see `states` and `melt`.

    With the folder `keep` every finished one is kept there, and the same call goes on where it was killed; `workers` are processes.
    """
    jobs = [(_kept, state, atoms, melt_ps, hold_ps, keep) for state in states(count, seed, **which)[skip:]]
    return all_done(jobs, workers, None if quiet else "melts", "melts")


def _kept(state, atoms, melt_ps, hold_ps, keep):
    if keep is None:
        return melt(state, atoms, melt_ps, hold_ps)
    path, key = folder(keep) / f"{state.parent}.extxyz", key_of(asdict(state), atoms, melt_ps, hold_ps)
    if not made_for(path, key):
        forget_key(path)
        write_plain(path, [melt(state, atoms, melt_ps, hold_ps)])
        keep_key(path, key)
    return read_plain(path)[0]
