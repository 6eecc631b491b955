"""Published numbers that the book compares itself with: value, source, and what our runs say about each.

The values stand here and nowhere else; keys are those of book/references.bib. None is of the paper, whose numbers are not known here.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from .analysis.arrhenius import BOLTZMANN
from .claims import CHANNEL_Q, MATRIX_Q, at_q, times_ratio
from .verdicts import CHANCE, NOT_RESOLVED, SIGMAS, Finding, number, span, state_name, tabulated, trend

AGREES, DIFFERS = "agrees", "differs"

RELAXATION_RATIO = 100.0  # τ(Si)/τ(Na) of the incoherent functions, NS2 at low temperature: horbach2002
PREPEAK = (
    0.90,
    0.95,
)  # 1/Å: meyer2004, horbach2002channels. At CHANNEL_Q horbach2002 finds coherent functions to relax together
SODIUM_E, SODIUM_D_0 = 0.736, 92.0  # eV (71 kJ/mol), Å²/ps (0.0092 cm²/s): tracer in NS3 above 700 °C, braedt1988
GLASS_Q_N = {
    "NS2": {4: 0.11, 3: 0.79, 2: 0.10},
    "NS4": {4: 0.50, 3: 0.48, 2: 0.02},
}  # nuclear magnetic resonance: statmechglass

SODIUM_O, SODIUM_O_ERROR, SODIUM_O_LENGTH = (
    4.8,
    0.2,
    2.45,
)  # oxygens around Na and their mean distance, Å, glass of 42.5 % Na2O: hannon2021
SHARP_PEAK = 1.6  # 1/Å, first sharp diffraction peak of NS4, 300 to 950 K: zotov1998

FACTOR = 2.0  # within which numbers of other potentials or compositions are said to agree
SAME_SCALE = 3.0  # factor within which relaxation times are said to be of one scale
FEW = 0.1  # share of jumps below which those that go back are unimportant
SAME_LENGTH = 0.05  # Å, within which mean distances are said to agree
SAME_PEAK = 0.1  # 1/Å, likewise peaks of structure factors, whose shells are as wide
SAME_ENERGY = 0.2  # eV, that an error must leave a difference below to be said to agree
SAME_SHARE = 0.1  # within which shares of silicons are said to agree
BESIDE = ((0.45, 0.75), (1.15, 1.4))  # 1/Å, either side of the prepeak


@dataclass(frozen=True)
class Comparison:
    """A published result, its source, how its conditions are not ours, the results of ours it is compared with, and the rule that does."""

    quantity: str
    published: str
    conditions: str
    keys: tuple
    needs: tuple
    rule: object


def coldest(results, composition):
    """The coldest state of a composition and its result, or None."""
    mine = {s: d for s, d in results.items() if s[0] == composition}
    state = min(mine, key=lambda s: s[1], default=None)
    return None if state is None else (state, mine[state])


def incoherent(times, composition="NS2"):
    """How much longer silicon's incoherent function lasts than sodium's, coldest and trend."""
    near = {
        s: d for s, d in at_q(times).items() if s[0] == composition and {"Na", "Si"} <= set(d.species.values.tolist())
    }
    ratios = {s: times_ratio(d, "Si", "Na") for s, d in near.items()}
    known = {s: v for s, v in ratios.items() if np.isfinite(v[0])}
    if not known:
        return Finding(
            f"Silicon relaxes in no run of {composition}, or not at {MATRIX_Q:g} Å⁻¹ where it was computed.",
            NOT_RESOLVED,
        )
    with_error = {s: v for s, v in known.items() if np.isfinite(v[1])}
    state = min(with_error or known, key=lambda s: s[1])
    grows = trend({s[1]: v for s, v in known.items()})[2] < CHANCE
    text = f"{number(*known[state])} in {state_name(state)} at {MATRIX_Q:g} Å⁻¹" + (
        f", growing on cooling ({span(with_error)})." if grows else "."
    )
    value, spread = known[state]
    if RELAXATION_RATIO / FACTOR < value - SIGMAS * spread and value + SIGMAS * spread < RELAXATION_RATIO * FACTOR:
        return Finding(text, AGREES)
    return Finding(
        text, DIFFERS if value - SIGMAS * spread > RELAXATION_RATIO * FACTOR else NOT_RESOLVED
    )  # below: it may be too hot


def coherent(times, composition="NS2"):
    """Whether the coherent functions of silicon and sodium relax on one scale at the wave number of the channels."""
    found = {s: times_ratio(d, "Si", "Na") for s, d in at_q(times, CHANNEL_Q).items()}
    found = {s: v for s, v in found.items() if s[0] == composition and np.isfinite(v[0])}
    if not found:
        return Finding(f"No run of {composition} in which both relax.", NOT_RESOLVED)
    with_error = {s: v for s, v in found.items() if np.isfinite(v[1])}
    state = min(with_error or found, key=lambda s: s[1])
    ratio, error = found[state]
    grown = trend({s[1]: v for s, v in found.items()})[2]
    falls = f", falling on cooling ({span(with_error)})" if 1 - grown < CHANCE else ""
    text = f"τ(Si–Si)/τ(Na–Na) = {number(ratio, error)} in {state_name(state)}{falls}."
    cold = min((s for s in at_q(times, CHANNEL_Q) if s[0] == composition), key=lambda s: s[1])
    if state != cold:
        return Finding(f"{text} Of {state_name(cold)} nothing is known.", NOT_RESOLVED)
    same = 1 / SAME_SCALE < ratio - SIGMAS * error and ratio + SIGMAS * error < SAME_SCALE  # false for an unknown error
    apart = ratio - SIGMAS * error > SAME_SCALE or ratio + SIGMAS * error < 1 / SAME_SCALE
    return Finding(text, AGREES if same else DIFFERS if apart else NOT_RESOLVED)


def prepeak(partials, composition="NS2"):
    """Whether the Na–Na structure factor of the coldest melt is higher at the prepeak than on either side of it."""
    found = coldest(partials, composition)
    if found is None:
        return Finding(f"No run of {composition}.", NOT_RESOLVED)
    state, data = found
    one = data.sel(pair="Na-Na")
    middle, *sides = (mean_between(one, *limits) for limits in ((PREPEAK[0] - 0.05, PREPEAK[1] + 0.1), *BESIDE))
    if not all(np.isfinite(v).all() for v in (middle, *sides)):
        return Finding(f"No wave of the box lies there in {state_name(state)}.", NOT_RESOLVED)
    rises = [(middle[0] - v, np.hypot(middle[1], e)) for v, e in sides]
    below, above = (number(*rise) for rise in rises)
    text = f"S(Na–Na) at 0.9–1.0 Å⁻¹ in {state_name(state)} exceeds that at smaller wave numbers by {below}, that at larger ones by {above}."
    if all(v > SIGMAS * e for v, e in rises):
        return Finding(text, AGREES)
    return Finding(text, NOT_RESOLVED)


def mean_between(data, low, high):
    """Mean of S between two wave numbers and its error."""
    part = data.isel(q=np.flatnonzero((data.q > low) & (data.q < high) & np.isfinite(data.S)))
    if not part.sizes["q"]:
        return np.nan, np.nan
    return float(part.S.mean()), float(np.sqrt((part.S_sem**2).sum()) / part.sizes["q"])


def activation(diffusion, composition="NS2"):
    """Activation energy of sodium's diffusion."""
    from .analysis import arrhenius

    mine = {s: d for s, d in diffusion.items() if s[0] == composition and int(d.diffusive.sel(species="Na"))}
    if len(mine) < 2:
        return Finding(f"Sodium diffuses in {len(mine)} runs of {composition}: no activation energy.", NOT_RESOLVED)
    fit = arrhenius(mine).sel(species="Na")
    text = f"{number(float(fit.E), float(fit.E_sem))} eV in {composition}, {span(mine)}."
    off, error = abs(float(fit.E) - SODIUM_E), SIGMAS * float(fit.E_sem)
    return Finding(text, DIFFERS if off > error else AGREES if error < SAME_ENERGY else NOT_RESOLVED)


