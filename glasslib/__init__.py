"""glasslib: potentials, molecular dynamics and analysis of oxide melts, as one readable pipeline.

The ways in:

>>> import glasslib
>>> atoms = glasslib.random_structure("NS2", atoms=300, temperature=3000, seed=1)
>>> atoms.calc = glasslib.load_potential("default")
>>> run = glasslib.Trajectory.open("runs/.../trajectory.h5")
>>> glasslib.analysis.mean_squared_displacement(run)

Units everywhere: Å, ps, eV, K, GPa, g/cm³; fs for time steps only.
"""

from importlib import import_module

from .errors import GlasslibError

__version__ = "0.1.0"

_LAZY = {
    "load_potential": "potential",
    "Trajectory": "trajectory",
    "composition": "systems",
    "density": "systems",
    "random_structure": "systems",
}
_MODULES = (
    "analysis",
    "book",
    "claims",
    "dynamics",
    "figures",
    "notebook",
    "potential",
    "profiles",
    "provenance",
    "reference",
    "sweep",
    "systems",
    "training",
    "trajectory",
    "viewer",
    "workflow",
)

__all__ = ["GlasslibError", "__version__", *_LAZY, *_MODULES]


def __getattr__(name):
    # Imported on first use: `glasslib --help` must not wait for torch.
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'glasslib' has no attribute {name!r}")


def __dir__():
    return __all__
