"""Wrapped positions, and how they are made continuous: by the minimum image."""

import numpy as np

from ..errors import GlasslibError

AMBIGUOUS = 1 / 3  # fraction of a cell vector beyond which a step may as well be a jump across the boundary
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


def ambiguous(frame, atom):
    """The error for an atom that moves too far after a frame."""
    return GlasslibError(
        f"atom {atom} moves by more than a third of the cell between frames {frame} and {frame + 1}, so that wrapped positions "
        "cannot be unwrapped: write frames more often or image flags; if the positions are unwrapped already, say so by "
        "Trajectory.from_ase(images, wrapped=False) or, in H5MD, by image flags of zero"
    )


def image_flags(trajectory, periodic=True):
    """Cells to add to the positions of a trajectory that turn out to be wrapped, found block by block.

    Returns
    -------
    int16 array [frames, atoms, 3] or None
        None where no atom jumps by more than half a cell vector between two frames, so that positions are unwrapped as they are.
    """
    flags = far = last = None
    for part, block in trajectory.blocks():
        fractional = block @ np.linalg.inv(trajectory.cells[part])
        if last is not None:
            fractional = np.concatenate([last, fractional])
        start, last = part.stop - len(fractional), fractional[-1:].copy()
        jumps, here = crossings(fractional, periodic)
        if far is None and here is not None:
            far = start + here[0], here[1]
        if flags is None and jumps.any():
            flags = _zeros(trajectory)
        if flags is not None:
            if far is not None:
                raise ambiguous(*far)
            flags[start + 1 : part.stop] = flags[start] - np.cumsum(jumps, axis=0)
    return flags


def _zeros(trajectory):
    shape = (trajectory.n_frames, trajectory.n_atoms, 3)
    if np.prod(shape, dtype=float) > MOST_FLAGS:
        raise GlasslibError(
            "positions are wrapped and too many to unwrap in memory: write image flags, or unwrapped positions"
        )
    return np.zeros(shape, np.int16)
