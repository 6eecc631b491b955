"""Verdicts on results whose answer is known."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from glasslib import claims, sweep
from glasslib.errors import GlasslibError

SPECIES = ["Na", "O", "Si"]


def times(na, si, error=0.02, reached=1):
    return xr.Dataset(
        {
            "tau": ("species", [na, si / 2, si if reached == 1 else np.nan]),
            "tau_sem": ("species", [na * error, si * error, si * error]),
            "reached": ("species", [1, 1, reached]),
            "bound": ("species", [np.nan, np.nan, np.nan if reached == 1 else si]),
        },
        {"species": SPECIES},
    )


def peaks(heights, error=0.01, inside=1):
    values = {
        "height": ("species", heights),
        "height_sem": ("species", [error] * 3),
        "inside": ("species", [inside] * 3),
    }
    return xr.Dataset(values, {"species": SPECIES})


def order(differences, p):
    data = {"difference": ("pair", differences), "difference_sem": ("pair", [0.05] * 3), "p": ("pair", p)}
    return xr.Dataset(data, {"pair": ["Na-O", "Na-Si", "O-Si"]})


def bimodality(significance, second=3.2, error=0.002):
    n = len(significance)
    data = {name: (("species", "time"), np.tile(values, (3, 1))) for name, values in (
        ("significance", significance), ("p", norm.sf(significance)), ("rise", error * np.array(significance)), ("rise_sem", np.full(n, error)), ("second", np.where(np.isnan(significance), np.nan, second)),
    )}  # fmt: skip
    return xr.Dataset(data, {"species": SPECIES, "time": np.geomspace(0.1, 10, n)})


def diffusion(diffusive=1, na=10.0, si=0.1):
    data = {
        "D": ("species", [na, 0.2, si]),
        "D_sem": ("species", [0.5, 0.01, 0.005]),
        "diffusive": ("species", [diffusive] * 3),
    }
    return xr.Dataset(data, {"species": SPECIES})


def test_decoupling_that_grows_on_cooling_is_supported():
    found = claims.decoupling({("NS2", t): times(1.0, 2.0 * (4000 / t) ** 3) for t in (2000.0, 2500.0, 3000.0, 4000.0)})
    assert found.verdict == claims.SUPPORTED
    assert "16.0" in found.found and "NS2 at 2000 K" in found.found


def test_equal_relaxation_times_are_no_decoupling():
    assert claims.decoupling({("NS2", t): times(1.0, 1.0) for t in (2000.0, 3000.0)}).verdict == claims.NOT_SUPPORTED


def test_one_temperature_leaves_the_trend_open():
    assert claims.decoupling({("NS2", 3000.0): times(1.0, 3.0)}).verdict == claims.NOT_RESOLVED


def test_a_lower_bound_counts_for_the_trend_where_it_is_colder_and_higher():
    ratios = {("NS2", 2500.0): (30.0, 3.0), ("NS2", 3000.0): (14.0, 0.7), ("NS4", 2000.0): (9.0, 1.0)}
    low = {
        ("NS2", 2000.0): 50.0,
        ("NS2", 1500.0): 20.0,
        ("NS2", 1200.0): 60.0,
        ("NS2", 2700.0): 90.0,
        ("NS4", 1500.0): 8.0,
    }
    found = claims.with_bounds(ratios, low, "NS2")
    assert found == {2500.0: (30.0, 3.0), 3000.0: (14.0, 0.7), 2000.0: (50.0, 5.0)}
    assert claims.with_bounds(ratios, low, "NS4") == {2000.0: (9.0, 1.0)}
    assert claims.with_bounds(ratios, low, "NS6") == {}


def test_a_network_that_does_not_relax_gives_a_lower_bound():
    found = claims.decoupling({("NS2", 2000.0): times(0.5, 10.0, reached=0)})
    assert "exceeds 20" in found.found


def late(species, bound, **others):
    """Relaxation times of which some lie beyond the run."""
    data = times(1.0, 2.0, **others)
    for name in species:
        data["tau"].loc[{"species": name}] = np.nan
        data["reached"].loc[{"species": name}] = 0
        data["bound"].loc[{"species": name}] = bound
    return data


def test_a_state_in_which_sodium_is_the_slow_one_speaks_against_decoupling():
    good = {("NS2", t): times(1.0, 2.0 * (4000 / t) ** 3) for t in (3000.0, 4000.0)}
    assert claims.decoupling(good).verdict == claims.SUPPORTED
    found = claims.decoupling(good | {("NS2", 2000.0): late(["Na"], 50.0)})
    assert found.verdict == claims.NOT_RESOLVED and "2 of 3 states" in found.found
    neither = claims.decoupling(good | {("NS2", 2000.0): late(["Na", "Si"], 50.0)})
    assert neither.verdict == claims.SUPPORTED and "Neither relaxes in 1 more" in neither.found


def within(na, si, a=1.0):
    return times(na, si).expand_dims(a=[a])


def test_decoupling_that_another_function_contradicts_is_not_supported():
    temperatures = 2000.0, 2500.0, 3000.0, 4000.0
    good = {("NS2", t): times(1.0, 2.0 * (4000 / t) ** 3) for t in temperatures}
    alike = {("NS2", t): within(1.0, 3.0 * (4000 / t) ** 2) for t in temperatures}
    found = claims.decoupling(good, alike)
    assert found.verdict == claims.SUPPORTED
    assert "By the overlap within 1 Å: 12.0" in found.found and "above 1 in 4 of 4 states" in found.found
    slower = {s: within(2.0, 1.0) if s[1] == 2000.0 else d for s, d in alike.items()}
    found = claims.decoupling(good, slower)
    assert found.verdict == claims.NOT_RESOLVED and "below in 1" in found.found
    falling = {("NS2", t): within(1.0, 2.0 * (t / 1000) ** 3) for t in temperatures}
    assert claims.decoupling(good, falling).verdict == claims.NOT_RESOLVED
    rattle = {("NS2", t): within(2.0, 1.0, a=0.5) for t in temperatures}  # of no use: sodium rattles wider than that
    assert claims.decoupling(good, rattle).found == claims.decoupling(good).found
    judged = claims.judge({"relaxation_time": good, "relaxation_time_overlap": slower})
    assert {f.verdict for c, f in judged.items() if c.rule is claims.decoupling} == {claims.NOT_RESOLVED}


def test_a_hop_is_set_beside_the_distance_of_neighbours():
    state, r = ("NS2", 2000.0), np.arange(0.05, 6.0, 0.1)
    g = 1 + np.exp(-((r - 3.1) ** 2) / 0.1) - (r < 2.3)
    structure = xr.Dataset({"g": (("pair", "r"), [g])}, {"pair": ["Na-Na"], "r": r})
    given = {state: bimodality([1.0, 6.0, 4.0])}, {state: diffusion()}
    assert "Neighbouring Na are 3.1 Å apart there" in claims.hopping(*given, {state: structure}).found
    other = structure.assign_coords(pair=["O-O"])
    for unknown in ({state: other}, {state: structure * 0}, {}, None):
        assert "Neighbouring" not in claims.hopping(*given, unknown).found


def test_a_ratio_that_noise_leaves_open_is_not_a_missing_decoupling():
    assert claims.decoupling({("NS2", 2000.0): times(1.0, 6.0, error=0.5)}).verdict == claims.NOT_RESOLVED


def test_times_at_another_wave_number_are_not_taken_for_those_of_the_network():
    other = {("NS2", t): times(1.0, 9e4 / t).assign_coords(q=2.1) for t in (2000.0, 3000.0)}
    assert claims.decoupling(other).verdict == claims.NOT_RESOLVED
    both = {s: xr.concat([d, 100 * d], "q").assign_coords(q=[1.7, 2.1]) for s, d in other.items()}
    assert "45.0" in claims.decoupling(both).found
    long = {s: xr.concat([d, d], "q").assign_coords(q=[0.95, 1.7]) for s, d in other.items()}
    assert "At 0.95 Å⁻¹" in claims.decoupling(long).found and "At 0.95" not in claims.decoupling(both).found


def test_a_species_that_does_not_relax_has_fewer_times_within_the_run():
    data = late(["Si"], 9.0).assign_attrs(length_ps=10.0)
    assert sweep.times_within(data) == {"Na": "10.0", "O": "10.0", "Si": "< 1.1"}


def test_a_second_maximum_is_a_hop_only_beyond_what_many_looks_would_give():
    assert (
        claims.hopping({("NS2", 2000.0): bimodality([1.0, 6.0, 2.0])}, {("NS2", 2000.0): diffusion()}).verdict
        == claims.SUPPORTED
    )
    three = claims.hopping({("NS2", 2000.0): bimodality([2.9] * 50)}, {("NS2", 2000.0): diffusion()})
    assert three.verdict == claims.NOT_SUPPORTED and "Tested at 2000 K only" in three.found
    assert (
        claims.hopping({("NS2", 2000.0): bimodality([0.5])}, {("NS2", 2000.0): diffusion(0)}).verdict
        == claims.NOT_RESOLVED
    )


def test_a_second_maximum_at_one_lag_time_only_is_no_hop():
    state = ("NS2", 2000.0)
    alone = claims.hopping({state: bimodality([0.2, 6.0, -0.5, 0.1])}, {state: diffusion()})
    assert alone.verdict == claims.NOT_RESOLVED and "none at the lag times beside it" in alone.found
    beside = claims.hopping({state: bimodality([0.2, 6.0, 2.5, 0.1])}, {state: diffusion()})
    assert beside.verdict == claims.SUPPORTED and "6.0 standard" in beside.found
    # a higher one elsewhere that does not last hides none that does
    other = {state: bimodality([0.2, 5.0, 3.0]), ("NS2", 1500.0): bimodality([0.1, 9.0, 0.1])}
    found = claims.hopping(other, {s: diffusion() for s in other})
    assert found.verdict == claims.SUPPORTED and "NS2 at 2000 K, 5.0 standard" in found.found


def test_noise_that_could_hide_a_second_maximum_leaves_the_claim_open():
    noisy = bimodality([2.0] * 5, error=0.05)
    assert claims.hopping({("NS2", 2000.0): noisy}, {("NS2", 2000.0): diffusion()}).verdict == claims.NOT_RESOLVED


def test_no_second_maximum_anywhere_is_no_hop():
    none = bimodality([np.nan] * 4)
    assert claims.hopping({("NS2", 2000.0): none}, {("NS2", 2000.0): diffusion()}).verdict == claims.NOT_SUPPORTED


def test_the_leading_species_must_beat_both_others():
    state = ("NS2", 2000.0)
    high, low = peaks([0.3, 0.6, 0.4]), peaks([0.6, 0.3, 0.4])
    assert (
        claims.leader({state: high}, {state: order([-0.3, -0.1, 0.2], [1e-4, 0.3, 1e-3])}).verdict == claims.SUPPORTED
    )
    assert (
        claims.leader({state: high}, {state: order([-0.3, -0.1, 0.2], [1e-4, 0.3, 0.2])}).verdict == claims.NOT_RESOLVED
    )
    assert (
        claims.leader({state: low}, {state: order([0.3, 0.2, -0.1], [1e-4, 0.1, 0.3])}).verdict == claims.NOT_SUPPORTED
    )


def test_states_speak_together_and_one_small_p_among_many_is_not_enough():
    states = [("NS2", float(t)) for t in range(1000, 3000, 100)]
    high = {s: peaks([0.3, 0.6, 0.4]) for s in states}
    one, none = order([-0.3, 0, 0.2], [0.01, 1, 0.01]), order([-0.3, 0, 0.2], [1, 1, 1])
    assert claims.leader(high, {s: one if s == states[0] else none for s in states}).verdict == claims.NOT_RESOLVED
    weak = order([-0.3, 0, 0.2], [0.2, 1, 0.2])
    assert claims.leader(high, {states[0]: weak}).verdict == claims.NOT_RESOLVED
    together = claims.leader(high, {s: weak for s in states})
    assert (
        together.verdict == claims.SUPPORTED
        and "above Na: p < 0.0001 of 20 states together, in the coldest of them, NS2 at 1000 K, by 0.30"
        in together.found
    )
    # Stouffer: the sum of k scores over √k; two of p = 0.1 to either side leave one half
    two = {states[0]: order([-0.3, 0, 0.2], [0.1, 1, 0.1]), states[1]: order([0.3, 0, -0.2], [0.1, 1, 0.1])}
    assert "above Si: p = 0.5 of 2 states together" in claims.leader(high, two).found


def curve(peaks, error=0.01):
    """α₂ that rises to its peaks, at ten lag times."""
    heights = peaks.height.values[:, None] * np.linspace(0.1, 1, 10)
    errors = np.full(heights.shape, error)
    data = {"alpha_2": (("species", "time"), heights), "alpha_2_sem": (("species", "time"), errors)}
    return xr.Dataset(data, {"species": SPECIES, "time": np.geomspace(0.1, 10, 10)})


def heterogeneity(states, error=0.01):
    return claims.heterogeneous(states, {s: curve(d, error) for s, d in states.items()}).verdict


def test_values_within_their_errors_are_not_heterogeneity():
    state = ("NS2", 2000.0)
    assert heterogeneity({state: peaks([0.5, 0.5, 0.5])}) == claims.SUPPORTED
    assert heterogeneity({state: peaks([0.005, 0.01, 0.004])}) == claims.NOT_SUPPORTED
    assert heterogeneity({state: peaks([0.5] * 3, np.nan)}, np.nan) == claims.NOT_RESOLVED
    assert heterogeneity({state: peaks([0.5, 0.5, 0.18])}) == claims.NOT_RESOLVED  # cages may
    hot = {("NS2", 3000.0): peaks([0.18] * 3), state: peaks([0.5] * 3)}
    assert heterogeneity(hot) == claims.SUPPORTED
    noisy = {state: peaks([0.3, 0.35, 0.4], 0.2)}
    assert heterogeneity(noisy, 0.2) == claims.NOT_RESOLVED


def test_lag_times_that_few_blocks_hold_show_no_heterogeneity():
    state, high = ("NS2", 2000.0), peaks([0.5] * 3)
    late = curve(high).assign_attrs(length_ps=20.0)  # to 10 ps: only lag times up to 4 ps count
    sure = late.alpha_2_sem.where(late.time > 4, 10.0)
    assert claims.heterogeneous({state: high}, {state: late}).verdict == claims.SUPPORTED
    assert "in 0 of 3" in claims.heterogeneous({state: high}, {state: late.assign(alpha_2_sem=sure)}).found


def test_a_noisy_peak_of_a_cold_species_does_not_undo_what_earlier_times_show():
    cold = {("NS2", 1500.0): peaks([0.5, 0.5, 0.4], 0.3), ("NS2", 2000.0): peaks([0.5] * 3)}
    curves = {s: curve(d) for s, d in cold.items()}
    assert claims.heterogeneous(cold, curves).verdict == claims.SUPPORTED


def test_the_largest_of_many_noisy_values_is_not_heterogeneity():
    rng = np.random.default_rng(3)
    above = 0
    for _ in range(400):  # 60 lag times of pure noise, errors from four blocks
        blocks = rng.normal(size=(4, 3, 60))
        found = xr.Dataset(
            {
                "alpha_2": (("species", "time"), blocks.mean(0)),
                "alpha_2_sem": (("species", "time"), blocks.std(0, ddof=1) / 2),
            },
            {"species": SPECIES, "time": np.arange(1, 61)},
        )
        text = claims.heterogeneous({("NS2", 2000.0): peaks([0.1] * 3)}, {("NS2", 2000.0): found}).found
        above += int(text.split("exceeds zero in ")[1].split(" ")[0])
    assert above < 0.04 * 1200


def test_cages_alone_give_no_more_than_the_level_that_is_to_be_exceeded():
    square = ((np.random.default_rng(0).normal(size=(400_000, 3)) * np.array([2.0, 1, 1])) ** 2).sum(1)
    assert 0.6 * (square**2).mean() / square.mean() ** 2 - 1 < claims.CAGES + 0.01


def test_a_peak_at_the_end_of_the_lag_times_is_a_lower_bound_and_nothing_more():
    state = ("NS2", 2000.0)
    ordered = order([0.3, 0.2, -0.1], [1e-4, 1e-4, 0.3])  # sodium above oxygen
    cut = peaks([0.6, 0.3, 0.4]).assign(inside=("species", [1, 0, 1]))
    assert claims.leader({state: peaks([0.6, 0.3, 0.4])}, {state: ordered}).verdict == claims.NOT_SUPPORTED
    assert claims.leader({state: cut}, {state: ordered}).verdict == claims.NOT_RESOLVED
    first = order([-0.3, -0.1, 0.2], [1e-4, 0.3, 1e-4])  # oxygen above both
    rival = peaks([0.3, 0.6, 0.4]).assign(inside=("species", [0, 1, 1]))
    assert claims.leader({state: rival}, {state: first}).verdict == claims.NOT_RESOLVED
    own = peaks([0.3, 0.6, 0.4]).assign(inside=("species", [1, 0, 1]))
    assert claims.leader({state: own}, {state: first}).verdict == claims.SUPPORTED


def test_a_lower_bound_may_support_a_rise_and_never_a_fall():
    hot = {("NS2", t): peaks([3000 / t] * 3) for t in (3000.0, 4000.0)}
    low, high = (peaks([v] * 3, inside=0) for v in (0.1, 3.0))
    assert claims.cooling({("NS2", 3000.0): peaks([1.0] * 3), ("NS2", 2000.0): low}).verdict == claims.NOT_RESOLVED
    assert claims.cooling({("NS2", 3000.0): peaks([1.0] * 3), ("NS2", 2000.0): high}).verdict == claims.SUPPORTED
    falling = {("NS2", t): peaks([t / 3000] * 3) for t in (3000.0, 4000.0)}
    assert claims.cooling(falling).verdict == claims.NOT_SUPPORTED
    assert claims.cooling(falling | {("NS2", 2000.0): low}).verdict == claims.NOT_RESOLVED
    assert claims.cooling(hot).verdict == claims.SUPPORTED


def test_growth_on_cooling_needs_two_temperatures_and_the_right_sign():
    assert claims.cooling({("NS2", t): peaks([3000 / t] * 3) for t in (2000.0, 3000.0)}).verdict == claims.SUPPORTED
    assert claims.cooling({("NS2", t): peaks([t / 3000] * 3) for t in (2000.0, 3000.0)}).verdict == claims.NOT_SUPPORTED
    assert claims.cooling({("NS2", 3000.0): peaks([1.0] * 3)}).verdict == claims.NOT_RESOLVED


def trends(scatter, slope, n=1500):
    """Trends of values with errors of 5 % that scatter by another share."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        yield claims.trend(
            {
                t: (np.exp(slope * 1000 / t + scatter * rng.normal()), 0.05 * np.exp(slope * 1000 / t))
                for t in (2000.0, 2500.0, 3000.0, 4000.0)
            }
        )


