"""Valid files with bytes flipped, cut out, put in or repeated: every reader returns something valid or raises GlasslibError.

The cases of a normal run are always the same. GLASSLIB_FUZZ_SECONDS=300 tries new ones for that time in all, shared by the readers.
"""

import json
import os
import signal
import time
import traceback
import warnings

import numpy as np
import pytest
import torch
from bad_inputs import READERS, frames, lammps, models, trajectories
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from test_bad_inputs import limited

from glasslib import GlasslibError, profiles
from glasslib.reference.frames import check

CASES = 150  # of each reader in a normal run
SECONDS = float(os.environ.get("GLASSLIB_FUZZ_SECONDS", 0))
SLOWEST = 10  # s
TOKENS = [
    b"nan", b"-inf", b"1e999", b"-1", b"0", b"9" * 30, b"1000000000", b"../", b"\0", b"\xff\xfe", b"\n", b'"', b"'", b"[", b"{", b"}", b"&a ", b"*a",
    b"<<: ", b"!!", b": ", b" ", b"true", b"null", b"\xc2\xb2", b"\xff" * 8, b"\0" * 8, b"\x7f", b"0x", b"_JSON ",
]  # fmt: skip
SCHEDULE = b"- {name: melt, ensemble: nvt, temperature: [4500, 3000], rate: 500, thermostat: langevin}\n- ensemble: npt\n  temperature: 3000\n  pressure: 0.0\n  length: 10\n  timestep: 2.0\n  output: log\n  block: 0.5\n"  # fmt: skip
GIVEN = b'{"composition": "NS2", "temperature": 3000.0, "atoms": 200, "timestep": 2.0, "produce": 10.0, "output": "runs/a.h5"}'

changes = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "overwrite", "repeat", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def mutated(content, steps):
    """`content` after some changes, each at a place given as a share of its length."""
    out = bytearray(content)
    for kind, share, length, token in steps:
        at = int(share * len(out))
        if kind == "flip" and out:
            out[at] ^= 1 << length % 8
        elif kind == "cut":
            del out[at : at + length]
        elif kind == "insert":
            out[at:at] = token
        elif kind == "overwrite":
            out[at : at + len(token)] = token
        elif kind == "repeat":
            out[at:at] = out[at : at + length]
        elif kind == "end" and length % 8 == 0:  # a cut leaves little to try
            del out[at:]
    return bytes(out)


def built(make, suffix):
    """Bytes of a valid file that `make(path)` writes."""

    def content(folder):
        path = folder / f"valid{suffix}"
        make(path)
        return path.read_bytes()

    return content


def ulm(path):
    from ase import Atoms
    from ase.io import write

    write(
        path,
        [Atoms("ONa", [[1, 1, 1], [4, 4, 4]], cell=[9] * 3, pbc=True, info={"time": 0.1 * n}) for n in range(3)],
        format="traj",
    )


def model(path):
    """The reader of weights: the description lies beside them and is good."""
    description = path.with_suffix(".json")
    if not description.exists():
        models.valid(path.with_name("good.safetensors"))
        path.with_name("good.json").rename(description)
    return READERS["model"](path)


def description(path):
    """The reader of a description: the weights lie beside it and are good."""
    if not path.with_suffix(".safetensors").exists():
        models.valid(path.with_name("good.safetensors"))
        path.with_name("good.safetensors").rename(path.with_suffix(".safetensors"))
    return READERS["model"](path.with_suffix(".safetensors"))


def parameters(path):
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise GlasslibError("no JSON") from None
    return READERS["notebook"](content)


def good_trajectory(run):
    assert np.isfinite(run.positions).all() and np.isfinite(run.cell).all() and (np.diff(run.time) > 0).all()
    assert len(run.species) == run.positions.shape[1] and (run.masses > 0).all()


def good_model(calculator):
    assert all(torch.isfinite(w).all() for p in calculator.potentials for w in p.network.state_dict().values())


