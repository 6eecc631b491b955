"""Interatomic potentials: PaiNN, its fast kernels, and classical ones."""

from pathlib import Path

from ..errors import GlasslibError

MODELS = Path(__file__).parents[2] / "data" / "models"
CLASSICAL = ("pmmcs", "shik")


def load_potential(name_or_path="default", kernel="auto"):
    """A potential as an ASE calculator.

    Parameters
    ----------
    name_or_path : str or path
        "default" (the shipped PaiNN), "committee" (several, with their disagreement), "pmmcs" or "shik" (classical, in LAMMPS), the
        name of another folder in `data/models`, or the path of a model's file or of a folder of models.
    kernel : str
        "auto" picks the fastest that this machine has; "numba"; "reference", the readable PyTorch model.

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
    if str(name_or_path) in CLASSICAL:
        from .classical import Classical

        return Classical(str(name_or_path))
    from .calculator import PaiNNCalculator
    from .storage import load_model, stem

    path = Path(name_or_path)
    folder = path if path.is_dir() else MODELS / path
    if not path.is_absolute() and len(path.parts) == 1 and (MODELS / path).is_dir():
        folder = MODELS / path
    if folder.is_dir():
        members = sorted(folder.glob("*.safetensors"))
        if not members:
            raise GlasslibError(f"the folder {folder} holds no model (no .safetensors file)")
    elif stem(path).with_name(stem(path).name + ".json").exists() or path.suffix:
        members = [path]
    else:
        known = [*CLASSICAL, *sorted(p.name for p in MODELS.glob("*") if p.is_dir())]
        raise GlasslibError(
            f"no potential {str(name_or_path)!r}: there are {', '.join(known)}, or give the path of a model"
        )
    return PaiNNCalculator([load_model(member) for member in members], kernel, name=path.stem)
