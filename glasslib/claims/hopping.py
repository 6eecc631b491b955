"""Does sodium hop?"""

import numpy as np

from ..verdicts import CHANCE, NOT_RESOLVED, NOT_SUPPORTED, SIGMAS, SUPPORTED, Finding, chance, span, state_name
from .limits import LEAST_RISE, LEVEL


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


def neighbours_at(structure, species, near=5.0):
    """Å, where the pair distribution function of a species with itself is highest, as of `radial_distribution`; NaN where that is not known."""
    pair = f"{species}-{species}"
    if structure is None or pair not in structure.pair.values:
        return np.nan
    g = structure.g.sel(pair=pair, r=slice(0, near))
    return float(g.r[int(g.argmax("r"))]) if float(g.max()) > 1 else np.nan


def hopping(bimodality, diffusion, structure=None, species="Na"):
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
        apart = neighbours_at((structure or {}).get(top), species)
        beside = f" Neighbouring {species} are {apart:.1f} Å apart there." if np.isfinite(apart) else ""
        return Finding(
            f"A second maximum at {float(one.second):.1f} Å after {float(one.time):.2g} ps in {state_name(top)}, {score[top]:.1f} standard "
            f"errors above the dip before it ({chance(looks * float(one.p))}, {looks} looks counted); a significant one in {len(seen)} of {len(states)} states: {', '.join(map(state_name, sorted(seen)))}.{beside}{tested}",
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
