"""Motion of many atoms together: coherent scattering, clusters and strings, rings."""

import numpy as np
import pytest
from ase.spacegroup import crystal
from numpy.testing import assert_allclose

from glasslib import GlasslibError, Trajectory, analysis


def gas(frames=60, atoms=300, step=0.1, length=15.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((1, atoms, 3)) * length + np.cumsum(rng.normal(0, step, (frames, atoms, 3)), 0)
    return Trajectory(
        x, ["Na"] * (atoms // 3) + ["O"] * (atoms - atoms // 3), np.eye(3) * length, np.arange(frames) * 0.1
    )


def test_coherent_scattering_equals_a_direct_sum():
    run = gas(frames=6, atoms=40)
    found = analysis.coherent_intermediate_scattering(run, q=1.0, vectors=10_000, origins=None, time=0.2, drift=False)
    h = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3) * 2 * np.pi / 15.0
    size = np.linalg.norm(h, axis=1)
    h = h[(size >= 0.9) & (size < 1.1)]
    rho = {s: np.exp(1j * run.positions[:, run.species == s] @ h.T).sum(1) for s in ("Na", "O")}
    for a, b in (("Na", "Na"), ("Na", "O"), ("O", "O")):
        moved = (
            np.mean([rho[a][i + 2] * rho[b][i].conj() + rho[b][i + 2] * rho[a][i].conj() for i in range(4)]).real / 2
        )
        still = np.mean(
            [(rho[a][i] * rho[b][i].conj() + rho[a][i + 2] * rho[b][i + 2].conj()) / 2 for i in range(4)]
        ).real
        assert_allclose(found.F.sel(pair=f"{a}-{b}")[0, 0], moved / still, rtol=1e-9)


def test_coherent_scattering_of_independent_atoms_is_their_self_part():
    run = gas(frames=200)
    t = np.array([0.5, 2.0])
    coherent = analysis.coherent_intermediate_scattering(run, time=t, drift=False).F.sel(pair="O-O")
    # An ideal gas has S = 1 and no cross terms: F = F_s = exp(−q² D t), D = step² / 2 dt.
    exact = np.exp(-(coherent.q.values[:, None] ** 2) * 0.05 * t)
    assert_allclose(coherent, exact, atol=0.12)


def test_atoms_that_move_as_rigid_groups_form_clusters_of_the_group():
    rng = np.random.default_rng(1)
    centres = np.stack(np.meshgrid(*[np.arange(3) * 10.0] * 3, indexing="ij"), -1).reshape(-1, 3)
    group = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.5, 0], [1.5, 1.5, 0]])
    x = np.repeat((centres[:, None] + group).reshape(1, -1, 3), 20, 0)
    for frame in range(1, 20):
        x[frame] = x[frame - 1] + rng.normal(0, 0.01, x[0].shape)
        chosen = rng.integers(27)
        x[frame, 4 * chosen : 4 * chosen + 4] += [0.7, 0.7, 0.7]
    run = Trajectory(x, ["Na"] * 108, np.eye(3) * 30, np.arange(20) * 1.0)
    found = analysis.clusters(run, fraction=4 / 108, cutoff=2.5, time=1.0)
    assert_allclose(found.cluster_size[0, 0], 4.0)
    assert found.random_size[0, 0] < 1.5
    assert_allclose(found.string_length[0, 0], 1.0)
    by_species = analysis.clusters(run, fraction=4 / 108, cutoff={"Na": 2.5, "O": 1.0}, time=1.0)
    assert by_species.cluster_size.equals(found.cluster_size)


def test_an_atom_that_takes_the_place_of_another_makes_a_string():
    x = np.zeros((2, 40, 3))
    x[:, :, 0] = np.arange(40) * 3.0
    x[1, 10:14, 0] += 3.0  # four atoms in a row move on by one site
    run = Trajectory(x, ["Na"] * 40, np.diag([120.0, 20, 20]), [0.0, 1.0])
    found = analysis.clusters(run, fraction=0.1, cutoff=4.0, drift=False)
    assert_allclose(found.string_length.values, [[4.0]])


def test_cristobalite_has_two_six_membered_rings_for_each_silicon():
    atoms = crystal(["Si", "O"], [(0, 0, 0), (0.125, 0.125, 0.125)], spacegroup=227, cellpar=[7.16] * 3 + [90] * 3) * (
        2,
        2,
        2,
    )
    run = Trajectory(atoms.get_positions()[None], atoms.get_chemical_symbols(), atoms.cell.array, [0.0])
    found = analysis.rings(run, cutoff=2.0)
    # Diamond's net: twelve rings of six pass through each vertex.
    assert_allclose(found.rings.sel(n=6), 12 / 6)
    assert_allclose(found.probability.sel(n=6), 1.0)
    assert np.isnan(found.rings_sem).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: analysis.clusters(t, fraction=2), "fraction must be"),
        (lambda t: analysis.clusters(t, cutoff=9.0), "half the width"),
        (lambda t: analysis.clusters(t, cutoff={"Na": -1.0}), "cutoff must be"),
        (lambda t: analysis.clusters(t, cutoff={"Xx": 3.0}), "cutoff names Xx"),
        (lambda t: analysis.bond_angles(t, cutoff={"Na-X": 2.0}), "cutoff names 'Na-X', which is no pair"),
        (lambda t: analysis.rings(t), "no Si"),
        (lambda t: analysis.coherent_intermediate_scattering(t, width=-1), "width must be"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(GlasslibError, match=message):
        call(gas(frames=3, atoms=30))
