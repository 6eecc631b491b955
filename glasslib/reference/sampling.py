"""Structures to label: melts, glasses, crystals and close contacts, made cheaply with the classical potentials.

The classical potentials only propose structures; energies, forces and stress of the data set never come from them, except in
`pretraining_frames`, which says so in `level`.
"""

import itertools

import numpy as np
from ase import units
from ase.build import make_supercell
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.spacegroup import crystal as build

from ..errors import GlasslibError
from ..potential.classical import Engine
from ..progress import progress
from ..systems import composition, density, random_structure
from .frames import AMU_PER_A3, _matrix

HOT = 4500.0  # K: every melt forgets its random start here
SIZES = {"SiO2": 54, "NS6": 63, "NS4": 60, "NS3": 60, "NS2": 54, "NS": 54}
CRYSTALS = {  # space group, cell (Å, °), sites
    # Levien, Prewitt & Weidner, Am. Mineral. 65, 920 (1980)
    "quartz": (154, (4.916, 4.916, 5.4054, 90, 90, 120), {"Si": [(0.4697, 0, 2 / 3)], "O": [(0.4135, 0.2669, 0.7858)]}),
    # Downs & Palmer, Am. Mineral. 79, 9 (1994)
    "cristobalite": (92, (4.9717, 4.9717, 6.9222, 90, 90, 90), {"Si": [(0.3003, 0.3003, 0)], "O": [(0.2392, 0.1044, 0.1787)]}),
}
BOND = {"O": 1.62, "Na": 2.40, "Si": 1.62}  # usual distance from the nearest partner (O to Si; cations to O), Å


def melt(spec, atoms=60, temperature=2500.0, scale=1.0, potential="pmmcs", seed=0, hold=4.0):
    """Last configuration of a melt: random start, 4 ps at 4500 K, 3 ps to the temperature, then held there at constant volume.

    SHIK, ten times the price of PMMCS, only does the last part, on a melt of PMMCS.

    Parameters
    ----------
    spec : str, dict or Composition
    atoms : int
        Wanted number, rounded to formula units.
    temperature : float
        K.
    scale : float
        Density relative to that of the glass at 300 K.
    potential : "pmmcs" or "shik"
    seed : int
        Of the random start, the velocities and the thermostat.
    hold : float
        ps at the temperature.

    Returns
    -------
    ase.Atoms
        Wrapped; `info` holds composition, temperature_K, density_scale and parent.
    """
    start, engine = _liquid(spec, atoms, scale, "pmmcs", seed)
    try:
        _ramp(engine, HOT, temperature, 3.0, seed + 3)
        engine = _exchange(engine, start, potential, temperature, seed)
        _ramp(engine, temperature, temperature, hold, seed + 4)
        return _named(start, engine, potential, temperature, scale, seed)
    finally:
        engine.close()


def equilibrate(atoms, calculator, name, temperature=None, duration=4.0, seed=0, timestep=1.0):
    """The same melt after some time under another potential: how a trained one proposes frames.

    Langevin dynamics at constant volume.

    Parameters
    ----------
    atoms : ase.Atoms
        As of `melt`.
    calculator : ase Calculator
    name : str
        Of the calculator; goes in front of the parent's name in place of its own.
    temperature : float, optional
        K; default: `info["temperature_K"]`.
    duration : float
        ps.
    timestep : float
        fs.

    Returns
    -------
    ase.Atoms
    """
    temperature = atoms.info["temperature_K"] if temperature is None else temperature
    out = atoms.copy()
    out.calc = calculator
    rng = np.random.default_rng(seed)
    MaxwellBoltzmannDistribution(out, temperature_K=temperature, rng=rng)
    Langevin(out, timestep * units.fs, temperature_K=temperature, friction=0.01 / units.fs, rng=rng).run(round(1000 * duration / timestep))
    if not np.isfinite(out.positions).all():
        raise GlasslibError(f"{name} blew up at {temperature:g} K: shorten the time step or train on more such frames")
    out.calc = None
    out.arrays.pop("momenta", None)
    out.wrap()
    rest = atoms.info["parent"].split("-", 1)[1].split("-")
    rest[1] = f"{temperature:g}"
    out.info |= {"temperature_K": float(temperature), "parent": "-".join([name, *rest])}
    return out


