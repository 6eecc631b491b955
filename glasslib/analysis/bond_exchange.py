"""Do atoms that move far have other partners then? Displacements beside bonds that were exchanged."""

import numpy as np
from numba import njit, prange

from ..errors import GlasslibError
from .coordination import default_cutoff, default_pair
from .dataset import dataset, described
from .displacements import checked, constant_cell, drift_of
from .lags import chosen_lags, frame_pairs
from .neighbours import bonds
from .statistics import block_count, block_sums, jackknife, single

LAGS = 16  # where no times are given


@njit(parallel=True, cache=True)
def exchanged(bond, start, first, second, atoms, slots):
    """Whether the partners of an atom differ between two frames [pairs of frames, atoms]; `bond` holds sorted mover·slots + partner from `start[f]` on."""
    out = np.zeros((len(first), atoms), np.bool_)
    for p in prange(len(first)):
        a, b = start[first[p]], start[second[p]]
        last_a, last_b = start[first[p] + 1], start[second[p] + 1]
        while a < last_a or b < last_b:
            if b >= last_b or (a < last_a and bond[a] < bond[b]):
                out[p, bond[a] // slots] = True
                a += 1
            elif a >= last_a or bond[b] < bond[a]:
                out[p, bond[b] // slots] = True
                b += 1
            else:
                a, b = a + 1, b + 1
    return out


def bond_exchange(
    trajectory_or_replicas, *, pair=None, cutoff=None, fraction=0.1, time=None, origins=50, n_blocks=None, drift=None
):
    """How the displacements of atoms go with the exchange of their bonds.

    Where rare rearrangements of a network make its atoms move unequally, those that move farthest have other partners afterwards, and the atoms that
    keep theirs are alike: their non-Gaussian parameter is small.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
        Of constant cell.
    pair : str or (str, str), optional
        Moving species and its partners; default "O-Si".
    cutoff : float, optional
        Å, of a bond; default: first minimum of g(r) of the pair.
    fraction : float
        Of the moving atoms, which count as those that moved far.
    time, n_blocks, drift
        As of mean_squared_displacement; default: a few lag times.
    origins : int or None
        At most so many pairs of frames for each lag time.

    Returns
    -------
    xarray.Dataset
        All (time), with `_sem`: `changed`, share of the atoms whose set of partners is another than before (intermittent: whatever it was between),
        `changed_far`, the same of those that moved farthest, `alpha_2`, the non-Gaussian parameter, no unit, and `alpha_2_kept` that of the atoms that have their
        partners of before. NaN where there are no such atoms.
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    if single("fraction", fraction) >= 1:
        raise GlasslibError(f"fraction must be between 0 and 1, not {fraction!r}")
    if pair is None and {"O", "Si"} <= set(replicas[0].species.tolist()):
        pair = "O-Si"
    mover, partner = default_pair(replicas, pair)
    cutoff = default_cutoff(replicas, mover, partner, cutoff)
    lags = chosen_lags(replicas, time)
    if time is None and len(lags) > LAGS:
        lags = lags[np.unique(np.linspace(0, len(lags) - 1, LAGS).round().astype(int))]
    pairs, values = [], []
    for replica in replicas:
        mine = frame_pairs(replica, lags, origins)
        frames, first, second = mine.used()
        moving = np.flatnonzero(replica.species == mover)
        number = np.full(replica.n_atoms, -1)
        number[moving] = np.arange(len(moving))
        shift, found = drift_of(replica, drift), []
        places = np.empty((len(frames), len(moving), 3))
        for k, frame in enumerate(frames):
            whole = np.asarray(replica.positions[frame], np.float64)
            places[k] = whole[moving] - shift[frame]
            i, j, _ = bonds(whole, replica.cells[frame], cutoff)
            chosen = (replica.species[i] == mover) & (replica.species[j] == partner)
            found.append(np.unique(number[i[chosen]] * replica.n_atoms + j[chosen]))
        start = np.concatenate([[0], np.cumsum([len(one) for one in found])])
        changed = exchanged(np.concatenate(found), start, first, second, len(moving), replica.n_atoms)
        far = max(1, round(fraction * len(moving)))
        rows = np.empty((9, len(first)))
        for p, (a, b) in enumerate(zip(first, second, strict=True)):
            square, other = ((places[b] - places[a]) ** 2).sum(1), changed[p]
            kept, farthest = square[~other], np.argpartition(square, -far)[-far:]
            rows[:, p] = (
                len(square), square.sum(), (square**2).sum(), len(kept), kept.sum(), (kept**2).sum(), other.sum(), other[farthest].sum(), far,
            )  # fmt: skip
        pairs.append(mine)
        values.append(rows)
    sums, counts = block_sums(pairs, values, block_count(replicas, n_blocks))
    value, sem = jackknife(sums, counts, _shares)
    options = {
        "pair": f"{mover}-{partner}", "cutoff": cutoff, "fraction": fraction, "time": time, "origins": origins, "n_blocks": n_blocks, "drift": drift,
    }  # fmt: skip
    names = {
        "changed": "share of atoms with other partners",
        "changed_far": "the same of those that moved farthest",
        "alpha_2": "non-Gaussian parameter",
        "alpha_2_kept": "non-Gaussian parameter of atoms with the same partners",
    }
    made = {name: (("time",), value[k], sem[k], "1", text) for k, (name, text) in enumerate(names.items())}
    return dataset(
        made,
        {"time": pairs[0].lag},
        described("bond_exchange", replicas, options, pair=f"{mover}-{partner}", cutoff_A=cutoff),
    )


def _shares(mean):
    """What is returned, of mean numbers and moments of all atoms, of those that kept their partners, and of those that did not."""
    number, square, fourth, kept, kept_square, kept_fourth, other, other_far, far = mean
    return np.stack(
        [
            other / number,
            other_far / far,
            0.6 * fourth * number / square**2 - 1,
            0.6 * kept_fourth * kept / kept_square**2 - 1,
        ]
    )
