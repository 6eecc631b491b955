"""Static structure factors."""

import numpy as np

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, symbols
from .neighbours import MOST_FRAMES, batches, folded, pair_names, spread
from .statistics import jackknife, positive, whole
from .waves import species_waves, wave_vectors

RADIATIONS = (None, "neutron", "x-ray")


def structure_factor(
    trajectory_or_replicas, *, q=None, radiation="neutron", frames=MOST_FRAMES, vectors=150, n_blocks=5
):
    """Static structure factor from the density waves of the box, S_ab(q) = ⟨ρ_a(q) ρ_b(−q)⟩ / sqrt(N_a N_b).

    Partials are those of Ashcroft and Langreth. Totals are those of Faber and Ziman, which tend to 1:
    S(q) = 1 + [Σ_ab sqrt(c_a c_b) b_a b_b (S_ab − δ_ab)] / (Σ_a c_a b_a)², with neutron scattering lengths or x-ray form factors b(q).
    No g(r), no window: the wave vectors are those that fit the box, so q starts at 2π/L.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
        The cell may be triclinic and may change with time.
    q : float or sequence, optional
        Shell centres, 1/Å. Where they are evenly spaced a shell is as wide as their distance, else 0.1. Default: from the smallest in the box
        to 8 by 0.1.
    radiation : "neutron", "x-ray" or None
        Weights of the total; None: partials.
    frames, n_blocks
        As of radial_distribution.
    vectors : int
        At most so many wave vectors in a shell.

    Returns
    -------
    xarray.Dataset
        `S` (q) for a radiation, or (pair, q) for partials, no unit, and `S_sem`. NaN in shells that hold no wave vector of the box.

    References
    ----------
    T. E. Faber, J. M. Ziman, Phil. Mag. 11, 153 (1965); N. W. Ashcroft, D. C. Langreth, Phys. Rev. 156, 685 (1967). Scattering lengths and
    form factors (Waasmaier, Kirfel, Acta Cryst. A 51, 416, 1995) from the periodictable package.
    """
    replicas = checked(trajectory_or_replicas)
    if radiation not in RADIATIONS:
        raise GlasslibError(f"radiation must be 'neutron', 'x-ray' or None for partials, not {radiation!r}")
    names = symbols(replicas)
    if q is None:
        smallest = min(2 * np.pi / np.linalg.norm(cell, axis=1).max() for t in replicas for cell in t.cells[:1])
        q = np.arange(0.1 * max(1, np.ceil(smallest * 10 - 0.5)), 8.05, 0.1)
    q = positive("q", q)
    even = len(q) > 1 and np.allclose(np.diff(q), q[1] - q[0], rtol=1e-3, atol=0) and q[1] > q[0]
    width = float(np.diff(q).mean()) if even else 0.1
    upper = np.triu_indices(len(names))
    sums, counts = [], []
    for replica in replicas:
        chosen = spread(len(replica), frames)
        blocks = min(whole("n_blocks", n_blocks), len(chosen))
        number = np.array([(replica.species == s).sum() for s in names], float)
        total, seen = np.zeros((blocks, len(upper[0]), len(q))), np.zeros((blocks, len(q)))
        block = np.arange(len(chosen)) * blocks // len(chosen)
        parts = (
            batches(len(chosen), replica.n_atoms)
            if replica.constant_cell
            else [slice(k, k + 1) for k in range(len(chosen))]
        )
        triples = None
        for part in parts:
            inside, cells = folded(replica, chosen[part])
            if triples is None or not replica.constant_cell:
                triples, shell, _ = wave_vectors(cells[0], q, width, vectors)
            rho = species_waves(inside, replica.species, names, triples)
            for k, (a, b) in enumerate(zip(*upper, strict=True)):
                power = (rho[a] * rho[b].conj()).real / np.sqrt(number[a] * number[b])
                for at, row in zip(block[part], power, strict=True):
                    total[at, k] += np.bincount(shell, row, len(q))
            for at in block[part]:
                seen[at] += np.bincount(shell, minlength=len(q))
        sums.append(total)
        counts.append(seen)
    sums, counts = np.concatenate(sums), np.concatenate(counts)
    options = {"q": q, "radiation": radiation, "frames": frames, "vectors": vectors, "n_blocks": n_blocks}
    attrs = described(
        "structure_factor", replicas, options, method="density waves of the box", radiation=str(radiation)
    )
    if radiation is None:
        value, sem = jackknife(sums, counts)
        variables = {"S": (("pair", "q"), value, sem, "1", "Ashcroft-Langreth partial structure factor")}
        return dataset(variables, {"pair": pair_names(names), "q": q}, attrs)
    share = number / number.sum()
    b = scattering(names, q, radiation)
    twice = np.where(upper[0] == upper[1], 1.0, 2.0)[:, None]
    weight = (
        twice * (np.sqrt(share[upper[0]] * share[upper[1]])[:, None] * b[upper[0]] * b[upper[1]]) / (share @ b) ** 2
    )
    same = (upper[0] == upper[1])[:, None]
    value, sem = jackknife(sums, counts, lambda mean: 1 + (weight * (mean - same)).sum(0))
    return dataset({"S": (("q",), value, sem, "1", f"{radiation} structure factor")}, {"q": q}, attrs)


def scattering(names, q, radiation):
    """Scattering lengths (fm) or form factors (electrons) [species, q]."""
    from periodictable import elements

    if radiation == "neutron":
        lengths = [elements.symbol(s).neutron.b_c for s in names]
        if None in lengths:
            raise GlasslibError(
                f"no neutron scattering length is known for {names[lengths.index(None)]}: use radiation=None"
            )
        return np.repeat(np.array(lengths, float)[:, None], len(q), 1)
    return np.array([elements.symbol(s).xray.f0(q) for s in names], float).reshape(len(names), len(q))