def extrapolated(diffusion, composition="NS2"):
    """Sodium's diffusion coefficient against the law measured in NS3, extrapolated."""
    mine = {s: d for s, d in diffusion.items() if s[0] == composition and int(d.diffusive.sel(species="Na"))}
    found = coldest(mine, composition)
    if found is None:
        return Finding(f"Sodium diffuses in no run of {composition}.", NOT_RESOLVED)
    state, data = found
    one = data.sel(species="Na")
    law = SODIUM_D_0 * np.exp(-SODIUM_E / (BOLTZMANN * state[1]))
    ratio = float(one.D) / law
    text = f"{number(float(one.D), float(one.D_sem))} Å²/ps in {state_name(state)}; the law gives {law:.2g} there, a ratio of {ratio:.2f}."
    error = ratio * float(one.D_sem / one.D)
    near = 1 / FACTOR < ratio - SIGMAS * error and ratio + SIGMAS * error < FACTOR
    far = ratio - SIGMAS * error > FACTOR or ratio + SIGMAS * error < 1 / FACTOR
    return Finding(text, AGREES if near else DIFFERS if far else NOT_RESOLVED)


def glass(q_n, composition="NS2"):
    """Shares of silicons with four, three and two bridging oxygens: all of them must agree."""
    found = coldest(q_n, composition)
    if found is None:
        return Finding(f"No run of {composition}.", NOT_RESOLVED)
    state, data = found
    text, verdicts = [], []
    for n, there in GLASS_Q_N[composition].items():
        if n not in data.n.values:
            continue
        value, error = float(data.probability.sel(n=n)), float(data.probability_sem.sel(n=n))
        off = abs(value - there)
        verdicts.append(
            AGREES
            if off + SIGMAS * error < SAME_SHARE
            else DIFFERS
            if off - SIGMAS * error > SAME_SHARE
            else NOT_RESOLVED
        )
        text.append(f"Q{'⁰¹²³⁴'[n]} {number(value, error)}")
    worst = next((v for v in (DIFFERS, NOT_RESOLVED) if v in verdicts), AGREES if verdicts else NOT_RESOLVED)
    return Finding(f"{', '.join(text)} in {state_name(state)}.", worst)


