"""H5MD."""

import json
import pickle

import h5py
import numpy as np

from glasslib import Trajectory

from .common import JUNK, Case, pipe

SPECIES = ["O"] * 4 + ["Na"] * 2 + ["Si"]
POSITION, BOX = "particles/trajectory/position/value", "particles/trajectory/box/edges/value"


def valid(path, frames=6):
    """A small valid file."""
    rng = np.random.default_rng(0)
    positions = rng.random((frames, len(SPECIES), 3)) * 9
    log = {"time": np.arange(3.0), "temperature": np.full(3, 3000.0)}
    Trajectory(
        positions, SPECIES, np.eye(3) * 9, np.arange(frames) * 0.1, step=np.arange(frames), masses=np.ones(7), log=log
    ).save(path)


def changed(change):
    """A valid file after `change(file)`."""

    def make(path):
        valid(path)
        with h5py.File(path, "r+") as file:
            change(file)

    return make


def replaced(name, value, keep=True):
    """A valid file with another dataset (or none, where `value` is None) under a name; its attributes stay if `keep`."""

    def change(file):
        attrs = dict(file[name].attrs) if keep else {}
        del file[name]
        if value is not None:
            file[name] = value
            file[name].attrs.update(attrs)

    return changed(change)


def declared(name, shape, dtype="f4", chunks=True):
    """A valid file in which a dataset declares a shape, with nothing stored."""

    def change(file):
        attrs = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, shape=shape, dtype=dtype, chunks=chunks).attrs.update(attrs)

    return changed(change)


def linked(name, link):
    """A valid file in which a name is a link."""

    def change(file):
        del file[name]
        file[name] = link

    return changed(change)


def attribute(name, key, value):
    """A valid file with another attribute."""
    return changed(lambda file: file[name].attrs.__setitem__(key, value))


