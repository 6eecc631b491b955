"""Figures of structure: pair distributions, counts, angles, structure factor."""

import numpy as np

from .theme import GREY, compositions, curve, finish, heading, panels, temperature_colours, temperature_legend


def by_distance(results, variable, label, *, pairs=("O-Si", "Na-O", "Na-Na"), limits=(1, 7), title=None):
    """`variable` against distance: a row for each composition, a column for each of `pairs`, a curve for each temperature."""
    rows, colours = compositions(results), temperature_colours([t for _, t in results])
    present = [p for p in pairs if any(p in d.pair.values for d in results.values())]
    figure, axes = panels(len(rows), len(present), height=1.65, sharex=True, sharey="col")
    for (composition, temperature), data in results.items():
        for k, pair in enumerate(present):
            if pair in data.pair.values:
                one = data.sel(pair=pair)
                curve(
                    axes[rows.index(composition), k],
                    one.r,
                    one[variable],
                    one[f"{variable}_sem"],
                    color=colours[temperature],
                    lw=1.2,
                )
    for ax, pair in zip(axes[0], present, strict=True):
        ax.set_title(pair.replace("-", "–"), fontweight="bold")
        ax.set_xlim(*limits)
        ax.set_ylim(0, None)
    return finish(figure, axes, rows, colours, results, title, x="r (Å)", y=label)


def bars(families, reference=None):
    """Probabilities of whole numbers (coordination, Qⁿ): a row for each family, a panel for each composition, bars for temperatures.

    Parameters
    ----------
    families : dict
        Label → {(composition, temperature): Dataset with `probability` along one whole-number dimension}.
    reference : dict, optional
        Label → {composition: {number: probability}}, drawn as black lines across the bars.
    """
    first = next(iter(families.values()))
    columns, colours = compositions(first), temperature_colours([t for _, t in first])
    figure, axes = panels(len(families), len(columns), height=1.9, sharey="row", sharex="row")
    width = 0.8 / len(colours)
    for i, (label, results) in enumerate(families.items()):
        low, high = np.inf, -np.inf
        for (composition, temperature), data in results.items():
            (dimension,) = data.probability.dims
            place = list(colours).index(temperature) - (len(colours) - 1) / 2
            values = data.probability.values
            ax = axes[i, columns.index(composition)]
            ax.bar(
                data[dimension].values + width * place, values, width, yerr=data.probability_sem.values,
                color=colours[temperature], error_kw={"linewidth": 0.7}, linewidth=0,
            )  # fmt: skip
            seen = data[dimension].values[values > 5e-3]
            low, high = min(low, *seen), max(high, *seen)
        for ax, name in zip(axes[i], columns, strict=True):
            known = (reference or {}).get(label, {}).get(name, {})
            ax.hlines(list(known.values()), [n - 0.45 for n in known], [n + 0.45 for n in known], color="black", lw=1.4)
            ax.set_xlim(low - 0.6, high + 0.6)
            ax.set_xticks(range(int(low), int(high) + 1))
            ax.set_xlabel(label)
            ax.grid(axis="x", visible=False)
            ax.set_title(name if i == 0 else "", fontweight="bold", color=GREY)
        axes[i, 0].set_ylabel("probability")
    temperature_legend(figure, colours)
    return figure


def angles(results, kinds=("Si-O-Si", "O-Si-O"), *, title=None):
    """Distributions of bond angles: a row for each kind, a panel for each composition, a curve for each temperature."""
    columns, colours = compositions(results), temperature_colours([t for _, t in results])
    present = [k for k in kinds if any(k in d.triplet.values for d in results.values())]
    figure, axes = panels(len(present), len(columns), height=1.8, sharex=True, sharey="row")
    for (composition, temperature), data in results.items():
        for i, kind in enumerate(present):
            one = data.sel(triplet=kind)
            curve(
                axes[i, columns.index(composition)],
                one.angle,
                one.probability,
                one.probability_sem,
                color=colours[temperature],
                lw=1.2,
            )
    for ax, name in zip(axes[0], columns, strict=True):
        ax.set_title(name, fontweight="bold", color=GREY)
    for ax, kind in zip(axes[:, 0], present, strict=True):
        ax.set_ylabel(f"{kind.replace('-', '–')} (1/degree)")
    for ax in axes[-1]:
        ax.set(xlim=(50, 180), xlabel="angle (degrees)")
    temperature_legend(figure, colours)
    heading(figure, results, title)
    return figure


def structure_factor(results, *, pair=None, limits=None, marks=None, title=None):
    """Total structure factor, or that of a pair: a panel for each composition, a curve for each temperature.

    Parameters
    ----------
    pair : str, optional
    limits : (float, float), optional
        Of the abscissa, 1/Å.
    marks : dict, optional
        Text → pair of wave numbers (1/Å), shaded.
    """
    columns, colours = compositions(results), temperature_colours([t for _, t in results])
    figure, axes = panels(1, len(columns), height=2.2, sharey=True, sharex=True)
    low, high = limits or (-np.inf, np.inf)
    for (composition, temperature), data in results.items():
        one = data.sel(pair=pair) if pair else data
        keep = np.isfinite(one.S.values) & (one.q.values >= low) & (one.q.values <= high)
        curve(
            axes[0, columns.index(composition)],
            one.q[keep],
            one.S[keep],
            one.S_sem[keep],
            color=colours[temperature],
            lw=1.2,
        )
    for ax, name in zip(axes[0], columns, strict=True):
        ax.set(xlabel="q (1/Å)")
        ax.set_title(name, fontweight="bold", color=GREY)
        for text, (low, high) in (marks or {}).items():
            ax.axvspan(low, high, color=GREY, alpha=0.25, lw=0)
            ax.annotate(
                text,
                (high, 0.98),
                xycoords=("data", "axes fraction"),
                fontsize=8,
                color=GREY,
                va="top",
                xytext=(3, 0),
                textcoords="offset points",
            )
    axes[0, 0].set_ylabel(f"S(q) of {pair.replace('-', '–')}" if pair else "S(q)")
    temperature_legend(figure, colours)
    heading(figure, results, title)
    return figure
