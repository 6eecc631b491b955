"""Figures of motion: functions of time, Arrhenius plots, van Hove functions."""

import textwrap

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

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
    temperature_colours,
    temperature_legend,
)

BOLTZMANN = 8.617333262e-5  # eV/K
SMALL = "sdv^p<"  # markers of shipped runs: they can be filled and open


def against_time(results, variable, label, *, log=False, select=None, level=None, title=None, slopes=(), extra=None):
    """`variable` against lag time: a row for each composition, a column for each species, a curve for each temperature.

    Parameters
    ----------
    results : dict
        (composition, temperature in K) → Dataset.
    variable, label : str
        Name in the Datasets and label of the ordinate, with its unit.
    log : bool
        Logarithmic ordinate.
    select : dict, optional
        Values of further dimensions, the nearest are drawn: {"q": 1.7}.
    level : float, optional
        Height of a dotted line.
    title : str, optional
        Before what the results are of, above the figure.
    slopes : sequence of (exponent, text)
        Guides to the eye in a double logarithmic figure.
    extra : str, optional
        Another variable, drawn thin and dotted: what to compare with.
    """
    rows, colours = compositions(results), temperature_colours([t for _, t in results])
    species = ordered(s for d in results.values() for s in d.species.values)
    figure, axes = panels(len(rows), len(species), height=1.75, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.set_xscale("log")
        ax.set_yscale("log" if log else "linear")
    for (composition, temperature), data in results.items():
        for k, name in enumerate(species):
            if name not in data.species.values:
                continue
            one = data.sel(species=name)
            if select:
                one = one.sel({d: v for d, v in select.items() if d in one.dims}, method="nearest")
            keep = (one.time.values > 0) & (one[variable].values > 0 if log else True)
            ax = axes[rows.index(composition), k]
            curve(ax, one.time[keep], one[variable][keep], one[f"{variable}_sem"][keep], color=colours[temperature])
            if extra:
                other = np.broadcast_to(one[extra].values, one.time.shape)[keep]
                ax.plot(one.time[keep], other, color=colours[temperature], lw=0.7, ls=":")
    for ax in axes.flat:
        if level is not None:
            ax.axhline(level, color=GREY, lw=0.8, ls=":")
        ax.xaxis.set_major_locator(LogLocator(numticks=6))
        ax.xaxis.set_minor_formatter(NullFormatter())
    for exponent, text, time, height in slopes:
        span = np.array([time, time * 10**0.8])
        axes[0, 0].plot(span, height * (span / time) ** exponent, color="black", lw=0.9)
        low = 0.4 * height * (span[1] / time) ** exponent  # below the line, where no curve crosses it
        axes[0, 0].annotate(text, (span[1], low), fontsize=8, va="top", ha="left")
    for ax, name in zip(axes[0], species, strict=True):
        ax.set_title(name, color=colour(name), fontweight="bold")
    return finish(figure, axes, rows, colours, results, title, x="lag time (ps)", y=label)


def without_species(results, variable, label, *, level=None, title=None, extra=None):
    """`variable` against lag time where it has no species: a panel for each composition, a curve for each temperature; `extra`: another, dotted, where it is known."""
    names, colours = compositions(results), temperature_colours([t for _, t in results])
    figure, axes = panels(1, len(names), height=2.1, sharey=True)
    for (composition, temperature), data in results.items():
        ax = axes[0, names.index(composition)]
        curve(ax, data.time, data[variable], data[f"{variable}_sem"], color=colours[temperature])
        if extra:
            sure = data[f"{extra}_sem"] < 0.2 * np.abs(data[variable]).max()  # of few atoms it is noise
            ax.plot(data.time, data[extra].where(sure), color=colours[temperature], lw=1.0, ls=":")
    for ax, name in zip(axes[0], names, strict=True):
        ax.set(xscale="log", title=name, xlabel="lag time (ps)")
        if level is not None:
            ax.axhline(level, color=GREY, lw=0.8, ls=":")
    axes[0, 0].set_ylabel(label)
    temperature_legend(figure, colours)
    heading(figure, results, title)
    return figure


def diffusion(table, fits=None, shipped=None):
    """Diffusion coefficients against inverse temperature, with Arrhenius lines through those that are diffusive (filled).

    Parameters
    ----------
    table : pandas.DataFrame
        Columns composition, species, temperature (K), D (Å²/ps), D_sem, diffusive.
    fits : pandas.DataFrame, optional
        Columns composition, species, D_0 (Å²/ps), E (eV).
    shipped : dict, optional
        Label → table of other runs, drawn small.
    """
    names = compositions(
        {(c, 0) for c in table.composition} | {(c, 0) for t in (shipped or {}).values() for c in t.composition}
    )
    figure, axes = panels(1, len(names), height=2.7, sharey=True, sharex=True)
    for ax, composition in zip(axes[0], names, strict=True):
        for marks, source in ((None, table), *((k, t) for k, t in enumerate((shipped or {}).values()))):
            for species, part in source[source.composition == composition].groupby("species"):
                for whole in (0, 1):
                    some = part[part.diffusive == whole]
                    ax.errorbar(
                        1000 / some.temperature, some.D, some.D_sem, ls="none", capsize=2, lw=1, color=colour(species),
                        marker=theme.MARKERS.get(species, "o") if marks is None else SMALL[marks % len(SMALL)], ms=6 if marks is None else 4,
                        mfc=colour(species) if whole else "white", alpha=1.0 if marks is None else 0.75,
                    )  # fmt: skip
        if fits is not None:
            for _, fit in fits[(fits.composition == composition) & np.isfinite(fits.E)].iterrows():
                part = table[
                    (table.composition == composition) & (table.species == fit.species) & (table.diffusive == 1)
                ]
                t = np.linspace(part.temperature.min(), part.temperature.max(), 50)
                ax.plot(
                    1000 / t,
                    fit.D_0 * np.exp(-fit.E / (BOLTZMANN * t)),
                    color=colour(fit.species),
                    ls=theme.DASHES.get(fit.species, "-"),
                    lw=1.2,
                )
        ax.set(yscale="log", xlabel="1000 K / T")
        ax.set_title(composition, fontweight="bold", color=GREY)
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel("D (Å²/ps)")
    entries = {
        s: {"color": colour(s), "marker": theme.MARKERS.get(s, "o"), "ls": "none", "ms": 6}
        for s in ordered(table.species)
    }
    entries["not yet diffusive"] = {"color": GREY, "marker": "o", "mfc": "white", "ls": "none", "ms": 6}
    entries |= {
        label: {"color": GREY, "marker": SMALL[k % len(SMALL)], "ls": "none", "ms": 4}
        for k, label in enumerate(shipped or {})
    }
    theme.legend(figure, entries)
    return figure


def finite_size(data, *, title=None):
    """What `analysis.finite_size` was given, against the inverse of the box length: a row for each quantity, a column for each species, with its lines."""
    species = ordered(data.species.values)
    names = [str(name).removesuffix("_infinite") for name in data if str(name).endswith("_infinite")]
    figure, axes = panels(len(names), len(species), height=2.3)
    inverse = 1 / data.length.values
    reach = np.linspace(0, 1.08 * inverse.max(), 50)
    for row, x in zip(axes, names, strict=True):
        for ax, name in zip(row, species, strict=True):
            one, marker = data.sel(species=name), theme.MARKERS.get(name, "o")
            line = float(one[f"{x}_infinite"]) - float(one[f"{x}_s"]) * reach
            curve(ax, reach, line, color=colour(name), ls=theme.DASHES.get(name, "-"))
            for whole in (0, 1):
                some = one[f"{x}_whole"].values == whole
                ax.errorbar(
                    inverse[some], one[x].values[some], one[f"{x}_sem"].values[some], ls="none", capsize=2, lw=1, ms=6,
                    marker=marker, color=colour(name), mfc=colour(name) if whole else "white",
                )  # fmt: skip
            limit, error = float(one[f"{x}_infinite"]), float(one[f"{x}_infinite_sem"])
            ax.errorbar(0, limit, error, color="black", marker="_", ms=9, capsize=3, lw=1)
            ax.set(ylim=(0, None))
        unit = data[x].attrs.get("units", "1")
        row[0].set_ylabel(textwrap.fill(data[x].attrs.get("long_name", x) + (f" ({unit})" if unit != "1" else ""), 24))
    for ax, name in zip(axes[0], species, strict=True):
        ax.set_title(name, color=colour(name), fontweight="bold")
    for ax in axes[-1]:
        ax.set(xlabel="1/L (1/Å)")
        for x, n in zip(inverse, data.atoms.values, strict=True):
            ax.annotate(
                f"{n}",
                (x, 0.02),
                xycoords=("data", "axes fraction"),
                rotation=90,
                fontsize=7.5,
                color=GREY,
                ha="center",
            )
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9, color=GREY)
    return figure


