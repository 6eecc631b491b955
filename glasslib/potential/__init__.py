"""Interatomic potentials: PaiNN, its fast kernels, and classical ones."""

import os
from pathlib import Path

from ..errors import GlasslibError, shown
from ..files import listed, read_json, sha256

MODELS = Path(__file__).parents[2] / "data" / "models"
CLASSICAL = ("pmmcs", "shik", "pmmcs-ewald")
CALIBRATION = "calibration.json"  # beside the members of a committee: what their disagreement says about their error


def load_potential(name_or_path="default", kernel="auto", dispersion=False):
    """A potential as an ASE calculator.

    Parameters
    ----------
    name_or_path : str or path
        "default" (the shipped PaiNN), "committee" (several, with their disagreement), "pmmcs", "shik" or "pmmcs-ewald" (classical, in
        LAMMPS), the name of another folder in `data/models`, or the path of a model's file or of a folder of models.
    kernel : str
        "auto" picks the fastest that this machine has; "triton", on a CUDA GPU; "numba"; "reference", the readable
        PyTorch model.
    dispersion : bool
        Whether D3(BJ) is added, see `dispersion.Dispersion`; to trained potentials only.

    Returns
    -------
    ase.calculators.calculator.Calculator
        Energy (eV), forces (eV/Å), stress (eV/Å³, positive under tension), energies of atoms (eV).

    Raises
    ------
    GlasslibError
        For an unknown name or kernel, or a damaged file.

    >>> atoms.calc = load_potential()
    >>> atoms.get_forces()
    """
    if not isinstance(dispersion, bool):
        raise GlasslibError(f"dispersion must be True or False, not {dispersion!r}")
    if str(name_or_path) in CLASSICAL:
        from .calculator import KERNELS
        from .classical import Classical

        if kernel not in ("auto", *KERNELS):
            raise GlasslibError(
                f"unknown kernel {kernel!r}: choose one of auto, {', '.join(KERNELS)} (without meaning for LAMMPS)"
            )
        if dispersion:
            raise GlasslibError(f"{name_or_path} was fitted without D3(BJ): leave dispersion out")
        return Classical(str(name_or_path))
    calculator = trained(name_or_path, kernel)
    note = files(name_or_path)[0].with_name(CALIBRATION)
    if len(calculator.potentials) > 1 and note.exists():
        calculator.calibrate(read_json(note), note)
    if dispersion:
        from .dispersion import Dispersion

        return Dispersion(calculator)
    return calculator


def trained(name_or_path, kernel="auto"):
    """The calculator of a trained potential, of a committee without its calibration."""
    from .calculator import PaiNNCalculator
    from .storage import load_model

    members = files(name_or_path)
    if not members:
        raise GlasslibError(f"{name_or_path} is a classical potential: give a trained one")
    calculator = PaiNNCalculator([load_model(member) for member in members], kernel, name=Path(name_or_path).stem)
    calculator.weights = " ".join(sha256(member)[:12] for member in members)
    return calculator


def files(name_or_path="default"):
    """Weight files of a potential, one for each member of a committee; none for a classical one.

    Raises
    ------
    GlasslibError
        If there is no such potential.
    """
    if str(name_or_path) in CLASSICAL:
        return []
    if not isinstance(name_or_path, str | os.PathLike):
        raise GlasslibError(f"a potential is a name or a path, not {shown(name_or_path)}")
    try:
        return _members(Path(name_or_path))
    except OSError as error:  # a name too long, a folder that may not be read
        raise GlasslibError(f"cannot read the potential {shown(str(name_or_path))}: {error.strerror}") from None


def _members(path):
    """Weight files of a trained potential."""
    from .storage import model_files

    shipped = MODELS / path
    folder = shipped if len(path.parts) == 1 and shipped.is_dir() else path
    if folder.is_dir():
        members = listed(folder, "*.safetensors")
        if not members:
            raise GlasslibError(f"the folder {folder} holds no model (no .safetensors file)")
        return members
    _, weights = model_files(path)
    if not weights.exists():
        known = [*CLASSICAL, *sorted(p.name for p in MODELS.glob("*") if p.is_dir())]
        raise GlasslibError(f"no potential {str(path)!r}: there are {', '.join(known)}, or give the path of a model")
    return [weights]
