"""The paper's claims as questions to results: what was found, with its uncertainty, and what that makes of the claim.

Verdicts follow from numbers by the rules below, none from looking at a figure: SUPPORTED, NOT_SUPPORTED (the runs could have shown it and
did not) and NOT_RESOLVED (they could not have). Results come by state, {(composition, temperature in K): Dataset}, of one set of runs.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from .analysis.non_gaussian_peak import BLOCKS, LONGEST
from .analysis.statistics import FOUR_BLOCKS
from .errors import GlasslibError, shown
from .verdicts import (
    CHANCE,
    NOT_RESOLVED,
    NOT_SUPPORTED,
    SIGMAS,
    SUPPORTED,
    Finding,
    chance,
    number,
    span,
    state_name,
    tabulated,
    trend,
)  # fmt: skip

LEVEL = 0.01  # probability of a false positive, all lag times and states that were looked at taken together
LEAST_RISE = 0.02  # 1/Å, height of a second maximum that a run must be able to exclude before its absence says anything
LEAST_RATIO = 2.0  # of relaxation times, that a run must be able to exclude before it says that there is no decoupling
LEAST_ALPHA = 0.05  # height of a peak of α₂, likewise
CAGES = 0.2  # α₂ of atoms that only rattle, in cages twice as wide one way as the others: a convention, for cages of no shape are known
MATRIX_Q = 1.7  # 1/Å, wave number of the network, where relaxation times are compared
CHANNEL_Q = 0.95  # 1/Å, that of the sodium channels: waves longer than a jump
Q_OFF = 0.05  # 1/Å, how far off that a computed one may be


@dataclass(frozen=True)
class Claim:
    """A claim, what would refute it, the results it rests on, and the rule that judges them."""

    text: str
    refuted_by: str
    needs: tuple
    rule: object
    of_paper: bool = True


def most_significant(bimodality, species="Na"):
    """Results of `bimodality` for one species (None: results are of one) at the lag time of the smallest p-value: state → Dataset, the most significant
    state first."""
    states = bimodality
    if species is not None:
        states = {s: d.sel(species=species) for s, d in bimodality.items() if species in d.species.values}
    best = {s: d.isel(time=int(d.p.fillna(1.0).argmin("time"))) for s, d in states.items()}
    return dict(sorted(best.items(), key=lambda item: float(item[1].p.fillna(1.0))))


def lasts(p):
    """Whether the p-value of a neighbouring lag time is small, too."""
    small = p < CHANCE
    return small.shift(time=1, fill_value=False) | small.shift(time=-1, fill_value=False)


def hopping(bimodality, diffusion, species="Na"):
    """Does the van Hove function have a second maximum: do atoms hop?

    The chance that noise makes the highest of all second maxima, at any lag time and state, must be below LEVEL, and there must be one at a
    neighbouring lag time of that state, too: what sites make does not come and go within a factor of two in time.
    """
    states = {s: d.sel(species=species) for s, d in bimodality.items() if species in d.species.values}
    looks = sum(d.p.size for d in states.values())
    best = most_significant(bimodality, species)
    score = {s: float(d.significance.fillna(0.0)) for s, d in best.items()}
    lasting = most_significant({s: d.where(lasts(d.p)) for s, d in states.items()}, None)
    seen = [s for s, d in lasting.items() if looks * float(d.p.fillna(1.0)) < LEVEL]
    top = next(iter(best), None)
    tested = f" Tested at {span(states)} only." if states else ""
    if seen:
        top, best = seen[0], lasting
        score[top] = float(best[top].significance)
        one = best[top]
        return Finding(
            f"A second maximum at {float(one.second):.1f} Å after {float(one.time):.2g} ps in {state_name(top)}, {score[top]:.1f} standard "
            f"errors above the dip before it ({chance(looks * float(one.p))}, {looks} looks counted); a significant one in {len(seen)} of {len(states)} states: {', '.join(map(state_name, sorted(seen)))}.{tested}",
            SUPPORTED,
        )
    closest = ""
    if top and score[top] > 0:
        alone = looks * float(best[top].p.fillna(1.0)) < LEVEL
        closest = (
            f" The highest candidate, in {state_name(top)} after {float(best[top].time):.2g} ps, reaches {score[top]:.1f} standard errors "
            f"({chance(looks * float(best[top].p))}, {looks} looks counted){', but there is none at the lag times beside it' if alone else ''}."
        )
    moved = [
        s
        for s, d in diffusion.items()
        if s in states and species in d.species.values and int(d.diffusive.sel(species=species)) == 1
    ]
    if not moved or (top and looks * float(best[top].p.fillna(1.0)) < LEVEL):
        if moved:
            return Finding(f"No second maximum that lasts.{closest}{tested}", NOT_RESOLVED)
        return Finding(f"{species} does not move far enough in these runs to show hops.{closest}{tested}", NOT_RESOLVED)
    # one maximum only leaves nothing that noise could hide; two whose rise could not be judged (few atoms) may hide anything
    highest = {
        s: float(
            (d.rise + SIGMAS * d.rise_sem).where(np.isfinite(d.second) | d.rise.notnull(), 0.0).fillna(np.inf).max()
        )
        for s, d in states.items()
        if s in moved
    }
    text = f"No second maximum beyond chance in {len(states)} states, though {species} diffuses in {len(moved)} of them.{closest}{tested}"
    if noisy := [s for s, value in highest.items() if value > LEAST_RISE]:
        return Finding(f"{text} In {len(noisy)} of those the noise could hide a low one.", NOT_RESOLVED)
    return Finding(text, NOT_SUPPORTED)


def at_q(times, q=MATRIX_Q):
    """Relaxation times at a wave number, of those states that have it."""
    near = {s: d.sel(q=q, method="nearest") if "q" in d.dims else d for s, d in times.items()}
    return {s: d for s, d in near.items() if "q" not in d.coords or abs(float(d.q) - q) <= Q_OFF}


def times_ratio(data, slow, fast):
    """τ(slow)/τ(fast) with its error; NaN where one was not reached."""
    a, b = data.sel(species=slow), data.sel(species=fast)
    ratio = float(a.tau / b.tau)
    return ratio, ratio * float(np.hypot(a.tau_sem / a.tau, b.tau_sem / b.tau))


def decoupling(times, slow="Si", fast="Na", q=MATRIX_Q):
    """Does sodium relax sooner than silicon, and the more so the colder? `times`: results of relaxation_time."""
    long = {
        s: times_ratio(d, slow, fast)
        for s, d in at_q(times, CHANNEL_Q).items()
        if {slow, fast} <= set(d.species.values.tolist()) and "q" in d.coords
    }
    long = {s: v for s, v in long.items() if np.isfinite(v).all()}
    times = at_q(times, q)
    ratios, lower, upper, unknown = {}, {}, {}, []
    for state, data in times.items():
        if not {slow, fast} <= set(data.species.values.tolist()):
            continue
        a, b = data.sel(species=slow), data.sel(species=fast)
        late = int(a.reached), int(b.reached)  # 1: a time, 0: later than the run, -1: before its first lag time
        ratio = float((a.tau if late[0] == 1 else a.bound) / (b.tau if late[1] == 1 else b.bound))
        if not np.isfinite(ratio):
            unknown.append(state)
        elif (
            late[0] >= 0 and late[1] == 1 and not np.isfinite(a.tau_sem) and np.isfinite(b.tau_sem) and "outlived" in a
        ):
            # late in a run few blocks are left and τ has no error: then the slow one is known to outlive some lag time
            lower[state] = float(a.outlived / (b.tau + SIGMAS * b.tau_sem))
        elif late == (1, 1):
            ratios[state] = ratio, ratio * float(np.hypot(a.tau_sem / a.tau, b.tau_sem / b.tau))
        elif late in ((0, 1), (0, -1), (1, -1)):
            lower[state] = ratio
        elif late in ((1, 0), (-1, 0), (-1, 1)):
            upper[state] = ratio
        else:
            unknown.append(state)
    if not (ratios or lower or upper):
        return Finding(f"{fast} does not relax within these runs, or q = {q:g} Å⁻¹ was not computed.", NOT_RESOLVED)
    text = []
    if ratios:
        cold = min(ratios, key=lambda s: (s[1], s[0]))
        text.append(f"τ({slow})/τ({fast}) = {number(*ratios[cold])} in {state_name(cold)}.")
    for found, says in ((lower, "exceeds"), (upper, "is below")):
        if found:
            cold = min(found, key=lambda s: (s[1], s[0]))
            text.append(
                f"In {state_name(cold)} one of them relaxes outside the lag times, or so late that its time has no error: the ratio {says} {found[cold]:.3g}."
            )
    above = [v - 1 > SIGMAS * e for v, e in ratios.values()] + [v > 1 for v in lower.values()] + [False] * len(upper)
    level = [v + SIGMAS * e < LEAST_RATIO for v, e in ratios.values()] + [v < LEAST_RATIO for v in upper.values()]
    slopes = {c: trend(with_bounds(ratios, lower, c)) for c in sorted({c for c, _ in ratios})}
    known = {c: p for c, (_, _, p) in slopes.items() if np.isfinite(p)}
    level_each = CHANCE / max(len(known), 1)  # so that chance moves none of the compositions
    rising = [c for c, p in known.items() if p < level_each]
    falling = [c for c, p in known.items() if 1 - p < level_each]
    text.append(f"It exceeds 1 by two standard errors in {sum(above)} of {len(above)} states.")
    if unknown:
        text.append(f"Neither relaxes in {len(unknown)} more.")
    if long:
        cold = min(long, key=lambda s: (s[1], s[0]))
        text.append(
            f"At {CHANNEL_Q:g} Å⁻¹, where sodium's function falls by diffusion rather than by rattling: {number(*long[cold])} in {state_name(cold)}."
        )
    if known:
        sure, unsure = (
            ", ".join(f"{c} ({chance(p)})" for c, p in known.items() if (c in rising) == which)
            for which in (True, False)
        )
        text += [f"It grows on cooling in {sure}."] if sure else []
        text += [f"Whether it grows on cooling cannot be told in {unsure}."] if unsure else []
    if all(above) and rising and not falling:
        return Finding(" ".join(text), SUPPORTED)
    nowhere = bool(level) and all(level) and not lower
    return Finding(" ".join(text), NOT_SUPPORTED if nowhere or (falling and not rising) else NOT_RESOLVED)


def with_bounds(ratios, lower, composition):
    """{temperature: (ratio, error)} of a composition, with the lower bound of the next colder state that has one above the coldest of them.

    A bound that is exceeded by what is known of a hotter state tells nothing, and one of a state far colder asks for little where the ratio should be
    high. Its relative error is taken to be the largest of the others.
    """
    known = {t: v for (name, t), v in ratios.items() if name == composition and np.isfinite(v[1])}
    if known:
        coldest, worst = min(known), max(e / v for v, e in known.values())
        colder = {
            t: v for (name, t), v in lower.items() if name == composition and t < coldest and v > known[coldest][0]
        }
        if colder:
            known[max(colder)] = colder[max(colder)], worst * colder[max(colder)]
    return known


def heights(peaks):
    """(state, species) → height of the peak of α₂, its error, and whether it lies inside the lag times; else it is a lower bound."""
    found = {
        (s, str(n)): tuple(float(d[key].sel(species=n)) for key in ("height", "height_sem", "inside"))
        for s, d in peaks.items()
        for n in d.species.values
    }
    return {k: (v, e, i == 1) for k, (v, e, i) in found.items() if np.isfinite(v) and np.isfinite(e) and e > 0}


def heterogeneous(peaks, curves):
    """Is the non-Gaussian parameter of every species above zero everywhere, and its peak somewhere above what cages alone may give?

    Above zero: at some lag time, by Student's t of four blocks with all lag times counted. The peak of a species that hardly relaxes is the noisiest
    of its values, and not needed for that.
    """
    best = {}
    for state, data in curves.items():
        for name in map(str, data.species.values):
            one = data.sel(species=name)
            within = one.time <= LONGEST * data.attrs.get("length_ps", np.inf)  # which four blocks at least hold
            known = within & (one.alpha_2_sem > 0) & np.isfinite(one.alpha_2)
            if known.any():
                score = (one.alpha_2 / one.alpha_2_sem).where(known)
                chosen = one.isel(time=int(score.argmax("time")))
                limit = student.isf(CHANCE / int(known.sum()), BLOCKS - 1)
                value, error = float(chosen.alpha_2), float(chosen.alpha_2_sem)
                best[state, name] = value / error / limit, value, error, float(chosen.time)
    if not best:
        return Finding("No α₂ has an error bar in these runs.", NOT_RESOLVED)
    known = heights(peaks)
    above = [k for k, (share, *_) in best.items() if share > 1]
    beyond = {n for (_, n), (v, e, _) in known.items() if v - FOUR_BLOCKS * e > CAGES}
    none = [k for k, (v, e, inside) in known.items() if inside and v + SIGMAS * e < LEAST_ALPHA]
    (state, name), (_, value, error, time) = min(best.items(), key=lambda item: item[1][0])
    text = (
        f"α₂ exceeds zero in {len(above)} of {len(best)} cases (state and species), all lag times counted; the least certain is {number(value, error)} after {time:.2g} ps, {name} in {state_name(state)}. "
        f"The peak goes beyond {CAGES:g}, which unequal cages could give to atoms that only rattle, in one state at least, for {', '.join(sorted(beyond)) or 'no species'}."
    )
    if len(above) == len(best) and beyond == {n for _, n in best}:
        return Finding(text, SUPPORTED)
    return Finding(text, NOT_SUPPORTED if none else NOT_RESOLVED)


def leader(peaks, order, leading="O"):
    """Is one species' non-Gaussian parameter the largest? It must beat every other with p < 0.025, all states taken together (Stouffer's sum of
    normal scores).

    A peak at the end of the lag times may still grow, so that only a rival's peak inside them is beaten.
    """
    inside = {(s, str(n)): int(d.inside.sel(species=n)) == 1 for s, d in peaks.items() for n in d.species.values}
    wins, loses = {}, {}  # rival → scores of the states that may speak for, and against, the leading species
    coldest = {}  # rival → the coldest state that may speak for it, and by how much it is surpassed there
    for state, data in order.items():
        for pair in map(str, data.pair.values):
            names, one = pair.split("-"), data.sel(pair=pair)
            if leading not in names or not np.isfinite(one.p):
                continue
            rival, sign = (names[1], 1) if names[0] == leading else (names[0], -1)
            by = sign * float(one.difference), float(one.difference_sem)
            if inside.get((state, rival), False) and state[1] < coldest.get(rival, (np.inf,))[0]:
                coldest[rival] = state[1], state, by
            score = np.sign(by[0]) * norm.isf(max(float(one.p), 1e-12) / 2)
            for found, whose, direction in ((wins, rival, 1), (loses, leading, -1)):
                found.setdefault(rival, []).extend([direction * score] * inside.get((state, whose), False))
    together = [
        {rival: float(norm.sf(np.sum(z) / len(z) ** 0.5)) for rival, z in found.items() if z} for found in (wins, loses)
    ]
    tops = [str(d.species.values[int(d.height.fillna(-1).argmax("species"))]) for d in peaks.values()]
    text = f"{leading} has the highest peak in {tops.count(leading)} of {len(tops)} states"
    text += (
        "".join(
            f"; above {r}: {chance(p)} of {len(wins[r])} states together, in the coldest of them, {state_name(coldest[r][1])}, by {number(*coldest[r][2])}"
            for r, p in sorted(together[0].items())
        )
        + "."
    )
    first = bool(wins) and all(together[0].get(rival, 1.0) < CHANCE for rival in wins)
    other = [r for r, p in together[1].items() if p * len(together[1]) < CHANCE]
    if other:
        text += f" {', '.join(sorted(other))} is above {leading} beyond chance."
    cut = {s for (s, _), known in inside.items() if not known}
    if cut:
        text += f" In {len(cut)} state{'s' * (len(cut) > 1)} a peak lies at the end of the lag times: it may still grow, and nothing is said to exceed it."
    if first and not other:
        return Finding(text, SUPPORTED)
    return Finding(text, NOT_SUPPORTED if other and not first else NOT_RESOLVED)


def cooling(peaks):
    """Does heterogeneity, the peak of the non-Gaussian parameter, grow on cooling?

    A peak that is only a lower bound may add to a rise where it is colder than all others; no fall follows from it, nor with it.
    """
    lines, rising, falling, cases = {}, 0, 0, 0
    for ((composition, temperature), name), value in heights(peaks).items():
        lines.setdefault((composition, name), {})[temperature] = value
    for line in lines.values():
        whole = {t: (v, e) for t, (v, e, inside) in line.items() if inside}
        cut = {t for t in line if t not in whole}
        cold = bool(cut) and bool(whole) and max(cut) < min(whole)
        slopes = [trend(whole)] + ([trend({t: v[:2] for t, v in line.items()})] if cold else [])
        if not any(np.isfinite(p) for _, _, p in slopes):
            continue
        cases += 1
        rising += any(p < CHANCE for _, _, p in slopes)
        falling += not cut and 1 - slopes[0][2] < CHANCE
    if not cases:
        return Finding("Two temperatures at least are needed.", NOT_RESOLVED)
    text = f"The peak grows on cooling in {rising} and shrinks in {falling} of {cases} cases (composition and species)."
    return Finding(
        text,
        SUPPORTED
        if rising > cases / 2 and not falling
        else NOT_SUPPORTED
        if falling > cases / 2 and not rising
        else NOT_RESOLVED,
    )


CLAIMS = (
    Claim("Sodium hops: its van Hove function has two maxima", "No second maximum at any lag time, though sodium diffuses", ("bimodality", "diffusion_coefficient"), hopping),
    Claim("Sodium is decoupled from the network", "Relaxation times of silicon and sodium that are equal, or approach each other on cooling", ("relaxation_time",), decoupling),
    Claim("Every species is dynamically heterogeneous", "A species whose α₂ is zero within its error", ("non_gaussian_peak", "non_gaussian"), heterogeneous),
    Claim("Oxygen's α₂ is the largest", "Another species with a significantly higher peak", ("non_gaussian_peak", "species_order"), leader),
    Claim("Heterogeneity grows on cooling", "Peaks of α₂ that shrink on cooling", ("non_gaussian_peak",), cooling, False),
)  # fmt: skip


def judge(results):
    """Findings for all claims.

    Parameters
    ----------
    results : dict
        Name of an observable → {(composition, temperature): Dataset}, as the notebooks save them; those that are missing leave their
        claims unresolved.

    Returns
    -------
    dict
        Claim → Finding.
    """
    found = {}
    for name, states in results.items():
        for state in states:
            if not (isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], (int, float))):
                raise GlasslibError(f"{name}: a state must be (composition, temperature in K), not {shown(state)}")
    for claim in CLAIMS:
        missing = [name for name in claim.needs if not results.get(name)]
        if missing:
            found[claim] = Finding(f"Not computed: {', '.join(missing)}.", NOT_RESOLVED)
        else:
            found[claim] = claim.rule(*(results[name] for name in claim.needs))
    return found


def as_html(findings, brief=False):
    """Table of claims: for each, what would refute it and, for each set of runs, what was found and the verdict.

    Parameters
    ----------
    findings : dict
        Label of a set of runs → findings as `judge` returns them.
    brief : bool
        Only the paper's claims, without what would refute them.
    """
    shown = [claim for claim in CLAIMS if claim.of_paper or not brief]
    refuted = {c: None if brief else c.refuted_by[0].lower() + c.refuted_by[1:] + "." for c in shown}
    return tabulated(findings, {c: (c.text, "Refuted by", refuted[c]) for c in shown}, "Claim")
