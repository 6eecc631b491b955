"""Figures of the book: one style, one function a figure, nothing computed that is not drawn.

Results come as {(composition, temperature): xarray.Dataset}; bands are one standard error (`x_sem` of each variable `x`). Species are
told apart by colour and by dashes, temperatures by a sequential scale that also orders in grey.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

SPECIES = {"O": "#c44e00", "Na": "#0066a8", "Si": "#5b8c3e"}
DASHES = {"O": "-", "Na": (0, (5, 1.5)), "Si": (0, (1, 1))}
GREY = "#777777"


def style():
    """Set the book's style for all figures that follow."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.9)
    plt.rcParams.update({
        "figure.dpi": 110, "savefig.dpi": 150, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "grid.alpha": 0.25, "grid.linewidth": 0.6, "legend.frameon": False, "figure.constrained_layout.use": True,
    })  # fmt: skip


def colour(species):
    """Colour of a species; grey for one that has none."""
    return SPECIES.get(species, GREY)


def temperature_colours(temperatures):
    """One colour for each temperature, dark when cold."""
    ordered = sorted(set(temperatures))
    return dict(zip(ordered, sns.color_palette("inferno", len(ordered) + 1)[: len(ordered)], strict=True))


def compositions(results):
    """Compositions of a set of results, in order of silica content where the name tells."""
    return sorted({c for c, _ in results}, key=lambda name: (len(name), name))


def band(axes, x, y, error, **options):
    """A line with a band of one standard error; returns the line."""
    (line,) = axes.plot(x, y, **options)
    low, high = y - error, y + error
    if axes.get_yscale() == "log":
        low = np.where(low > 0, low, y * 1e-3)
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    return line


def against_time(results, variable, label, log=False, select=None, shipped=None, level=None, share="row"):
    """`variable` against time: a row for each composition, a column for each species, a line for each temperature.

    Parameters
    ----------
    results : dict
    variable : str
    label : str
        Of the ordinate, with its unit.
    log : bool
        Logarithmic ordinate.
    select : dict, optional
        Values of further dimensions to draw, nearest ones taken: {"q": 1.7}.
    shipped : dict, optional
        Results of longer runs, drawn thin and dashed.
    level : float, optional
        A horizontal line.
    share : str or bool
        Which panels share their ordinates.
    """
    rows = compositions(results)
    species = [str(s) for s in next(iter(results.values())).species.values]
    hues = temperature_colours([t for _, t in [*results, *(shipped or {})]])
    figure, axes = plt.subplots(
        len(rows),
        len(species),
        figsize=(3.3 * len(species) + 0.6, 2.5 * len(rows) + 0.4),
        sharex=True,
        sharey=share,
        squeeze=False,
    )
    for i, composition in enumerate(rows):
        for j, name in enumerate(species):
            panel = axes[i, j]
            panel.set_xscale("log")
            if log:
                panel.set_yscale("log")
            for source, width, dash in ((results, 1.8, "-"), (shipped or {}, 0.9, (0, (4, 2)))):
                for (c, temperature), data in source.items():
                    if c != composition or name not in data.species.values:
                        continue
                    data = data.sel(species=name)
                    if select:
                        data = data.sel({k: v for k, v in select.items() if k in data.dims}, method="nearest")
                    keep = data.time.values > 0
                    y = data[variable].values
                    if log:
                        keep &= y > 0
                    text = f"{temperature:g} K" if source is results else None
                    band(
                        panel, data.time.values[keep], y[keep], data[variable + "_sem"].values[keep],
                        color=hues[temperature], linewidth=width, linestyle=dash, label=text,
                    )  # fmt: skip
            if level is not None:
                panel.axhline(level, color=GREY, linewidth=0.8, linestyle=":")
            panel.set_title(f"{name} in {composition}", fontsize="medium", color=colour(name))
            if j == 0:
                panel.set_ylabel(label)
            if i == len(rows) - 1:
                panel.set_xlabel("time t (ps)")
    axes[0, 0].legend(fontsize="small", title=None)
    return figure


