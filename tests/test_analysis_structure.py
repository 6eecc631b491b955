"""Structure: ideal gas, crystals, brute force, freud."""

import numpy as np
import pytest
from ase.build import bulk, make_supercell
from numpy.testing import assert_allclose

from glasslib import GlasslibError, Trajectory, analysis

CELL = np.array([[14.0, 0, 0], [2.0, 13.0, 0], [-1.0, 1.5, 12.0]])


def gas(frames=30, atoms=300, cell=CELL, seed=0, species=None):
    inside = np.random.default_rng(seed).random((frames, atoms, 3))
    species = species or ["Na"] * (atoms // 3) + ["O"] * (atoms - atoms // 3)
    return Trajectory(inside @ cell, species, cell, np.arange(frames) * 0.1)


def crystal(name="NaCl", a=5.64, repeat=3, frames=4):
    atoms = make_supercell(bulk(name, "rocksalt", a, cubic=True), np.eye(3) * repeat)
    x = np.repeat(atoms.get_positions()[None], frames, 0)
    return Trajectory(x, atoms.get_chemical_symbols(), atoms.cell.array, np.arange(frames) * 1.0)


def silica(frames=3):
    """β-cristobalite (ideal): every silicon has four bridging oxygens, Si-O-Si is straight."""
    from ase.spacegroup import crystal as build

    atoms = build(["Si", "O"], [(0, 0, 0), (0.125, 0.125, 0.125)], spacegroup=227, cellpar=[7.16] * 3 + [90] * 3) * (
        2,
        2,
        2,
    )
    x = np.repeat(atoms.get_positions()[None], frames, 0)
    return Trajectory(x, atoms.get_chemical_symbols(), atoms.cell.array, np.arange(frames) * 1.0)


def nearest(cell, a, b):
    """Distances over all images nearby."""
    shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3) @ cell
    return np.linalg.norm((b - a)[..., None, :] + shifts, axis=-1).min(-1)


def test_an_ideal_gas_has_no_structure():
    run = gas()
    g = analysis.radial_distribution(run, r=np.arange(0.25, 5.5, 0.5))
    assert (np.abs(g.g - 1) < 5 * g.g_sem + 0.02).all()
    assert_allclose(g.g[:, 4:], 1, atol=0.05)
    s = analysis.structure_factor(run, q=np.arange(1.0, 4.0, 0.5))
    assert_allclose(s.S, 1, atol=0.1)
    partials = analysis.structure_factor(run, q=np.arange(1.0, 4.0, 0.5), radiation=None)
    assert_allclose(partials.S.sel(pair="Na-O"), 0, atol=0.1)


def test_pair_distribution_in_a_triclinic_cell_equals_brute_force():
    run = gas(frames=2, atoms=40)
    r = np.arange(0.2, 5.4, 0.4)
    found = analysis.radial_distribution(run, r=r)
    counts = np.zeros((2, len(r)))
    for x in run.positions:
        distance = nearest(CELL, x[:, None], x[None])
        for k, (one, other) in enumerate((("Na", "Na"), ("Na", "O"))):
            chosen = distance[np.ix_(run.species == one, run.species == other)]
            counts[k] += np.histogram(chosen[chosen > 1e-9], len(r), (0, len(r) * 0.4))[0]
    volume = 4 / 3 * np.pi * np.diff((np.arange(len(r) + 1) * 0.4) ** 3)
    for k, pair in enumerate(("Na-Na", "Na-O")):
        possible = 13 * 12 if k == 0 else 13 * 27
        assert_allclose(
            found.g.sel(pair=pair), counts[k] / 2 / possible * abs(np.linalg.det(CELL)) / volume, rtol=1e-10
        )
    assert_allclose(found.n.sel(pair="Na-O"), np.cumsum(counts[1]) / 2 / 13, rtol=1e-10)


