"""A semi-empirical teacher: GFN1-xTB, put right by a pair potential that is matched to ab initio forces.

GFN1-xTB (Grimme, Bannwarth & Shushkov, J. Chem. Theory Comput. 13, 1989, 2017) solves a small electronic problem in seconds, charge transfer and
polarisation included. Most of what separates it from PBE in these melts is a matter of pairs (sodium cores above all), so a pair potential matched to the
differences takes that away: a Δ-correction (Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087, 2015).
"""

import importlib.util
import warnings

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from threadpoolctl import threadpool_limits

from ..errors import GlasslibError
from .pair_teacher import PairTeacher

TEMPERATURE = 1000.0  # K of the electrons, so that the few close contacts of a hot melt converge
ITERATIONS = 300


def installed():
    """Whether tblite, which computes GFN1-xTB, is there."""
    return importlib.util.find_spec("tblite") is not None


def need_installed():
    """GlasslibError where tblite is missing."""
    if not installed():
        raise GlasslibError("tblite is not installed: pip install 'glasslib[xtb]'")


class FailedError(GlasslibError):
    """A structure for which there are no labels."""


def xtb(atoms):
    """A copy of `atoms` labelled by GFN1-xTB: energy (eV), forces (eV/Å) and stress (eV/Å³).

    Raises
    ------
    GlasslibError
        Where tblite is not installed.
    FailedError
        Where the charges do not converge.
    """
    need_installed()
    from tblite.ase import TBLite

    work = atoms.copy()
    work.calc = TBLite(
        method="GFN1-xTB", verbosity=0, max_iterations=ITERATIONS, electronic_temperature=TEMPERATURE, cache_api=False
    )
    try:
        with warnings.catch_warnings(), threadpool_limits(1):  # of one thread, sums are the same every time
            warnings.simplefilter("ignore", DeprecationWarning)
            energy, forces, stress = work.get_potential_energy(), work.get_forces(), work.get_stress()
    except Exception as error:  # tblite raises what its Fortran says, of no class of its own
        raise FailedError(f"GFN1-xTB failed: {str(error).strip()[:200]}") from None
    return labelled(atoms, energy, forces, stress)


def labelled(atoms, energy, forces, stress):
    """A copy of `atoms` with these labels (eV, eV/Å, Voigt eV/Å³)."""
    for name, value in (("energy", energy), ("forces", forces), ("stress", stress)):
        if not np.isfinite(value).all():
            raise FailedError(f"the {name} is not finite")
    made = atoms.copy()
    for name in ("energy", "stress", "stress_raw", "stress_correction", "stress_kind", "level"):  # of other labels
        made.info.pop(name, None)
    made.calc = SinglePointCalculator(made, energy=float(energy), forces=np.array(forces), stress=np.array(stress))
    return made


class Corrected:
    """A level of theory of its own plus the pair potential that best makes up for its differences from labelled frames.

    Parameters
    ----------
    frames : list of ase.Atoms
        Labelled ab initio.
    bases : list of ase.Atoms
        The same as that level labels them.
    level : str
        What to call the sum.
    options
        Of `PairTeacher`.
    """

    def __init__(self, frames, bases, level="GFN1-xTB", **options):
        self.level = f"{level} with a pair potential matched to ab initio forces"
        gaps = [label_gap(atoms, base) for atoms, base in zip(frames, bases, strict=True)]
        self.correction = PairTeacher(gaps, **{"closest": 0} | options)

    def label(self, atoms, base):
        """A copy of `atoms` that carries this potential's energy (eV), forces (eV/Å) and stress (eV/Å³); `base`: labelled by the level alone."""
        pair = self.correction.label(atoms)
        made = labelled(
            atoms,
            base.get_potential_energy() + pair.get_potential_energy(),
            base.get_forces() + pair.get_forces(),
            base.get_stress() + pair.get_stress(),
        )
        made.info["level"] = self.level
        return made


def label_gap(atoms, base):
    """What the labels of `atoms` have over those of `base`, as labels of a copy."""
    return labelled(
        atoms,
        atoms.get_potential_energy() - base.get_potential_energy(),
        atoms.get_forces() - base.get_forces(),
        atoms.get_stress() - base.get_stress(),
    )
