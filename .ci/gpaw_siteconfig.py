"""How GPAW is compiled: against the MPI of this environment (PyPI's mpich) and the system's libxc, OpenBLAS and FFTW."""

import os
import sys

mpi = True
compiler = os.path.join(sys.prefix, "bin", "mpicxx")
fftw = True
libraries = ["xc", "fftw3", "openblas"]
