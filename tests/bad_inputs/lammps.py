"""LAMMPS dumps, ASE trajectories, extended XYZ without labels, and files of no known format."""

import gzip
import pickle

from .common import JUNK, Case, pipe

HEAD = "ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS id element x y z\n"
ROWS = "1 O 1 1 1\n2 Na 4 4 4\n3 Si 7 7 7\n"
GOOD = HEAD.format(step=0) + ROWS + HEAD.format(step=10) + ROWS
XYZ = '2\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 time=0 pbc="T T T"\nO 1 1 1\nO 4 4 4\n'
LATER = XYZ.replace("time=0", "time=0.1")


def swapped(old, new, count=1):
    """The good dump with a part (which must be there) replaced."""
    assert old in GOOD
    return GOOD.replace(old, new, count)


def ulm(path):
    """An ASE trajectory cut in two."""
    from ase import Atoms
    from ase.io import write

    write(path, [Atoms("ONa", [[1, 1, 1], [4, 4, 4]], cell=[9] * 3, pbc=True)] * 3, format="traj")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


LAMMPS = {
    "cut within a frame": ("within a frame", GOOD[: -len("3 Si 7 7 7\n")]),
    "cut in the header": ("truncated", GOOD[:30]),
    "cut within the last number": ("truncated", GOOD.replace("7 7 7\n", "7 7 7.25\n")[:-2]),
    "cut before the last line feed": ("truncated", GOOD[:-1]),
    "no atoms": ("0 atoms", swapped("ATOMS\n3\n", "ATOMS\n0\n")),
    "number of atoms below zero": ("-3 atoms", swapped("ATOMS\n3\n", "ATOMS\n-3\n")),
    "a trillion atoms": ("atoms", swapped("ATOMS\n3\n", "ATOMS\n1000000000000\n")),
    "more atoms than rows": ("within a frame", swapped("ATOMS\n3\n", "ATOMS\n19999999\n")),
    "number of atoms a word": ("truncated or damaged", swapped("ATOMS\n3\n", "ATOMS\nthree\n")),
    "no number of atoms": ("NUMBER OF ATOMS is missing", swapped("ITEM: NUMBER OF ATOMS\n3\n", "")),
    "no box": ("BOX BOUNDS is missing", swapped("ITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n", "")),
    "no step": ("TIMESTEP is missing", swapped("ITEM: TIMESTEP\n0\n", "")),
    "box of two rows": ("damaged", swapped("0 9\n0 9\n0 9\n", "0 9\n0 9\n")),
    "box not a number": ("finite", swapped("0 9\n", "nan nan\n", 6)),
    "box without a volume": ("damaged", swapped("0 9\n", "0 0\n", 6)),
    "position not a number": ("finite number", swapped("4 4 4", "4 nan 4")),
    "position infinite": ("finite number", swapped("4 4 4", "4 inf 4")),
    "position a word": ("damaged", swapped("4 4 4", "4 east 4")),
    "no positions": ("no positions", swapped("id element x y z", "id element vx vy vz", 2)),
    "no species": ("element", swapped("id element x y z", "id type x y z", 2).replace(ROWS, "1 1 1 1 1\n2 2 4 4 4\n3 3 7 7 7\n")),
    "unknown species": ("symbol", swapped("Na", "Xx", 2)),
    "mass of no element": ("mass", swapped("id element x", "id mass x", 2).replace("1 O ", "1 1e4 ")),
    "one id twice": ("one id", swapped("2 Na", "1 Na")),
    "an id beyond 64 bits": ("damaged", swapped("2 Na", "9" * 30 + " Na")),
    "other atoms in the second frame": ("other atoms", GOOD[: -len(ROWS)] + ROWS.replace("Na", "O")),
    "steps backwards": ("increasing", swapped("TIMESTEP\n10", "TIMESTEP\n0")),
    "a step beyond 64 bits": ("bad.dump", swapped("TIMESTEP\n10", "TIMESTEP\n" + "9" * 40)),
    "atoms without an id": ("column id", GOOD.replace("id element", "element").replace("1 O", "O").replace("2 Na", "Na").replace("3 Si", "Si")),
    "other ids in the second frame": ("other atoms", GOOD[: -len(ROWS)] + ROWS.replace("2 Na", "5 Na")),
    "units of LJ": ("metal or real", "ITEM: UNITS\nlj\n" + GOOD),
    "atoms that jump": ("unwrapped", swapped("7 7 7", "2.6 2.6 2.6")),
    "another item": ("unexpected", "ITEM: NONSENSE\n1\n" + GOOD),
    "junk after the first line": ("bad.dump", b"ITEM: TIMESTEP\n" + JUNK),
}  # fmt: skip
FOREIGN = {
    "empty": ("neither", ""),
    "binary junk": ("neither", JUNK),
    "a pickle": ("neither", pickle.dumps({"positions": [1]})),
    "a named pipe": ("device", pipe),
    "compressed": ("unpack it first (gunzip -k bad.bin)", gzip.compress(GOOD.encode())),
    "a trajectory of ASE cut in two": ("truncated", ulm),
    "the name of a format, then junk": ("truncated", b"- of UlmASE-Trajectory" + JUNK),
}
IMAGES = {
    "no cell": ("cell", XYZ.replace('Lattice="9 0 0 0 9 0 0 0 9" ', "").replace("T T T", "F F F")),
    "position not a number": ("finite", XYZ.replace("4 4 4", "4 nan 4")),
    "other atoms in the second frame": ("other atoms", XYZ + LATER.replace("O 4", "Na 4")),
    "a trillion atoms declared": ("declares", XYZ.replace("2\n", "1000000000000\n", 1)),
    "cut within a frame": ("truncated", XYZ[: -len("O 4 4 4\n")]),
    "cut within the last number": ("truncated", XYZ.replace("4 4 4", "4 4 4.25")[:-2]),
    "times that contradict the interval": ("leave out interval", XYZ + XYZ.replace("time=0", "time=0.2")),
    "not UTF-8": ("bad.xyz", XYZ.encode().replace(b"O 1", b"\xff\xfe 1")),
}
CASES = (
    {f"lammps, {key}": Case("lammps", text, "bad.dump", made) for key, (text, made) in LAMMPS.items()}
    | {f"foreign, {key}": Case("foreign", text, "bad.bin", made) for key, (text, made) in FOREIGN.items()}
    | {f"xyz, {key}": Case("foreign", text, "bad.xyz", made) for key, (text, made) in IMAGES.items()}
)
