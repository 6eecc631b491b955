"""Figures of how far atoms go: van Hove functions, their maxima, jumps."""

import numpy as np
import seaborn as sns

from . import theme
from .theme import (
    GREY,
    colour,
    compositions,
    curve,
    finish,
    heading,
    ordered,
    panels,
    row_names,
    temperature_colours,
    temperature_legend,
)


def van_hove(results, species, times, *, log=False, found=None, title=None):
    """4πr²G_s(r, t) of one species: a row for each composition, a column for each temperature, a curve for each lag time.

    Parameters
    ----------
    results : dict
        (composition, temperature) → Dataset with `P` (1/Å).
    times : sequence of float
        ps; the nearest lag times that occur are drawn.
    log : bool
        Logarithmic ordinate, which shows rare long jumps.
    found : dict, optional
        (composition, temperature) → r (Å) of a significant second maximum, marked.
    """
    shown = {s: d.sel(species=species) for s, d in results.items() if species in d.species.values}
    figure, axes, highest = _at_times(shown, "P", times, 1.7, log, title)
    for state, r in (found or {}).items():
        if np.isfinite(r) and state in axes:
            axes[state].axvline(r, color="black", lw=0.8, ls=":")
    for ax in figure.axes:
        ax.set_yscale("log" if log else "linear")
        ax.set_ylim(*((1e-3, 3 * highest) if log else (0, min(1.05 * highest, 1.6))))
        ax.set_xlim(0, 8 if log else 5)
    figure.supylabel(f"4πr²G$_s$ of {species} (1/Å)", fontsize=9.5)
    figure.supxlabel("distance travelled r (Å)", fontsize=9.5)
    return figure


def van_hove_distinct(results, pair, times, *, title=None):
    """G_d(r, t) of a pair over its density: a row for each composition, a column for each temperature, a curve for each lag time (ps)."""
    shown = {}
    for state, data in results.items():
        if pair in data.pair.values:
            one = data.sel(pair=pair)
            shown[state] = one.assign(g=one.G_d / one.density, g_sem=one.G_d_sem / one.density)
    figure, _, _ = _at_times(shown, "g", times, 1.6, False, title)
    for ax in figure.axes:
        ax.axhline(1.0, color=GREY, lw=0.8, ls=":")
        ax.set_xlim(0, 7)
        ax.set_ylim(0, None)
    figure.supylabel(f"G$_d$/ρ of {pair.replace('-', '–')}", fontsize=9.5)
    figure.supxlabel("distance r from where the first atom was (Å)", fontsize=9.5)
    return figure


def _at_times(results, variable, times, height, log, title):
    """Panels [compositions, temperatures] with a curve against r for each lag time that was recorded; the figure, axes of states, highest value."""
    rows, columns = compositions(results), sorted({t for _, t in results})
    figure, axes = panels(len(rows), len(columns), height=height, sharex=True, sharey=True)
    hues = sns.color_palette("crest", len(times))
    highest, of_state = 0.0, {}
    for (composition, temperature), data in results.items():
        ax = of_state[composition, temperature] = axes[rows.index(composition), columns.index(temperature)]
        for hue, time in zip(hues, times, strict=True):
            now = data.sel(time=time, method="nearest")
            if abs(np.log(float(now.time) / time)) > 0.3:
                continue
            y = now[variable].values
            keep = y > 0 if log else np.isfinite(y)
            curve(ax, now.r[keep], y[keep], now[f"{variable}_sem"][keep], color=hue)
            highest = max(highest, float(np.nanmax(y)))
    for ax, temperature in zip(axes[0], columns, strict=True):
        ax.set_title(f"{temperature:g} K")
    for ax in axes.flat:
        if not ax.lines:
            ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", color=GREY)
    row_names(axes, rows)
    theme.legend(figure, {f"{t:g} ps": h for t, h in zip(times, hues, strict=True)}, "lag time")
    heading(figure, results, title)
    return figure, of_state, highest


