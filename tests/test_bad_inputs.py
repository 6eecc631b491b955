"""Every reader of outside files refuses every bad input of the archive with one GlasslibError that says what is wrong, and at once."""

import resource
import signal
import warnings
from contextlib import contextmanager

import pytest
from bad_inputs import CASES, READERS
from bad_inputs.common import written

from glasslib import GlasslibError

SECONDS = 5  # that a reader may take to refuse
MEMORY = 500_000  # kB that it may add to the highest use of memory


class Hang(BaseException):
    """Not an Exception, so that no reader can swallow it."""


@contextmanager
def limited(seconds):
    """Stop what takes longer."""

    def stop(*_):
        raise Hang(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", CASES)
def test_a_bad_input_is_refused_and_the_reason_told(tmp_path, name):
    case = CASES[name]
    given = written(case, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(), limited(SECONDS), pytest.raises(GlasslibError) as caught:
        warnings.simplefilter("ignore")
        READERS[case.reader](given)
    message = str(caught.value)
    assert case.text in message, message
    assert len(message) < 1500 + len(str(tmp_path)) and message.count("\n") == 0, message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - highest < MEMORY
    assert sorted(tmp_path.rglob("*")) == before


def test_the_archive_has_all_readers_and_its_good_files_are_good(tmp_path):
    """What the bad inputs are made from is accepted, so that each is refused for its own fault."""
    from bad_inputs import frames, lammps, models, plain, trajectories

    assert len(CASES) >= 60 and {case.reader for case in CASES.values()} == set(READERS)
    models.valid(tmp_path / "model.safetensors")
    trajectories.valid(tmp_path / "run.h5")
    texts = {"frames.extxyz": frames.GOOD, "queue.extxyz": frames.QUEUED, "a.dump": lammps.GOOD, "a.xyz": lammps.XYZ}
    for name, text in (texts | {"profile.yml": plain.GOOD}).items():
        (tmp_path / name).write_text(text)
    for reader, name in {
        "model": "model.safetensors", "h5md": "run.h5", "frames": "frames.extxyz", "queue": "queue.extxyz", "lammps": "a.dump",
        "foreign": "a.xyz", "profile": "profile.yml",
    }.items():  # fmt: skip
        READERS[reader](tmp_path / name)
    READERS["stages"]([plain.NVT])
