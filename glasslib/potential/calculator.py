"""Potentials as ASE calculators, alone or as a committee."""

import copy
import os
import warnings
from importlib.util import find_spec

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ..errors import GlasslibError
from .fast import Fast
from .graph import build, check_geometry, edges, species_index

KERNELS = ("auto", "reference", "numba", "triton")


class Reference:
    """The readable model evaluated by PyTorch, with the interface of `Fast`."""

    def __init__(self, potential, dtype=torch.float32):
        self.potential, self.dtype = copy.deepcopy(potential).to(dtype), dtype
        self.potential.species_energies = potential.species_energies.double()

    def compute(self, atoms, kinds):
        """Energies [atoms] eV, forces [atoms, 3] eV/Å, virial [3, 3] eV."""
        batch = build([atoms], self.potential.species, self.potential.cutoff, self.dtype)
        volume = abs(np.linalg.det(atoms.cell.array)) or 1.0
        batch.volume[:] = volume
        result = self.potential(batch)
        energies, forces, stress = (
            result[key].detach().double().numpy() for key in ("atom_energy", "forces", "stress")
        )
        return energies, forces, stress[0] * volume


def choose(kernel, potential):
    """The kernel that "auto" stands for: triton with a GPU, numba without, the readable model where neither applies."""
    cuda, installed = torch.cuda.is_available(), find_spec("triton")
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if kernel == "auto":
        if potential.network.config.features % 16:
            return "reference"
        return "triton" if cuda and installed and not interpreted else "numba"
    if kernel == "triton" and not installed:
        raise GlasslibError("kernel 'triton' needs the package triton: pip install triton, or use kernel='numba'")
    if kernel == "triton" and not (cuda or interpreted):
        raise GlasslibError(
            "kernel 'triton' needs a CUDA GPU and a PyTorch built for it, and finds none: use kernel='auto' or 'numba' "
            "(to test it on a CPU, slowly, set TRITON_INTERPRET=1)"
        )
    if kernel not in KERNELS:
        raise GlasslibError(f"unknown kernel {kernel!r}: choose one of {', '.join(KERNELS)}")
    return kernel


def engine(kernel, potential, dtype):
    """A potential made ready for a kernel."""
    if kernel == "triton":
        from .gpu import Gpu

        return Gpu(potential)
    return Fast(potential) if kernel == "numba" else Reference(potential, dtype)