def two_maxima(cases, species, times=(0.25, 0.5, 1.0, 2.0, 4.0)):
    """4πr²G_s where it has two maxima: a panel for each case, at its lag time (thick) and at times shorter and longer; dip and second maximum marked.

    Parameters
    ----------
    cases : dict
        Label → (composition, temperature in K), results of `analysis.van_hove_self`, and those of `analysis.bimodality` for the species at one lag time.
    times : sequence of float
        Parts of that lag time.
    """
    figure, axes = panels(1, max(len(cases), 2), height=2.6, sharex=True)
    hues = sns.color_palette("crest", len(times))
    for ax, (label, ((composition, temperature), data, found)) in zip(axes.flat, cases.items(), strict=False):
        one, best = data.sel(species=species), found
        lags = sorted({float(one.time.sel(time=part * float(best.time), method="nearest")) for part in times})
        for hue, lag in zip(hues, lags, strict=False):
            now, own = one.sel(time=lag), abs(np.log(lag / float(best.time))) < 0.2
            curve(ax, now.r, now.P, now.P_sem, color=hue, lw=2.2 if own else 1.0, label=f"{lag:.2g} ps")
        for where in (best.minimum, best.second):
            ax.axvline(float(where), color=GREY, lw=0.8, ls=":")
        ax.set_title(f"{label}: {composition}, {temperature:g} K")
        ax.set(xlim=(0, 7), ylim=(0, None), xlabel="distance travelled r (Å)")
        ax.legend(title="lag time")
    for ax in axes.flat[len(cases) :]:
        ax.set_axis_off()
    axes[0, 0].set_ylabel(f"4πr²G$_s$ of {species} (1/Å)")
    return figure


def jumps(results, species, *, title=None):
    """Fit of jumps against lag time: how many each atom has made (above) and their length (below), a panel for each composition.

    Parameters
    ----------
    results : dict
        (composition, temperature) → Dataset of `analysis.bimodality`.

    Returns
    -------
    Figure, or None where no lag time of any state tells a length.
    """
    known = {s: d.sel(species=species) for s, d in results.items() if species in d.species.values and "hop_number" in d}
    known = {s: one.isel(time=np.flatnonzero(np.isfinite(one.hop_length))) for s, one in known.items()}
    known = {s: one for s, one in known.items() if one.sizes["time"]}
    if not known:
        return None
    names, colours = compositions(known), temperature_colours([t for _, t in known])
    figure, axes = panels(2, len(names), height=1.8, sharex=True, sharey="row")
    for (composition, temperature), one in known.items():
        for row, variable in enumerate(("hop_number", "hop_length")):
            axes[row, names.index(composition)].errorbar(
                one.time, one[variable], one[f"{variable}_sem"], color=colours[temperature], marker="o", ms=3.5, capsize=2, lw=1.1
            )  # fmt: skip
    time = np.array([0.1, 100.0])
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name, fontweight="bold", color=GREY)
        ax.plot(time, 0.1 * time, color=GREY, lw=0.8, ls=":")
        ax.set(xscale="log", yscale="log", xlim=time, ylim=(0.05, 5))
    for ax in axes[1]:
        ax.set(xlabel="lag time (ps)", ylim=(0, 5))
    axes[0, 0].set_ylabel("jumps of an atom")
    axes[1, 0].set_ylabel("their length (Å)")
    temperature_legend(figure, colours)
    heading(figure, results, title)
    return figure


def hop_lengths(results, label, *, title=None):
    """Distribution of the lengths of jumps: a row for each composition, a column for each species, a curve for each temperature."""
    rows, colours = compositions(results), temperature_colours([t for _, t in results])
    species = ordered(s for d in results.values() for s in d.species.values)
    figure, axes = panels(len(rows), len(species), height=1.6, sharex=True, sharey=True)
    for (composition, temperature), data in results.items():
        for k, name in enumerate(species):
            if name in data.species.values:
                one = data.sel(species=name)
                curve(
                    axes[rows.index(composition), k], one.r, one.P_length, one.P_length_sem, color=colours[temperature]
                )
    for ax, name in zip(axes[0], species, strict=True):
        ax.set_title(name, color=colour(name), fontweight="bold")
    axes[0, 0].set_xlim(0, 6)
    return finish(figure, axes, rows, colours, results, title, x="distance between cages (Å)", y=label)
