"""Four-point structure factor and dynamic correlation length."""

from functools import partial

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import t as student

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, drift_of, symbols
from .lags import chosen_lags, frame_pairs
from .statistics import single
from .waves import wave_vectors

WIDTH = 0.1  # 1/Å, of a shell of wave vectors
HIGHEST = 1.5  # 1/Å: beyond, S₄ is that of single atoms and their neighbours
FITTED = 1.0  # 1/Å: further up, the order of neighbours shows in S₄
BLOCKS = 5
TIMES = 6
CHANCE = 0.025  # that a length is called resolved though atoms move independently


def dynamic_length(trajectory_or_replicas, *, a=1.0, time=None, q_max=HIGHEST, vectors=30, origins=50, drift=None):
    """S₄(q, t) = ⟨|Σ_i (w_i − ⟨w⟩) exp(i q·r_i)|²⟩ / N with w_i = θ(a − |Δr_i(t)|), of each species, and the length ξ₄ from its small q.

    Atoms that move independently give S₄ = ⟨w⟩(1 − ⟨w⟩) at all q, each atom's own share. ξ₄ is that of what pairs of atoms add to it:
    S₄(q) = ⟨w⟩(1 − ⟨w⟩) + A / (1 + (ξ₄ q)²), fitted up to 1 Å⁻¹ or to the third shell of waves.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    a : float
        Å.
    time : float or sequence, optional
        Lag times, ps; default: six, evenly in the logarithm up to a fifth of the run.
    q_max : float
        Largest wavenumber, 1/Å; the smallest is that of the box.
    vectors, origins : int
        At most so many wave vectors for each q, and time origins.
    drift : bool, optional
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `S_4` with error [species, time, q]; its `independent` part, `xi_4` (Å) and `S_4_0` with errors [species, time]; `resolved`: 1 where A and ξ₄² exceed
        zero beyond what chance does once in forty times (Student's t over the parts) and ξ₄ lies between 1/q of the shortest and of the longest wave.
        ξ₄ is NaN where it comes out as long as the box.
        Errors over replicas, or over at most five blocks of time of at least two lag times each; NaN for a single one.

    References
    ----------
    N. Lačević, F. W. Starr, T. B. Schrøder, S. C. Glotzer, J. Chem. Phys. 119, 7372 (2003).
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    a, q_max = single("a", a), single("q_max", q_max)
    cell = replicas[0].cell
    if any(not np.allclose(t.cell, cell, rtol=1e-6) for t in replicas):
        raise GlasslibError("the replicas have different cells: their wave vectors differ; analyse each on its own")
    shells = np.arange(WIDTH / 2, q_max + WIDTH / 2, WIDTH)
    triples, shell, _ = wave_vectors(cell, shells, WIDTH, vectors)
    if len(np.unique(shell)) < 3:
        raise GlasslibError(f"the box has too few wave vectors up to {q_max:g} 1/Å: raise q_max or use a larger system")
    length = min(t.time[-1] - t.time[0] for t in replicas)
    if time is None:
        shortest = min(np.diff(t.time).min() for t in replicas)
        time = np.geomspace(shortest, max(length / 5, shortest), TIMES)
    lags = chosen_lags(replicas, time)
    names = symbols(replicas)
    waves = triples @ (2 * np.pi * np.linalg.inv(cell).T)
    blocks = 1 if len(replicas) > 1 else BLOCKS
    tables = []
    for replica in replicas:
        pairs = frame_pairs(replica, lags, origins)
        tables.append(four_point(replica, pairs, names, a, waves, shell, len(shells), blocks, drift))
    used, shell = np.unique(shell, return_inverse=True)
    size = np.bincount(shell, np.linalg.norm(waves, axis=1)) / np.bincount(shell)
    parts = np.concatenate(tables)[..., [*used, -1]]  # the last: each atom's own share
    mean, error = averaged(parts, lambda values: values)
    best, spread = averaged(parts, partial(np.apply_along_axis, partial(ornstein_zernike, size), -1))
    length, known = best[..., 1], np.isfinite(parts).all((1, 3)).sum(0)
    with np.errstate(invalid="ignore"):
        least = student.isf(CHANCE, np.maximum(known - 1, 1))
        surely = (best[..., 2] > least * spread[..., 2]) & (best[..., 3] > least * spread[..., 3])
        resolved = surely & (length * size[0] < 1) & (length * size[-1] > 1)
    dims = ("species", "time")
    return dataset(
        {
            "S_4": ((*dims, "q"), mean[..., :-1], error[..., :-1], "1", "four-point structure factor"),
            "independent": (dims, mean[..., -1], error[..., -1], "1", "that of atoms that move independently"),
            "xi_4": (dims, length, spread[..., 1], "Å", "dynamic correlation length"),
            "S_4_0": (dims, best[..., 0], spread[..., 0], "1", "four-point structure factor at q = 0"),
            "resolved": (
                dims,
                resolved.astype(int),
                None,
                "1",
                "whether the length is told from zero and from the box",
            ),
        },
        {"species": names, "time": frame_pairs(replicas[0], lags, 1).lag, "q": size},
        described(
            "dynamic_length", replicas, {"a": a, "time": time, "q_max": q_max, "origins": origins, "drift": drift}
        ),
    )


def averaged(parts, function):
    """function(mean over parts) and its jackknife error; a part without pairs of frames at a lag time is NaN there and left out."""
    known = np.isfinite(parts).all((1, 3))  # [parts, times]
    n = known.sum(0)[None, :, None]
    filled = np.where(known[:, None, :, None], parts, 0.0)
    value = function(filled.sum(0) / n)
    if len(parts) < 2:
        return value, np.full(value.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.array(
            [function((filled.sum(0) - p) / (n - k[None, :, None])) for p, k in zip(filled, known, strict=True)]
        )
        used = known[:, None, :, None]
        centre = np.where(used, without, 0).sum(0) / n
        error = np.sqrt((n - 1) / n * np.where(used, (without - centre) ** 2, 0).sum(0))
    return value, np.where(n > 1, error, np.nan)


def four_point(run, pairs, names, a, waves, shell, shells, blocks, drift):
    """S₄ and, last, each atom's own share of it [blocks, species, times, shells + 1], NaN in shells without wave vectors and blocks without pairs."""
    shift = drift_of(run, drift)
    block = pairs.blocks(blocks)
    stays = []
    for i, j in zip(pairs.first, pairs.second, strict=True):
        moved = (
            np.asarray(run.positions[j], np.float64) - np.asarray(run.positions[i], np.float64) - shift[j] + shift[i]
        )
        stays.append(((moved**2).sum(1) < a * a).astype(np.float32))
    stays = np.array(stays)
    times = len(pairs.lag)
    total, seen = np.zeros((blocks, len(names), times, shells + 1)), np.zeros((blocks, times))
    number = np.bincount(shell, minlength=shells)
    for k, name in enumerate(names):
        mine = np.flatnonzero(run.species == name)
        weight = stays[:, mine].astype(np.float64)
        mean = np.bincount(pairs.index, weight.mean(1)) / np.bincount(pairs.index)
        for p, i in enumerate(pairs.first):
            phase = np.asarray(run.positions[i], np.float64)[mine] @ waves.T
            change = weight[p] - mean[pairs.index[p]]
            with np.errstate(invalid="ignore"):
                of_waves = np.bincount(shell, np.abs(change @ np.exp(1j * phase)) ** 2, shells) / number
            total[block[p], k, pairs.index[p]] += np.append(of_waves, change @ change) / len(mine)
    np.add.at(seen, (block, pairs.index), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / seen[:, None, :, None]


def ornstein_zernike(q, values):
    """(S(0), ξ, ξ², A) of b + A / (1 + ξ² q²) for values at all q and, last, b; NaN where the fit fails. ξ² may come out below zero, which makes its
    error one of both sides; ξ is then 0. Where it reaches the length of the longest wave, ξ is NaN: the box is too small to tell."""
    fitted = np.flatnonzero(q <= max(FITTED, q[2]))
    own, excess, q = values[-1], values[fitted] - values[-1], q[fitted]
    if not np.isfinite(values).all() or own <= 0:
        return np.full(4, np.nan)
    lowest = -0.9 / q[-1] ** 2
    try:
        (level, square), _ = curve_fit(
            lambda x, level, square: level / (1 + square * x**2), q, excess, (excess[0], 1.0), bounds=((-np.inf, lowest), (np.inf, (2 * np.pi / q[0]) ** 2))
        )  # fmt: skip
    except (RuntimeError, ValueError):
        return np.full(4, np.nan)
    length = np.sqrt(max(square, 0.0))
    return np.array([own + level, length if length * q[0] < 0.99 * 2 * np.pi else np.nan, square, level])