def points(table, value, label, *, log=False, level=None, bound=None, filled=None, shared=True):
    """A quantity against temperature: a panel for each composition, a line for each species, or for what else its column names.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns composition, temperature (K), species, `value` and `value`_sem.
    bound : str, optional
        Column with lower bounds, drawn as arrows where `value` is unknown and `reached` is 0.
    filled : str, optional
        Column that is 0 where a symbol stays open.
    """
    names = compositions({(c, 0) for c in table.composition})
    figure, axes = panels(1, len(names), height=2.3, sharey=shared, sharex=True)
    looks = theme.looks(ordered(table.species) if "species" in table else [None])
    for ax, composition in zip(axes[0], names, strict=True):
        for name, look in looks.items():
            part = table[table.composition == composition].sort_values("temperature")
            part = part[part.species == name] if name else part
            error = part[f"{value}_sem"]
            ax.errorbar(part.temperature, part[value], error, **look, capsize=2, ms=5, lw=1.2)
            if filled:
                empty = part[part[filled] == 0]
                ax.plot(empty.temperature, empty[value], **look | {"ls": "none"}, ms=5, mfc="white", zorder=3)
            if bound:
                open_ = part[part[value].isna() & (part.reached == 0)]
                ax.plot(open_.temperature, open_[bound], ls="none", marker=r"$\uparrow$", ms=10, color=look["color"])
        if level is not None:
            ax.axhline(level, color=GREY, lw=0.8, ls=":")
        ax.set_xlabel("temperature (K)")
        ax.set_title(composition, fontweight="bold", color=GREY)
        if log:
            ax.set_yscale("log")
            narrow = table[value].max() < 30 * table[value].min()
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(NullFormatter())
        ax.margins(x=0.12)
    axes[0, 0].set_ylabel(label)
    if len(looks) > 1:
        theme.legend(figure, looks)
    return figure
