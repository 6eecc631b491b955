"""Four-point structure factor and dynamic correlation length."""

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import t as student

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import centre_of_mass, checked, constant_cell, symbols
from .lags import chosen_lags, frame_pairs
from .statistics import single
from .waves import wave_vectors

WIDTH = 0.1  # 1/Å, of a shell of wave vectors
HIGHEST = 1.5  # 1/Å: beyond, S₄ is that of single atoms and their neighbours
BLOCKS = 5
TIMES = 6
CHANCE = 0.025  # that a length is called resolved though atoms move independently


def dynamic_length(trajectory_or_replicas, *, a=1.0, time=None, q_max=HIGHEST, vectors=30, origins=50, drift=True):
    """S₄(q, t) = ⟨|Σ_i (w_i − ⟨w⟩) exp(i q·r_i)|²⟩ / N with w_i = θ(a − |Δr_i(t)|), of each species, and the length ξ₄ from its small q.

    Atoms that move independently give S₄ = ⟨w⟩(1 − ⟨w⟩) at all q. ξ₄ is that of the fit S₄(q) = S₄(0) / (1 + (ξ₄ q)²).

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
    drift : bool
        Remove the motion of the centre of mass.

    Returns
    -------
    xarray.Dataset
        `S_4` with error [species, time, q]; `xi_4` (Å) and `S_4_0` with errors [species, time]; `resolved`: 1 where ξ₄² exceeds
        zero beyond what chance does once in forty times (Student's t over the parts) and 2π ξ₄ is below the longest wave of the box, so that it is not that of
        the box. Errors over replicas or five blocks.

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
    parts = np.concatenate(tables)[..., used]
    mean, error = averaged(parts, lambda values: values)
    best, spread = averaged(parts, lambda values: np.apply_along_axis(lambda y: ornstein_zernike(size, y), -1, values))
    length, known = best[..., 1], np.isfinite(parts).all((1, 3)).sum(0)
    with np.errstate(invalid="ignore"):
        surely = best[..., 2] > student.isf(CHANCE, np.maximum(known - 1, 1)) * spread[..., 2]
        resolved = surely & (length * size[0] < 1)
    dims = ("species", "time")
    return dataset(
        {
            "S_4": ((*dims, "q"), mean, error, "1", "four-point structure factor"),
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
    """S₄ [blocks, species, times, shells], NaN in shells without wave vectors and blocks without pairs."""
    shift = centre_of_mass(run) if drift else np.zeros((len(run), 3))
    block = np.minimum((pairs.middle * blocks).astype(int), blocks - 1)
    stays = []
    for i, j in zip(pairs.first, pairs.second, strict=True):
        moved = (
            np.asarray(run.positions[j], np.float64) - np.asarray(run.positions[i], np.float64) - shift[j] + shift[i]
        )
        stays.append(((moved**2).sum(1) < a * a).astype(np.float32))
    stays = np.array(stays)
    times = len(pairs.lag)
    total, seen = np.zeros((blocks, len(names), times, shells)), np.zeros((blocks, times))
    number = np.bincount(shell, minlength=shells)
    for k, name in enumerate(names):
        mine = np.flatnonzero(run.species == name)
        weight = stays[:, mine].astype(np.float64)
        mean = np.bincount(pairs.index, weight.mean(1)) / np.bincount(pairs.index)
        for p, i in enumerate(pairs.first):
            phase = np.asarray(run.positions[i], np.float64)[mine] @ waves.T
            amplitude = (weight[p] - mean[pairs.index[p]]) @ np.exp(1j * phase)
            with np.errstate(invalid="ignore"):
                total[block[p], k, pairs.index[p]] += (
                    np.bincount(shell, np.abs(amplitude) ** 2 / len(mine), shells) / number
                )
    np.add.at(seen, (block, pairs.index), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / seen[:, None, :, None]


def ornstein_zernike(q, values):
    """(S(0), ξ, ξ²) of S(0) / (1 + ξ² q²), NaN where the fit fails. ξ² may come out below zero, which makes its error one of both sides; ξ is then 0."""
    if not np.isfinite(values).all() or values.max() <= 0:
        return np.full(3, np.nan)
    lowest = -0.9 / q[-1] ** 2
    try:
        (level, square), _ = curve_fit(
            lambda x, s, square: s / (1 + square * x**2),
            q,
            values,
            (values[0], 0.0),
            bounds=((0, lowest), (np.inf, 1e6)),
        )
    except (RuntimeError, ValueError):
        return np.full(3, np.nan)
    return np.array([level, np.sqrt(max(square, 0.0)), square])
