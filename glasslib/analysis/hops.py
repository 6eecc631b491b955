"""Jumps between cages: lengths, waiting times, returns."""

import numpy as np
from numba import njit, prange

from ..errors import GlasslibError
from .dataset import dataset, described
from .displacements import checked, constant_cell, species_parts, symbols
from .lags import ticks
from .statistics import numbers, single, whole
from .van_hove_self import bins

R = np.arange(0.05, 8.0, 0.1)  # Å
WINDOW = 5  # frames whose mean is a cage, on either side of a jump
DISTANCE = 2.0  # Å between cages from which a change counts as a jump: beyond any rattle, and below the distance of sites (Na 3.3, O 2.6 Å)
FEWEST = 5  # jumps of an atom in a run, with fewer of which those that come late are missed too often
WALK = (50, 4000)  # atoms and frames of the walk that jumps are compared with
RESOLVED = 0.04  # ps between frames by default, at least
UNCAGED = 0.5  # of the rate of a walk without cages, beyond which jumps follow each other too closely to be told apart
BLOCKS = 5


@njit(parallel=True, cache=True)
def find(positions, window, threshold):
    """Jumps of each atom [atoms, 3, frames] → numbers [atoms] and (frame, length, returned) of each, at most one a window.

    A jump at frame f: the mean position of the `window` frames before differs by more than the threshold from that of the `window`
    frames from f on, and by more than at the frames nearby. It returns where the cage after it is within half the threshold of the
    one before the last jump.
    """
    atoms, frames = positions.shape[0], positions.shape[2]
    most = frames // window + 1
    count = np.zeros(atoms, np.int64)
    frame = np.zeros((atoms, most), np.int64)
    length = np.zeros((atoms, most))
    returned = np.zeros((atoms, most), np.int64)
    for atom in prange(atoms):
        change = np.zeros(frames)
        total = np.zeros((3, frames + 1))
        for c in range(3):
            for f in range(frames):
                total[c, f + 1] = total[c, f] + positions[atom, c, f]
        for f in range(window, frames - window + 1):
            square = 0.0
            for c in range(3):
                step = (total[c, f + window] - 2 * total[c, f] + total[c, f - window]) / window
                square += step * step
            change[f] = np.sqrt(square)
        old, found = np.zeros(3), 0
        for f in range(window, frames - window + 1):
            if change[f] <= threshold:
                continue
            highest = True
            for g in range(max(0, f - window), min(frames, f + window + 1)):
                if change[g] > change[f] or (change[g] == change[f] and g < f):
                    highest = False
            if not highest:
                continue
            distance = 0.0
            for c in range(3):
                distance += ((total[c, f + window] - total[c, f]) / window - old[c]) ** 2
                old[c] = (total[c, f] - total[c, f - window]) / window
            frame[atom, found], length[atom, found] = f, change[f]
            if found > 0 and np.sqrt(distance) < 0.5 * threshold:
                returned[atom, found] = 1
            found += 1
        count[atom] = found
    return count, frame, length, returned


def hops(trajectory_or_replicas, *, interval=None, distance=None, window=WINDOW, r=None, drift=None):
    """Jumps of each species from cage to cage.

    An atom jumps where its mean position over `window` frames changes by more than `distance` to that over the next `window` frames,
    at the frame of the largest change.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    interval : float, optional
        ps between the frames used, which must be there; default: the shortest even spacing of at least 0.04 ps, or the coarsest one that
        leaves ten windows.
    distance : float, optional
        Å; default 2.0. In NS2 at 1500 K (potential of Pedone et al.) oxygen seems to jump 0.36 times in a ps with 1.0, 0.005 times with 2.0; its diffusion
        makes it 0.003.
    window : int
        Frames that make a cage.
    r : array, optional
        Bin centres for lengths of jumps, Å.
    drift : bool, optional
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `rate` (jumps for each atom and ps), `length` (Å), `waiting` (ps from one jump of an atom to its next) and `returned` (fraction of an
        atom's jumps after its first that go back to the cage before the last jump), with errors [species]; the last two are NaN where an
        atom jumps fewer than five times in a run on average, since of rare jumps only those that follow each other soon would be seen: 1/`rate` is
        the mean time between jumps then; `number` of jumps; `P_length` (1/Å) with error [species, r]. Errors over replicas, or
        over five blocks of time. `walk_rate` (1/ps): the most that the rule can find, in a random walk whose every step exceeds the threshold; a `rate` above half
        of it counts windows, not jumps, and lengths, waiting times and returns are NaN there.

    Notes
    -----
    In the manner of R. Candelier, O. Dauchot, G. Biroli, Phys. Rev. Lett. 102, 088001 (2009), with windows of fixed length: jumps
    closer in time than a window count as one. A liquid without cages gives numbers too: whether there are jumps is for bimodality to say.
    """
    replicas = checked(trajectory_or_replicas)
    constant_cell(replicas)
    window = whole("window", window)
    names = symbols(replicas)
    r = R if r is None else numbers("r", r)
    low, width, count = bins(r)
    edges = low + width * np.arange(count + 1)
    blocks = 1 if len(replicas) > 1 else BLOCKS
    tables = []
    gaps = {even_frames(replica, interval, window)[1] for replica in replicas}
    common = interval if len(gaps) == 1 else max(gaps)  # one resolution for all, or their jumps would not be alike
    for replica in replicas:
        frames, gap = even_frames(replica, common, window)
        table = np.zeros((blocks, len(names), 6 + count))
        for name, positions in species_parts(replica, frames, drift):
            limit = DISTANCE if distance is None else single("distance", distance)
            fill(table[:, names.index(name)], *find(positions, window, limit), len(frames), window, gap, edges)
        tables.append(table)
    tables = np.concatenate(tables)
    tables = tables[tables[:, :, 0].sum(1) > 0]  # a short run does not fill all blocks
    value, error = with_errors(tables, width)
    walk = uncaged(window) / gap
    blurred = value[:, 0] > UNCAGED * walk
    value[blurred, 1:] = error[blurred, 1:] = np.nan
    rare = value[:, 0] * min(t.time[-1] - t.time[0] for t in replicas) < FEWEST
    value[rare, 2:4] = error[rare, 2:4] = np.nan
    dims = ("species",)
    labels = {
        "rate": ("1/ps", "jumps for each atom and time"),
        "length": ("Å", "mean length of jumps"),
        "waiting": ("ps", "mean time between jumps of an atom"),
        "returned": ("1", "fraction of jumps that go back"),
    }
    variables = {n: (dims, value[:, k], error[:, k], *label) for k, (n, label) in enumerate(labels.items())}
    variables["number"] = (dims, tables[:, :, 1].sum(0).astype(int), None, "1", "jumps seen")
    variables["P_length"] = (("species", "r"), value[:, 4:], error[:, 4:], "1/Å", "distribution of the length of jumps")
    variables["walk_rate"] = (
        dims,
        np.full(len(names), walk),
        None,
        "1/ps",
        "jumps found in a walk whose every step is one",
    )
    options = {"interval": interval, "distance": distance, "window": window, "drift": drift}
    return dataset(variables, {"species": names, "r": r}, described("hops", replicas, options, interval_ps=gap))