def cut(share):
    """A valid file of which only the beginning is left."""

    def make(path):
        valid(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def elsewhere(file):
    del file[POSITION]
    layout = h5py.VirtualLayout(shape=(6, 7, 3), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "a", shape=(6, 7, 3))
    file.create_virtual_dataset(POSITION, layout)


def outside(file):
    del file[POSITION]
    file.create_dataset(POSITION, shape=(6, 7, 3), dtype="f4", external=[("/etc/hostname", 0, 504)])
    file[POSITION].attrs["unit"] = "Angstrom"


BAD = np.zeros((6, 7, 3), "f4")
NAN, INF = BAD.copy(), BAD.copy()
NAN[2, 3, 1], INF[5, 0, 0] = np.nan, np.inf
OTHER = "particles/trajectory"
KNOWN = {
    "empty": ("HDF5", b""),
    "only the signature": ("HDF5", b"\x89HDF\r\n\x1a\n"),
    "binary junk": ("HDF5", JUNK),
    "signature, then junk": ("HDF5", b"\x89HDF\r\n\x1a\n" + JUNK),
    "a pickle": ("HDF5", pickle.dumps([1, 2, 3])),
    "a named pipe": ("device", pipe),
    "a folder": ("folder", lambda path: path.mkdir()),
    "half of a file": ("HDF5", cut(0.5)),
    "nine tenths of a file": ("HDF5", cut(0.9)),
    "HDF5 of something else": ("particles", lambda path: h5py.File(path, "w").create_dataset("a", data=[1]).file.close()),
    "particles that are numbers": ("particles", replaced("particles", [1, 2], keep=False)),
    "position not a number": ("frame 2, atom 3", replaced(POSITION, NAN)),
    "position infinite": ("frame 5, atom 0", replaced(POSITION, INF)),
    "positions of two dimensions": ("[frames, atoms, 3]", replaced(POSITION, BAD[..., :2])),
    "positions in words": ("real numbers", replaced(POSITION, np.full((6, 7, 3), b"a"))),
    "no frame": ("[frames, atoms, 3]", replaced(POSITION, BAD[:0])),
    "positions of other atoms": ("7 values", replaced(f"{OTHER}/species", np.array([8, 8]), keep=False)),
    "unknown species": ("symbol", replaced(f"{OTHER}/species", np.full(7, 999), keep=False)),
    "species below zero": ("symbol", replaced(f"{OTHER}/species", np.full(7, -8), keep=False)),
    "unit bohr": ("unit", attribute(POSITION, "unit", "bohr")),
    "unit a number": ("unit", attribute(POSITION, "unit", 3)),
    "unit not UTF-8": ("unit", attribute(POSITION, "unit", np.bytes_(b"\xff\xfe"))),
    "unit missing": ("unit", changed(lambda file: file[POSITION].attrs.__delitem__("unit"))),
    "time in hours": ("unit", attribute("particles/trajectory/position/time", "unit", "h")),
    "time backwards": ("increasing", replaced(f"{OTHER}/position/time", np.arange(6.0)[::-1])),
    "time not a number": ("increasing", replaced(f"{OTHER}/position/time", np.full(6, np.nan))),
    "time in words": ("numbers", replaced(f"{OTHER}/position/time", np.full(6, b"now"))),
    "time of other length": ("shape [5]", replaced(f"{OTHER}/position/time", np.arange(5.0))),
    "time missing": ("time", replaced(f"{OTHER}/position/time", None)),
    "steps backwards": ("step", replaced(f"{OTHER}/position/step", np.arange(6)[::-1])),
    "cell missing": ("edges", replaced(BOX, None)),
    "cell without a volume": ("volume", replaced(BOX, np.zeros((6, 3, 3)))),
    "cell not a number": ("finite", replaced(BOX, np.full((6, 3, 3), np.nan))),
    "cell of two vectors": ("shape", replaced(BOX, np.zeros((6, 2, 3)))),
    "masses below zero": ("positive", replaced(f"{OTHER}/mass", -np.ones(7))),
    "exabytes of positions": ("more than", declared(POSITION, (40_000_000, 10_000_000, 3), chunks=(1, 1000, 3))),
    "gigabytes of positions never written": ("more than", declared(POSITION, (1_000_000, 1000, 3), chunks=(10, 1000, 3))),
    "terabytes of masses": ("mass", declared(f"{OTHER}/mass", (10**12,), "f8", (1000,))),
    "terabytes of times": ("time", declared(f"{OTHER}/position/time", (10**12,), "f8", (1000,))),
    "terabytes in the log": ("more than", declared("parameters/glasslib/log/time", (10**12,), "f8", (1000,))),
    "positions in another file": ("another file", linked(POSITION, h5py.ExternalLink("/etc/hostname", "/a"))),
    "particles in another file": ("another file", linked("particles", h5py.ExternalLink("/etc/hostname", "/a"))),
    "a group in another file": ("another file", linked(OTHER, h5py.ExternalLink("other.h5", "/a"))),
    "cell in another file": ("another file", linked("particles/trajectory/box", h5py.ExternalLink("other.h5", "/a"))),
    "log in another file": ("another file", linked("parameters/glasslib/log", h5py.ExternalLink("other.h5", "/a"))),
    "positions of a virtual dataset": ("another file", changed(elsewhere)),
    "positions in a raw file": ("another file", changed(outside)),
    "a link to itself": ("leads nowhere", linked(POSITION, h5py.SoftLink("/" + POSITION))),
    "a link to nothing": ("missing", linked(POSITION, h5py.SoftLink("/nothing"))),
    "attributes that are no JSON": ("bad.h5", attribute("parameters/glasslib", "attributes", "{")),
    "attributes that are a list": ("mapping", attribute("parameters/glasslib", "attributes", json.dumps([1]))),
    "attributes nested without end": ("bad.h5", attribute("parameters/glasslib", "attributes", "[" * 30_000)),
}  # fmt: skip
CASES = {f"h5md, {key}": Case("h5md", text, "bad.h5", made) for key, (text, made) in KNOWN.items()}
