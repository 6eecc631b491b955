"""The paper's claims as questions to results: what was found, with its uncertainty, and what that makes of the claim.

Verdicts follow from numbers by the rules below, none from looking at a figure: SUPPORTED, NOT_SUPPORTED (the runs could have shown it and
did not) and NOT_RESOLVED (they could not have). Results come by state, {(composition, temperature in K): Dataset}, of one set of runs.
"""

from dataclasses import dataclass

from ..errors import GlasslibError, shown
from ..verdicts import CHANCE, NOT_RESOLVED, NOT_SUPPORTED, SUPPORTED, Finding, number, tabulated, trend
from .heterogeneity import cooling, heterogeneous, leader
from .hopping import hopping, most_significant
from .limits import CAGES, CHANNEL_Q, MATRIX_Q
from .separation import at_q, decoupling, times_ratio, with_bounds

__all__ = [
    "CAGES", "CHANCE", "CHANNEL_Q", "CLAIMS", "MATRIX_Q", "NOT_RESOLVED", "NOT_SUPPORTED", "SUPPORTED", "Claim", "Finding", "as_html", "at_q", "cooling",
    "decoupling", "heterogeneous", "hopping", "judge", "leader", "most_significant", "number", "times_ratio", "trend", "with_bounds",
]  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A claim, what would refute it, the results it rests on, and the rule that judges them."""

    text: str
    refuted_by: str
    needs: tuple
    rule: object
    of_paper: bool = True
    also: tuple = ()  # results that the rule takes where they are there


CLAIMS = (
    Claim("Sodium hops: its van Hove function has two maxima", "No second maximum at any lag time, though sodium diffuses", ("bimodality", "diffusion_coefficient"), hopping, also=("radial_distribution",)),
    Claim("Sodium is decoupled from the network", "Relaxation times of silicon and sodium that are equal, or approach each other on cooling", ("relaxation_time",), decoupling, also=("relaxation_time_overlap",)),
    Claim("Every species is dynamically heterogeneous", "A species whose peak of α₂ is below 0.05 by more than its error", ("non_gaussian_peak", "non_gaussian"), heterogeneous),
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
            found[claim] = claim.rule(*(results[name] for name in claim.needs), *map(results.get, claim.also))
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
