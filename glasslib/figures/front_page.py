"""The figure of the front page."""

import io

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

from .theme import DASHES, MARKERS, colour, curve, ordered, panels


def front(van_hove_results, alpha, diffusion_table, state):
    """Three panels for the front page: distances travelled, non-Gaussian parameter, diffusion coefficients.

    Parameters
    ----------
    van_hove_results, alpha : dict
        Results of `van_hove_self` and `non_gaussian`.
    diffusion_table : pandas.DataFrame
        As of `diffusion`; open symbols and no line where a species is not diffusive.
    state : pair
        (composition, temperature) shown in the first two panels.
    """
    figure, axes = panels(1, 3, height=2.5)
    left, middle, right = axes[0]
    time = float(van_hove_results[state].time[-1]) / 4
    for name in ordered(van_hove_results[state].species.values):
        one = van_hove_results[state].sel(species=name).sel(time=time, method="nearest")
        curve(left, one.r, one.P, one.P_sem, color=colour(name), ls=DASHES.get(name, "-"))
        one = alpha[state].sel(species=name)
        one = one.sel(time=slice(0.01, None))
        curve(middle, one.time, one.alpha_2, one.alpha_2_sem, color=colour(name), ls=DASHES.get(name, "-"))
        part = diffusion_table[(diffusion_table.species == name) & (diffusion_table.composition == state[0])]
        look = {"color": colour(name), "marker": MARKERS.get(name, "o"), "capsize": 2, "ms": 5}
        for whole, some in part.groupby("diffusive"):
            lines, inside = (DASHES.get(name, "-"), colour(name)) if whole else ("none", "white")
            right.errorbar(1000 / some.temperature, some.D, some.D_sem, ls=lines, mfc=inside, **look)
        right.plot([], [], color=colour(name), marker=MARKERS.get(name, "o"), ls="none", ms=5, label=name)
    left.set(
        xlim=(0, 6),
        ylim=(0, None),
        xlabel=f"distance in {time:.2g} ps (Å)",
        ylabel="4πr²G$_s$ (1/Å)",
        title=f"{state[0]}, {state[1]:g} K",
    )
    middle.set(xscale="log", xlabel="lag time (ps)", ylabel="α₂", title=f"{state[0]}, {state[1]:g} K")
    right.set(yscale="log", xlabel="1000 K / T", ylabel="D (Å²/ps)", title=state[0])
    right.yaxis.set_minor_formatter(NullFormatter())
    right.plot([], [], color="grey", marker="o", mfc="white", ls="none", ms=5, label="not yet diffusive")
    right.legend(fontsize=7)
    return figure


def as_png(figure):
    """The figure as PNG bytes; it is closed, so that it is not shown a second time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()
