"""Sums over atoms by structure factors against GPAW's own."""

import numpy as np
import pytest

from glasslib.reference import gpaw, structure_factors

pytestmark = pytest.mark.skipif(gpaw.missing() is not None, reason=str(gpaw.missing()))
CELLS = {"box": np.diag([7.0, 8.0, 9.0]), "triclinic": np.array([[7.0, 0, 0], [1.5, 8.0, 0], [-1.0, 2.0, 9.0]])}  # bohr


def functions(cell, symbols=("Na", "O", "O", "Si", "O", "O")):
    """Compensation charges of atoms at random places, as plane waves, and GPAW's object that sums them."""
    from gpaw.core import PWDesc
    from gpaw.setup import create_setup

    assert structure_factors.install(), "GPAW is of another version: look whether the sums still fit its inside"
    setups = {symbol: create_setup(symbol) for symbol in set(symbols)}
    waves = PWDesc(ecut=20.0, cell=cell, dtype=float)
    places = np.random.default_rng(1).random((len(symbols), 3))
    charges = waves.atom_centered_functions([setups[symbol].ghat_l for symbol in symbols], places)
    charges._lazy_init()
    return charges._lfc


def wave(own, seed=0):
    rng = np.random.default_rng(seed)
    made = rng.normal(size=len(own.Y_GL)) + 1j * rng.normal(size=len(own.Y_GL))
    made[0] = made[0].real
    return made


def coefficients(own, shape=()):
    rng = np.random.default_rng(2)
    return {atom: rng.normal(size=(end - begin, *shape)) for atom, begin, end in own.my_indices}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_density_of_charges(cell):
    own = functions(cell)
    for given in (coefficients(own), 1.0):
        ours, theirs = wave(own), wave(own)
        own.add(ours, given)
        type(own).add.__wrapped__(own, theirs, given)
        assert np.abs(theirs - wave(own)).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("method", ["integrate", "derivative"])
def test_overlaps_and_their_derivatives(cell, method):
    own = functions(cell)
    shape = (3,) if method == "derivative" else ()
    ours, theirs = coefficients(own, shape), coefficients(own, shape)
    getattr(own, method)(wave(own), ours)
    getattr(type(own), method).__wrapped__(own, wave(own), theirs)
    for atom in theirs:
        np.testing.assert_allclose(ours[atom], theirs[atom], rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_stress(cell):
    own = functions(cell)
    given = coefficients(own)
    ours = own.stress_tensor_contribution(wave(own), given)
    theirs = type(own).stress_tensor_contribution.__wrapped__(own, wave(own), given)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-8)


def test_first_wave_functions_are_those_of_the_grid():
    """Orbitals added up as plane waves and on the grid differ by what a grid of finite spacing leaves."""
    from ase import Atoms
    from gpaw.core import PWDesc, UGDesc
    from gpaw.core.matrix import Matrix
    from gpaw.lfc import BasisFunctions
    from gpaw.mpi import serial_comm
    from gpaw.new.lcao.wave_functions import LCAOWaveFunctions
    from gpaw.setup import Setups

    structure_factors.install()
    atoms = Atoms("SiO2", [(1.0, 1.2, 2.0), (2.6, 1.3, 2.0), (0.1, 2.4, 2.3)], cell=[4.2, 4.1, 4.0], pbc=True)
    grid = UGDesc(cell=atoms.cell / 0.529177, size=(32, 32, 32), dtype=float)
    waves = PWDesc(ecut=12.0, cell=grid.cell, dtype=float)
    setups = Setups(atoms.numbers, {}, {}, "PBE")
    basis = BasisFunctions(grid._gd, [setup.basis_functions_J for setup in setups], cut=True)
    places = atoms.get_scaled_positions()
    basis.set_positions(places)
    basis.grid = grid
    orbitals = Matrix(5, basis.Mmax, data=np.random.default_rng(0).normal(size=(5, basis.Mmax)))

    class Own:
        pass

    own = Own()
    own.__dict__ |= {
        "basis": basis, "C_nM": orbitals, "relpos_ac": places, "atomdist": None, "kpt_c": np.zeros(3), "dtype": float, "ncomponents": 1,
        "band_comm": serial_comm, "xp": np, "q": 0,
    }  # fmt: skip
    ours = LCAOWaveFunctions.to_pw_expansion(own, 5, waves).data
    theirs = LCAOWaveFunctions.to_pw_expansion.__wrapped__(own, 5, waves).data
    assert np.linalg.norm(ours - theirs) < 1e-2 * np.linalg.norm(theirs)
