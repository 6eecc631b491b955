"""Coherent intermediate scattering function."""

import numpy as np

from .dataset import dataset, described
from .displacements import checked, constant_cell, drift_of, symbols
from .lags import chosen_lags, frame_pairs
from .neighbours import batches, folded, pair_names
from .self_intermediate_scattering import Q
from .statistics import block_count, block_sums, jackknife, positive
from .waves import species_waves, wave_vectors


def coherent_intermediate_scattering(
    trajectory_or_replicas, *, q=Q, width=0.2, vectors=40, time=None, origins=300, n_blocks=None, drift=None
):
    """Coherent intermediate scattering function of each pair of species, F_ab(q, t) = ⟨ρ_a(q, t) ρ_b(−q, 0)⟩ / ⟨ρ_a(q) ρ_b(−q)⟩.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
        Constant cell.
    q : float or sequence
        Wave numbers, 1/Å; wave vectors of the box in a shell around each are used.
    width : float
        Width of the shells, 1/Å.
    vectors : int
        At most so many wave vectors a shell, of each ±pair one.
    origins : int or None
        At most so many pairs of frames for each lag time.
    time, n_blocks, drift
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `F` (pair, q, time), normalised to F(q, 0) = 1, and `F_sem`; `S` (pair, q), the partial structure factor (Ashcroft-Langreth) it
        was divided by, and `S_sem`. NaN for a shell that holds no wave vector of the box. F of unequal species is noise where S is near
        zero.
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    q, width = positive("q", q), float(positive("width", width)[0])
    names = symbols(replicas)
    lags = chosen_lags(replicas, time)
    couples = np.array(np.triu_indices(len(names))).T
    number = np.array([(replicas[0].species == s).sum() for s in names], float)
    pairs, values = [], []
    for replica in replicas:
        mine = frame_pairs(replica, lags, origins)
        frames, first, second = mine.used()
        shift = drift_of(replica, drift)
        triples, shell, _ = wave_vectors(replica.cell, q, width, vectors)
        waves = [
            species_waves(folded(replica, frames[b], shift)[0], replica.species, names, triples)
            for b in batches(len(frames), replica.n_atoms)
        ]
        waves = np.concatenate(waves, 1)
        out = np.full((2, len(couples), len(q), len(first)), np.nan)
        for k in range(len(q)):
            here = np.ascontiguousarray(waves[:, :, shell == k])
            if here.shape[2] == 0:
                continue
            for n, (a, b) in enumerate(couples):
                scale = np.sqrt(number[a] * number[b])
                static = (here[a] * here[b].conj()).real.mean(1) / scale
                out[1, n, k] = 0.5 * (static[first] + static[second])
                for part in batches(len(first), here.shape[2]):
                    i, j = first[part], second[part]
                    moved = (here[a][j] * here[b][i].conj()).real.mean(1) + (here[b][j] * here[a][i].conj()).real.mean(
                        1
                    )
                    out[0, n, k, part] = 0.5 * moved / scale
        pairs.append(mine)
        values.append(out)
    sums, counts = block_sums(pairs, values, block_count(replicas, n_blocks))
    value, sem = jackknife(sums, counts, lambda mean: mean[0] / mean[1])
    static, static_sem = jackknife(sums[:, 1], counts)
    # The shortest lag has the most frames and independent blocks.
    options = {
        "q": q,
        "width": width,
        "vectors": vectors,
        "time": time,
        "origins": origins,
        "n_blocks": n_blocks,
        "drift": drift,
    }
    return dataset(
        {
            "F": (("pair", "q", "time"), value, sem, "1", "coherent intermediate scattering function"),
            "S": (("pair", "q"), static[..., 0], static_sem[..., 0], "1", "Ashcroft-Langreth partial structure factor"),
        },
        {"pair": pair_names(names), "q": q, "time": pairs[0].lag},
        described("coherent_intermediate_scattering", replicas, options),
    )
