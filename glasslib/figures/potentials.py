"""Figures of reference data, training, validation, and of one simulation."""

from itertools import cycle

import numpy as np
import seaborn as sns
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, SymmetricalLogLocator

from .theme import DASHES, GREY, SPECIES, colour, compositions, legend, ordered, panels

HUES = "#6f6f6f", "#2b7bba", "#dd9a00", "#9c1c33"
PARTS = {"train": "#2b7bba", "validation": "#dd9a00", "test": "#9c1c33"}


def coverage(table):
    """Where labelled frames lie: density against temperature, a panel for each composition, colours for the parts of the split.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns composition, temperature (K), density (g/cm³), part.
    """
    names = compositions({(c, 0) for c in table.composition})
    rows = int(np.ceil(len(names) / 3))
    figure, axes = panels(rows, min(3, len(names)), height=1.9, sharex=True)
    rng = np.random.default_rng(0)
    for ax, name in zip(axes.flat, names, strict=False):
        for part, hue in PARTS.items():
            some = table[(table.composition == name) & (table.part == part)]
            marker = {"train": "o", "validation": "s", "test": "^"}[part]
            ax.plot(
                some.temperature + rng.uniform(-45, 45, len(some)),
                some.density,
                marker,
                color=hue,
                ms=4,
                alpha=0.7,
                mew=0,
            )
        ax.set_title(name, fontweight="bold", color=GREY)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    figure.supxlabel("temperature (K), scattered by up to 45 K to part the markers", fontsize=9.5)
    figure.supylabel("density (g/cm³)", fontsize=9.5)
    legend(
        figure,
        {
            p: {"color": h, "marker": {"train": "o", "validation": "s", "test": "^"}[p], "ls": "none"}
            for p, h in PARTS.items()
        },
    )
    return figure


def labels(forces, table):
    """What is to be learned: sizes of forces by species, pressures and finite-basis corrections by composition.

    Parameters
    ----------
    forces : dict
        Species → array of sizes of forces, eV/Å.
    table : pandas.DataFrame
        Columns composition, pressure, correction (GPa), density (g/cm³), temperature (K).
    """
    figure, axes = panels(1, 3, height=2.4)
    left, middle, right = axes[0]
    edges = np.linspace(0, 15, 61)
    for name in ordered(forces):
        left.hist(
            np.minimum(forces[name], 14.99),
            edges,
            histtype="step",
            density=True,
            color=colour(name),
            ls=DASHES.get(name, "-"),
            lw=1.5,
            label=name,
        )
    left.set(xlabel="size of force (eV/Å)", ylabel="density (Å/eV)", xlim=(0, 15))
    left.legend(handlelength=2.2)
    names = compositions({(c, 0) for c in table.composition})
    hues = dict(zip(names, sns.color_palette("crest", len(names)), strict=True))
    for name in names:
        some = table[table.composition == name]
        middle.plot(some.density, some.pressure, "o", ms=4, color=hues[name], mew=0, alpha=0.8, label=name)
        right.plot([name] * len(some), some.correction, "o", ms=4, color=hues[name], mew=0, alpha=0.8)
    middle.set(xlabel="density (g/cm³)", ylabel="pressure (GPa)")
    middle.legend(handletextpad=0.1)
    right.set(ylabel="finite-basis correction (GPa)")
    right.tick_params(axis="x", rotation=45)
    return figure


def history(table):
    """Losses, and errors on validation frames, against the epoch; `table` as training writes it to history.csv."""
    figure, axes = panels(1, 3, height=2.2)
    axes[0, 0].plot(table.epoch, table.loss, color=GREY, label="training")
    if "validation_loss" in table and table.validation_loss.notna().any():
        axes[0, 0].plot(table.epoch, table.validation_loss, color="black", label="validation")
    axes[0, 0].legend()
    for ax, name, factor in ((axes[0, 1], "force_rmse", 1000), (axes[0, 2], "energy_rmse", 1000)):
        if name in table:
            ax.plot(table.epoch, factor * table[name], color="black")
    for ax, text in zip(axes[0], ("loss", "force error (meV/Å)", "energy error (meV/atom)"), strict=True):
        ax.set(yscale="log", xlabel="epoch", ylabel=text)
    return figure


