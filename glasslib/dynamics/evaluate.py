"""The potential as the integrators see it: evaluated once for each configuration."""

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from ..errors import GlasslibError


class Evaluator:
    """Stands between ASE's integrators, which ask for forces several times a step, and the calculator.

    ASE compares two whole Atoms objects with tolerances at each request, 0.3 ms a step. In a run only positions and cell change, so it
    is enough to compare these two arrays for equality. Arrays are handed out without a copy; integrators do not write into forces.

    Parameters
    ----------
    calculator : ase Calculator
    stress : bool
        Whether stress is wanted in every step.
    """

    def __init__(self, calculator, stress=False):
        if not isinstance(calculator, Calculator):
            raise GlasslibError(
                f"the potential must be an ASE Calculator, not {type(calculator).__name__}: try glasslib.load_potential()"
            )
        self.calculator = calculator
        self.wanted = ["energy", "forces", *(["stress"] if stress else [])]
        if stress and "stress" not in calculator.implemented_properties:
            raise GlasslibError(f"the potential {type(calculator).__name__} gives no stress, which npt needs")
        self._known = None  # a copy of the atoms as they were evaluated last

    @property
    def results(self):
        """What the calculator found for the last configuration."""
        return self.calculator.results

    def get_forces(self, atoms):
        """Forces [atoms, 3], eV/Å."""
        return self._get(atoms, "forces")

    def get_stress(self, atoms):
        """Stress, six Voigt components or [3, 3], eV/Å³; a copy, since ASE adds the kinetic part in place."""
        return self._get(atoms, "stress").copy()

    def get_potential_energy(self, atoms, force_consistent=False):
        """Energy, eV."""
        return self._get(atoms, "energy")

    def _get(self, atoms, name):
        known, changes = self._known, all_changes
        if known is not None:
            changes = [] if np.array_equal(atoms.positions, known.positions) else ["positions"]
            changes += [] if np.array_equal(atoms.cell.array, known.cell.array) else ["cell"]
        if changes:
            if known is None:
                known = atoms.copy()
            known.positions[:], known.cell.array[:] = atoms.positions, atoms.cell.array
            self._known = None  # until the evaluation has succeeded
            self.calculator.results, self.calculator.atoms = (
                {},
                known,
            )  # as ASE's get_property leaves them to calculate()
            self.calculator.calculate(known, self.wanted, changes)
            self._known = known
        if name not in self.calculator.results:
            raise PropertyNotImplementedError(f"{type(self.calculator).__name__} gives no {name}")
        return self.calculator.results[name]

    def reset(self):
        """Forget everything that depends on earlier positions, neighbour lists of the calculator included."""
        self._known = None
        self.calculator.reset()