def test_trend_recovers_an_exponential_and_its_error():
    scores = [(slope - 1.5) / error for slope, error, _ in trends(0.05, 1.5)]
    assert np.mean(scores) == pytest.approx(0, abs=0.1)
    assert 0.7 < np.std(scores) < 1.15


@pytest.mark.parametrize("scatter", [0.05, 0.2])
def test_values_that_do_not_change_seem_to_grow_no_more_often_than_chance_allows(scatter):
    """Also where they scatter four times as much as their errors say, which normal quantiles would forgive too much."""
    p = np.array([chance for _, _, chance in trends(scatter, 0.0)])
    assert 0.25 * claims.CHANCE < (p < claims.CHANCE).mean() < 1.4 * claims.CHANCE
    assert (p > 1 - claims.CHANCE).mean() < 1.4 * claims.CHANCE


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.14159, 0.15, "3.14 ± 0.15"),
        (1234.5, 67.8, "1234 ± 68"),
        (0.5, 0.0123, "0.500 ± 0.012"),
        (567.0, np.nan, "570 (error unknown)"),
    ],
)
def test_errors_have_two_digits(value, error, text):
    assert claims.number(value, error) == text


def test_missing_results_leave_a_claim_open_and_no_claim_out():
    high = peaks([0.5] * 3)
    findings = claims.judge(
        {"non_gaussian_peak": {("NS2", 2000.0): high}, "non_gaussian": {("NS2", 2000.0): curve(high)}}
    )
    assert len(findings) == len(claims.CLAIMS)
    verdicts = {claim.text: finding.verdict for claim, finding in findings.items()}
    assert verdicts["Every species is dynamically heterogeneous"] == claims.SUPPORTED
    assert verdicts["Oxygen's α₂ is the largest"] == claims.NOT_RESOLVED


