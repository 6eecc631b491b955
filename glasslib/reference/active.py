"""Active learning: melts driven by the potential that is to learn, and of those the structures it knows least about."""

import numpy as np
from ase import units
from ase.md.velocitydistribution import thermalize_momenta
from vesin import NeighborList

from ..dynamics.guard import Guard, Watch
from ..dynamics.integrators import Langevin
from ..dynamics.start import starting_structure
from ..errors import GlasslibError
from ..potential.calculator import PaiNNCalculator
from ..progress import Progress
from ..systems import density
from .sampling import states
from .selection import select

CHECK = 10  # steps between two looks at the distances
HOT = 4500  # K
SEEN = 3  # labelled frames that hold a distance as short: with fewer it is not known


def shortest_known(frames):
    """Distance down to which labelled frames tell about a pair of species.

    Parameters
    ----------
    frames : list of ase.Atoms

    Returns
    -------
    dict of float
        ("Na", "O") → Å, symbols in order: the third smallest of the frames' shortest distances. Pairs that fewer frames have within 4 Å are missing.
    """
    found = {}
    for atoms in frames:
        for pair, (distance, *_) in closest_pairs(atoms, 4.0).items():
            found.setdefault(pair, []).append(distance)
    return {pair: float(np.partition(all_, SEEN - 1)[SEEN - 1]) for pair, all_ in found.items() if len(all_) >= SEEN}