def diffusion(table, fits, shipped=None, experiment=None):
    """Diffusion coefficients against inverse temperature, with Arrhenius lines.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns composition, species, temperature (K), D (Å²/ps), D_sem, diffusive.
    fits : pandas.DataFrame
        Columns composition, species, D_0 (Å²/ps), E (eV).
    shipped : pandas.DataFrame, optional
        As `table`, of longer runs.
    experiment : dict, optional
        label → (temperatures, D).
    """
    names = sorted(table.composition.unique(), key=lambda name: (len(name), name))
    figure, axes = plt.subplots(1, len(names), figsize=(3.6 * len(names) + 0.6, 3.8), sharey=True, squeeze=False)
    for panel, composition in zip(axes[0], names, strict=True):
        for species, part in table[table.composition == composition].groupby("species"):
            for whole in (1, 0):
                some = part[part.diffusive == whole]
                panel.errorbar(
                    1e4 / some.temperature, some.D, some.D_sem, fmt="o", color=colour(species), capsize=2, linestyle="none",
                    markerfacecolor=colour(species) if whole else "white", label=species if whole else None,
                )  # fmt: skip
            fit = fits[(fits.composition == composition) & (fits.species == species)]
            if len(fit) and np.isfinite(fit.E.iloc[0]):
                t = np.linspace(part.temperature.min(), part.temperature.max(), 50)
                panel.plot(
                    1e4 / t,
                    fit.D_0.iloc[0] * np.exp(-fit.E.iloc[0] / (8.617333e-5 * t)),
                    color=colour(species),
                    linestyle=DASHES.get(species, "-"),
                )
        if shipped is not None:
            for species, part in shipped[shipped.composition == composition].groupby("species"):
                panel.errorbar(
                    1e4 / part.temperature, part.D, part.D_sem, fmt="s", markersize=4, color=colour(species), alpha=0.5
                )
        for label, (t, d) in (experiment or {}).items():
            panel.plot(1e4 / np.asarray(t), d, color="black", linewidth=1, linestyle="-.", label=label)
        panel.set(yscale="log", title=composition, xlabel="10⁴ / T (1/K)")
    axes[0, 0].set_ylabel("D (Å²/ps)")
    axes[0, 0].legend(fontsize="small")
    return figure


def van_hove(results, species, times, peaks=None):
    """4πr²G_s(r, t) of one species: a panel for each state, a line for each lag time.

    Parameters
    ----------
    results : dict
    species : str
    times : sequence of float
        ps; the nearest lag times that the trajectories contain are drawn.
    peaks : dict, optional
        (composition, temperature) → r (Å) of a second maximum, marked.
    """
    rows = compositions(results)
    columns = sorted({t for _, t in results})
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(2.7 * len(columns) + 0.8, 2.3 * len(rows) + 0.4),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    hues = sns.color_palette("crest", len(times))
    for (composition, temperature), data in results.items():
        panel = axes[rows.index(composition), columns.index(temperature)]
        if species not in data.species.values:
            continue
        data = data.sel(species=species)
        drawn = {float(data.time.sel(time=t, method="nearest")) for t in times if t <= data.time.values.max() * 1.01}
        for hue, lag in zip(hues, sorted(drawn - {0.0}), strict=False):
            now = data.sel(time=lag)
            band(
                panel,
                data.r.values,
                now.P.values,
                now.P_sem.values,
                color=hue,
                label=f"{lag:.2g} ps",
                linewidth=1.6,
            )
        if peaks and np.isfinite(peaks.get((composition, temperature), np.nan)):
            panel.axvline(peaks[composition, temperature], color=GREY, linestyle=":", linewidth=1)
        panel.set_title(f"{composition}, {temperature:g} K", fontsize="medium")
    for panel in axes[:, 0]:
        panel.set_ylabel("4πr²G$_s$ (1/Å)")
    for panel in axes[-1]:
        panel.set_xlabel("displacement r (Å)")
    _legend(axes)
    return figure


def by_distance(results, variable, label, dimension="pair", x="r", xlabel="r (Å)", limits=None):
    """`variable` against a distance or wave number: a row for each composition, a column for each value of `dimension`."""
    rows = compositions(results)
    names = [str(p) for p in next(iter(results.values()))[dimension].values]
    hues = temperature_colours([t for _, t in results])
    figure, axes = plt.subplots(
        len(rows), len(names), figsize=(2.3 * len(names) + 0.8, 2.2 * len(rows) + 0.4), sharex=True, squeeze=False
    )
    for (composition, temperature), data in results.items():
        for j, name in enumerate(names):
            if name not in data[dimension].values:
                continue
            part, panel = data.sel({dimension: name}), axes[rows.index(composition), j]
            band(
                panel,
                part[x].values,
                part[variable].values,
                part[variable + "_sem"].values,
                color=hues[temperature],
                label=f"{temperature:g} K",
                linewidth=1.3,
            )
            panel.set_title(f"{name} in {composition}", fontsize="medium")
            if limits:
                panel.set_xlim(*limits)
    for panel in axes[:, 0]:
        panel.set_ylabel(label)
    for panel in axes[-1]:
        panel.set_xlabel(xlabel)
    _legend(axes)
    return figure


