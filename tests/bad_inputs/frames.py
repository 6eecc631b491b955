"""Extended XYZ: labelled frames and queues."""

import pickle
from pathlib import Path

from .common import JUNK, Case, pipe

SEED = Path(__file__).parents[2] / "data" / "frames" / "seed.extxyz"
QUEUE = Path(__file__).parents[2] / "data" / "frames" / "queue" / "first.extxyz"


def first(path):
    """The first frame of a file, as text."""
    with open(path) as stream:
        head = stream.readline()
        return head + "".join(stream.readline() for _ in range(int(head) + 1))


GOOD, QUEUED = first(SEED), first(QUEUE)


def swapped(text, *pairs):
    """`text` with each old part (which must be there) replaced once."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def field(text, name, value):
    """`text` with another value of a field of the comment line."""
    import re

    changed, count = re.subn(rf'(?<=[ \n]){name}=("[^"]*"|\S+)', lambda _: f"{name}={value}", text, count=1)
    assert count == 1, name
    return changed


def dropped(text, name):
    """`text` without a field of the comment line."""
    return field(text, name, "0").replace(f" {name}=0", "", 1).replace(f"{name}=0 ", "", 1)


def row(text, number, value, column=1):
    """`text` with another value in row `number` of the atoms."""
    lines = text.splitlines()
    words = lines[2 + number].split()
    words[column] = value
    lines[2 + number] = "  ".join(words)
    return "\n".join(lines) + "\n"


def scaled(text, factor):
    """`text` with cell and positions times `factor`: another unit of length."""
    from io import StringIO

    import ase.io

    atoms = ase.io.read(StringIO(text), format="extxyz")
    forces = atoms.get_forces()
    atoms.set_cell(atoms.cell * factor, scale_atoms=True)
    edges = " ".join(str(v) for v in atoms.cell.array.ravel())
    rows = [
        f"{s} {' '.join(map(str, p))} {' '.join(map(str, f))}"
        for s, p, f in zip(atoms.symbols, atoms.positions, forces, strict=True)
    ]
    return "\n".join([*field(text, "Lattice", f'"{edges}"').splitlines()[:2], *rows]) + "\n"


FRAMES = {
    "empty": ("empty", ""),
    "only a line end": ("no frame", "\n"),
    "binary junk": ("bad.extxyz", JUNK + b"\n"),
    "not UTF-8": ("cannot be read", GOOD.encode().replace(b"SiO2", b"\xff\xfe\xfa")),
    "a pickle": ("bad.extxyz", pickle.dumps({"atoms": [1, 2]}) + b"\n"),
    "a folder of nothing": ("no *.extxyz", lambda path: path.mkdir()),
    "a named pipe": ("device", pipe),
    "not there": ("no such file", None),
    "cut in a number": ("truncated", GOOD[:-9]),
    "cut between rows": ("frame 0", GOOD[: GOOD.rindex("\n", 0, -1) + 1]),
    "second frame cut": ("frame 1", GOOD + "\n".join(GOOD.splitlines()[:9]) + "\n"),
    "a trillion atoms declared": ("declares", swapped(GOOD, ("72\n", "1000000000000\n"))),
    "a number of atoms beyond 64 bits": ("declares", swapped(GOOD, ("72\n", "9" * 40 + "\n"))),
    "a number of atoms in superscript": ("header", swapped(GOOD, ("72\n", "²72\n"))),
    "negative number of atoms": ("frame 0", swapped(GOOD, ("72\n", "-72\n"))),
    "one atom too many": ("header", GOOD.rstrip("\n") + "\n" + GOOD.splitlines()[-1] + "\n"),
    "columns by the billion": ("columns", swapped(GOOD, ("pos:R:3", "pos:R:3000000000"))),
    "word for a coordinate": ("frame 0", row(GOOD, 3, "east")),
    "position not a number": ("positions", row(GOOD, 3, "nan")),
    "force infinite": ("forces", row(GOOD, 3, "inf", 5)),
    "unknown element": ("frame 0", row(GOOD, 3, "Xx", 0)),
    "energy not a number": ("energy", field(GOOD, "energy", "nan")),
    "energy a word": ("energy", field(GOOD, "energy", "low")),
    "energy in hartree": ("eV", field(GOOD, "energy", "-19.86")),
    "energy of the wrong sign": ("eV", field(GOOD, "energy", "540.396")),
    "energy missing": ("energy", dropped(GOOD, "energy")),
    "stress missing": ("stress", dropped(GOOD, "stress")),
    "stress of the wrong sign": ("stress_raw + stress_correction", field(GOOD, "stress", '"0.0176 0.00307 0.0282 0.00307 0.00857 -0.0119 0.0282 -0.0119 -0.00335"')),
    "stress of five numbers": ("stress", field(GOOD, "stress", '"1 2 3 4 5"')),
    "stress not symmetric": ("stress", field(GOOD, "stress", '"-0.0176 0.2 0 0 -0.00857 0 0 0 0.00335"')),
    "raw stress not corrected": ("collect the labels", field(GOOD, "stress_kind", "raw")),
    "positions in bohr": ("Å", scaled(GOOD, 1.8897)),
    "positions in nm": ("Å", scaled(GOOD, 0.1)),
    "cell without a volume": ("Lattice", field(GOOD, "Lattice", '"10 0 0 10 0 0 0 0 10"')),
    "cell thinner than an atom": ("Lattice", field(GOOD, "Lattice", '"1000 0 0 0 1000 0 0 0 0.001"')),
    "cell not a number": ("Lattice", field(GOOD, "Lattice", '"nan 0 0 0 10 0 0 0 10"')),
    "not periodic": ("Lattice", field(GOOD, "pbc", '"T T F"')),
    "temperature below zero": ("temperature_K", field(GOOD, "temperature_K", "-5")),
    "temperature a word": ("temperature_K", field(GOOD, "temperature_K", "hot")),
    "parent missing": ("parent", dropped(GOOD, "parent")),
    "composition of other atoms": ("composition", field(GOOD, "composition", "NS2")),
    "JSON that ends early": ("frame 0", swapped(GOOD, ("]]\"", "\""))),
    "two atoms in one place": ("0.3", row(row(row(GOOD, 1, "5.0", 1), 1, "5.0", 2), 1, "5.0", 3).replace(GOOD.splitlines()[2].split()[1], "5.0", 1).replace(GOOD.splitlines()[2].split()[2], "5.0", 1).replace(GOOD.splitlines()[2].split()[3], "5.0", 1)),
}  # fmt: skip
QUEUES = {
    "name that leaves the folder": ("letters, digits", field(QUEUED, "parent", "../../etc/passwd")),
    "absolute name": ("letters, digits", field(QUEUED, "parent", "/etc/passwd")),
    "hidden name": ("letters, digits", field(QUEUED, "parent", ".bashrc")),
    "endless name": ("letters, digits", field(QUEUED, "parent", "a" * 5000)),
    "name in other letters": ("letters, digits", field(QUEUED, "parent", "π" * 100)),
    "one name twice": ("2 frames", QUEUED + QUEUED),
    "number of a frame a word": ("whole number", field(QUEUED, "parent", "a frame=third")),
    "composition missing": ("composition is missing", dropped(QUEUED, "composition")),
    "temperature a word": ("temperature_K", field(QUEUED, "temperature_K", "hot")),
    "temperature not a number": ("temperature_K", field(QUEUED, "temperature_K", "nan")),
    "density scale below zero": ("density_scale", field(QUEUED, "density_scale", "-1")),
    "position infinite": ("finite", row(QUEUED, 0, "inf")),
    "no cell": ("cell", dropped(QUEUED, "Lattice").replace('pbc="T T T"', 'pbc="F F F"')),
    "atoms without an element": ("elements", row(QUEUED, 0, "X", 0)),
    "no atoms": ("queue, frame 0", swapped("\n".join(QUEUED.splitlines()[:2]) + "\n", ("54\n", "0\n"))),
}
CASES = {f"frames, {key}": Case("frames", text, "bad.extxyz", made) for key, (text, made) in FRAMES.items()} | {
    f"queue, {key}": Case("queue", text, "bad.extxyz", made) for key, (text, made) in QUEUES.items()
}
