"""One process of a labelling queue: `python -m glasslib.reference.worker QUEUE OUT END COARSE PARENT`, started by `label_queue`."""

import os
import sys

from .labelling import work

os.nice(10)
work(sys.argv[1], sys.argv[2], float(sys.argv[3]), bool(int(sys.argv[4])), int(sys.argv[5]))
