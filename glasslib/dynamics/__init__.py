"""Molecular dynamics over ASE's integrators: schedules as data, runs that survive being killed, guards, log-spaced output.

`driver.py` is the way in, `schedule.py` what is run, `simulation.py` the loop, `integrators.py` the equations, `evaluate.py` how the
potential is asked, `guard.py` when to stop, `store.py` what is kept on disk, `start.py` a melt to begin with, `cost.py` what it will take,
`isoconfigurational.py` many runs from one configuration.
"""

from .cost import core_seconds_per_atom_step
from .driver import run
from .guard import Guard
from .isoconfigurational import isoconfigurational
from .schedule import Stage, log_frames, read_schedule
from .start import melt_schedule, seed_of, starting_structure
from .store import final_state, so_far

__all__ = [
    "Guard",
    "Stage",
    "core_seconds_per_atom_step",
    "final_state",
    "isoconfigurational",
    "log_frames",
    "melt_schedule",
    "read_schedule",
    "run",
    "so_far",
    "seed_of",
    "starting_structure",
]
