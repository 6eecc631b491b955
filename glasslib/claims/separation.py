"""Is sodium decoupled from the network?"""

import numpy as np

from ..verdicts import (
    CHANCE,
    NOT_RESOLVED,
    NOT_SUPPORTED,
    SIGMAS,
    SUPPORTED,
    Finding,
    chance,
    number,
    state_name,
    trend,
)
from .limits import CHANNEL_Q, ESCAPES, LEAST_RATIO, MATRIX_Q, Q_OFF


def at_q(times, q=MATRIX_Q):
    """Relaxation times at a wave number, of those states that have it."""
    near = {s: d.sel(q=q, method="nearest") if "q" in d.dims else d for s, d in times.items()}
    return {s: d for s, d in near.items() if "q" not in d.coords or abs(float(d.q) - q) <= Q_OFF}


def times_ratio(data, slow, fast):
    """τ(slow)/τ(fast) with its error; NaN where one was not reached."""
    a, b = data.sel(species=slow), data.sel(species=fast)
    ratio = float(a.tau / b.tau)
    return ratio, ratio * float(np.hypot(a.tau_sem / a.tau, b.tau_sem / b.tau))


def separated(times, slow, fast):
    """How far apart the relaxation times of two species are.

    Returns
    -------
    ratios, lower, upper : dict
        State → ratio and its error; ratio that is exceeded, or stayed below, where one of the two relaxes outside the lag times.
    unknown : list
        States in which neither relaxes.
    """
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
    return ratios, lower, upper, unknown


def growth(ratios, lower):
    """Compositions in which the ratio grows on cooling, and in which it falls, each beyond chance; p-values of all."""
    slopes = {c: trend(with_bounds(ratios, lower, c)) for c in sorted({c for c, _ in ratios})}
    known = {c: p for c, (_, _, p) in slopes.items() if np.isfinite(p)}
    level = CHANCE / max(len(known), 1)  # so that chance moves none of the compositions
    return [c for c, p in known.items() if p < level], [c for c, p in known.items() if 1 - p < level], known


def coldest(states):
    return min(states, key=lambda s: (s[1], s[0]))


def decoupling(times, overlaps=None, slow="Si", fast="Na", q=MATRIX_Q):
    """Does sodium relax sooner than silicon, and the more so the colder, whichever function tells?

    Judged by self-scattering at the wave number of the network. Functions that sodium's rattle alone does not bring down, self-scattering at the wave number of
    the channels and the overlap within 1 and 2 Å, may not say the opposite.

    Parameters
    ----------
    times : dict
        State → results of `relaxation_time` of self-scattering.
    overlaps : dict, optional
        The same of overlaps.
    """
    long, others = at_q(times, CHANNEL_Q), {}
    if any("q" in data.coords for data in long.values()):
        others[f"at {CHANNEL_Q:g} Å⁻¹, where sodium's function falls by diffusion rather than by rattling"] = long
    for a in ESCAPES:
        within = {s: d.sel(a=a) for s, d in (overlaps or {}).items() if "a" in d.dims and a in d.a.values}
        others[f"by the overlap within {a:g} Å"] = within
    ratios, lower, upper, unknown = separated(at_q(times, q), slow, fast)
    if not (ratios or lower or upper):
        return Finding(f"{fast} does not relax within these runs, or q = {q:g} Å⁻¹ was not computed.", NOT_RESOLVED)
    text = []
    if ratios:
        cold = coldest(ratios)
        text.append(f"τ({slow})/τ({fast}) = {number(*ratios[cold])} in {state_name(cold)}.")
    for found, says in ((lower, "exceeds"), (upper, "is below")):
        if found:
            cold = coldest(found)
            text.append(
                f"In {state_name(cold)} one of them relaxes outside the lag times, or so late that its time has no error: the ratio {says} {found[cold]:.3g}."
            )
    above = [v - 1 > SIGMAS * e for v, e in ratios.values()] + [v > 1 for v in lower.values()] + [False] * len(upper)
    level = [v + SIGMAS * e < LEAST_RATIO for v, e in ratios.values()] + [v < LEAST_RATIO for v in upper.values()]
    rising, falling, known = growth(ratios, lower)
    text.append(f"It exceeds 1 by two standard errors in {sum(above)} of {len(above)} states.")
    if unknown:
        text.append(f"Neither relaxes in {len(unknown)} more.")
    if known:
        sure, unsure = (
            ", ".join(f"{c} ({chance(p)})" for c, p in known.items() if (c in rising) == which)
            for which in (True, False)
        )
        text += [f"It grows on cooling in {sure}."] if sure else []
        text += [f"Whether it grows on cooling cannot be told in {unsure}."] if unsure else []
    opposed = []
    for measure, data in others.items():
        says, against = second_opinion(data, slow, fast)
        text += [f"{measure[0].upper()}{measure[1:]}: {says}."] if says else []
        opposed += [measure] if against else []
    nowhere = bool(level) and all(level) and not lower
    if nowhere or (falling and not rising):
        return Finding(" ".join(text), NOT_SUPPORTED)
    return Finding(" ".join(text), SUPPORTED if all(above) and rising and not (falling or opposed) else NOT_RESOLVED)


def second_opinion(times, slow, fast):
    """What another function says of the ratio, and whether that is the opposite: below 1 somewhere, or falling on cooling."""
    ratios, lower, upper, _ = separated(times, slow, fast)
    ratios = {s: v for s, v in ratios.items() if np.isfinite(v).all()}
    if not (ratios or lower or upper):
        return "", False
    above = [v - 1 > SIGMAS * e for v, e in ratios.values()] + [v > 1 for v in lower.values()]
    below = [v + SIGMAS * e < 1 for v, e in ratios.values()] + [v < 1 for v in upper.values()]
    rising, falling, known = growth(ratios, lower)
    says = [f"{number(*ratios[coldest(ratios)])} in {state_name(coldest(ratios))}"] if ratios else []
    says += [f"above 1 in {sum(above)} of {len(ratios) + len(lower) + len(upper)} states"]
    says += [f"below in {sum(below)}"] if any(below) else []
    says += [f"growing on cooling in {len(rising)} of {len(known)} compositions"] if known else []
    says += [f"falling in {len(falling)}"] if falling else []
    return ", ".join(says), any(below) or bool(falling)


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
