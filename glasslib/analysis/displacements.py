"""Displacements of all atoms between pairs of frames, streamed.

A trajectory is read in parts of some atoms over all frames that are needed, so that 3,000 atoms × 20,000 frames take some hundred MB.
The atoms of a part are summed in groups whose number does not depend on the number of threads: neither do the results.
"""

import numpy as np
from numba import njit, prange

from ..errors import GlasslibError, shown
from .lags import chosen_lags, frame_pairs
from .statistics import block_count, block_sums, flag, jackknife

PART_BYTES = 220_000_000  # of positions held at a time, where each part costs a pass over a file
MEMORY_BYTES, LEAST = (
    8_000_000,
    64,
)  # the same and the least number of atoms, of positions in memory: little new memory to be touched
SUM_BYTES = 100_000_000  # of partial sums
TOGETHER = 8  # independent atoms exceed it three times in 100,000 (χ² of three components)
LOOKS = 64  # frames at which that is judged
STATE = ("composition", "temperature", "potential", "weights")  # attributes that replicas of one state share
SAME_VOLUME = (
    0.05  # relative difference of the volumes of replicas: some hundred atoms at constant pressure differ by 2 %
)


def checked(trajectory_or_replicas):
    """Replicas as a list, all with as many atoms of each species; their order may differ, as in runs from different random starts.

    Raises
    ------
    GlasslibError
        Where something is no trajectory or replicas differ in their species or their state.
    """
    from ..trajectory import Trajectory

    if isinstance(trajectory_or_replicas, Trajectory):
        return [trajectory_or_replicas]
    try:
        replicas = list(trajectory_or_replicas)
    except TypeError:
        raise GlasslibError(
            f"a Trajectory or a list of replicas is needed, not {type(trajectory_or_replicas).__name__}"
        ) from None
    if not replicas:
        raise GlasslibError("no trajectory: the list of replicas is empty")
    for replica in replicas:
        if not isinstance(replica, Trajectory):
            raise GlasslibError(
                f"a replica must be a Trajectory, not {type(replica).__name__}: open files with Trajectory.open"
            )
        if not np.array_equal(np.sort(replica.species), np.sort(replicas[0].species)):
            raise GlasslibError("replicas must hold the same atoms: as many of each species")
    one_state(replicas)
    return replicas


def one_state(replicas):
    """Refuse replicas that say that they are of different states, or have different fixed volumes: their mean would be of no state."""
    differ = []
    for name in STATE:
        known = [replica.attrs[name] for replica in replicas if replica.attrs.get(name) is not None]
        other = [value for value in known if not np.array_equal(value, known[0])]
        if other:
            differ.append(f"{name} {shown(known[0])} and {shown(other[0])}")
    volumes = [replica.volume for replica in replicas if replica.constant_cell]
    if volumes and max(volumes) > (1 + SAME_VOLUME) * min(volumes):
        differ.append(f"volume {min(volumes):.0f} and {max(volumes):.0f} Å³")
    if differ:
        raise GlasslibError(f"replicas differ in their state ({'; '.join(differ)}): analyse them one by one")


def constant_cell(replicas):
    """Refuse what has no displacements: a single frame, or cells that change, whose breathing would mix with the motion."""
    for replica in replicas:
        if len(replica) < 2:
            raise GlasslibError("dynamics needs at least two frames: this trajectory has one")
        if not replica.constant_cell:
            raise GlasslibError(
                "the cell changes with time, so displacements are not defined: produce at constant volume (NVT or NVE) for dynamics"
            )


def symbols(replicas):
    """Species present, in alphabetical order."""
    return np.unique(replicas[0].species).tolist()


def drift_of(trajectory, drift=None):
    """What is taken from all positions [frames, 3], Å: the way of the centre of mass of all atoms since the first frame, or nothing.

    A view of some species has the way of the whole. `drift` says whether; None: where the centre of mass goes farther than that of independent atoms
    would (its mean square, over frames, `TOGETHER` times theirs), as it does where a thermostat or a converter set all atoms moving, and not where
    momentum is conserved or atoms walk at random, whose own motion would be lost in part.
    """
    way = np.zeros((len(trajectory), 3))
    if drift is not None and not flag("drift", drift):
        return way
    trajectory = trajectory.whole
    weight = trajectory.masses / trajectory.masses.sum()
    start = np.asarray(trajectory.positions[0], np.float64)
    looked = np.zeros(len(trajectory), bool)
    looked[np.linspace(0, len(trajectory) - 1, LOOKS).astype(int)] = True
    alone = 0.0
    for part, block in trajectory.blocks():
        moved = block - start
        way[part] = np.einsum("fac,a->fc", moved, weight)
        alone += (moved[looked[part]] ** 2).sum((0, 2)) @ weight**2
    return way if drift or (way[looked] ** 2).sum() > TOGETHER * alone else np.zeros_like(way)


