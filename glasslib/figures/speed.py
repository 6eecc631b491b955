"""How fast: ratios to peers, and time against the number of atoms and threads."""

import matplotlib.pyplot as plt
import numpy as np


def ratios(table):
    """Dots: how many times longer a peer takes.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns case, peer, ratio.
    """
    rows = table.dropna(subset=["ratio"]).reset_index(drop=True)
    names = [
        f"{case.split(':')[0] if 'epoch' in case else case.split(': ')[-1]} · {peer}"
        for case, peer in zip(rows.case, rows.peer, strict=True)
    ]
    figure, axes = plt.subplots(figsize=(7, 0.28 * len(rows) + 0.9), layout="constrained")
    axes.scatter(rows.ratio, rows.index, s=30, color="#1f5f8b", zorder=3)
    axes.hlines(rows.index, 1, rows.ratio, color="0.75", lw=1.5)
    axes.axvline(1, color="0.2", lw=0.8)
    axes.set_xscale("log")
    axes.set_yticks(rows.index, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("time of the peer over ours")
    return figure


def scaling(sizes, one_thread):
    """Left: microseconds an atom and step against atoms, with the estimated floor. Right: with one thread and with all.

    Parameters
    ----------
    sizes, one_thread : pandas.DataFrame
        Columns atoms, features, step ms, floor ms.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
    for features, colour, marker in ((64, "#1f5f8b", "o"), (128, "#b2182b", "s")):
        rows = sizes[sizes.features == features]
        left.plot(rows.atoms, 1e3 * rows["step ms"] / rows.atoms, marker, ls="-", color=colour, label=f"F = {features}")
        left.plot(rows.atoms, 1e3 * rows["floor ms"] / rows.atoms, ls=":", color=colour, label=f"floor, F = {features}")
        alone = one_thread[one_thread.features == features].set_index("atoms")["step ms"]
        both = rows.set_index("atoms")["step ms"].reindex(alone.index)
        x = np.arange(len(alone)) + (0.2 if features == 128 else -0.2)
        right.bar(x, alone / both, 0.35, color=colour, label=f"F = {features}")
        right.set_xticks(np.arange(len(alone)), [f"{n} atoms" for n in alone.index])
    left.set(xscale="log", xlabel="atoms", ylabel="µs an atom and step")
    left.set_ylim(bottom=0)
    right.axhline(1, color="0.2", lw=0.8)
    right.set_ylabel("time on one thread over all")
    for axes in (left, right):
        axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return figure