def oxygens(surroundings, composition="NS2"):
    """Number of oxygens around sodium."""
    found = coldest(surroundings, composition)
    if found is None:
        return Finding(f"No run of {composition}.", NOT_RESOLVED)
    state, data = found
    value, error = float(data["mean"]), float(data["mean_sem"])
    text = f"{number(value, error)} within {data.attrs['cutoff_A']:.2f} Å in {state_name(state)}."
    off, same = abs(value - SODIUM_O), SIGMAS * SODIUM_O_ERROR
    near, far = off + SIGMAS * error < same, off > SIGMAS * np.hypot(error, SODIUM_O_ERROR)
    return Finding(text, AGREES if near else DIFFERS if far else NOT_RESOLVED)


def bond(surroundings, composition="NS2"):
    """Mean distance of the oxygens around sodium."""
    found = coldest(surroundings, composition)
    if found is None:
        return Finding(f"No run of {composition}.", NOT_RESOLVED)
    state, data = found
    value, error = float(data.distance), float(data.distance_sem)
    off = abs(value - SODIUM_O_LENGTH)
    near, far = off + SIGMAS * error < SAME_LENGTH, off - SIGMAS * error > SAME_LENGTH
    text = f"{number(value, error)} Å within {data.attrs['cutoff_A']:.2f} Å in {state_name(state)}."
    return Finding(text, AGREES if near else DIFFERS if far else NOT_RESOLVED)


def sharp_peak(structure, composition="NS4"):
    """First sharp diffraction peak of the neutron structure factor: the parabola through the three highest shells between 1.2 and 2.1 Å⁻¹."""
    found = coldest(structure, composition)
    part = None if found is None else found[1].S.where((found[1].q > 1.2) & (found[1].q < 2.1)).dropna("q")
    if part is None or part.sizes["q"] < 3:
        return Finding(f"No run of {composition} with waves there.", NOT_RESOLVED)
    top = int(part.argmax("q"))
    at_edge = top in (0, part.sizes["q"] - 1)
    peak = float(part.q[top]) if at_edge else vertex(*(x.values[top - 1 : top + 2] for x in (part.q, part)))
    text = f"{peak:.2f} Å⁻¹ in {state_name(found[0])}."
    if at_edge:
        return Finding(f"No peak between 1.2 and 2.1 Å⁻¹; the highest value is at {text}", NOT_RESOLVED)
    return Finding(text, AGREES if abs(peak - SHARP_PEAK) < SAME_PEAK else DIFFERS)


def vertex(x, y):
    """Where the parabola through three points has its maximum."""
    curvature, slope, _ = np.polyfit(x - x[1], y, 2)
    return float(x[1] - slope / (2 * curvature))