def parts(trajectory, frames, drift=None, atoms=None, reuse=False):
    """Iterate over parts of the atoms.

    Parameters
    ----------
    frames : int array
        Increasing.
    drift : bool, optional
        Remove the motion of the centre of mass, see `drift_of`.
    atoms : int array, optional
        Default: all.
    reuse : bool
        Overwrite one part by the next: half the memory, where a part is not kept.

    Yields
    ------
    (int array [part], float64 array [part, 3, frames])
        Atoms, and their displacements since the first frame of the trajectory, Å.
    """
    atoms = np.arange(trajectory.n_atoms) if atoms is None else np.asarray(atoms)
    shift = drift_of(trajectory, drift)
    start = np.asarray(trajectory.positions[0], np.float64)
    viewed = isinstance(trajectory.positions, np.ndarray) and trajectory.positions.dtype == np.float64
    size = max(LEAST, MEMORY_BYTES // (len(frames) * 24)) if viewed else max(1, PART_BYTES // (len(frames) * 24))
    slot = np.full(len(trajectory), -1)
    slot[frames] = np.arange(len(frames))
    for begin in range(0, len(atoms), size):
        part = atoms[begin : begin + size]
        if begin == 0 or not reuse:
            space = np.empty((len(part), 3, len(frames)))
        held = space[: len(part)]
        for span, block in trajectory.blocks():
            here = np.flatnonzero(slot[span] >= 0)
            if len(here) == 0:
                continue
            gather(held, block, here, part, start, shift[span], slot[span][here[0]])
        yield part, held


def species_parts(trajectory, frames, drift=None):
    """`parts` cut at the borders of the species: (symbol, displacements [part, 3, frames]), to be used before the next is asked for."""
    for atoms, positions in parts(trajectory, frames, drift, np.argsort(trajectory.species, kind="stable"), reuse=True):
        kinds = trajectory.species[atoms]
        for name in np.unique(kinds).tolist():
            begin, end = np.searchsorted(kinds, name, "left"), np.searchsorted(kinds, name, "right")
            yield name, positions[begin:end]


@njit(parallel=True, cache=True)
def gather(held, block, frames, atoms, start, shift, first):
    """Write displacements of some frames and atoms of a block [frames, atoms, 3] into held [atoms, 3, frames] from frame `first` on."""
    for a in prange(len(atoms)):
        atom = atoms[a]
        for c in range(3):
            for k in range(len(frames)):
                held[a, c, first + k] = block[frames[k], atom, c] - start[atom, c] - shift[frames[k], c]


def pair_means(trajectory, pairs, kernel, values, width, drift=None):
    """Mean over the atoms of a species of functions of the displacement, for each pair of frames.

    Parameters
    ----------
    kernel : compiled function (positions, first, second, values, groups) -> [groups, width, pairs]
    values : float array
        Parameters of the kernel.
    width : int
        Number of functions.

    Returns
    -------
    float64 array [species, width, pairs]
    """
    frames, first, second = pairs.used()
    names = np.unique(trajectory.species)
    groups = int(np.clip(SUM_BYTES // (width * len(first) * 8), 2, 16))
    sums = np.zeros((len(names), width, len(first)))
    for name, positions in species_parts(trajectory, frames, drift):
        sums[names.tolist().index(name)] += kernel(positions, first, second, values, groups).sum(0)
    counts = np.array([(trajectory.species == name).sum() for name in names])
    return sums / counts[:, None, None]


def correlate(replicas, kernel, values, width, time=None, origins=1000, drift=None):
    """`pair_means` of every replica at the lag times that all of them have.

    Returns
    -------
    (list of Pairs, list of float64 arrays [species, width, pairs])
    """
    constant_cell(replicas)
    lags = chosen_lags(replicas, time)
    pairs = [frame_pairs(replica, lags, origins) for replica in replicas]
    values = np.atleast_1d(np.asarray(values, float))
    return pairs, [pair_means(r, p, kernel, values, width, drift) for r, p in zip(replicas, pairs, strict=True)]


def averaged(replicas, kernel, values, time, origins, n_blocks, drift):
    """Mean of a kernel with one result for each of `values` [species, values, lags], its standard error, and the lag times in ps."""
    pairs, found = correlate(replicas, kernel, values, len(values), time, origins, drift)
    return *jackknife(*block_sums(pairs, found, block_count(replicas, n_blocks))), pairs[0].lag


@njit(cache=True)
def runs(first, second):
    """Borders of runs in which both frames of a pair advance by one: there the loads are contiguous and vectorise."""
    n = len(first)
    border = np.empty(n + 1, np.int64)
    count = 0
    for p in range(n):
        if p == 0 or first[p] != first[p - 1] + 1 or second[p] != second[p - 1] + 1:
            border[count] = p
            count += 1
    border[count] = n
    return border[: count + 1]


@njit(parallel=True, cache=True)
def moments(positions, first, second, values, groups):
    """Sums of r², and of r⁴ where two numbers are asked for (`values` is 2, or 2 and 4)."""
    atoms, n = positions.shape[0], len(first)
    border = runs(first, second)
    out = np.zeros((groups, len(values), n))
    for g in prange(groups):
        squares, fourths = out[g, 0], out[g, -1]
        for atom in range(g * atoms // groups, (g + 1) * atoms // groups):
            for run in range(len(border) - 1):
                p, size = border[run], border[run + 1] - border[run]
                i, j = first[p], second[p]
                x0, x1 = positions[atom, 0, i : i + size], positions[atom, 0, j : j + size]
                y0, y1 = positions[atom, 1, i : i + size], positions[atom, 1, j : j + size]
                z0, z1 = positions[atom, 2, i : i + size], positions[atom, 2, j : j + size]
                second_moment, fourth_moment = squares[p : p + size], fourths[p : p + size]
                if len(values) == 1:
                    for k in range(size):
                        second_moment[k] += (x1[k] - x0[k]) ** 2 + (y1[k] - y0[k]) ** 2 + (z1[k] - z0[k]) ** 2
                else:
                    for k in range(size):
                        square = (x1[k] - x0[k]) ** 2 + (y1[k] - y0[k]) ** 2 + (z1[k] - z0[k]) ** 2
                        second_moment[k] += square
                        fourth_moment[k] += square * square
    return out


@njit(inline="always")
def sinc(x):
    """sin(x) / x by a reduction to [-π/2, π/2] and a Taylor polynomial; error below 1e-13, and vectorised unlike the library's sine."""
    turns = np.floor(x * 0.3183098861837907 + 0.5)
    rest = x - turns * 3.141592653589793
    rest -= turns * 1.2246467991473532e-16
    square = rest * rest
    sine = -1.0 / 121645100408832000.0
    sine = sine * square + 1.0 / 355687428096000.0
    sine = sine * square - 1.0 / 1307674368000.0
    sine = sine * square + 1.0 / 6227020800.0
    sine = sine * square - 1.0 / 39916800.0
    sine = sine * square + 1.0 / 362880.0
    sine = sine * square - 1.0 / 5040.0
    sine = sine * square + 1.0 / 120.0
    sine = sine * square - 1.0 / 6.0
    sine = (sine * square + 1.0) * rest
    sign = 1.0 - 2.0 * (turns - 2.0 * np.floor(turns * 0.5))
    return sign * sine / x


@njit(parallel=True, cache=True, error_model="numpy")
def isotropic_waves(positions, first, second, values, groups):
    """Sums of sin(q r) / (q r) for every q in `values`."""
    atoms, n = positions.shape[0], len(first)
    out = np.zeros((groups, len(values), n))
    for g in prange(groups):
        distance = np.empty(n)
        for atom in range(g * atoms // groups, (g + 1) * atoms // groups):
            x, y, z = positions[atom, 0], positions[atom, 1], positions[atom, 2]
            for p in range(n):
                i, j = first[p], second[p]
                square = (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2 + (z[j] - z[i]) ** 2
                distance[p] = np.sqrt(square) + 1e-150  # keeps sin(x)/x at 1 for an atom that did not move
            for k in range(len(values)):
                q = values[k]
                for p in range(n):
                    out[g, k, p] += sinc(q * distance[p])
    return out


@njit(parallel=True, cache=True)
def within(positions, first, second, values, groups):
    """Numbers of atoms that moved less than each length in `values`."""
    atoms, n = positions.shape[0], len(first)
    out = np.zeros((groups, len(values), n))
    for g in prange(groups):
        for atom in range(g * atoms // groups, (g + 1) * atoms // groups):
            x, y, z = positions[atom, 0], positions[atom, 1], positions[atom, 2]
            for p in range(n):
                i, j = first[p], second[p]
                square = (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2 + (z[j] - z[i]) ** 2
                for k in range(len(values)):
                    out[g, k, p] += 1.0 if square < values[k] * values[k] else 0.0
    return out


@njit(parallel=True, cache=True)
def histogram(positions, first, second, cell_of_pair, cells, low, width, bins, groups):
    """Histograms of the distance moved [cells, bins]; `cell_of_pair` says to which a pair of frames belongs."""
    atoms, n = positions.shape[0], len(first)
    out = np.zeros((groups, cells, bins), np.int64)
    for g in prange(groups):
        for atom in range(g * atoms // groups, (g + 1) * atoms // groups):
            x, y, z = positions[atom, 0], positions[atom, 1], positions[atom, 2]
            for p in range(n):
                i, j = first[p], second[p]
                moved = np.sqrt((x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2 + (z[j] - z[i]) ** 2)
                b = int(np.floor((moved - low) / width))
                if 0 <= b < bins:
                    out[g, cell_of_pair[p], b] += 1
    return out
