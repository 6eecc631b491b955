"""A melt from nothing: random atoms, and the stages in which they forget that they were."""

from pathlib import Path
from zlib import crc32

from ..errors import GlasslibError
from ..potential.classical import PMMCS, Classical
from ..systems import composition, random_structure


def seed_of(seed, composition, temperature, replica=0):
    """Random number of one run among those that share `seed`: its own for each composition, temperature (K) and replica, so that no two runs have start or noise
    in common.

    >>> seed_of(1, "NS2", 3000, 0) == seed_of(1, "NS2", 3000.0)
    True
    """
    return crc32(f"{int(seed)} {composition} {float(temperature):g} {int(replica)}".encode()) >> 2


def starting_structure(start, atoms, temperature, seed, calculator, density=None):
    """A structure from a file, or a random one of a composition, relaxed until nothing pushes hard.

    Random atoms are first relaxed by PMMCS, where that has parameters for them: coordinations that no melt has lie far outside what a network was
    trained on, and one start in twenty ended in a hole of its energy.

    Parameters
    ----------
    start : str or path
        A file that ASE reads, or a composition.
    atoms : int
        Of a random start.
    temperature : float
        K, for its density.
    seed : int
    calculator : ase Calculator
    density : float, optional
        g/cm³.

    Raises
    ------
    GlasslibError
        Where `start` is neither, or the file cannot be read.
    """
    import ase.io
    from ase.optimize import FIRE

    if Path(start).is_file():
        try:
            return ase.io.read(start)
        except Exception as error:  # ASE's readers raise whatever their format suggests
            raise GlasslibError(f"{start} cannot be read as a structure: {error}") from None
    try:
        composition(str(start))
    except GlasslibError as error:
        raise GlasslibError(f"{start} is no file, and no composition either: {error}") from None
    melt = random_structure(str(start), atoms, density=density, temperature=temperature, seed=seed)
    gentle = [Classical("pmmcs")] if set(melt.symbols) <= set(PMMCS) else []
    for potential in (*gentle, calculator):
        melt.calc = potential
        FIRE(melt, logfile=None).run(fmax=3.0, steps=200)
    return melt


def melt_schedule(temperature, equilibrate, produce, timestep, melt=2.0, hot=4500.0, block=None, interval=None):
    """Stages that melt a random start, equilibrate it and record it.

    A Langevin thermostat takes up the heat of the start; then stochastic velocity rescaling, which hardly touches the motion of single atoms.

    Parameters
    ----------
    temperature, hot : float
        K; the first stage is at the higher of the two.
    melt, equilibrate, produce : float
        ps.
    timestep : float
        fs; at most 1 while it melts.
    block : float, optional
        ps between the origins of the logarithmic output; default: a tenth of `produce`.
    interval : float, optional
        ps between further, evenly spaced frames, for what wants them (jumps, mobility); default: none.
    """
    melted = {"name": "melt", "ensemble": "nvt", "temperature": max(hot, temperature), "timestep": min(timestep, 1.0)}
    held = {"ensemble": "nvt", "temperature": temperature, "timestep": timestep, "thermostat": "bussi"}
    kept = {"output": "log", "block": block or produce / 10} | ({"interval": interval} if interval else {})
    return [
        melted | {"thermostat": "langevin", "damping": 0.02, "length": melt},
        held | {"name": "equilibrate", "length": equilibrate, "damping": 0.1},
        held | {"name": "produce", "length": produce, "damping": 1.0} | kept,
    ]
