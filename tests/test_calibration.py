"""What a committee foretells of its errors: the law comes back from data made by it, holds on data not seen, and stops runs."""

import json
import shutil
import warnings

import numpy as np
import pytest
from ase.constraints import FixAtoms
from scipy.stats import chi

from glasslib import GlasslibError, load_potential, random_structure, reference
from glasslib.dynamics import Guard
from glasslib.dynamics.guard import Watch
from glasslib.potential import CALIBRATION, files
from glasslib.training import calibration, parity

BELOW = (
    chi.ppf(2 / 3, 3) / 3**0.5
)  # two Maxwell-distributed lengths of three are shorter than so many root mean squares


def made(n, floor, factor, seed=0):
    """Disagreements, and errors that are Gaussian with a known root mean square."""
    rng = np.random.default_rng(seed)
    spread = rng.lognormal(-3, 0.7, n)
    scale = np.hypot(floor, factor * spread) / np.sqrt(3)
    return spread, np.linalg.norm(rng.normal(size=(n, 3)) * scale[:, None], axis=1)


@pytest.mark.parametrize(("floor", "factor"), [(0.1, 2.0), (0.02, 4.0), (0.3, 1.0)])
def test_floor_and_factor_come_back_from_errors_made_by_them(floor, factor):
    found = calibration.fit(*made(40000, floor, factor))
    np.testing.assert_allclose(found, [floor * BELOW, factor * BELOW], rtol=0.08)


def test_a_few_wild_errors_move_nothing():
    spread, error = made(5000, 0.1, 2.0)
    error[:10] = 50.0
    np.testing.assert_allclose(calibration.fit(spread, error), calibration.fit(*made(5000, 0.1, 2.0)), rtol=0.1)


