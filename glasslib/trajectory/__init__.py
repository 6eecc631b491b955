"""Trajectories: unwrapped positions against time, in memory or on disk (H5MD), read in blocks.

`trajectory.py` is the object that the analysis takes, `h5md.py` the file format and `h5md_reader.py` its reader (with `h5md_parts.py` and
`h5md_atoms.py`), `foreign.py` the readers of LAMMPS and ASE files, `wrapping.py` what makes wrapped positions continuous.
"""

from .foreign import read
from .trajectory import Trajectory
from .wrapping import unwrap

__all__ = ["Trajectory", "read", "unwrap"]