def points(table, value, label, log=False, level=None):
    """A quantity of each species against temperature, a panel for each composition.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns composition, temperature, species, `value` and `value`_sem.
    """
    names = sorted(table.composition.unique(), key=lambda name: (len(name), name))
    figure, axes = plt.subplots(1, len(names), figsize=(3.3 * len(names) + 0.6, 3.2), sharey=True, squeeze=False)
    for panel, composition in zip(axes[0], names, strict=True):
        for species, part in table[table.composition == composition].groupby("species"):
            part = part.sort_values("temperature")
            panel.errorbar(
                part.temperature, part[value], part[f"{value}_sem"], color=colour(species), marker="o", linestyle=DASHES.get(species, "-"),
                capsize=2, label=species,
            )  # fmt: skip
        if log:
            panel.set_yscale("log")
        if level is not None:
            panel.axhline(level, color=GREY, linewidth=0.8, linestyle=":")
        panel.set(title=composition, xlabel="temperature (K)")
    axes[0, 0].set_ylabel(label)
    axes[0, 0].legend(fontsize="small")
    return figure


def parity(data):
    """Predicted against labelled energy, forces and pressure of one Dataset that `glasslib.training.parity` made."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
    label, model = data.sel(source="label"), data.sel(source="model")
    for name in np.unique(data.species):
        chosen = data.species.values == name
        axes[1].plot(
            label.forces.values[chosen].ravel(), model.forces.values[chosen].ravel(), ".", markersize=3, alpha=0.5, color=colour(str(name)), label=str(name)
        )  # fmt: skip
    sns.scatterplot(x=label.energy.values, y=model.energy.values, hue=data.composition.values, ax=axes[0], s=25)
    sns.scatterplot(
        x=label.pressure.values,
        y=model.pressure.values,
        hue=data.temperature.values,
        ax=axes[2],
        s=25,
        palette="inferno",
    )
    for panel, text in zip(axes, ("energy (eV/atom)", "force (eV/Å)", "pressure (GPa)"), strict=True):
        ends = np.array([min(panel.get_xlim()[0], panel.get_ylim()[0]), max(panel.get_xlim()[1], panel.get_ylim()[1])])
        panel.plot(ends, ends, color=GREY, linewidth=0.8, zorder=0)
        panel.set(xlabel=f"DFT {text}", ylabel=f"potential {text}")
    axes[1].legend(markerscale=3)
    axes[2].legend(title="K", fontsize="x-small")
    return figure


def history(table):
    """Losses and validation errors against the epoch; `table` as `train` writes it to history.csv."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    axes[0].plot(table.epoch, table.loss, color=GREY, label="training")
    if "validation_loss" in table:
        axes[0].plot(table.epoch, table.validation_loss, color=SPECIES["Na"], label="validation")
    axes[0].set(yscale="log", xlabel="epoch", ylabel="loss")
    axes[0].legend()
    for name, text in (("force_rmse", "forces (meV/Å)"), ("energy_rmse", "energy (meV/atom)")):
        if name in table:
            axes[1].plot(
                table.epoch, table[name], label=text, color=SPECIES["O"] if name == "force_rmse" else SPECIES["Si"]
            )
    axes[1].set(yscale="log", xlabel="epoch", ylabel="validation RMSE")
    axes[1].legend()
    return figure


def run_log(log, atoms):
    """Temperature, potential energy and pressure of a simulation of so many atoms against time; `log` as of Trajectory.log."""
    wanted = (
        ("temperature", 1, "T (K)"),
        ("potential_energy", atoms, "potential energy\n(eV/atom)"),
        ("pressure", 1, "pressure\n(GPa)"),
    )
    names = [entry for entry in wanted if entry[0] in log]
    figure, axes = plt.subplots(len(names), 1, figsize=(8, 1.8 * len(names)), sharex=True, squeeze=False)
    for panel, (name, divisor, text) in zip(axes[:, 0], names, strict=True):
        panel.plot(log["time"], log[name] / divisor, color=SPECIES["Na"], linewidth=0.8)
        panel.set_ylabel(text, fontsize="small")
    axes[-1, 0].set_xlabel("time (ps)")
    return figure


def bars(families):
    """Probabilities of whole numbers (coordination, Qⁿ): a row for each family, a panel for each composition, bars for temperatures.

    Parameters
    ----------
    families : dict
        label → {(composition, temperature): Dataset with `probability` along one whole-number dimension}.
    """
    rows = compositions(next(iter(families.values())))
    figure, axes = plt.subplots(
        len(families),
        len(rows),
        figsize=(3.1 * len(rows) + 0.6, 2.4 * len(families) + 0.4),
        sharey="row",
        squeeze=False,
    )
    for i, (label, results) in enumerate(families.items()):
        hues = temperature_colours([t for _, t in results])
        width = 0.8 / len(hues)
        for (composition, temperature), data in results.items():
            panel = axes[i, rows.index(composition)]
            (dimension,) = data.probability.dims
            place = list(hues).index(temperature) - (len(hues) - 1) / 2
            panel.bar(
                data[dimension].values + width * place, data.probability.values, width, yerr=data.probability_sem.values,
                color=hues[temperature], label=f"{temperature:g} K", error_kw={"linewidth": 0.8},
            )  # fmt: skip
            seen = data[dimension].values[data.probability.values > 2e-3]
            if len(seen):
                low, high = (
                    panel.get_xlim() if panel.has_data() and getattr(panel, "_ranged", False) else (np.inf, -np.inf)
                )
                panel._ranged = True
                panel.set_xlim(min(low, seen.min() - 0.6), max(high, seen.max() + 0.6))
            panel.set(title=composition, xlabel=label)
        axes[i, 0].set_ylabel("probability")
    axes[0, 0].legend(fontsize="x-small")
    return figure


