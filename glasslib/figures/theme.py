"""The one style of all figures: colours, panels, curves with bands, legends.

Colours differ in lightness as well as in hue, and species in their dashes and markers, so that figures can be read in grey and by the
colour-blind. Bands and bars are one standard error.
"""

import json
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.lines import Line2D

SPECIES = {"O": "#9c1c33", "Na": "#2b7bba", "Si": "#dd9a00"}
DASHES = {"O": "-", "Na": (0, (5, 1.5)), "Si": (0, (1.5, 1.0))}
MARKERS = {"O": "o", "Na": "s", "Si": "^"}
GREY = "#6f6f6f"
POTENTIALS = {"default": "DFT-trained PaiNN", "pmmcs": "PMMCS", "shik": "SHIK", "pmmcs-ewald": "PMMCS (Ewald)"}
WIDTH = 7.4  # inches: as wide as the text of the book, so that letters keep their size
RC = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "axes.grid": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "mathtext.default": "regular",
}


def style():
    """Set the style of the book for all figures that follow."""
    sns.set_theme(style="ticks", rc=RC)


def panels(rows=1, columns=1, height=2.2, width=WIDTH, **options):
    """Figure and axes [rows, columns], each row `height` inches high."""
    return plt.subplots(rows, columns, figsize=(width, height * rows + 0.25), squeeze=False, **options)


def colour(species):
    """Colour of a species; grey for one that has none."""
    return SPECIES.get(str(species), GREY)


def ordered(species):
    """Species in the order of the book, others after them."""
    names = {str(s) for s in species}
    return [s for s in SPECIES if s in names] + sorted(names - set(SPECIES))


def looks(names):
    """Colour, marker and dashes of each name; names that are no species get those of a scale."""
    others = [n for n in names if n not in SPECIES]
    hues = sns.color_palette("crest", max(len(others), 1)) if others != [None] else [GREY]
    known = {s: {"color": colour(s), "marker": MARKERS[s], "ls": DASHES[s]} for s in names if s in SPECIES}
    styles = ("-", (0, (5, 1.5)), (0, (1.5, 1.0)), "-.")
    for k, name in enumerate(others):
        known[name] = {"color": hues[k], "marker": "DvPX"[k % 4], "ls": styles[k % 4]}
    return known


def compositions(results):
    """Compositions of results by state, richest in sodium first where the name tells."""
    return sorted({c for c, _ in results}, key=lambda name: (not name.startswith("NS"), len(name), name))


def temperature_colours(temperatures):
    """A colour for each temperature, light when cold and dark when hot."""
    values = sorted(set(temperatures))
    if len(values) == 1:
        return {values[0]: sns.color_palette("flare", 3)[1]}
    scale = sns.color_palette("flare", as_cmap=True)
    return {t: scale((t - values[0]) / (values[-1] - values[0])) for t in values}


def curve(axes, x, y, error=None, **options):
    """A line with a band of one standard error; no band where the error is unknown."""
    x, y = np.asarray(x), np.asarray(y, float)
    (line,) = axes.plot(x, y, **options)
    if error is not None:
        error = np.nan_to_num(np.asarray(error, float))
        low = y - error
        if axes.get_yscale() == "log":
            low = np.where(low > 0, low, y * 1e-2)
        axes.fill_between(x, low, y + error, color=line.get_color(), alpha=0.22, lw=0)
    return line


def legend(figure, labels, title=None, **options):
    """One legend for all panels to their right: label → colour, or a dict of line options."""
    lines = [Line2D([], [], **(v if isinstance(v, dict) else {"color": v, "lw": 2.4})) for v in labels.values()]
    return figure.legend(lines, list(labels), title=title, loc="outside right upper", alignment="left", **options)


def temperature_legend(figure, colours):
    """Temperatures to the right of all panels."""
    return legend(figure, {f"{t:g} K": c for t, c in colours.items()})


def row_names(axes, names):
    """A name at the right end of each row of panels."""
    for row, name in zip(axes, names, strict=True):
        row[-1].annotate(
            name,
            (1.02, 0.5),
            xycoords="axes fraction",
            rotation=270,
            ha="left",
            va="center",
            fontweight="bold",
            color=GREY,
        )


def about(results):
    """What results are of: potential, atoms, length of a run and number of runs, from the attributes of the Datasets."""
    attributes = [d.attrs for d in results.values() if "length_ps" in d.attrs]
    if not attributes:
        return ""
    atoms = sorted({sum(json.loads(a["atoms"]).values()) for a in attributes})
    lengths, runs = (
        sorted({round(a["length_ps"], 3) for a in attributes}),
        sorted({int(a["replicas"]) for a in attributes}),
    )
    spans = [f"{v[0]:.4g}" if v[0] == v[-1] else f"{v[0]:.4g}–{v[-1]:.4g}" for v in (atoms, lengths, runs)]
    drivers = sorted({str(a["potential"]) for a in attributes if "potential" in a})
    names = [POTENTIALS.get(p, "PaiNN trained here" if "/" in p else p) for p in drivers]
    return (
        "".join(f"{name}, " for name in names)
        + f"{spans[0]} atoms, {spans[1]} ps"
        + (f", {spans[2]} runs" if spans[2] != "1" else "")
    )


def heading(figure, results, title):
    """A line above all panels: the title given, and what the results are of."""
    words = about(results)
    if title or words:
        text = f"{title}: {words}" if title and words else title or words
        figure.suptitle(text, x=0.01, ha="left", fontsize=9, color=GREY)


def finish(figure, axes, rows, colours, results, title, *, x, y):
    """What a grid of panels has around it: labels of both axes, names of the rows, temperatures, and a heading."""
    figure.supxlabel(x, fontsize=9.5)
    # a single row is too low for a long label
    figure.supylabel(textwrap.fill(y, 20) if len(rows) == 1 else y, fontsize=9.5, multialignment="center")
    row_names(axes, rows)
    temperature_legend(figure, colours)
    heading(figure, results, title)
    return figure
