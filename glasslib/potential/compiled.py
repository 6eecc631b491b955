"""Compile the kernels in a process of their own, once.

In the process that compiles it a Numba function may run as another, less optimised, version than in every process that loads it from the cache: a
parallel loop exists twice there, alone and within its function, and the linker takes the first. Sums may then differ in their last bits, and a run
that was killed would not go on as it began. So nobody simulates in a process that has compiled.
"""

import os
import subprocess
import sys
from functools import cache

HERE = "GLASSLIB_COMPILES"  # set in the process that compiles


@cache
def once():
    """Fill the cache of compiled kernels, unless it holds them; where there can be no cache nothing is done."""
    if os.environ.get(HERE) or all(_cached(function) for function in _parallel()):
        return
    print("compiling the kernels, once: about a minute", file=sys.stderr, flush=True)
    command = [sys.executable, "-c", f"from {__name__} import fill; fill()"]
    subprocess.run(command, env=os.environ | {HERE: "1"}, check=False, stdout=subprocess.DEVNULL)


def fill():
    """Call every kernel once, in whatever process this is."""
    import torch

    from ..systems import random_structure
    from .calculator import PaiNNCalculator
    from .dispersion import Dispersion
    from .model import Potential
    from .painn import PaiNN

    potential = Potential(PaiNN(features=16), torch.zeros(3, dtype=torch.float64), 1.0)
    atoms = random_structure("NS2", 18, seed=0)
    atoms.calc = Dispersion(PaiNNCalculator([potential], kernel="numba"))
    atoms.get_forces()


def _parallel():
    """The compiled functions that are called from Python."""
    from . import dispersion, geometry, kernels, neighbours

    return [
        value
        for module in (dispersion, geometry, kernels, neighbours)
        for value in vars(module).values()
        if getattr(value, "targetoptions", {}).get("parallel") and hasattr(value, "_cache")
    ]


def _cached(function):
    """Whether the cache holds a version of the function's present source for this processor; Numba has no public way to ask."""
    try:
        here = function.targetctx.codegen().magic_tuple()
        return any(key[1] == here for key in function._cache._cache_file._load_index())
    except (AttributeError, OSError):
        return True  # no cache, or another Numba: nothing to gain
