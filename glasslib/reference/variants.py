"""What melts of classical potentials lack: crystals, close contacts, and melts as a trained potential sees them.

With these the `quartz-…`, `close-…`, `painn1-…` and like frames of the data set were made, before `active.explore`.
"""

import numpy as np
from ase import units
from ase.build import make_supercell
from ase.md.velocitydistribution import thermalize_momenta
from ase.spacegroup import crystal as build

from ..dynamics.integrators import Langevin
from ..errors import GlasslibError
from ..systems import density
from .frames import AMU_PER_A3

CRYSTALS = {  # composition, space group, cell (Å, °), sites with their elements, repeat
    # Levien, Prewitt & Weidner, Am. Mineral. 65, 920 (1980)
    "quartz": (
        "SiO2",
        154,
        (4.916, 4.916, 5.4054, 90, 90, 120),
        (("Si", (0.4697, 0, 2 / 3)), ("O", (0.4135, 0.2669, 0.7858))),
        (2, 2, 2),
    ),
    # Downs & Palmer, Am. Mineral. 79, 9 (1994)
    "cristobalite": (
        "SiO2",
        92,
        (4.9717, 4.9717, 6.9222, 90, 90, 90),
        (("Si", (0.3003, 0.3003, 0)), ("O", (0.2392, 0.1044, 0.1787))),
        (2, 2, 1),
    ),
    # Group and cell of McDonald & Cruickshank, Acta Crystallogr. 22, 37 (1967); sites where this library's potential has them at rest
    "metasilicate": (
        "NS",
        36,
        (10.48, 6.07, 4.82, 90, 90, 90),
        (
            ("Na", (0.1630, 0.3366, 0.0095)),
            ("Si", (0, 0.1607, 0.5440)),
            ("O", (0.1318, 0.2919, 0.4889)),
            ("O", (0, 0.0873, 0.8842)),
        ),
        (1, 1, 2),
    ),
    # Group and cell of Pant & Cruickshank, Acta Crystallogr. B 24, 13 (1968); sites of the lowest minimum that this library's potential has in them
    "disilicate": (
        "NS2",
        60,
        (6.409, 15.423, 4.896, 90, 90, 90),
        (
            ("Na", (0.1862, 0.0687, 0.9546)),
            ("Si", (0.2785, 0.1857, 0.3841)),
            ("O", (0, 0.6488, 0.25)),
            ("O", (0.8374, 0.9018, 0.5141)),
            ("O", (0.8210, 0.7605, 0.8819)),
        ),
        (1, 1, 2),
    ),
}


def crystal(name, rattle=0.1, strain=0.04, seed=0):
    """α-quartz (72 atoms), α-cristobalite (48), Na₂SiO₃ (48) or α-Na₂Si₂O₅ (72), displaced and strained at random.

    Parameters
    ----------
    name : "quartz", "cristobalite", "metasilicate" or "disilicate"
    rattle : float
        Standard deviation of the displacements, Å.
    strain : float
        Largest component of the random symmetric strain.
    seed : int

    Returns
    -------
    ase.Atoms
        With the fields of a queue in `info`; temperature_K is 0.
    """
    if name not in CRYSTALS:
        raise GlasslibError(f"unknown crystal {name!r}: use {' or '.join(CRYSTALS)}")
    if not 0 <= rattle <= 0.5 or not 0 <= strain <= 0.2:
        raise GlasslibError(f"rattle must be from 0 to 0.5 Å and strain from 0 to 0.2, not {rattle!r} and {strain!r}")
    composition, group, cell, sites, repeat = CRYSTALS[name]
    symbols, places = zip(*sites, strict=True)
    atoms = make_supercell(build(symbols, places, spacegroup=group, cellpar=cell), np.diag(repeat))
    for key in set(atoms.arrays) - {"numbers", "positions"}:
        del atoms.arrays[key]
    rng = np.random.default_rng(seed)
    change = rng.uniform(-strain, strain, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (change + change.T) / 2), scale_atoms=True)
    atoms.positions += rattle * rng.normal(size=atoms.positions.shape)
    atoms.wrap()
    share = atoms.get_masses().sum() / atoms.get_volume() * AMU_PER_A3 / density(composition)
    parent = f"{name}-{rattle:g}-{strain:g}-s{seed}"
    atoms.info = {
        "composition": composition,
        "temperature_K": 0,
        "density_scale": round(float(share), 3),
        "parent": parent,
    }
    return atoms


def close_contact(atoms, fraction=0.7, seed=0):
    """The same atoms with one of them moved towards its nearest neighbour, to `fraction` of their distance.

    A hot melt comes that close once in a nanosecond; a potential that never saw it may let atoms fuse.

    Parameters
    ----------
    atoms : ase.Atoms
        With `info["parent"]`. To be safe in a split, a structure that is not labelled itself.
    fraction : float
        From 0.4 to 1.
    seed : int
        Chooses the atom.
    """
    if not 0.4 <= fraction < 1:
        raise GlasslibError(f"fraction of the bond must be from 0.4 to 1, not {fraction!r}")
    out, centre = atoms.copy(), int(np.random.default_rng(seed).integers(len(atoms)))
    vectors = out.get_distances(centre, range(len(out)), mic=True, vector=True)
    length = np.linalg.norm(vectors, axis=1)
    length[centre] = np.inf
    out.positions[centre] += (1 - fraction) * vectors[length.argmin()]
    out.wrap()
    out.info["parent"] = f"close-{atoms.info['parent']}"
    return out


def carry_on(atoms, calculator, name, duration=3.0, seed=0, timestep=1.0):
    """The same melt after some time under another potential: what a trained one proposes to label.

    Langevin dynamics at constant volume and at `info["temperature_K"]`.

    Parameters
    ----------
    atoms : ase.Atoms
        With the fields of a queue.
    calculator : ase Calculator
    name : str
        Of the calculator; replaces that of the first potential in the parent's name.
    duration : float
        ps.
    seed : int
    timestep : float
        fs.

    Returns
    -------
    ase.Atoms

    Raises
    ------
    GlasslibError
        Where the run ends in numbers that are not finite.
    """
    temperature, out = atoms.info["temperature_K"], atoms.copy()
    out.calc, rng = calculator, np.random.default_rng(seed)
    thermalize_momenta(out, temperature_K=temperature, rng=rng)
    Langevin(out, timestep * units.fs, temperature_K=temperature, T_tau=100 * units.fs, rng=rng).run(
        round(1000 * duration / timestep)
    )
    if not np.isfinite(out.positions).all():
        raise GlasslibError(
            f"{name} blew up at {temperature:g} K: take a shorter time step, or label earlier configurations of such runs"
        )
    out.calc = None
    del out.arrays["momenta"]
    out.wrap()
    out.info["parent"] = f"{name}-{atoms.info['parent'].split('-', 1)[-1]}"
    return out
