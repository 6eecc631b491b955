"""Means and standard errors over blocks of time and replicas.

Pairs of frames are put into blocks (Pairs.blocks); a replica's blocks are its own. The standard error of any function of the means is
that of the delete-one-block jackknife (Quenouille 1956; Efron, SIAM 1982): nothing is assumed of the correlation within a block.
Fewer than two blocks give NaN, not zero.
"""

import numpy as np
from scipy.stats import t as student

from ..errors import GlasslibError, shown

N_BLOCKS = 8  # of one trajectory
MANY_REPLICAS = 5  # from here on a replica is one block
FOUR_BLOCKS = float(student.isf(0.025, 3))  # standard errors that stand for two where they come from four blocks: 3.2


def whole(name, value, least=1):
    """A whole number of at least `least`, or a GlasslibError that names the option."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise GlasslibError(f"{name} must be a whole number of at least {least}, not {shown(value)}")
    return int(value)


def flag(name, value):
    """`value` as it is, or a GlasslibError: a text such as "False" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise GlasslibError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def numbers(name, values):
    """One number or several as a float array, or a GlasslibError that names the option."""
    try:
        array = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise GlasslibError(f"{name} must be a number or several, not {shown(values)}")
    return array


def positive(name, values):
    """One positive number or several as a float array, or a GlasslibError that names the option."""
    array = numbers(name, values)
    if not (array > 0).all():
        raise GlasslibError(f"{name} must be a positive number or several, not {shown(values)}")
    return array


def single(name, value):
    """A number above zero, or a GlasslibError that names the option."""
    array = positive(name, value)
    if np.ndim(value) or len(array) != 1:
        raise GlasslibError(f"{name} must be one number above zero, not {shown(value)}")
    return float(array[0])


def between(name, values):
    """Two increasing lag times, ps, from zero on, or a GlasslibError that names the option."""
    try:
        low, high = (float(x) for x in values)
    except (TypeError, ValueError):
        raise GlasslibError(f"{name} must be two lag times in ps, not {shown(values)}") from None
    if not 0 <= low < high:
        raise GlasslibError(f"{name} must be two increasing lag times in ps, not {shown(values)}")
    return low, high


def block_count(replicas, n_blocks=None):
    """Blocks of each replica: 8, or 1 where there are five replicas or more."""
    if n_blocks is not None:
        return whole("n_blocks", n_blocks)
    return 1 if len(replicas) >= MANY_REPLICAS else N_BLOCKS


def block_sums(pairs_of_replicas, values_of_replicas, n_blocks, separate=False):
    """Sums over the pairs of each lag and block; with `separate`, over pairs that lie within one of equal blocks.

    Parameters
    ----------
    pairs_of_replicas : list of Pairs
    values_of_replicas : list of float arrays [..., pairs]

    Returns
    -------
    (sums [blocks, ..., lags], counts [blocks, lags])
        Blocks of all replicas, one after the other.
    """
    all_sums, all_counts = [], []
    for pairs, values in zip(pairs_of_replicas, values_of_replicas, strict=True):
        lags = len(pairs.lag)
        block = pairs.separate(n_blocks) if separate else pairs.blocks(n_blocks)
        whole = block >= 0
        slot = (block * lags + pairs.index)[whole]
        flat = values.reshape(-1, values.shape[-1])[:, whole]
        sums = np.stack([np.bincount(slot, row, n_blocks * lags) for row in flat])
        sums = sums.reshape(*values.shape[:-1], n_blocks, lags)
        all_sums.append(np.moveaxis(sums, -2, 0))
        all_counts.append(np.bincount(slot, minlength=n_blocks * lags).reshape(n_blocks, lags))
    return np.concatenate(all_sums), np.concatenate(all_counts)


def jackknife(sums, counts, function=lambda mean: mean):
    """A function of means, and its standard error.

    Parameters
    ----------
    sums : array [blocks, ..., lags]
    counts : array [blocks, lags]
        Zero where a block has nothing at that lag.
    function : callable
        Takes means [..., lags], gives an array [..., lags].

    Returns
    -------
    (value, sem)
    """
    counts = np.asarray(counts, float)
    shape = (len(counts), *[1] * (sums.ndim - 2), counts.shape[1])
    filled = counts > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        total, number = sums.sum(0), counts.sum(0)
        value = function(total / number)
        without = [function((total - s) / (number - c.reshape(shape[1:]))) for s, c in zip(sums, counts, strict=True)]
        used = filled.reshape((len(counts), *[1] * (value.ndim - 1), counts.shape[1]))
        n = filled.sum(0)
        without = np.where(used, np.stack(without), 0.0)
        centre = without.sum(0) / n
        spread = np.where(used, without - centre, 0.0)
        sem = np.sqrt((n - 1) / n * (spread**2).sum(0))
    return value, np.where(n >= 2, sem, np.nan)


def with_error(value, sem):
    """A number with its standard error, as text with the two digits that the error leaves: "3.14 ± 0.15"; None where it has no error."""
    if not np.isfinite(sem) or sem <= 0:
        return None
    places = max(0, 1 - int(np.floor(np.log10(sem))))
    return f"{value:.{places}f} ± {sem:.{places}f}"
