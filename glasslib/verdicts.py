"""What claims and comparisons share: verdicts, the words for a number and a state, trends, and the table that shows them."""

import html
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from .analysis.statistics import with_error

SUPPORTED, NOT_SUPPORTED, NOT_RESOLVED = "supported", "not supported", "not resolved at this length"
SIGMAS = 2.0  # standard errors that a difference must exceed
CHANCE = 0.025  # one-sided probability that two standard errors stand for
MARKS = {SUPPORTED: "●", "agrees": "●", NOT_SUPPORTED: "○", "differs": "○", NOT_RESOLVED: "…"}


@dataclass(frozen=True)
class Finding:
    """What a set of runs says about a claim: a sentence with numbers, and a verdict."""

    found: str
    verdict: str


def number(value, error=np.nan, digits=2):
    """A value with its standard error as text, the error to two digits: "3.14 ± 0.15"."""
    if not np.isfinite(value):
        return "unknown"
    return with_error(value, error) or f"{float(f'{value:.{digits}g}'):g} (error unknown)"


def chance(p):
    """A probability of chance as text: "p = 0.031"."""
    return "p < 0.0001" if p < 1e-4 else f"p = {min(p, 1.0):.2g}"


def state_name(state):
    """A state as text: "NS2 at 3000 K"."""
    return f"{state[0]} at {state[1]:g} K"


def span(states):
    """Range of the temperatures of states as text: "2000–3500 K"."""
    low, high = min(t for _, t in states), max(t for _, t in states)
    return f"{low:g} K" if low == high else f"{low:g}–{high:g} K"


def trend(values):
    """Slope of ln value against 1000 K/T, its error and the chance that it does not grow on cooling, of {temperature: (value, error)}; NaN where it
    cannot be told. Where the points scatter more than their errors allow, the scatter gives the error, and Student's t the chance."""
    usable = {t: (v, e) for t, (v, e) in values.items() if v > 0 and np.isfinite(e) and e > 0}
    if len(usable) < 2:
        return np.nan, np.nan, np.nan
    x = np.array([1000 / t for t in usable])
    y, s = (np.array(z) for z in zip(*((np.log(v), e / v) for v, e in usable.values()), strict=True))
    w = 1 / s**2
    centre = (w * x).sum() / w.sum()
    spread = (w * (x - centre) ** 2).sum()
    slope = (w * (x - centre) * y).sum() / spread
    error, chances = spread**-0.5, norm
    if len(x) > 2:
        misfit = (w * (y - (w * y).sum() / w.sum() - slope * (x - centre)) ** 2).sum() / (len(x) - 2)
        if misfit > 1:
            error, chances = error * misfit**0.5, student(len(x) - 2)
    return float(slope), float(error), float(chances.sf(slope / error))


def tabulated(findings, items, title):
    """HTML table with a row for each item and set of runs; `items`: key of the findings → (bold text, label, further text or None)."""
    rows = []
    for key, (text, label, more) in items.items():
        what = f"<strong>{html.escape(text)}</strong>"
        if more:
            what += f"<br><em>{label}:</em> {html.escape(more)}"
        for k, (of, found) in enumerate(findings.items()):
            head = f'<td rowspan="{len(findings)}">{what}</td>' if k == 0 else ""
            runs = f"<td>{html.escape(of)}</td>" if len(findings) > 1 else ""
            one = found[key]
            mark = MARKS.get(one.verdict, "◦")
            verdict = f'<td class="verdict {one.verdict.split()[-1]}">{mark} {html.escape(one.verdict)}</td>'
            rows.append(f"<tr>{head}{runs}<td>{html.escape(one.found)}</td>{verdict}</tr>")
    runs = "<th>Runs</th>" if len(findings) > 1 else ""
    return f'<table class="claims"><thead><tr><th>{title}</th>{runs}<th>Found</th><th>Verdict</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