def angles(results):
    """Distributions of bond angles: a row for each kind of angle, a panel for each composition."""
    rows = compositions(results)
    kinds = [str(name) for name in next(iter(results.values())).triplet.values]
    figure, axes = plt.subplots(
        len(kinds),
        len(rows),
        figsize=(3.1 * len(rows) + 0.6, 2.2 * len(kinds) + 0.4),
        sharex="row",
        sharey="row",
        squeeze=False,
    )
    hues = temperature_colours([t for _, t in results])
    for (composition, temperature), data in results.items():
        for i, kind in enumerate(kinds):
            part, panel = data.sel(triplet=kind), axes[i, rows.index(composition)]
            band(
                panel,
                part.angle.values,
                part.probability.values,
                part.probability_sem.values,
                color=hues[temperature],
                label=f"{temperature:g} K",
            )
            panel.set(title=f"{kind} in {composition}", xlabel="angle (degrees)")
    for panel in axes[:, 0]:
        panel.set_ylabel("density (1/degree)")
    _legend(axes)
    return figure


def structure_factor(results):
    """Total structure factor: a panel for each composition, a line for each temperature."""
    rows = compositions(results)
    figure, axes = plt.subplots(1, len(rows), figsize=(3.6 * len(rows) + 0.6, 3.2), sharey=True, squeeze=False)
    hues = temperature_colours([t for _, t in results])
    for (composition, temperature), data in results.items():
        panel = axes[0, rows.index(composition)]
        band(
            panel, data.q.values, data.S.values, data.S_sem.values, color=hues[temperature], label=f"{temperature:g} K"
        )
        panel.set(title=composition, xlabel="q (1/Å)")
    axes[0, 0].set_ylabel("S(q), neutrons")
    _legend(axes)
    return figure


def bonds(results):
    """Bond correlation against time: a panel for each composition, a line for each temperature."""
    rows = compositions(results)
    figure, axes = plt.subplots(1, len(rows), figsize=(3.6 * len(rows) + 0.6, 3.2), sharey=True, squeeze=False)
    hues = temperature_colours([t for _, t in results])
    for (composition, temperature), data in results.items():
        panel, keep = axes[0, rows.index(composition)], data.time.values > 0
        panel.set_xscale("log")
        band(
            panel, data.time.values[keep], data.C_B.values[keep], data.C_B_sem.values[keep], color=hues[temperature], label=f"{temperature:g} K"
        )  # fmt: skip
        panel.axhline(0.3679, color=GREY, linewidth=0.8, linestyle=":")
        panel.set(title=composition, xlabel="time t (ps)")
    axes[0, 0].set_ylabel("bond correlation $C_B$(t)")
    _legend(axes)
    return figure


def jumps(results, species):
    """Share of jumpers and length of a jump against lag time, a line for each temperature, a column for each composition."""
    columns = compositions(results)
    hues = temperature_colours([t for _, t in results])
    figure, axes = plt.subplots(
        2, len(columns), figsize=(3.4 * len(columns) + 0.6, 4.8), sharex=True, sharey="row", squeeze=False
    )
    for (composition, temperature), data in results.items():
        if species not in data.species.values:
            continue
        data = data.sel(species=species)
        for panel, name in zip(axes[:, columns.index(composition)], ("hop_fraction", "hop_length"), strict=True):
            panel.errorbar(
                data.time, data[name], data[f"{name}_sem"], color=hues[temperature], marker="o", markersize=4, capsize=2,
                linewidth=1, label=f"{temperature:g} K",
            )  # fmt: skip
        axes[0, columns.index(composition)].set(title=f"{species} in {composition}", xscale="log", ylim=(0, 1.05))
        axes[1, columns.index(composition)].set(xlabel="lag time (ps)", ylim=(0, 6))
    axes[0, 0].set_ylabel("share that jumped")
    axes[1, 0].set_ylabel("length of a jump (Å)")
    _legend(axes)
    return figure


def _legend(axes):
    """One legend for all panels: that of the fullest one."""
    fullest = max(axes.flat, key=lambda panel: len(panel.get_legend_handles_labels()[0]))
    fullest.legend(fontsize="x-small")
