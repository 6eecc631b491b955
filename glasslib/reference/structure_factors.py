"""GPAW's plane-wave sums over atoms in the order that costs least: labels that are the same to rounding, in half the time.

GPAW 26.7 tabulates every atom's functions at every plane wave, some 10⁸ numbers, each time that it adds compensation charges to a density or takes their
overlap with a potential. The functions of one element differ from atom to atom only in the phase exp(−iG·R), so here the phases of an element are summed
with their coefficients first (structure factors) and multiplied by the function once. The same goes for the atomic orbitals that the first wave functions
are made of: they are added up as plane waves rather than on a grid. What is not a real wave function at Γ on one process is left to GPAW.

GPAW: Mortensen et al., J. Chem. Phys. 160, 092503 (2024).
"""

from functools import wraps

import numpy as np

VERSION = "26.7"  # of GPAW, whose inside this knows
BLOCK = 4096  # plane waves at a time, so that the phases of some tens of atoms stay in the cache


class Sums:
    """Sums over the atoms of one set of functions at fixed positions.

    Parameters
    ----------
    functions : gpaw.core.pwacf.PWLFC
        Initialised and with positions set; of one process and real wave functions.
    """

    def __init__(self, functions):
        self.count = functions.nI
        self.waves = functions.pw.G_plus_k_Gv
        self.scale = 1 / functions.pw.dv
        self.functions = functions
        self.terms, phases = [], {}  # of each element's functions: number, angular momentum, phases, first indices
        for spline, l in enumerate(functions.l_s):  # noqa: E741, the field's letter
            mine = functions.s_J == spline
            atoms = functions.a_J[mine]
            key = atoms.tobytes()
            if key not in phases:
                phases[key] = np.exp(-1j * (functions.pos_av[atoms] @ self.waves.T))
            self.terms.append((spline, int(l), phases[key], functions.I_J[mine]))

    def _blocks(self):
        for start in range(0, len(self.waves), BLOCK):
            yield slice(start, start + BLOCK)

    def _shapes(self, spline, l, part):  # noqa: E741
        """Radial function times spherical harmonics [2l + 1, G], without the (−i)ˡ."""
        table = self.functions.f_Gs[part, spline, None] * self.functions.Y_GL[part, l * l : (l + 1) ** 2]
        return np.ascontiguousarray(table.T)

    def structure_factor(self, coefficients, phases, part):
        """Σₐ c[a, m] exp(−iG·Rₐ) as [m, G]."""
        return (np.ascontiguousarray(coefficients.T) @ phases[:, part].copy().view(float)).view(complex)

    def add(self, out, coefficients):
        """Add Σ c[I] f_I(G) to `out` [G]."""
        for part in self._blocks():
            for spline, l, phases, first in self.terms:  # noqa: E741
                factor = self.structure_factor(self._of(coefficients, first, l), phases, part)
                out[part] += ((-1j) ** l * self.scale) * (self._shapes(spline, l, part) * factor).sum(0)

    def overlap(self, wave, directions=None):
        """2 Re Σ_G f_I(G)* a(G), the wave at G = 0 once, as [I]; with `directions` [G, v], 2 Im Σ_G f_I(G)* a(G) d_v(G) as [v, I]."""
        found = np.zeros(((1 if directions is None else 3), self.count))
        weighted = 2 * wave
        weighted[0] *= 0.5
        for part in self._blocks():
            for spline, l, phases, first in self.terms:  # noqa: E741
                values = ((-1j) ** l * self._shapes(spline, l, part)) * weighted[part].conj()
                block = phases[:, part].copy().view(float).T
                index = first[:, None] + np.arange(2 * l + 1)
                if directions is None:
                    found[0, index] += (values.conj().view(float) @ block).T
                    continue
                for v in range(3):  # −Im(x) = Re(i x)
                    turned = (1j * values * directions[part, v]).conj().view(float)
                    found[v, index] += (np.ascontiguousarray(turned) @ block).T
        return found[0] if directions is None else found

    def stress(self, wave, coefficients):
        """Derivative of −Σ c[I] overlap(I) by strain at constant phases, [3, 3]."""
        from gpaw.ffbt import rescaled_fourier_bessel_transform
        from gpaw.sphere.spherical_harmonics import nablarlYL

        splines = list(dict.fromkeys(spline for own in self.functions.spline_aj for spline in own))
        lengths = np.sqrt(2 * self.functions.pw.ekin_G)
        weighted = 2 * wave.conj()
        weighted[0] *= 0.5
        total = np.zeros((3, 3))
        for spline, l, phases, first in self.terms:  # noqa: E741
            radial = rescaled_fourier_bessel_transform(splines[spline])
            values, slopes = np.array([radial.get_value_and_derivative(length) for length in lengths]).T
            slopes /= np.where(lengths < 1e-10, 1.0, lengths)
            for part in self._blocks():
                factor = self.structure_factor(self._of(coefficients, first, l), phases, part)
                waves = self.waves[part]
                for m in range(2 * l + 1):
                    real = (weighted[part] * (-1j) ** l * factor[m]).real
                    harmonic = l * l + m
                    gradient = np.array([np.broadcast_to(g, len(waves)) for g in nablarlYL(harmonic, waves.T)])
                    total -= (real * slopes[part] * self.functions.Y_GL[part, harmonic] * waves.T) @ waves
                    total -= (real * values[part] * waves.T) @ gradient.T
        return total

    @staticmethod
    def _of(coefficients, first, l):  # noqa: E741
        return coefficients[first[:, None] + np.arange(2 * l + 1)]


