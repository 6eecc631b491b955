"""Are the dynamics heterogeneous, oxygen's the most, and the more so the colder?"""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from ..analysis.non_gaussian_peak import BLOCKS, LONGEST
from ..analysis.statistics import FOUR_BLOCKS
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
from .limits import CAGES, LEAST_ALPHA


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
