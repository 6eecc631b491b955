"""Bond exchange: constructed jumps between partners, brute force, and atoms that never change theirs."""

import numpy as np
import pytest

from glasslib import GlasslibError, Trajectory, analysis

BOX = 30.0
SITES = np.array([[x, y, z] for x in (5, 15, 25) for y in (5, 15, 25) for z in (5, 15, 25)], float)  # silicons


def hopping(rate=0.05, frames=200, rattle=0.1, seed=0):
    """Oxygens that rattle 1.6 Å from a silicon and jump to another now and then, at some frame; which silicon each has [frames, oxygens]."""
    rng = np.random.default_rng(seed)
    home = np.tile(np.arange(27), 4)
    homes = np.empty((frames, len(home)), int)
    for f in range(frames):
        jumps = rng.random(len(home)) < rate * (f > 0)
        home = np.where(jumps, rng.integers(0, 27, len(home)), home)
        homes[f] = home
    away = rng.normal(size=(len(home), 3))
    away *= 1.6 / np.linalg.norm(away, axis=1)[:, None]
    oxygen = SITES[homes] + away + rattle * rng.normal(size=(frames, len(home), 3)).clip(-2, 2)
    positions = np.concatenate([np.broadcast_to(SITES, (frames, 27, 3)), oxygen], 1)
    species = ["Si"] * 27 + ["O"] * len(home)
    return Trajectory(positions, species, np.eye(3) * BOX, 0.1 * np.arange(frames)), homes


def test_shares_are_those_of_the_jumps_and_who_keeps_a_partner_is_gaussian():
    run, homes = hopping()
    found = analysis.bond_exchange(run, cutoff=3.0, origins=None, drift=False, time=[0.1, 0.5, 2.0])
    for lag in (1, 5, 20):
        at = found.sel(time=0.1 * lag, method="nearest")
        changed = homes[lag:] != homes[:-lag]
        assert float(at.changed) == pytest.approx(changed.mean(), rel=1e-12)
        share = (
            np.minimum(changed.sum(1), 11) / 11
        )  # of the tenth that moved farthest, for every jump is farther than a rattle
        assert float(at.changed_far) == pytest.approx(share.mean(), rel=1e-12)
        step = ((run.positions[lag:] - run.positions[:-lag])[:, 27:] ** 2).sum(-1)
        for name, of in (("alpha_2", step), ("alpha_2_kept", step[~changed])):
            brute = 0.6 * (of**2).mean() / of.mean() ** 2 - 1
            assert float(at[name]) == pytest.approx(brute, rel=1e-9)
        assert float(at.alpha_2) > 0.2 and abs(float(at.alpha_2_kept)) < 0.15
        assert (at.changed_sem > 0) and (at.alpha_2_kept_sem > 0)


def test_errors_span_what_other_runs_find():
    runs = [analysis.bond_exchange(hopping(seed=s)[0], cutoff=3.0, drift=False, time=[0.5]) for s in range(12)]
    for name in ("changed", "alpha_2"):
        values = np.array([float(d[name][0]) for d in runs])
        stated = np.array([float(d[f"{name}_sem"][0]) for d in runs])
        assert 0.4 < np.median(stated) / values.std(ddof=1) < 2.0


def test_partners_that_stay_are_not_exchanged():
    run, _ = hopping(rate=0.0)
    found = analysis.bond_exchange(run, cutoff=3.0)
    assert (found.changed == 0).all() and (found.changed_far == 0).all()
    np.testing.assert_allclose(found.alpha_2_kept, found.alpha_2)
    assert found.attrs["pair"] == "O-Si"


def test_where_everyone_has_another_partner_nothing_is_said_of_those_who_kept_theirs():
    run, _ = hopping(rate=0.0, frames=8)
    positions = np.array(run.positions)
    positions[1::2, 27:] += 10.0  # every oxygen to the next silicon and back
    run = Trajectory(positions, run.species, np.eye(3) * BOX, run.time)
    found = analysis.bond_exchange(run, cutoff=3.0, drift=False, time=[0.1, 0.2])
    assert found.changed.values.tolist() == [1.0, 0.0]
    assert np.isnan(found.alpha_2_kept[0]) and np.isfinite(found.alpha_2_kept[1])


@pytest.mark.parametrize(
    "options, said", [({"fraction": 1.0}, "fraction"), ({"pair": "O-Xe"}, "pair"), ({"cutoff": -1}, "cutoff")]
)
def test_senseless_options_are_named(options, said):
    with pytest.raises(GlasslibError, match=said):
        analysis.bond_exchange(hopping(frames=4)[0], **options)