def glass(spec, atoms=60, scale=1.0, potential="pmmcs", seed=0, rate=200.0):
    """A glass at 300 K, quenched from 4500 K at constant volume, `rate` in K/ps; parameters and result as of `melt`."""
    start, engine = _liquid(spec, atoms, scale, "pmmcs", seed)
    try:
        _ramp(engine, HOT, 1500.0, (HOT - 1500.0) / rate, seed + 3)
        engine = _exchange(engine, start, potential, 1500.0, seed)
        _ramp(engine, 1500.0, 300.0, 1200.0 / rate, seed + 5)
        _ramp(engine, 300.0, 300.0, 2.0, seed + 4)
        return _named(start, engine, f"glass-{potential}", 300.0, scale, seed)
    finally:
        engine.close()


def crystal(name, supercell=(2, 2, 2), rattle=0.1, strain=0.04, seed=0):
    """A crystal with random displacements (Å, standard deviation) and a random strain (largest component).

    Parameters
    ----------
    name : "quartz" or "cristobalite"
    """
    if name not in CRYSTALS:
        raise GlasslibError(f"unknown crystal {name!r}: use {' or '.join(CRYSTALS)}")
    group, cell, sites = CRYSTALS[name]
    symbols = [symbol for symbol, places in sites.items() for _ in places]
    unit = build(symbols, [place for places in sites.values() for place in places], spacegroup=group, cellpar=cell)
    atoms = make_supercell(unit, np.diag(supercell))
    rng = np.random.default_rng(seed)
    deform = rng.uniform(-strain, strain, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (deform + deform.T) / 2), scale_atoms=True)
    atoms.positions += rng.normal(scale=rattle, size=(len(atoms), 3)) if rattle else 0.0
    atoms.wrap()
    for key in list(atoms.arrays):
        if key not in ("numbers", "positions"):
            del atoms.arrays[key]
    spec, share = "SiO2", float(_scale(atoms, "SiO2"))
    atoms.info = {"composition": spec, "temperature_K": 0.0, "density_scale": round(share, 4), "parent": f"{name}-{spec}-{rattle:g}-s{seed}"}
    return atoms


def close_contact(atoms, fraction=0.7, seed=0):
    """The same atoms with one of them moved towards its nearest neighbour, to `fraction` of their distance.

    Teaches a potential the short range that a hot melt visits once in a nanosecond. The parent's name gets "close-" in front,
    for it is another trajectory's end, and the original must not be in another part of a split: give atoms that are not labelled themselves.
    """
    if not 0.4 <= fraction < 1:
        raise GlasslibError(f"fraction of the bond must be from 0.4 to 1, not {fraction!r}")
    rng = np.random.default_rng(seed)
    out = atoms.copy()
    centre = int(rng.integers(len(out)))
    distance = out.get_all_distances(mic=True)[centre]
    distance[centre] = np.inf
    partner = int(distance.argmin())
    vector = out.get_distance(partner, centre, mic=True, vector=True)
    out.positions[centre] += (fraction - 1) * vector
    out.wrap()
    out.info["parent"] = f"close-{atoms.info.get('parent', 'atoms')}"
    return out


def first_queue(number=150, seed=1000):
    """The first queue: melts for the most part, ordered so that the start of it is a balanced sample wherever it is cut.

    NS2, NS4 and NS6 come twice as often as SiO2, NS3 and NS; the potentials alternate; temperatures run over 1000–4000 K, most of
    them 1500–3500 K, and densities over 0.88–1.10 of the glass. Every sixth frame is a glass, a crystal or a close contact
    in turn, from the 24th on.

    Parameters
    ----------
    number : int
    seed : int
        First seed; each frame has the next one, and so its own parent trajectory.

    Yields
    ------
    ase.Atoms
    """
    rng = np.random.default_rng(seed)
    compositions = itertools.cycle(["NS2", "NS4", "NS6", "SiO2", "NS6", "NS2", "NS4", "NS3", "NS4", "NS6", "NS2", "NS"])
    temperatures = itertools.cycle([3000, 2000, 3500, 2500, 1500, 3000, 2250, 4000, 2750, 1750, 3250, 2500, 1000])
    potentials = itertools.cycle(["shik", "pmmcs", "shik", "shik", "pmmcs"])
    special = itertools.cycle(["glass", "quartz", "close", "glass", "cristobalite", "close"])
    for i in range(number):
        spec, kelvin, name = next(compositions), next(temperatures), next(potentials)
        # a golden-ratio sequence covers an interval evenly wherever it stops
        scale = round(0.88 + 0.22 * ((i * 0.6180339887 + 0.5) % 1), 2)
        fraction = float(rng.uniform(0.6, 0.8))
        kind = next(special) if i >= 24 and i % 6 == 0 else "melt"
        if kind == "glass":
            yield glass(spec, SIZES[spec], round(0.95 + 0.1 * (i * 0.618 % 1), 2), name, seed + i)
        elif kind in CRYSTALS:
            yield crystal(kind, (2, 2, 2) if kind == "quartz" else (2, 2, 1), 0.05 + 0.1 * (i * 0.618 % 1), 0.04, seed + i)
        else:
            atoms = melt(spec, SIZES[spec], kelvin, scale, name, seed + i)
            yield atoms if kind == "melt" else close_contact(atoms, fraction, seed + i)