def install():
    """Let GPAW use these sums from now on in this process; does nothing to another version of GPAW, or twice.

    Returns
    -------
    bool
        Whether they are in use.
    """
    import gpaw
    from gpaw.core.pwacf import PWLFC
    from gpaw.new.lcao.wave_functions import LCAOWaveFunctions

    if not gpaw.__version__.startswith(VERSION):
        return False
    if hasattr(PWLFC.add, "__wrapped__"):
        return True

    def sums(functions):
        if getattr(functions, "_sums", None) is None:
            functions._sums = Sums(functions)
        return functions._sums

    def instead(original):
        """Replace a method for a single function of plane waves, real at Γ, on one process."""

        def decorate(quick):
            @wraps(original)
            def method(self, wave, *given, **named):
                suits = wave.ndim == 1 and self.real and self.xp is np and self.comm.size == 1 and self.nI
                return (quick if suits else original)(self, wave, *given, **named)

            return method

        return decorate

    def coefficients(functions, given):
        if isinstance(given, float):
            return np.full(functions.nI, given)
        found = np.empty(functions.nI)
        for atom, begin, end in functions.my_indices:
            found[begin:end] = given[atom]
        return found

    @instead(PWLFC.add)
    def add(self, wave, c_axi=1.0, q=None):
        sums(self).add(wave, coefficients(self, c_axi))

    @instead(PWLFC.integrate)
    def integrate(self, wave, c_axi, q=-1, add_to=False):
        found = sums(self).overlap(wave)
        for atom, begin, end in self.my_indices:
            c_axi[atom][:] = found[begin:end] + (c_axi[atom] if add_to else 0.0)
        return c_axi

    @instead(PWLFC.derivative)
    def derivative(self, wave, c_axiv, q=-1):
        found = sums(self).overlap(wave, self.pw.G_plus_k_Gv)
        for atom, begin, end in self.my_indices:
            c_axiv[atom][...] = found[:, begin:end].T
        return c_axiv

    @instead(PWLFC.stress_tensor_contribution)
    def stress_tensor_contribution(self, wave, c_axi=1.0):
        return sums(self).stress(wave, coefficients(self, c_axi))

    place = PWLFC.set_positions

    @wraps(place)
    def set_positions(self, *given, **named):
        self._sums = None
        return place(self, *given, **named)

    expand = LCAOWaveFunctions.to_pw_expansion

    @wraps(expand)
    def to_pw_expansion(self, nbands, pw):
        alone = self.band_comm.size == pw.comm.size == 1 and self.ncomponents < 4 and self.xp is np
        if not alone or not np.issubdtype(self.dtype, np.floating) or not np.issubdtype(pw.dtype, np.floating):
            return expand(self, nbands, pw)
        orbitals = pw.atom_centered_functions(
            [s.spline_j for s in self.basis.sphere_a], self.relpos_ac, atomdist=self.atomdist
        )
        waves = pw.empty(nbands)
        orbitals.multiply(self.C_nM, waves[: len(self.C_nM.data)])
        return waves

    for name, method in (
        ("add", add), ("integrate", integrate), ("derivative", derivative), ("stress_tensor_contribution", stress_tensor_contribution),
        ("set_positions", set_positions),
    ):  # fmt: skip
        setattr(PWLFC, name, method)
    LCAOWaveFunctions.to_pw_expansion = to_pw_expansion
    return True