def parity(tests):
    """Predicted against labelled energies, forces and pressures: a row for each potential.

    Parameters
    ----------
    tests : dict
        Label → Dataset as `glasslib.training.parity` makes it.
    """
    figure, axes = panels(len(tests), 3, height=2.35)
    for row, (name, data) in zip(axes, tests.items(), strict=True):
        label, model = data.sel(source="label"), data.sel(source="model")
        mixtures = compositions({(c, 0) for c in data.composition.values})
        hues = dict(zip(mixtures, sns.color_palette("crest", len(mixtures)), strict=True))
        for species in ordered(np.unique(data.species)):
            mine = data.species.values == species
            row[1].plot(
                label.forces.values[mine].ravel(),
                model.forces.values[mine].ravel(),
                ".",
                ms=2.5,
                alpha=0.5,
                color=colour(species),
                label=species,
                mew=0,
            )
        for mixture in mixtures:
            mine = data.composition.values == mixture
            row[0].plot(
                label.energy.values[mine],
                model.energy.values[mine],
                "o",
                ms=4,
                color=hues[mixture],
                mew=0,
                label=mixture,
            )
            row[2].plot(label.pressure.values[mine], model.pressure.values[mine], "o", ms=4, color=hues[mixture], mew=0)
        for ax, text in zip(row, ("energy (eV/atom)", "force (eV/Å)", "pressure (GPa)"), strict=True):
            ends = np.array([min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1])])
            ax.plot(ends, ends, color=GREY, lw=0.8, zorder=0)
            ax.set(xlabel=f"DFT {text}", ylabel=f"potential {text}")
        row[0].legend(handletextpad=0.1)
        row[1].legend(handletextpad=0.1, markerscale=3)
        row[0].set_title(name, fontweight="bold", color=GREY)
    return figure


def errors(table):
    """Force errors in all, by species, composition and temperature; bars for the potentials.

    Parameters
    ----------
    table : pandas.DataFrame
        Index (potential, group, value) with a column force_rmse (meV/Å).
    """
    groups = [g for g in ("all", "species", "composition", "temperature") if g in table.index.get_level_values(1)]
    sizes = [table.xs(g, level=1).index.get_level_values(1).nunique() for g in groups]
    figure, axes = panels(1, len(groups), height=2.4, sharey=True, width_ratios=[max(s, 1.6) for s in sizes])
    potentials = list(dict.fromkeys(table.index.get_level_values(0)))
    hues = dict(zip(potentials, ("#b9c4cf", "#27496b", "#7d93a8"), strict=False))
    for ax, group in zip(axes[0], groups, strict=True):
        part = table.xs(group, level=1).force_rmse.unstack(0)[potentials]
        part = part.loc[sorted(part.index, key=lambda v: (len(v), v))]
        part.plot.bar(ax=ax, color=[hues[p] for p in potentials], width=0.75, legend=False)
        ax.set_title("" if group == "all" else f"by {group}")
        ax.set_xlabel("")
        ax.tick_params(axis="x", rotation=45 if group != "species" else 0)
        ax.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel("force error (meV/Å)")
    legend(figure, {p: {"color": hues[p], "lw": 7} for p in potentials})
    return figure


def dimers(distances, scans):
    """Energies of pairs of atoms (eV, relative to the largest distance) against distance (Å); `scans`: pair → energies."""
    figure, axes = panels(1, 2, height=2.7)
    hues = sns.color_palette("colorblind", len(scans))
    for ax in axes[0]:
        for energies, hue in zip(scans.values(), hues, strict=True):
            ax.plot(distances, np.asarray(energies) - energies[-1], color=hue)
        ax.set_xlabel("distance (Å)")
    axes[0, 0].set(yscale="symlog", ylabel="energy (eV)", title="whole range", xlim=(distances[0], 3))
    axes[0, 0].yaxis.set_major_locator(SymmetricalLogLocator(base=1e3, linthresh=1.0))
    axes[0, 0].yaxis.set_minor_locator(NullLocator())
    axes[0, 1].set(ylim=(-12, 12), title="around the bonds", xlim=(1.0, distances[-1]))
    legend(figure, dict(zip(scans, hues, strict=True)))
    return figure


def conservation(runs):
    """Total energy of runs without a thermostat against time, less its mean (meV/atom).

    Parameters
    ----------
    runs : dict
        Label → (time in ps, total energy in eV/atom).
    """
    figure, axes = panels(1, 1, height=2.3)
    for (name, (time, total)), hue in zip(runs.items(), sns.color_palette("crest", len(runs)), strict=True):
        axes[0, 0].plot(time, 1000 * (total - total.mean()), color=hue, lw=1, label=name)
    axes[0, 0].set(xlabel="time (ps)", ylabel="energy − mean (meV/atom)")
    axes[0, 0].legend(title="time step")
    return figure


def reliability(spread, error, species, fits):
    """Error of forces against the committee's disagreement, atom by atom, with what two atoms of three should stay below.

    Parameters
    ----------
    spread, error : arrays [atoms]
        eV/Å.
    species : array [atoms]
    fits : dict
        Species → (floor in eV/Å, factor), as of training.calibration.fit.
    """
    figure, axes = panels(1, 1, height=3.0, width=4.6)
    ax = axes[0, 0]
    for name in ordered(np.unique(species)):
        ax.plot(
            spread[species == name], error[species == name], ".", ms=3, alpha=0.5, color=colour(name), mew=0, label=name
        )
    x = np.geomspace(spread.min(), spread.max(), 100)
    for (name, (floor, factor)), dashes in zip(fits.items(), ("-", "--", ":", "-."), strict=False):
        ax.plot(x, np.hypot(floor, factor * x), color="white", lw=3)
        ax.plot(x, np.hypot(floor, factor * x), color=colour(name), ls=dashes, lw=1.6, label=f"{name}: predicted")
    ends = np.array([min(spread.min(), error.min()), max(spread.max(), error.max())])
    ax.plot(ends, ends, color=GREY, lw=0.8, zorder=0)
    ax.set(
        xscale="log", yscale="log", xlabel="disagreement of the committee (eV/Å)", ylabel="error of the force (eV/Å)"
    )
    ax.legend(markerscale=2)
    return figure