def good_frames(found):
    for atoms in found:
        check(atoms, "again")


def good_names(found):
    assert len(set(found)) == len(found) and not any("/" in name or name.startswith(".") for name in found)


def good_stages(stages):
    assert all(0 < stage.steps <= 1e12 for stage in stages) and all(len(stage.frames()) <= 2e7 for stage in stages)


def good_profile(profile):
    assert profiles.states(profile)


# reader: (function of a path, suffix, content of a valid file, check of a result, whether a process of its own reads it)
FUZZED = {
    "frames": (READERS["frames"], ".extxyz", lambda _: frames.GOOD.encode(), good_frames, False),
    "queue": (READERS["queue"], ".extxyz", lambda _: frames.QUEUED.encode(), good_names, False),
    "xyz": (READERS["foreign"], ".xyz", lambda _: (lammps.XYZ + lammps.LATER).encode(), good_trajectory, False),
    "lammps": (READERS["lammps"], ".dump", lambda _: lammps.GOOD.encode(), good_trajectory, False),
    "ase": (READERS["foreign"], ".traj", built(ulm, ".traj"), good_trajectory, True),
    "h5md": (READERS["h5md"], ".h5", built(trajectories.valid, ".h5"), good_trajectory, True),
    "weights": (model, ".safetensors", built(models.valid, ".safetensors"), good_model, False),
    "description": (
        description, ".json", lambda folder: built(models.valid, ".safetensors")(folder) and (folder / "valid.json").read_bytes(), good_model, False,
    ),
    "profile": (READERS["profile"], ".yml", lambda _: (profiles.ROOT / "profiles/quick.yml").read_bytes(), good_profile, False),
    "schedule": (READERS["schedule"], ".yml", lambda _: SCHEDULE, good_stages, False),
    "notebook": (parameters, ".json", lambda _: GIVEN, lambda values: json.dumps(values, allow_nan=False), False),
}  # fmt: skip


def tried(reader, path, good):
    """Whether the file was refused."""
    with warnings.catch_warnings(), limited(SLOWEST):
        warnings.simplefilter("ignore")
        try:
            result = reader(path)
        except GlasslibError:
            return True
        good(result)
    return False


def tried_apart(reader, path, good):
    """The same in a process of its own, since a damaged file may bring down or hold up a library written in C."""
    end, start = os.pipe()
    child = os.fork()
    if not child:
        status = 2
        try:
            os.close(end)
            signal.alarm(2 * SLOWEST)  # the end of a library that never comes back
            status = int(tried(reader, path, good))
        except BaseException:
            os.write(start, traceback.format_exc()[-4000:].encode())
        finally:
            os._exit(status)
    os.close(start)
    with os.fdopen(end, "rb") as stream:
        message = stream.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 1), message or f"the reader was ended by signal {-status}"
    return status == 1


@pytest.mark.parametrize("name", FUZZED)
def test_a_mutated_file_is_refused_or_gives_a_valid_result(tmp_path, name):
    reader, suffix, content, good, apart = FUZZED[name]
    valid, path = content(tmp_path), tmp_path / f"mutated{suffix}"
    path.write_bytes(valid)
    attempt = tried_apart if apart else tried
    assert not attempt(reader, path, good), "the unchanged file must be accepted"
    count = {True: 0, False: 0}

    def once(steps):
        path.write_bytes(mutated(valid, steps))
        count[attempt(reader, path, good)] += 1

    def run(cases, **options):
        case = settings(
            max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck), **options
        )(given(changes)(once))
        return case

    if SECONDS:
        end, number = time.monotonic() + SECONDS / len(FUZZED), time.time_ns()
        while time.monotonic() < end:
            number += 1
            seed(number)(run(100))()
    else:
        run(CASES, derandomize=True)()
    print(f"{name}: {count[True] + count[False]} mutated files, {count[True]} refused, {count[False]} valid")
    assert count[True] > 0
