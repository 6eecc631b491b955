"""Train, validation and test parts by parent trajectory."""

import hashlib

from ..errors import GlasslibError

PARTS = ("train", "validation", "test")
# Any text would do; of a few thousand, one with which the first sixty parents spread every composition over all parts.
SALT = "glass-560"


def place(parent, seed=0):
    """Number from 0 to 1 that belongs to a parent's name, whatever else is in the set."""
    digest = hashlib.sha256(f"{SALT}/{seed}/{parent}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split(frames, fractions=(0.75, 0.1, 0.15), seed=0, needed=PARTS):
    """Divide frames into train, validation and test.

    Frames of one parent trajectory resemble each other, so a parent goes to one part as a whole. The hash of its name decides which:
    a set that grows never moves a frame from one part to another, and no model is tested on what an older one was trained on.

    Parameters
    ----------
    frames : list of ase.Atoms
        With `info["parent"]`.
    fractions : three floats
        Expected share of the parents in train, validation and test; their sum is 1.
    seed : int
        Another seed is another division.
    needed : sequence of str
        Parts that must hold frames, if their fraction is not zero.

    Returns
    -------
    dict of lists
        "train", "validation", "test".

    Raises
    ------
    GlasslibError
        For fractions that do not add up, a frame without parent, or too few parents to fill every part that is needed.
    """
    fractions = tuple(map(float, fractions))
    if len(fractions) != 3 or not all(0 <= f <= 1 for f in fractions) or abs(sum(fractions) - 1) > 1e-9:
        raise GlasslibError(f"fractions must be three numbers from 0 to 1 that add up to 1, not {fractions}")
    parts = {name: [] for name in PARTS}
    for number, atoms in enumerate(frames):
        parent = atoms.info.get("parent")
        if not isinstance(parent, str) or not parent:
            raise GlasslibError(f"frame {number} has no parent: name the trajectory it came from in info['parent']")
        x = place(parent, seed)
        # test lies at the low end and train at the high one: a larger validation share takes from train only
        name = "test" if x < fractions[2] else "validation" if x < fractions[2] + fractions[1] else "train"
        parts[name].append(atoms)
    empty = [
        name for name, share in zip(PARTS, fractions, strict=True) if share > 0 and name in needed and not parts[name]
    ]
    if empty:
        parents = len({atoms.info["parent"] for atoms in frames})
        raise GlasslibError(
            f"{parents} parent trajectories leave {' and '.join(empty)} empty with split seed {seed}: add frames of more, or take another seed"
        )
    return parts
