"""Wrapped positions, and how they are made continuous: by the minimum image."""

import numpy as np

from ..errors import GlasslibError

AMBIGUOUS = 1 / 3  # fraction of a cell vector beyond which a step may as well be a jump across the boundary
REACH = 1.1  # cells that the atoms of a wrapped frame may reach over: LAMMPS folds them back only when it builds its neighbour list
MOST_FLAGS = 1_000_000_000  # two gigabytes of image flags


def unwrap(fractional, periodic=True):
    """Fractional positions of wrapped frames, made continuous by the minimum image.

    Parameters
    ----------
    fractional : array [frames, atoms, 3]
    periodic : bool or array of bool [3]
        Directions in which they are wrapped.

    Returns
    -------
    array [frames, atoms, 3]

    Raises
    ------
    GlasslibError
        Where an atom moves by more than a third of a cell vector between two frames, so that its way is ambiguous.
    """
    jumps, far = crossings(fractional, periodic)
    if far is not None:
        raise ambiguous(*far)
    out = fractional.copy()
    out[1:] -= np.cumsum(jumps, axis=0)
    return out


def crossings(fractional, periodic=True):
    """Cells that atoms jump from each frame to the next, and the first step that the minimum image cannot tell from another.

    Returns
    -------
    (float array [frames - 1, atoms, 3], (frame, atom) or None)
        The first is zero where a step is not longer than half a cell vector, or not periodic.
    """
    steps = np.diff(fractional, axis=0)
    jumps = np.where(periodic, np.round(steps), 0.0)
    far = (np.abs(steps - jumps) > AMBIGUOUS) & np.asarray(periodic)
    return jumps, tuple(np.argwhere(far)[0][:2].tolist()) if far.any() else None


def are_wrapped(fractional, periodic=True):
    """Whether positions are wrapped: all atoms lie inside the cell, or they jump by more than half a cell vector between two frames.

    Raises
    ------
    GlasslibError
        Where atoms jump in frames that reach over more than a cell, as neither wrapped nor unwrapped ones should.
    """
    if (fractional > -1e-5).all() and (fractional < 1 + 1e-5).all():
        return True
    jumps, far = crossings(fractional, periodic)
    if jumps.any() and far is None and wide(fractional, periodic):
        raise doubtful(*np.argwhere(jumps)[0][:2])
    return bool(jumps.any())


def wide(fractional, periodic=True):
    """Whether the atoms of a frame reach over more than a cell in a periodic direction, as wrapped ones do not."""
    return bool(((np.ptp(fractional, axis=1) > REACH) & np.asarray(periodic)).any())


def doubtful(frame, atom):
    """The error for an atom that jumps after a frame, though positions do not look wrapped."""
    return GlasslibError(
        f"atom {atom} jumps by more than half the cell between frames {frame} and {frame + 1}, but the atoms of a frame reach over more than "
        "a cell, so that it cannot be told whether positions are wrapped: say so by wrapped=True or wrapped=False in read() or from_ase() "
        "(--wrapped or --unwrapped of glasslib analyse)"
    )


def ambiguous(frame, atom):
    """The error for an atom that moves too far after a frame."""
    return GlasslibError(
        f"atom {atom} moves by more than a third of the cell between frames {frame} and {frame + 1}, so that wrapped positions "
        "cannot be unwrapped: write frames more often or image flags; if the positions are unwrapped already, say so by wrapped=False in "
        "read() or from_ase() (--unwrapped of glasslib analyse)"
    )


def image_flags(trajectory, periodic=True, wrapped=None):
    """Cells to add to the positions of a trajectory that are or turn out to be wrapped, found block by block.

    Parameters
    ----------
    trajectory : Trajectory
    periodic : bool or array of bool [3]
    wrapped : bool, optional
        Whether they are known to be wrapped; default: where atoms jump by more than half a cell vector between two frames.

    Returns
    -------
    int16 array [frames, atoms, 3] or None
        None where positions are unwrapped as they are.
    """
    if wrapped is False:
        return None
    flags = _zeros(trajectory) if wrapped else None
    far = jump = last = None
    reaching = False
    for part, block in trajectory.blocks():
        fractional = block @ np.linalg.inv(trajectory.cells[part])
        if last is not None:
            fractional = np.concatenate([last, fractional])
        start, last = part.stop - len(fractional), fractional[-1:].copy()
        jumps, here = crossings(fractional, periodic)
        reaching = reaching or (wrapped is None and wide(fractional, periodic))
        if far is None and here is not None:
            far = start + here[0], here[1]
        if jump is None and jumps.any():
            frame, atom = np.argwhere(jumps)[0][:2]
            jump = start + frame, atom
            flags = _zeros(trajectory) if flags is None else flags
        if flags is not None:
            if far is not None:
                raise ambiguous(*far)
            if reaching:
                raise doubtful(*jump)
            flags[start + 1 : part.stop] = flags[start] - np.cumsum(jumps, axis=0)
    return flags


def _zeros(trajectory):
    shape = (trajectory.n_frames, trajectory.n_atoms, 3)
    if np.prod(shape, dtype=float) > MOST_FLAGS:
        raise GlasslibError(
            "positions are wrapped and too many to unwrap in memory: write image flags, or unwrapped positions"
        )
    return np.zeros(shape, np.int16)
