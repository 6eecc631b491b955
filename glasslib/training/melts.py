"""Melts to learn from beside the few ab initio frames: many, at all state points, with labels of GFN1-xTB that take seconds each."""

from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.optimize import FIRE

from ..errors import GlasslibError
from ..files import folder
from ..potential.classical import loaded
from ..processes import pool
from ..progress import Progress
from ..provenance import RunRecord, keep_key, key_of, made_for
from ..reference.active import explore
from ..reference.frames import read_plain, write_plain
from ..reference.sampling import POTENTIALS, states
from ..systems import density, random_structure
from .xtb import FailedError, need_installed, xtb

RANDOM = "random"
TIMESTEP = 2.0  # fs
LARGEST = 100.0  # eV/Å; beyond it GFN1-xTB is not to be believed (sodium cores that meet)
ATOMS = 50, 72  # from which wanted size and below which
MELT, HOLD, RECORD = (
    1.0,
    2.0,
    2.0,
)  # ps of a classical melt at 4500 K, at its temperature, and between the first and the last configuration
COLLIDE = 1.0, 6.0  # ps of a melt at 4500 K, and at the temperature at which collisions are waited for


def configurations(state, potential="pmmcs", calculator=None, contact=None):
    """Three configurations of a melt; the third is displaced (0.02 to 0.12 Å) and strained (2 %) at random, as no melt of the driver is.
    Of a random start: as it is, and after some steps downhill.
    With `contact`: one configuration of the melt, and of every two oxygens that come closer the closest moment.

    Parameters
    ----------
    state : reference.sampling.State
        `state.potential` is the first word of the parent's name.
    potential : "pmmcs", "shik" or "random"
    calculator : ase Calculator, optional
        A trained potential that drives the melt instead.
    contact : float, optional
        Å, of melts that `calculator` drives.

    Returns
    -------
    list of ase.Atoms
        Fewer than three where the trained potential fell apart.
    """
    rng = np.random.default_rng(state.seed)
    size = int(rng.integers(*ATOMS))
    if potential == RANDOM:
        found = _starts(state, size)
    elif contact is not None:
        found = _closest(explore(calculator, state, size, *COLLIDE, closer={("O", "O"): contact}))
    elif calculator is not None:
        found = explore(calculator, state, size, melt_ps=0.75, hold_ps=1.5, every_ps=0.25, timestep_fs=1.5)[:3]
    else:
        found = _classical(state, size, potential)
    if found and potential != RANDOM and contact is None:
        found[-1] = _shaken(found[-1], rng)
    for number, atoms in enumerate(found):
        atoms.info = {
            "composition": state.composition, "temperature_K": state.temperature, "density_scale": state.scale, "parent": state.parent,
            "frame": number,
        }  # fmt: skip
    return found


def _closest(found):
    """The last configuration that was not chosen, and those that were chosen for their contact."""
    close = [atoms for atoms in found if "contact" in atoms.info]
    return [atoms for atoms in found if "contact" not in atoms.info][-1:] + close


def _starts(state, size):
    """A random start, and what a minimiser makes of it in a few steps: no melt looks so, and every run begins there."""
    from ..potential.classical import Classical

    start = random_structure(state.composition, size, density=density(state.composition) * state.scale, seed=state.seed)
    found, start.calc = [], Classical("pmmcs")
    for steps in (0, 6, 25):
        FIRE(start, logfile=None).run(fmax=1.0, steps=steps)
        found.append(Atoms(start.get_chemical_symbols(), start.positions, cell=start.cell, pbc=True))
        found[-1].wrap()
    return found


