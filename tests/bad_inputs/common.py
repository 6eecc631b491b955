"""The readers, and what the builders share."""

import os
from dataclasses import dataclass

import numpy as np

from glasslib import Trajectory, load_potential, notebook, profiles
from glasslib.dynamics import read_schedule
from glasslib.files import read_yaml
from glasslib.reference import labelling, read_frames
from glasslib.reference.frames import read_plain
from glasslib.trajectory import read


@dataclass(frozen=True)
class Case:
    """One bad input; `content` is bytes, text, or a function of a path, or, for readers of values, the value itself."""

    reader: str
    text: str
    name: str
    content: object


def opened(path):
    """A trajectory with its positions in memory: what is lazy must be refused, too."""
    return Trajectory.open(path).load()


def schedule(path):
    """A schedule as the command line reads it."""
    return read_schedule(read_yaml(path))


READERS = {
    "frames": read_frames,
    "queue": lambda path: labelling.names(read_plain(path)),
    "h5md": opened,
    "foreign": lambda path: read(path, interval=0.1).load(),
    "lammps": lambda path: read(path, timestep=1.0).load(),
    "model": lambda path: load_potential(path, kernel="reference"),
    "profile": profiles.load_profile,
    "schedule": schedule,
    "stages": read_schedule,
    "notebook": lambda given: notebook.checked("04_simulation", given),
    "notebook name": lambda name: notebook.checked(name, {}),
}
VALUES = ("stages", "notebook", "notebook name")  # readers of values, not of files
JUNK = bytes(np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8))


def pipe(path):
    """A named pipe that nobody writes to: a reader that opens it waits for ever."""
    os.mkfifo(path)


def written(case, folder):
    """What the reader of `case` is given; its file is made in `folder`."""
    if case.reader in VALUES:
        return case.content
    path = folder / case.name
    if callable(case.content):
        case.content(path)
    elif isinstance(case.content, bytes):
        path.write_bytes(case.content)
    elif case.content is not None:
        path.write_text(case.content)
    return path
