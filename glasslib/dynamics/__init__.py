"""Molecular dynamics over ASE's integrators: schedules as data, runs that survive being killed, guards, log-spaced output.

`schedule.py` says what is run, `integrators.py` which equations, `guard.py` when to stop, `store.py` what is kept on disk, `evaluate.py` how the potential is asked,
`driver.py` is the loop.
"""

from .cost import core_seconds_per_atom_step
from .driver import run
from .guard import Guard
from .schedule import Stage, log_frames, read_schedule
from .store import final_state, so_far

__all__ = ["Guard", "Stage", "core_seconds_per_atom_step", "final_state", "log_frames", "read_schedule", "run", "so_far"]