def run_log(trajectory, stages=()):
    """Temperature (K), potential energy (eV/atom) and, where known, pressure (GPa) of a run against time; the recorded stretch is shaded."""
    log, start = trajectory.log, trajectory.time[0]
    rows = [("temperature (K)", log["temperature"]), ("energy (eV/atom)", log["potential_energy"] / trajectory.n_atoms)]
    if "pressure" in log:
        rows.append(("pressure (GPa)", log["pressure"]))
    figure, axes = panels(len(rows), height=1.25, sharex=True)
    for ax, (label, values) in zip(axes[:, 0], rows, strict=True):
        time = log["time"][: len(values)]
        ax.plot(time, values, color=GREY, lw=0.8)
        ax.axvspan(start, trajectory.time[-1], color=SPECIES["Na"], alpha=0.13, lw=0)
        recorded = values[(time >= start) & np.isfinite(values)]
        after = values[(time >= 0.1 * time[-1]) & np.isfinite(values)]
        ax.hlines(recorded.mean(), start, trajectory.time[-1], color="black", lw=1, ls="--")
        ax.set_title(
            f"recorded: {recorded.mean():.4g}, standard deviation {recorded.std():.2g}", loc="right", fontsize=8.5
        )
        low, high = np.percentile(after, [0.5, 99.5])
        ax.set_ylim(low - 0.25 * (high - low), high + 0.25 * (high - low))
        ax.set_ylabel(label)
        ax.yaxis.set_major_locator(MaxNLocator(4))
    ends = np.cumsum([stage["length"] for stage in stages])
    for begin, end, stage in zip([0, *ends[:-1]], ends, stages, strict=True):
        axes[0, 0].text(
            begin, 1.05, f" {stage['name']}", transform=axes[0, 0].get_xaxis_transform(), color=GREY, fontsize=8.5
        )
        for ax in axes[:, 0]:
            ax.axvline(end, color=GREY, lw=0.6, ls=":")
    axes[0, 0].set_title("", loc="left")
    axes[-1, 0].set(xlabel="time (ps)", xlim=(0, log["time"][-1]))
    return figure


def learning_curve(table):
    """Errors on the test frames against the number of training frames, a line for each start; bars span the trainings of other seeds.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `training.curve.learning_curve`.
    """
    figure, axes = panels(1, 3, height=2.3)
    kinds = {"force_rmse": "force (meV/Å)", "energy_rmse": "energy (meV/atom)", "pressure_rmse": "pressure (GPa)"}
    for ax, (key, label) in zip(axes.flat, kinds.items(), strict=True):
        for (name, rows), hue, marker in zip(table.groupby("start", sort=False), cycle(HUES), cycle("sod^v")):
            of = rows.groupby("frames")[key]
            mean, low, high = of.mean(), of.min(), of.max()
            ax.errorbar(mean.index, mean, (mean - low, high - mean), marker=marker, ls="-", ms=4, color=hue, label=name)
        ax.set(xscale="log", yscale="log", xlabel="training frames", ylabel=f"{label}, rms")
        ticks = []
        for number in sorted(table.frames.unique(), reverse=True):  # labels that leave room for each other
            ticks += [number] if not ticks or ticks[-1] / number > 1.7 else []
        ax.set_xticks(ticks, ticks)
        ax.minorticks_off()
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
    axes[0, 1].legend(loc="upper right")
    return figure


def ablation(table, base="random weights", names=None):
    """What each change of a recipe does to the errors on the test frames: a row for each, the base on top with a band down from it.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `training.curve.learning_curve`, of one number of frames.
    base : str
        The `start` that the others are changes of; the band spans its seeds.
    names : dict, optional
        `start` → words.
    """
    if table.frames.nunique() > 1:
        raise ValueError(
            "trainings on different numbers of frames cannot be told apart here: choose those of one number"
        )
    kinds = {"force_rmse": "force (meV/Å)", "energy_rmse": "energy (meV/atom)", "pressure_rmse": "pressure (GPa)"}
    rows = [base, *(name for name in table.start.unique() if name != base)]
    figure, axes = panels(1, 3, height=0.8 + 0.24 * len(rows), sharey=True)
    for ax, (key, label) in zip(axes.flat, kinds.items(), strict=True):
        known = table.loc[table.start == base, key]
        ax.axvspan(known.min(), known.max(), color=GREY, alpha=0.25, lw=0)
        ax.axvline(known.mean(), color=GREY, lw=0.8)
        for y, name in enumerate(rows):
            values = table.loc[table.start == name, key]
            ax.plot(values, np.full(len(values), y), "o", ms=4, color="black" if name == base else "#2b7bba")
        ax.set(xlabel=f"{label}, rms", ylim=(len(rows) - 0.5, -0.5))
    axes[0, 0].set_yticks(range(len(rows)), [(names or {}).get(name, name) for name in rows])
    return figure
