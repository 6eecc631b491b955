"""One process of a labelling queue: `python -m glasslib.reference.worker QUEUE OUT END COARSE PARENT`, started by `label_queue`."""

import os
import sys

from ..errors import GlasslibError
from .labelling import work

os.nice(10)
try:
    work(sys.argv[1], sys.argv[2], float(sys.argv[3]), bool(int(sys.argv[4])), int(sys.argv[5]))
except GlasslibError as error:
    from gpaw.mpi import world

    if world.size > 1:  # GPAW's own end of a process takes the others along
        raise
    sys.exit(f"glasslib: {error}")