def test_the_table_holds_every_claim_and_every_set_of_runs():
    found = claims.judge({"non_gaussian_peak": {("NS2", 2000.0): peaks([0.5] * 3)}})
    text = claims.as_html({"a <run>": found, "another": found})
    assert text.count("<tr>") == 1 + 2 * len(claims.CLAIMS)
    assert claims.as_html({"run": found}, brief=True).count("<tr>") == 1 + 4
    assert "a &lt;run&gt;" in text and "<run>" not in text


def test_states_that_could_not_be_looked_at_exclude_no_hop():
    blind = bimodality([1.0] * 4)
    for name in ("p", "rise", "rise_sem", "significance"):
        blind[name] = blind[name] * np.nan
    assert claims.hopping({("NS2", 2000.0): blind}, {("NS2", 2000.0): diffusion()}).verdict == claims.NOT_RESOLVED
    none = {("NS2", 2000.0): bimodality([np.nan] * 4)}
    assert claims.hopping(none, {("NS2", 3000.0): diffusion()}).verdict == claims.NOT_RESOLVED


def test_chance_among_many_compositions_decides_nothing():
    rng, verdicts = np.random.default_rng(0), []
    for _ in range(400):
        states = {}
        for name in ("NS2", "NS4", "NS6"):
            for temperature in (2000.0, 3000.0):
                states[name, temperature] = times(*(np.array([1.0, 3.0]) * (1 + 0.02 * rng.normal(size=2))))
        verdicts.append(claims.decoupling(states).verdict)
    assert verdicts.count(claims.SUPPORTED) < 0.045 * 400 and verdicts.count(claims.NOT_SUPPORTED) < 0.045 * 400


def test_one_fall_among_many_cases_refutes_no_growth():
    states = {(name, t): peaks([0.5, 0.5, 0.5]) for name in ("NS2", "NS4", "NS6") for t in (2000.0, 3000.0)}
    states["NS2", 2000.0] = peaks([0.3, 0.5, 0.5])
    assert claims.cooling(states).verdict == claims.NOT_RESOLVED


def test_a_state_is_a_composition_and_a_temperature():
    with pytest.raises(GlasslibError, match="temperature"):
        claims.judge({"relaxation_time": {"NS2": times(1.0, 2.0)}})


def test_a_network_that_relaxes_too_late_for_an_error_exceeds_the_time_that_it_surely_outlives():
    data = times(1.0, 60.0)
    data["tau_sem"].loc[{"species": "Si"}] = np.nan
    data["outlived"] = ("species", [0.9, 20.0, 40.0])
    assert "exceeds 38.5" in claims.decoupling({("NS2", 2000.0): data}).found  # 40 / (1 + 2 · 0.02)
    data["outlived"].loc[{"species": "Si"}] = 0.0
    assert "in 0 of 1 states" in claims.decoupling({("NS2", 2000.0): data}).found