def closest_pairs(atoms, reach):
    """Two species → shortest distance between them within `reach` (Å) and the two atoms; their symbols in alphabetical order."""
    i, j, d = NeighborList(cutoff=reach, full_list=False).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="ijd"
    )
    names, kind = np.unique(atoms.get_chemical_symbols(), return_inverse=True)
    order = np.argsort(d, kind="stable")
    code = (np.minimum(kind[i], kind[j]) * len(names) + np.maximum(kind[i], kind[j]))[order]
    found = {}
    for one, first in zip(*np.unique(code, return_index=True), strict=True):
        k = order[first]
        a, b = sorted((int(i[k]), int(j[k])))
        found[str(names[one // len(names)]), str(names[one % len(names)])] = float(d[k]), a, b
    return found


def explore(calculator, state, atoms=60, melt_ps=1.0, hold_ps=3.0, every_ps=0.25, timestep_fs=1.0, closer=None):
    """Configurations of a melt that a trained potential drives, from the start that simulations have (`starting_structure`) over a melt at 4500 K.

    Where two atoms come closer than half the sum of their covalent radii the run ends, and the configuration just before is the last:
    that is what the potential must learn.

    Parameters
    ----------
    calculator : ase Calculator
        Of several members or one.
    state : sampling.State
        `state.potential` is the first word of the parent's name.
    atoms : int
    melt_ps, hold_ps, every_ps : float
        Time at 4500 K, time at the temperature, and time between two configurations of it.
    timestep_fs : float
    closer : dict of float, optional
        Distances of `shortest_known`. Collisions that pass below them are candidates, too, each at the closest that was looked at, with
        `info["contact"]` such as "O-O 1.62".

    Returns
    -------
    list of ase.Atoms
        Wrapped, with the fields of a queue and their number (`frame`) in `info`; one parent. Their temperature is that of the thermostat when they
        were passed: of what is kept from the first stage 4500 K.
    """
    scaled = density(state.composition) * state.scale
    start = starting_structure(state.composition, atoms, state.temperature, state.seed, calculator, scaled)
    rng = np.random.default_rng(state.seed)
    thermalize_momenta(start, temperature_K=HOT, rng=rng)
    watch, step = Watch(Guard(), start, HOT), timestep_fs * units.fs
    every, found, last = max(1, round(1000 * every_ps / timestep_fs / CHECK)), [], None
    contacts = {}
    for stage, (temperature, length) in enumerate(((HOT, melt_ps), (state.temperature, hold_ps))):
        motion = Langevin(start, step, temperature_K=temperature, T_tau=50 * units.fs, rng=rng)
        for turn in range(1, round(1000 * length / timestep_fs / CHECK) + 1):
            motion.run(CHECK)
            if watch.trouble(start, start.calc.results):
                if last is not None and not any(last is kept for kept, _ in found):
                    found.append((last, temperature))
                return _candidates(found, contacts, state)
            last = start.copy()
            _note_contacts(contacts, last, temperature, closer or {})
            # the second half of the time at the temperature counts: before, the melt is on its way
            if stage == 1 and turn % every == 0 and turn * CHECK * timestep_fs >= 500 * length:
                found.append((last, temperature))
    return _candidates(found, contacts, state)


def _note_contacts(contacts, atoms, temperature, closer):
    """Keep the closest approach of every two atoms that come nearer than is known."""
    for pair, (distance, a, b) in closest_pairs(atoms, max(closer.values())).items() if closer else ():
        if distance < min(closer.get(pair, 0.0), contacts.get((a, b), (np.inf,))[0]):
            contacts[a, b] = distance, "-".join(pair), atoms, temperature


def _candidates(found, contacts, state):
    made = [_candidate(atoms, state, number, temperature) for number, (atoms, temperature) in enumerate(found)]
    for distance, pair, atoms, temperature in contacts.values():
        made.append(_candidate(atoms, state, len(made), temperature))
        made[-1].info["contact"] = f"{pair} {distance:.2f}"
    return made


def _candidate(atoms, state, number, temperature):
    made = atoms.copy()
    made.calc = None
    del made.arrays["momenta"]
    made.wrap()
    made.info = {
        "composition": state.composition, "temperature_K": temperature, "density_scale": state.scale, "parent": state.parent,
        "frame": number,
    }  # fmt: skip
    return made


def propose(calculator, number, runs=None, name="painn", seed=0, known=(), atoms=60, contacts=0, quiet=False, **which):
    """One round of active learning: explore many states, choose what to label.

    Parameters
    ----------
    calculator : ase Calculator
        A committee (its members drive the melts in turn, its disagreement chooses), or one potential (then dissimilarity alone chooses).
    number : int
        Structures wanted.
    runs : int, optional
        Melts to explore; default twice `number`.
    name : str
        First word of the parents' names: give each round its own.
    seed : int
    known : list of ase.Atoms
        Labelled frames: what is chosen differs from them.
    contacts : int
        Of the structures, as many as this hold two atoms closer than labelled frames tell (`shortest_known`), if the melts have them.
    which
        Compositions, temperatures and densities, see `sampling.states`.

    Returns
    -------
    list of ase.Atoms
        A queue, with `info["force_spread"]` (eV/Å) where there is a committee.
    """
    if not name or not name.replace("_", "").isalnum():
        raise GlasslibError(f"name must be letters and digits, not {name!r}")
    runs = 2 * number if runs is None else runs
    members = getattr(calculator, "potentials", ())
    committee = calculator if len(members) > 1 else None
    drivers = [PaiNNCalculator([member], calculator.kernel) for member in members] if committee else [calculator]
    candidates, closer = [], shortest_known(known) if contacts else None
    if contacts and not closer:
        raise GlasslibError("contacts are told by the distances that labelled frames hold: give some (known)")
    with Progress(runs, "exploring", "melts", quiet=quiet) as bar:
        for turn, state in enumerate(states(runs, seed, potentials=(name,), **which)):
            candidates += explore(drivers[turn % len(drivers)], state, atoms, closer=closer)
            bar.update(note=f"{len(candidates)} candidates, last {state.parent}")
    if not candidates:
        raise GlasslibError("every melt fell apart at once: train the potential on melts of a classical one first")
    close = [made for made in candidates if "contact" in made.info]
    chosen = select(close, min(contacts, number, len(close)), committee, known) if contacts and close else []
    rest = [made for made in candidates if "contact" not in made.info]
    left = min(number - len(chosen), len(rest))
    return chosen + (select(rest, left, committee, [*known, *chosen]) if left > 0 else [])