def test_a_cell_of_a_millimetre_needs_r():
    run = gas(frames=2, atoms=40, cell=1e7 * np.eye(3))
    for options in ({}, {"r": np.arange(0.025, 1e4, 0.05)}):
        with pytest.raises(GlasslibError, match="more than 100000 bins in a cell 1e[+]07 Å wide: give r"):
            analysis.radial_distribution(run, **options)
    assert (analysis.radial_distribution(run, r=np.arange(0.5, 5, 1.0)).g == 0).all()


def test_distinct_van_hove_function_equals_brute_force():
    run = gas(frames=4, atoms=30)
    found = analysis.van_hove_distinct(run, r=np.arange(0.25, 5.4, 0.5), time=0.2, origins=None, drift=False)
    bins = found.sizes["r"]
    counts = np.zeros(bins)
    for i in (0, 1):
        distance = nearest(CELL, run.positions[i][:, None], run.positions[i + 2][None])
        np.fill_diagonal(distance, np.inf)
        chosen = distance[np.ix_(run.species == "O", run.species == "O")]
        counts += np.histogram(chosen, bins, (0, bins * 0.5))[0]
    volume = 4 / 3 * np.pi * np.diff((np.arange(bins + 1) * 0.5) ** 3)
    assert_allclose(found.G_d.sel(pair="O-O")[0], counts / 2 / 20 / volume, rtol=1e-10)
    assert_allclose(found.density.sel(pair="O-O"), 19 / abs(np.linalg.det(CELL)))


def test_distinct_van_hove_function_sees_an_atom_replaced_by_another():
    x = np.zeros((2, 2, 3))
    x[:, 1, 0] = 3.0
    x[1] = x[1, ::-1]
    run = Trajectory(x, ["Na", "Na"], np.eye(3) * 20, [0.0, 1.0])
    found = analysis.van_hove_distinct(run, r=np.arange(0.05, 5, 0.1), drift=False)
    assert_allclose(found.G_d[0, 0, 0] * 4 / 3 * np.pi * 0.1**3, 1.0)
    assert found.G_d[0, 0, 1:].sum() == 0


def test_structure_factor_equals_a_direct_sum():
    from glasslib.analysis.waves import wave_vectors

    run = gas(frames=1, atoms=50)
    q = np.arange(1.0, 2.0, 0.2)
    found = analysis.structure_factor(run, q=q, radiation=None, vectors=10_000)
    reciprocal = 2 * np.pi * np.linalg.inv(CELL).T
    h = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3, indexing="ij"), -1).reshape(-1, 3)
    k = h @ reciprocal
    size = np.linalg.norm(k, axis=1)
    rho = {s: np.exp(1j * k @ run.positions[0][run.species == s].T).sum(1) for s in ("Na", "O")}
    for at, centre in enumerate(q):
        chosen = (size >= centre - 0.1) & (size < centre + 0.1)
        for a, b in (("Na", "Na"), ("Na", "O"), ("O", "O")):
            number = np.sqrt((run.species == a).sum() * (run.species == b).sum())
            assert_allclose(
                found.S.sel(pair=f"{a}-{b}")[at], (rho[a] * rho[b].conj()).real[chosen].mean() / number, rtol=1e-9
            )
        assert 2 * (wave_vectors(CELL, q, 0.2, 10_000)[1] == at).sum() == chosen.sum()


def test_the_default_wave_numbers_are_above_zero_in_a_box_of_any_length():
    run = gas(frames=1, atoms=20, cell=np.diag([130.0, 7.0, 7.0]))
    found = analysis.structure_factor(run, radiation=None)
    assert_allclose(found.q, np.arange(1, 81) * 0.1)
    assert np.isfinite(found.S).any("pair")[0]