class PaiNNCalculator(Calculator):
    """One trained potential, or a committee of several, behind ASE's interface.

    Parameters
    ----------
    potentials : list of Potential
        With several, results are their means and `results["force_spread"]` [atoms] is the committee's disagreement, eV/Å: the root
        of the variance over the members (n − 1), summed over the three components. Where the committee is calibrated (the shipped
        one is), `results["force_error"]` [atoms] is what two atoms of three err by less than, eV/Å.
    kernel : str
        "numba" (compiled, float32), "triton" (the same on a GPU), "reference" (the readable model), or "auto".
    dtype : torch.dtype
        Of the readable model.
    name : str
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]
    floor = factor = None  # eV/Å and 1, for each species: `force_error` from `force_spread`
    weights = None  # first digits of the SHA-256 of the files that `load_potential` read: a name may stand for other networks tomorrow

    def __init__(self, potentials, kernel="auto", dtype=torch.float32, name="potential"):
        super().__init__()
        self.potentials, self.label = list(potentials), name
        if not self.potentials:
            raise GlasslibError("a calculator needs at least one potential")
        first = self.potentials[0]
        if any(p.species != first.species or p.cutoff != first.cutoff for p in self.potentials):
            raise GlasslibError(f"the members of {name} differ in species or cutoff")
        self.species, self.cutoff = first.species, first.cutoff
        self.dtype, self.unproven = dtype, False
        self._use(choose(kernel, first))
        self.unproven = kernel == "auto" and self.kernel == "triton"

    def _use(self, kernel):
        """Take a kernel; the members of a committee share one neighbour list."""
        self.kernel = kernel
        self.engines = [engine(kernel, p, self.dtype) for p in self.potentials]
        for other in self.engines[1:]:
            if kernel != "reference":
                other.neighbours = self.engines[0].neighbours

    def _prove(self, atoms, kinds):
        """Once, where "auto" took the GPU: its forces against those of the CPU; where they differ or it fails, the CPU takes over."""
        self.unproven = False
        wanted = Fast(self.potentials[0]).compute(atoms, kinds)[1]
        try:
            found = self.engines[0].compute(atoms, kinds)[1]
            if np.abs(found - wanted).max() < 1e-3 * max(1.0, np.abs(wanted).max()):
                return
            reason = f"its forces differ by {np.abs(found - wanted).max():.1e} eV/Å"
        except Exception as error:  # whatever a driver or a compiler says
            reason = " ".join(str(error).split())[:300]
        warnings.warn(f"kernel 'triton' is not used on this GPU: {reason}; kernel 'numba' is", stacklevel=4)
        self._use("numba")

    def calibrate(self, note, source="the calibration"):
        """Take the calibration that `glasslib calibrate` wrote; one of other members is left, with a warning."""
        try:
            if note["weights"] != self.weights:
                warnings.warn(
                    f"{source} is of other networks and not used: make it anew with `glasslib calibrate`", stacklevel=3
                )
                return
            found = np.array([[float(note["species"][s][key]) for s in self.species] for key in ("floor", "factor")])
        except (KeyError, TypeError, ValueError) as error:
            raise GlasslibError(
                f"{source} holds no calibration ({error!r}): make it anew with `glasslib calibrate`"
            ) from None
        if not (np.isfinite(found).all() and (found >= 0).all()):
            raise GlasslibError(f"{source}: floor and factor must be numbers of at least zero")
        self.floor, self.factor = found

    def reset(self):
        """Forget results and the neighbour list."""
        super().reset()
        for engine in getattr(self, "engines", ()):
            if hasattr(engine, "neighbours"):
                engine.neighbours.forget()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """ASE's entry point; GlasslibError for species that were not trained and positions that are not finite."""
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        if len(atoms) == 0:
            raise GlasslibError("there are no atoms in this configuration")
        if not np.isfinite(atoms.positions.sum()):
            check_geometry(atoms, "the configuration")
        kinds = species_index(atoms, self.species, "the configuration")
        if self.unproven:
            self._prove(atoms, kinds)
        parts = [engine.compute(atoms, kinds) for engine in self.engines]
        energies, forces, virial = (
            (np.mean([part[k] for part in parts], axis=0) for k in range(3)) if len(parts) > 1 else parts[0]
        )
        if not np.isfinite(energies.sum() + forces.sum()):
            raise GlasslibError(self._overlap(atoms))
        self.results = {"energy": float(energies.sum()), "energies": energies, "forces": forces}
        self.results["free_energy"] = self.results["energy"]
        if all(atoms.pbc):
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial / atoms.get_volume())
        if len(parts) > 1:
            spread = np.var([part[1] for part in parts], axis=0, ddof=1)
            self.results["force_spread"] = np.sqrt(spread.sum(1))
            if self.factor is not None:
                self.results["force_error"] = np.hypot(
                    self.floor[kinds], self.factor[kinds] * self.results["force_spread"]
                )

    def _overlap(self, atoms):
        """What to say where energy or forces are not finite: mostly atoms on top of each other."""
        _, _, vector = edges(atoms, 0.3)
        if len(vector) == 0:
            return "the energy is not finite, though no atoms overlap: the model's weights may be damaged"
        centre, neighbour, _ = edges(atoms, np.linalg.norm(vector, axis=1).min() + 1e-3)
        return f"atoms {centre[0]} and {neighbour[0]} lie on top of each other: move them apart"