def test_two_thirds_of_errors_not_seen_lie_below_what_is_foretold():
    spread, error = made(6000, 0.1, 2.0)
    foretold = calibration.held_out(spread, error, np.full(6000, "O"), np.arange(6000) // 60)
    assert (error < foretold).mean() == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.parametrize("n", [0, 49])
def test_too_few_atoms_are_refused(n):
    with pytest.raises(GlasslibError, match="needs 50 atoms"):
        calibration.fit(*made(n, 0.1, 2.0))


def test_the_shipped_committee_foretells_its_errors():
    """Of each species two atoms of three within 5 %, and the law by hand."""
    committee = load_potential("committee")
    frames = reference.split(reference.read_frames("data/frames"))["test"]
    spread, error, species, frame = calibration.disagreement(committee, frames)
    group = np.unique([f.info["parent"] for f in frames], return_inverse=True)[1][frame]
    foretold = calibration.held_out(spread, error, species, group)
    for name in ("Na", "O", "Si"):
        assert (error < foretold)[species == name].mean() == pytest.approx(2 / 3, abs=0.05)
    note = json.loads((files("committee")[0].parent / CALIBRATION).read_text())["species"]
    melt = random_structure("NS2", atoms=27, seed=3)
    melt.calc = committee
    melt.get_forces()
    floor, factor = (np.array([note[s][key] for s in melt.symbols]) for key in ("floor", "factor"))
    expected = np.sqrt(floor**2 + (factor * committee.results["force_spread"]) ** 2)
    np.testing.assert_allclose(committee.results["force_error"], expected, rtol=1e-6)


def test_a_calibration_of_other_networks_is_not_used(tmp_path):
    for path in files("committee")[:2]:
        for suffix in (".safetensors", ".json"):
            shutil.copy(path.with_suffix(suffix), tmp_path)
    note = json.loads((files("committee")[0].parent / CALIBRATION).read_text())
    (tmp_path / CALIBRATION).write_text(json.dumps(note))
    with pytest.warns(UserWarning, match="of other networks"):
        committee = load_potential(tmp_path)
    assert committee.factor is None
    (tmp_path / CALIBRATION).write_text(json.dumps(note | {"weights": committee.weights, "species": {"O": {}}}))
    with pytest.raises(GlasslibError, match="holds no calibration"):
        load_potential(tmp_path)


def test_a_potential_alone_cannot_be_calibrated(tmp_path):
    frames = reference.split(reference.read_frames("data/frames"))["test"]
    with pytest.raises(GlasslibError, match="no disagreement"):
        calibration.disagreement(load_potential(), frames[:1])
    with pytest.raises(GlasslibError, match="no frames"):
        calibration.disagreement(load_potential("committee"), [])


@pytest.mark.parametrize(
    ("limit", "key"), [("force_spread", "differ by 2.00"), ("force_error", "expects errors of 2.00")]
)
def test_limits_on_a_committee_stop_or_warn(limit, key):
    melt = random_structure("NS2", atoms=27, seed=3)
    melt.set_momenta(np.zeros((len(melt), 3)))
    results = {"energy": 0.0, limit: np.where(np.arange(len(melt)) == 7, 2.0, 0.1)}
    no_distances = {"distance": dict.fromkeys(("Si-O", "O-O", "Na-O", "Si-Si", "Na-Na", "Na-Si"), 0)}
    why, which = Watch(Guard(**{limit: 1.0}, **no_distances), melt, 300).trouble(melt, results)
    assert key in why and which[0] == 7
    watch = Watch(Guard(**{limit: 1.0}, warn=True, **no_distances), melt, 300)
    with pytest.warns(UserWarning, match=key):
        assert watch.trouble(melt, results) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert watch.trouble(melt, results) is None  # once is enough
    assert Watch(Guard(**{limit: 3.0}, **no_distances), melt, 300).trouble(melt, results) is None
    with pytest.raises(GlasslibError, match="needs a"):
        watch.trouble(melt, {"energy": 0.0})


def test_a_calibration_that_lacks_a_species_is_refused_before_it_is_written(tmp_path):
    for path in files("committee")[:2]:
        for suffix in (".safetensors", ".json"):
            shutil.copy(path.with_suffix(suffix), tmp_path)
    frames = reference.split(reference.read_frames("data/frames"))["test"]
    silica = [frame for frame in frames if frame.info["composition"] == "SiO2"][:2]
    with pytest.raises(GlasslibError, match="0 of Na"):
        calibration.calibrate(tmp_path, silica)
    assert not (tmp_path / CALIBRATION).exists()
    (tmp_path / CALIBRATION).write_text("{}")  # one that cannot be used does not stand in the way of a new one
    soda = [frame for frame in frames if frame.info["composition"] == "NS"][:6]
    assert set(calibration.calibrate(tmp_path, soda)) == {"O", "Na", "Si"}
    assert load_potential(tmp_path).factor is not None


def test_forces_on_atoms_that_are_held_count():
    frame = reference.split(reference.read_frames("data/frames"))["test"][0]
    held = frame.copy()
    held.calc = frame.calc
    held.set_constraint(FixAtoms(range(len(held))))
    for made, free in zip(
        *(calibration.disagreement(load_potential("committee"), [f])[:2] for f in (held, frame)), strict=True
    ):
        np.testing.assert_allclose(made, free)
    np.testing.assert_array_equal(parity(load_potential(), [held]).forces, parity(load_potential(), [frame]).forces)


def test_species_too_rare_on_other_trajectories_are_foretold_nothing():
    spread, error = made(120, 0.1, 2.0)
    species, group = np.repeat(["O", "Na"], 60), np.r_[np.arange(60) % 5, np.zeros(60, int)]
    foretold = calibration.held_out(np.r_[spread[:60], spread[60:]], error, species, group)
    assert np.isnan(foretold[species == "Na"]).all() and np.isnan(foretold[species == "O"]).all()
    more, wrong = made(600, 0.1, 2.0)
    assert np.isfinite(calibration.held_out(more, wrong, np.full(600, "O"), np.arange(600) % 5)).all()
