"""The level of theory of the labels: GPAW, PBE, plane waves.

GPAW: Mortensen et al., J. Chem. Phys. 160, 092503 (2024). PBE: Perdew, Burke & Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996).
"""

import importlib.util
from dataclasses import dataclass
from math import log

import numpy as np

from ..errors import GlasslibError
from . import frames, structure_factors


@dataclass(frozen=True)
class Level:
    """Settings of the electronic structure; frames of different levels must not be mixed.

    Attributes
    ----------
    name : str
        Stored with each label.
    cutoff : float
        Of the plane waves, eV.
    density, energy, eigenstates : float
        Convergence in GPAW's units (electrons per valence electron; eV per valence electron; eV² per valence electron).
    width : float
        Of the Fermi–Dirac occupations, eV.
    iterations : int
        After which a frame counts as unconverged.
    """

    name: str
    cutoff: float
    density: float
    energy: float
    eigenstates: float
    width: float = 0.05
    iterations: int = 120


FULL = Level(frames.FULL, 600.0, 1e-4, 5e-4, 1e-4)
COARSE = Level("GPAW-PBE-PW250-coarse", 250.0, 1e-2, 5e-3, 1e-2)  # wrong numbers in seconds, for tests of the chain


def missing():
    """Why labels cannot be computed here, or None."""
    if importlib.util.find_spec("gpaw") is None:
        return "GPAW is not installed: pip install 'glasslib[dft]' (needs libxc, BLAS and FFTW)"
    from gpaw import setup_paths

    if not setup_paths:
        return "GPAW has no PAW data sets: pip install gpaw-data"
    return None


def scalapack():
    """Whether GPAW can share one frame among MPI processes: its Davidson solver then needs ScaLAPACK."""
    from gpaw.utilities import compiled_with_sl

    return bool(compiled_with_sl())


def calculator(level=FULL, log_file=None, cutoff=None):
    """GPAW calculator at a level; `log_file` takes its protocol."""
    reason = missing()
    if reason:
        raise GlasslibError(reason)
    from gpaw import GPAW, PW, FermiDirac
    from gpaw.mpi import world

    structure_factors.install()
    return GPAW(
        mode=PW(cutoff or level.cutoff),
        xc="PBE",
        kpts=(1, 1, 1),
        occupations=FermiDirac(level.width),
        convergence={"density": level.density, "energy": level.energy, "eigenstates": level.eigenstates},
        eigensolver="davidson",
        symmetry="off",
        maxiter=level.iterations,
        parallel={"domain": world.size, "band": 1},
        txt=None if log_file is None else str(log_file),
    )


def label(atoms, level=FULL, log_file=None):
    """Energy (eV), forces [atoms, 3] (eV/Å) and raw stress [3, 3] (eV/Å³) of one frame, as a dict.

    Raises
    ------
    GlasslibError
        Where the density did not converge, or a result is not finite.
    """
    work = atoms.copy()
    work.set_constraint()  # the force on an atom that is held would read as zero
    work.calc = calculator(level, log_file)
    energy = _energy(work, level)
    results = {"energy": energy, "forces": work.get_forces(), "stress": work.get_stress(voigt=False)}
    for name, value in results.items():
        if not np.isfinite(value).all():
            raise GlasslibError(f"the {name} is not finite")
    return results


def finite_basis_derivative(atoms, level=FULL, step=0.05):
    """dE/d ln E_cut (eV) by a central difference over cutoffs of (1 ± `step`) times the level's."""
    energies = []
    for factor in (1 + step, 1 - step):
        work = atoms.copy()
        work.calc = calculator(level, cutoff=level.cutoff * factor)
        energies.append(_energy(work, level))
    return (energies[0] - energies[1]) / log((1 + step) / (1 - step))


def _energy(work, level):
    from gpaw import KohnShamConvergenceError

    try:
        return float(work.get_potential_energy())
    except KohnShamConvergenceError:
        raise GlasslibError(f"not converged after {level.iterations} iterations") from None
