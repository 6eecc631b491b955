"""Bad inputs for every reader of outside files.

A case is `case(reader, text, name, content)`: the reader (see `READERS`), a text that its error must contain, the name of the file, and
its content: bytes, text, or a function that makes the file at a path. Files are built when they are tried; none is kept.
"""

from . import frames, lammps, models, plain, trajectories
from .common import READERS

CASES = {**frames.CASES, **trajectories.CASES, **lammps.CASES, **models.CASES, **plain.CASES}

__all__ = ["CASES", "READERS"]