def uncaged(window):
    """Jumps for each atom and frame that `find` sees in a random walk whose steps are far above any threshold."""
    atoms, frames = WALK
    walk = np.random.default_rng(0).normal(size=(atoms, 3, frames)).cumsum(2)
    return find(walk, window, 1e-9)[0].sum() / (atoms * (frames - 2 * window + 1))


def fill(table, hit, frame, size, back, frames, window, gap, edges):
    """Add jumps to a table [blocks, (atom time, jumps, their length, waits, their time, returns, histogram of length)]."""
    wait = np.diff(frame, axis=1, prepend=0) * gap
    for k, block in enumerate(np.array_split(np.arange(window, frames - window + 1), len(table))):
        if not len(block):
            continue
        chosen = (np.arange(frame.shape[1])[None] < hit[:, None]) & (frame >= block[0]) & (frame <= block[-1])
        later = chosen.copy()
        later[:, 0] = False  # a first jump has no earlier one to wait for or to go back from
        sums = chosen.sum(), size[chosen].sum(), later.sum(), wait[later].sum(), back[later].sum()
        table[k, 0] += len(hit) * gap * len(block)
        table[k, 1:6] += sums
        table[k, 6:] += np.histogram(size[chosen], edges)[0]


def even_frames(run, interval, window):
    """Frames at even spacing, and that spacing in ps."""
    tick, unit = ticks(run)
    have = np.zeros(int(tick[-1]) + 1, bool) if tick[-1] < 2**28 else None
    if have is None:
        raise GlasslibError(
            "the frames' times have no common step fine enough: give the trajectory its integration steps"
        )
    have[tick] = True
    enough = 10 * window
    if interval is not None:
        gap = int(round(single("interval", interval) / unit))
        if gap < 1 or abs(gap * unit - interval) > 1e-3 * interval:
            raise GlasslibError(f"interval {interval} ps is no multiple of the trajectory's {unit:g} ps")
        if not have[::gap].all():
            raise GlasslibError(
                f"the trajectory has no frames every {interval} ps throughout: choose a multiple of its output interval"
            )
    else:
        # Any even spacing must contain the first gap after frame 0 that occurs throughout.
        fitting = [int(t) for t in tick[1:] if t * (2 * window) <= tick[-1] and have[:: int(t)].all()]
        if not fitting:
            raise GlasslibError("hops need frames at even spacing: write linear output, or log output with more blocks")
        slow = [g for g in fitting if g * unit >= RESOLVED * (1 - 1e-4) and g * enough <= tick[-1]]
        gap = slow[0] if slow else max([g for g in fitting if g * enough <= tick[-1]] or fitting[:1])
    frames = np.searchsorted(tick, np.arange(0, tick[-1] + 1, gap))
    if len(frames) < 2 * window + 1:
        raise GlasslibError(f"hops need {2 * window + 1} frames at even spacing: there are {len(frames)}")
    return frames, gap * unit


def with_errors(tables, width):
    """Values and jackknife errors [species, quantities] of tables [parts, species, columns]."""

    def quantities(total):
        with np.errstate(invalid="ignore", divide="ignore"):
            scalars = [total[:, a] / total[:, b] for a, b in ((1, 0), (2, 1), (4, 3), (5, 3))]
            return np.concatenate([np.stack(scalars, 1), total[:, 6:] / total[:, 1:2] / width], 1)

    n = len(tables)
    value = quantities(tables.sum(0))
    each = np.array([quantities(tables.sum(0) - t) for t in tables])
    error = np.sqrt((n - 1) / n * ((each - each.mean(0)) ** 2).sum(0))
    return value, error if n > 1 else np.full(value.shape, np.nan)