def _classical(state, size, potential):
    from ..dynamics.classical import run_classical

    start = random_structure(state.composition, size, density=density(state.composition) * state.scale, seed=state.seed)
    last = round(RECORD * 1000 / TIMESTEP)
    run = run_classical(
        start, potential, state.temperature, HOLD, RECORD, TIMESTEP, seed=state.seed, frames=np.array([1, last // 2, last]),
        melt_ps=MELT,
    )  # fmt: skip
    found = [Atoms(start.get_chemical_symbols(), positions, cell=start.cell, pbc=True) for positions in run.positions]
    for atoms in found:
        atoms.wrap()
    return found


def _shaken(atoms, rng):
    strain = np.eye(3) + 0.02 * rng.normal(size=(3, 3))
    made = atoms.copy()
    made.set_cell(made.cell.array @ ((strain + strain.T) / 2), scale_atoms=True)
    made.positions += rng.uniform(0.02, 0.12) * rng.normal(size=made.positions.shape)
    made.wrap()
    return made


def melts(out, count, potential="pmmcs", name=None, seed=0, workers=1, quiet=False, contact=None, **which):
    """Melts at many state points with labels of GFN1-xTB.

    Every finished melt is kept in a folder beside `out`: the same call goes on where it was stopped.

    Parameters
    ----------
    out : path
        extxyz file to write.
    count : int
        Melts; each gives three frames, or as many as `contact` finds.
    potential : str
        What drives the melts: "pmmcs", "shik", or a trained potential as `load_potential` takes it; "random": nothing, see `configurations`.
    name : str, optional
        First word of the parents' names; default: that of the potential.
    seed : int
        Of the state points.
    workers : int
        Processes.
    contact : float, optional
        Å; configurations are chosen for oxygens that are closer, see `configurations`. For trained potentials.
    which
        Compositions, temperatures and densities, see `reference.sampling.states`.

    Returns
    -------
    list of ase.Atoms
    """
    from ..potential import files

    need_installed()
    loaded()  # LAMMPS, which relaxes every start: without it no melt could be made, and that would be no fault of the melts
    if min(which.get("temperatures", [1])) <= 0:
        raise GlasslibError(f"temperatures must be above zero, not {min(which['temperatures'])} K")
    trained = potential not in (*POTENTIALS, RANDOM)
    if contact is not None and not (trained and contact > 0):
        raise GlasslibError(
            f"contacts are of melts that a trained potential drives, and above 0 Å: not {contact} Å of {potential}"
        )
    out = Path(out)
    name = name or Path(potential).stem
    if not name.replace("_", "").isalnum():
        raise GlasslibError(f"name must be letters and digits, not {name!r}")
    parts = folder(out.parent / f"{out.name.partition('.')[0]}-melts")
    parameters = {"melts": count, "potential": potential, "name": name, "contact": contact} | which
    weights = files(potential) if trained else []
    chosen = [] if contact is None else [contact]
    record, key = RunRecord("melts", parameters, weights, {"states": seed}), key_of(potential, *weights, *chosen)
    if any(parts.iterdir()) and not made_for(parts, key):
        raise GlasslibError(f"{parts} holds melts of another potential: choose another output, or remove that folder")
    keep_key(parts, key)
    jobs = [
        (state, potential, parts / f"{state.parent}.extxyz", contact)
        for state in states(count, seed, potentials=(name,), **which)
    ]
    left = [job for job in jobs if not job[2].exists()]
    done = len(jobs) - len(left)
    notes = []
    with Progress(len(jobs), "melts", "melts", done=done, quiet=quiet) as bar:
        if workers == 1:
            for job in left:
                notes.append(_melt(*job))
                bar.update(note=notes[-1])
        else:
            with pool(workers) as processes:
                for finished in as_completed([processes.submit(_melt, *job) for job in left]):
                    notes.append(finished.result())
                    bar.update(note=notes[-1])
    made = [atoms for *_, path, _ in jobs if path.stat().st_size for atoms in read_plain(path)]
    if not made:
        reason = f" ({notes[0]})" if notes else ""
        raise GlasslibError(f"no frame of these melts has labels{reason}: remove {parts} and take other states")
    write_plain(out, made)
    record.save(out)
    return made


def _melt(state, potential, path, contact=None):
    """Make one melt, label it and keep it; returns what to say about it."""
    calculator = None
    if potential not in (*POTENTIALS, RANDOM):
        from ..potential import load_potential

        calculator = load_potential(potential)
    labelled = []
    try:
        found = configurations(state, potential, calculator, contact)
    except GlasslibError as error:  # a state that cannot be made: the others can
        write_plain(path, [])
        return f"{state.parent}: {error}"
    for atoms in found:
        try:
            made = xtb(atoms)
        except FailedError:  # charges that do not converge: one frame less
            continue
        if np.abs(made.get_forces()).max() < LARGEST:
            labelled.append(made)
    write_plain(path, labelled)
    return f"{state.parent}: {len(labelled)} frames"
