"""The article's claims, judged by rules from the results of a sweep; nothing here is a matter of looking at a figure."""

import numpy as np
import pandas as pd

CLAIMS = {
    "Sodium hops": "no second maximum of sodium's van Hove function at any lag time",
    "Sodium is decoupled from the network": "sodium relaxes no faster than silicon",
    "Every species is dynamically heterogeneous": "a species with α₂ = 0 at all times",
    "Oxygen's α₂ is the largest": "another species with a higher peak of α₂",
}
VERDICTS = ("supported", "not resolved", "not seen", "refuted")


def judge(found, p=0.05, errors=3.0):
    """Verdict on every claim at every state point.

    Parameters
    ----------
    found : dict
        "bimodality", "relaxation_time", "non_gaussian_peak" and "species_order" → {(composition, temperature): Dataset}, as the
        notebooks save them.
    p : float
        p-value below which the order of two species counts as established.
    errors : float
        Standard errors by which a value must differ from zero.

    Returns
    -------
    pandas.DataFrame
        Columns claim, composition, temperature (K), value, error, verdict, because.
    """
    rules = {
        "Sodium hops": ("bimodality", lambda data: hops(data, errors)),
        "Sodium is decoupled from the network": ("relaxation_time", decoupled),
        "Every species is dynamically heterogeneous": ("non_gaussian_peak", lambda data: heterogeneous(data, errors)),
        "Oxygen's α₂ is the largest": ("species_order", lambda data: largest(data, "O", p)),
    }
    rows = []
    for claim, (name, rule) in rules.items():
        for (composition, temperature), data in found.get(name, {}).items():
            value, error, verdict, because = rule(data)
            rows.append((claim, composition, temperature, value, error, verdict, because))
    return pd.DataFrame(rows, columns=["claim", "composition", "temperature", "value", "error", "verdict", "because"])


def hops(data, errors):
    """Bimodality of sodium: the most significant second maximum over all lag times."""
    if "Na" not in data.species.values:
        return np.nan, np.nan, "not resolved", "no sodium"
    sodium = data.sel(species="Na")
    significance = sodium.significance.values
    if not np.isfinite(significance).any():
        known = np.isfinite(sodium.second.values).any()
        return (
            np.nan,
            np.nan,
            "not resolved" if known else "not seen",
            "second maximum without error bar" if known else "no second maximum",
        )
    best = int(np.nanargmax(significance))
    value = float(significance[best])
    where = f"second maximum at {float(sodium.second[best]):.1f} Å after {float(sodium.time[best]):.2g} ps"
    return value, 1.0, "supported" if value > errors else "not resolved", where


def decoupled(data, fast="Na", slow="Si"):
    """Ratio of relaxation times of silicon and sodium."""
    if not {fast, slow} <= set(data.species.values.tolist()):
        return np.nan, np.nan, "not resolved", "a species is missing"
    a, b = data.sel(species=slow), data.sel(species=fast)
    if not int(b.reached) == 1:
        return np.nan, np.nan, "not resolved", f"{fast} does not relax within the lag times"
    if int(a.reached) == 0:
        bound = float(a.bound / b.tau)
        return (
            bound,
            np.nan,
            "supported" if bound > 1 else "not resolved",
            f"lower bound: {slow} does not relax within the lag times",
        )
    if int(a.reached) != 1:
        return np.nan, np.nan, "not resolved", f"{slow} relaxes before the first lag time"
    ratio = float(a.tau / b.tau)
    error = ratio * float(np.hypot(a.tau_sem / a.tau, b.tau_sem / b.tau))
    because = f"τ({slow}) = {float(a.tau):.2g} ps, τ({fast}) = {float(b.tau):.2g} ps"
    if not np.isfinite(error):
        return ratio, error, "not resolved", because + ", without error bar"
    verdict = "supported" if ratio - 1 > 2 * error else "refuted" if ratio + 2 * error < 1 else "not resolved"
    return ratio, error, verdict, because


def heterogeneous(data, errors):
    """Peak of α₂ of every species in units of its error; the smallest one decides."""
    significance = data.height / data.height_sem
    heights = ", ".join(
        f"{s} {float(h):.2f} ± {float(e):.2f}"
        for s, h, e in zip(data.species.values, data.height, data.height_sem, strict=True)
    )
    if not np.isfinite(significance).all():
        return np.nan, np.nan, "not resolved", heights
    value = float(significance.min())
    return value, 1.0, "supported" if value > errors else "not resolved", heights


def largest(data, species, p):
    """Difference between one species' peak of α₂ and the larger of the others', with the p-values of both."""
    differences = {}
    for pair in map(str, data.pair.values):
        first, second = pair.split("-")
        if species in (first, second):
            sign = 1 if first == species else -1
            one = data.sel(pair=pair)
            differences[second if first == species else first] = (
                sign * float(one.difference),
                float(one.difference_sem),
                float(one.p),
            )
    if not differences or not np.isfinite([x for d in differences.values() for x in d]).all():
        return np.nan, np.nan, "not resolved", "a peak is undefined"
    because = ", ".join(
        f"{species} − {other} = {d:+.2f} ± {e:.2f} (p = {q:.2g})" for other, (d, e, q) in differences.items()
    )
    value, error, _ = min(differences.values())
    if all(d > 0 and q < p for d, _, q in differences.values()):
        return value, error, "supported", because
    if any(d < 0 and q < p for d, _, q in differences.values()):
        return value, error, "refuted", because
    return value, error, "not resolved", because


def summary(claims):
    """How many state points lead to which verdict: a row for each claim, with what would refute it."""
    counts = claims.groupby(["claim", "verdict"], sort=False).size().unstack(fill_value=0)
    counts = counts.reindex(index=[c for c in CLAIMS if c in counts.index], columns=VERDICTS, fill_value=0)
    counts.insert(0, "would be refuted by", [CLAIMS[claim] for claim in counts.index])
    return counts


def as_markdown(table):
    """A table of Markdown."""
    head = [table.index.name or "", *map(str, table.columns)]
    lines = [
        head,
        ["---"] * len(head),
        *([str(index), *map(str, row)] for index, row in zip(table.index, table.values, strict=True)),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