def returns(jumps, composition="NS4"):
    """Share of sodium's jumps that go back."""
    found = coldest(jumps, composition)
    if found is None:
        return Finding(f"No run of {composition}.", NOT_RESOLVED)
    state, one = found[0], found[1].sel(species="Na")
    if not np.isfinite(one.returned):
        return Finding(
            f"None can be told in {state_name(state)}: jumps follow each other as in a walk without cages, or there are none.",
            NOT_RESOLVED,
        )
    value, error = float(one.returned), SIGMAS * float(one.returned_sem)
    text = f"{number(value, float(one.returned_sem))} in {state_name(state)}."
    return Finding(text, AGREES if value + error < FEW else DIFFERS if value - error > FEW else NOT_RESOLVED)


ANNEALING = {"NS2": 715, "NS3": 742, "NS4": 750, "NS6": 772}  # K, viscosity of 10¹² Pa s; medians of SciGlass
LIQUIDUS = {"NS2": 1147, "NS3": 1101, "NS4": 1383, "NS6": 1638}  # K, the same

COMPARISONS = (
    Comparison("Relaxation of silicon over that of sodium, incoherent functions", "about 100 in cold NS2, classical simulation (Horbach & Kob 2002)", "another potential at another density", ("horbach2002",), ("relaxation_time",), incoherent),
    Comparison("The same of the coherent functions near 1 Å⁻¹", "one common scale in cold NS2 (Horbach & Kob 2002)", "another potential at another density", ("horbach2002",), ("relaxation_time_coherent",), coherent),
    Comparison("Prepeak of the sodium channels", "0.95 Å⁻¹ in simulated NS2 (Horbach, Kob & Binder 2002), 0.9 Å⁻¹ by neutrons (Meyer et al. 2004)", "another potential and density; the neutrons of a colder melt see all pairs", ("horbach2002channels", "meyer2004"), ("partial_structure_factor",), prepeak),
    Comparison("Activation energy of sodium's diffusion", f"{SODIUM_E} eV, tracer in NS3 above 700 °C (Braedt & Frischat 1988)", "more silica, 1 bar, from 700 °C on; ours hotter and compressed", ("braedt1988",), ("diffusion_coefficient",), activation),
    Comparison("Sodium's diffusion coefficient", "law of the tracer in NS3, extrapolated (Braedt & Frischat 1988)", "more silica, 1 bar and a law beyond the temperatures where it was measured", ("braedt1988",), ("diffusion_coefficient",), extrapolated),
    *(Comparison(f"Silicons by bridging oxygens, {name}", ", ".join(f"Q{'⁰¹²³⁴'[n]} {share}" for n, share in GLASS_Q_N[name].items()) + f" in the glass {name}, nuclear magnetic resonance (in StatMechGlass)", "a glass, relaxed down to its transition; ours a melt", ("statmechglass",), ("q_speciation",), partial(glass, composition=name)) for name in GLASS_Q_N),
    Comparison("Oxygens around sodium, up to the first minimum of g(r)", f"{SODIUM_O} ± {SODIUM_O_ERROR} in the glass of 42.5 % Na₂O, neutrons (Hannon et al. 2021)", "less silica, a glass; ours a melt", ("hannon2021",), ("sodium_coordination",), oxygens),
    Comparison("Their mean distance", f"{SODIUM_O_LENGTH} Å in that glass (Hannon et al. 2021)", "less silica, a glass; ours a melt", ("hannon2021",), ("sodium_coordination",), bond),
    Comparison("First sharp diffraction peak", f"{SHARP_PEAK} Å⁻¹ in NS4 from 300 to 950 K, neutrons (Zotov, Delaplane & Keppler 1998)", "a glass; ours a melt", ("zotov1998",), ("structure_factor",), sharp_peak),
    Comparison("Jumps of sodium that go back", "unimportant in glassy NS4, classical simulation (Jund, Kob & Jullien 2001)", "colder, another potential, another rule for jumps", ("jund2001",), ("hops",), returns),
)  # fmt: skip


def compare(results):
    """Findings for all comparisons; `results` as of `claims.judge`."""
    found = {}
    for item in COMPARISONS:
        missing = [name for name in item.needs if not results.get(name)]
        text = f"Not computed: {', '.join(missing)}."
        found[item] = Finding(text, NOT_RESOLVED) if missing else item.rule(*(results[n] for n in item.needs))
    return found


def as_html(findings):
    """Table of comparisons: what was published and, for each set of runs, what was found; `findings`: label → result of `compare`."""
    return tabulated(
        findings,
        {c: (c.quantity, "Published", f"{c.published}. Not the same: {c.conditions}.") for c in COMPARISONS},
        "Quantity",
    )