def test_total_structure_factors_weigh_the_partials_by_scattering_lengths():
    run = gas(frames=3)
    q = np.arange(1.0, 3.0, 0.5)
    partials = analysis.structure_factor(run, q=q, radiation=None).S
    share, b = np.array([1 / 3, 2 / 3]), np.array([3.63, 5.803])  # fm, Sears 1992
    rest = sum(
        np.sqrt(share[i] * share[j]) * b[i] * b[j] * (partials.sel(pair=p) - (i == j)) * (2 - (i == j))
        for i, j, p in ((0, 0, "Na-Na"), (0, 1, "Na-O"), (1, 1, "O-O"))
    )
    assert_allclose(analysis.structure_factor(run, q=q).S, 1 + rest / (share @ b) ** 2, rtol=2e-3)
    assert np.isfinite(analysis.structure_factor(run, q=q, radiation="x-ray").S).all()


def test_a_crystal_has_bragg_peaks_only_where_its_lattice_has_them():
    run = crystal()
    s = analysis.structure_factor(run, q=np.arange(0.4, 3.0, 0.02), vectors=10_000, radiation=None).S.sel(pair="Cl-Cl")
    first = 2 * np.pi / 5.64 * np.sqrt(3)
    strong = s.q.values[s.fillna(0).values > 1.0]
    assert abs(strong[0] - first) < 0.02
    assert s.fillna(0).sel(q=slice(0, first - 0.02)).max() < 1e-9


def test_a_rocksalt_crystal_has_six_neighbours_at_right_angles():
    run = crystal()
    found = analysis.coordination(run, pair="Na-Cl")
    assert_allclose(found.probability[6], 1.0)
    assert_allclose(found["mean"], 6.0)
    assert_allclose(found.distance, 2.82)
    assert 2.82 < found.attrs["cutoff_A"] < 5.64 * np.sqrt(3) / 2
    angles = analysis.bond_angles(run, triplets=["Cl-Na-Cl"], cutoff=3.5).probability[0]
    width = 2.0
    assert_allclose(angles.sel(angle=slice(88, 92)).sum() * width, 12 / 15)
    assert_allclose(angles[-1] * width, 3 / 15)


def test_cristobalite_is_all_q4_with_tetrahedral_angles():
    run = silica()
    assert_allclose(analysis.q_speciation(run).probability[4], 1.0)
    assert_allclose(analysis.coordination(run).probability[4], 1.0)
    assert_allclose(analysis.coordination(run, pair="O-Si").probability[2], 1.0)
    angles = analysis.bond_angles(run)
    assert angles.triplet.values.tolist() == ["O-Si-O", "Si-O-Si"]
    assert abs(float(angles["mean"][0]) - 109.47) < 1.0
    assert_allclose(angles.probability[1, -1] * 2.0, 1.0)
    assert_allclose(angles.probability.sum("angle") * 2.0, 1.0)


def test_breaking_a_bridge_lowers_q():
    run = silica(frames=1)
    bonds = np.linalg.norm(run.positions[0][:, None] - run.positions[0][None], axis=-1)
    oxygen = np.flatnonzero(run.species == "O")
    loose = next(o for o in oxygen if (bonds[o, run.species == "Si"] < 2).sum() == 2)
    kept = np.arange(run.n_atoms) != loose
    broken = Trajectory(run.positions[:, kept], run.species[kept], run.cell, run.time)
    silicon = (run.species == "Si").sum()
    found = analysis.q_speciation(broken, cutoff=2.0).probability
    assert_allclose(found[3] * silicon, 2)
    assert_allclose(found[4] * silicon, silicon - 2)


def test_bonds_that_break_at_a_rate_decay_by_it():
    rng, rate, n, frames = np.random.default_rng(0), 0.05, 2000, 60
    broken_at = rng.exponential(1 / rate, n)
    side = np.arange(13)
    sites = np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3)[:n] * 6.0
    x = np.zeros((frames, 2 * n, 3))
    x[:, :n] = sites
    for k in range(frames):
        x[k, n:] = sites + np.where(broken_at > k, 1.6, 3.0)[:, None] * np.array([1.0, 0, 0])
    run = Trajectory(x, ["Si"] * n + ["O"] * n, np.eye(3) * 78.0, np.arange(frames) * 1.0)
    found = analysis.bond_correlation(run, cutoff=2.0, origins=None, time=[1, 5, 15])
    assert_allclose(found.C_B, np.exp(-rate * np.array([1, 5, 15])), atol=0.03)


