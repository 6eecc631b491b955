"""A melt from nothing: random atoms, and the stages in which they forget that they were."""

from pathlib import Path

from ..errors import GlasslibError
from ..systems import random_structure


def starting_structure(start, atoms, temperature, seed, calculator):
    """A structure from a file, or a random one of a composition, relaxed until nothing pushes hard."""
    import ase.io
    from ase.optimize import FIRE

    if Path(start).suffix:
        try:
            return ase.io.read(start)
        except Exception as error:  # ASE's readers raise whatever their format suggests
            raise GlasslibError(f"{start} cannot be read as a structure: {error}") from None
    melt = random_structure(start, atoms, temperature=temperature, seed=seed)
    melt.calc = calculator
    FIRE(melt, logfile=None).run(fmax=3.0, steps=200)
    return melt


def melt_schedule(temperature, equilibrate, produce, timestep, melt=2.0, hot=4500.0):
    """Stages that melt a random start, equilibrate it and record it."""
    common = {"ensemble": "nvt", "thermostat": "langevin"}
    return [
        common | {"name": "melt", "temperature": max(hot, temperature), "length": melt, "timestep": min(timestep, 1.0)},
        common | {"name": "equilibrate", "temperature": temperature, "length": equilibrate, "timestep": timestep},
        {
            "name": "produce",
            "ensemble": "nvt",
            "temperature": temperature,
            "length": produce,
            "timestep": timestep,
            "output": "log",
        },
    ]