def pretraining_frames(number=2000, seed=0, potential="shik", sizes=(54, 81), per_run=24):
    """Frames labelled by a classical potential, for pre-training before the few ab initio ones.

    Each run melts a random composition at a random density, then cools it from 4500 K to 700 K in 20 ps while frames are taken at
    even steps. Nothing of it is committed: the same call makes the same frames again.

    Parameters
    ----------
    number : int
    seed : int
    potential : "shik" or "pmmcs"
    sizes : (int, int)
        Range of atoms in a cell.
    per_run : int
        Frames of each trajectory.

    Returns
    -------
    list of ase.Atoms
        With energy, forces and stress of the potential, `level` "SHIK" or "PMMCS", fields as of `read_frames`.
    """
    rng, frames = np.random.default_rng(seed), []
    specs = ["NS2", "NS4", "NS6", "SiO2", "NS3", "NS"]
    for run in progress(range(-(-number // per_run)), f"{potential} frames", "runs"):
        spec, scale = specs[run % len(specs)], round(float(rng.uniform(0.87, 1.11)), 3)
        start, engine = _liquid(spec, int(rng.integers(*sizes)), scale, potential, seed + run)
        try:
            ends = np.linspace(HOT, 700.0, per_run + 1)
            for i, (high, low) in enumerate(itertools.pairwise(ends)):
                _ramp(engine, high, low, 20.0 / per_run, seed + run + i)
                atoms = _named(start, engine, potential, round(float(low)), scale, seed + run)
                results = engine.results()
                stress = _matrix(results["stress"])
                atoms.info |= {
                    "level": potential.upper(), "stress_kind": "corrected", "frame": i, "energy": results["energy"],
                    "stress": stress, "stress_raw": stress, "stress_correction": np.zeros((3, 3)),
                }  # fmt: skip
                atoms.calc = SinglePointCalculator(atoms, energy=results["energy"], forces=results["forces"], stress=results["stress"])
                frames.append(atoms)
        finally:
            engine.close()
    return frames[:number]


def _liquid(spec, atoms, scale, potential, seed):
    start = random_structure(spec, atoms, density=density(spec) * scale, seed=seed)
    engine = Engine(potential, start)
    engine.do(
        "min_style cg", "minimize 1e-4 1e-4 200 1000", "timestep 0.001",
        f"velocity all create {HOT} {seed + 1} dist gaussian mom yes",
        f"fix bath all langevin {HOT} {HOT} 0.1 {seed + 2}",
        "fix move all nve/limit 0.1", "run 1500 post no", "unfix move", "fix move all nve", "run 2500 post no", "unfix bath",
    )  # fmt: skip
    return start, engine


def _exchange(engine, start, potential, temperature, seed):
    """The same configuration under another potential, with velocities drawn anew; the first engine is closed."""
    if potential == engine.name:
        return engine
    atoms = start.copy()
    atoms.positions = engine.state()[0]
    engine.close()
    engine = Engine(potential, atoms)
    engine.do("timestep 0.001", f"velocity all create {temperature} {seed + 7} dist gaussian mom yes", "fix move all nve")
    return engine


def _ramp(engine, start, stop, duration, seed):
    engine.do(f"fix bath all langevin {start} {stop} 0.1 {seed + 1}", f"run {round(duration * 1000)} post no", "unfix bath")


def _named(start, engine, origin, temperature, scale, seed):
    atoms = start.copy()
    atoms.positions = engine.state()[0]
    atoms.wrap()
    if not np.isfinite(atoms.positions).all():
        raise GlasslibError(f"the {origin} run of {start.get_chemical_formula()} blew up: take another seed or a lower density")
    name = start.info["composition"]
    atoms.info = {
        "composition": name, "temperature_K": float(temperature), "density_scale": scale,
        "parent": f"{origin}-{name}-{temperature:g}-{scale:.2f}-s{seed}",
    }  # fmt: skip
    return atoms


def _scale(atoms, spec):
    return atoms.get_masses().sum() / atoms.get_volume() * AMU_PER_A3 / density(composition(spec))