def test_a_bond_that_forms_again_counts_again():
    x = np.zeros((3, 2, 3))
    x[:, 1, 0] = [1.6, 3.0, 1.6]
    run = Trajectory(x, ["Si", "O"], np.eye(3) * 10, [0.0, 1.0, 2.0])
    assert_allclose(analysis.bond_correlation(run, cutoff=2.0).C_B, [0.0, 1.0])


def test_structure_in_a_breathing_cell_uses_the_cell_of_each_frame():
    atoms = crystal(frames=1)
    scale = np.array([1.0, 1.02, 0.98])
    run = Trajectory(
        atoms.positions * scale[:, None, None],
        atoms.species,
        atoms.cell[None] * scale[:, None, None],
        np.arange(3) * 1.0,
    )
    assert_allclose(analysis.coordination(run, pair="Na-Cl", cutoff=3.2).probability[6], 1.0)
    g = analysis.radial_distribution(run, r=np.arange(0.025, 4, 0.05))
    assert_allclose(g.n.sel(pair="Cl-Na").isel(r=-10), 6.0, rtol=0.01)


def test_everything_is_computed_saved_read_and_summarised(tmp_path):
    base = silica(frames=1)
    steps = np.random.default_rng(0).normal(0, 0.05, (40, base.n_atoms, 3))
    run = Trajectory(base.positions[0] + np.cumsum(steps, 0), base.species, base.cell, np.arange(40) * 0.1)
    results = analysis.everything(run, quiet=True)
    path = analysis.save(results, tmp_path / "results.nc")
    again = analysis.load(path)
    assert set(again) == set(results) and len(results) > 14
    for name, dataset in results.items():
        for variable in dataset.data_vars:
            assert_allclose(
                np.asarray(again[name][variable], float),
                np.asarray(dataset[variable], float),
                err_msg=f"{name} {variable}",
            )
            if variable.endswith("_sem"):
                assert variable[:-4] in dataset
            assert "units" in dataset[variable].attrs
    lines = analysis.summary(again).splitlines()
    assert lines[1].startswith("O ") and lines[2].startswith("Si ")


def test_everything_says_what_a_single_frame_cannot_give():
    results = analysis.everything(silica(frames=1), quiet=True)
    assert "radial_distribution" in results and "mean_squared_displacement" not in results
    assert "two frames" in analysis.summary(results)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: analysis.radial_distribution(t, r=np.arange(0.5, 30)), "half the width"),
        (lambda t: analysis.structure_factor(t, radiation="electron"), "radiation must be"),
        (lambda t: analysis.coordination(t, pair="Si-O"), "pair must be two species"),
        (lambda t: analysis.q_speciation(t), "no Si"),
        (lambda t: analysis.bond_angles(t, triplets=["Na-O"]), "three species"),
        (lambda t: analysis.coordination(t, cutoff=-1), "cutoff must be"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(GlasslibError, match=message):
        call(gas(frames=2, atoms=30))


def test_pair_distribution_equals_freud():
    freud = pytest.importorskip("freud")
    run = gas(frames=2, atoms=200, cell=np.eye(3) * 13, species=["Na"] * 200)
    rdf = freud.density.RDF(bins=60, r_max=6.0, normalization_mode="finite_size")
    for x in run.positions:
        rdf.compute((freud.box.Box.cube(13), x - 6.5), reset=False)
    found = analysis.radial_distribution(run, r=np.arange(0.05, 6, 0.1))
    assert_allclose(found.g[0], rdf.rdf, rtol=1e-4, atol=1e-4)
