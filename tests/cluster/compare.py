"""Whether two folders hold the same trajectories, bit for bit: python compare.py A B."""

import sys
from pathlib import Path

import h5py


def content(path):
    """Bytes, type and shape of everything that a trajectory says about particles, by name."""
    found = {}

    def keep(name, part):
        if isinstance(part, h5py.Dataset):
            found[name] = part.dtype.str, part.shape, part[()].tobytes()

    with h5py.File(path, "r") as file:
        file["particles"].visititems(keep)
    return found


def main(first, second):
    names = sorted(path.name for path in Path(first).glob("*.h5"))
    if not names or names != sorted(path.name for path in Path(second).glob("*.h5")):
        sys.exit(f"{first} and {second} hold different trajectories, or none")
    for name in names:
        a, b = content(Path(first) / name), content(Path(second) / name)
        if a != b:
            sys.exit(f"{name} differs in {', '.join(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))}")
        print(f"{name}: {len(a)} datasets, {sum(len(data) for _, _, data in a.values())} bytes, the same")


main(*sys.argv[1:])
