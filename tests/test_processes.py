"""Worker processes end with the process that started them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from glasslib.errors import GlasslibError
from glasslib.processes import all_done, pool

PARENT = """
import os, time
from glasslib.processes import all_done, pool
if __name__ == "__main__":
    with pool(2) as workers:
        for number in [one.result() for one in [workers.submit(os.getpid) for _ in range(8)]]:
            print(number, flush=True)
        print("ready", flush=True)
        workers.submit(time.sleep, 600).result()
"""


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{number}/stat") as stream:
        return stream.read().rsplit(")", 1)[1].split()[0] != "Z"


def test_workers_of_a_killed_process_end(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    workers = set()
    for line in parent.stdout:
        if line.strip() == "ready":
            break
        workers.add(int(line))
    assert workers and all(map(alive, workers))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))


def test_a_lost_worker_is_told_and_nothing_waiting_is_begun(tmp_path):
    with pytest.raises(GlasslibError, match="worker process was lost"), pool(1) as processes:
        processes.submit(os._exit, 1).result()
    begun = time.monotonic()
    with pytest.raises(FileNotFoundError):
        all_done([(time.sleep, 600), (os.stat, tmp_path / "none")], workers=2)
    assert time.monotonic() - begun < 60  # what runs is ended, too
    begun = time.monotonic()
    with pytest.raises(FileNotFoundError), pool(1) as processes:
        made = [processes.submit(os.stat, tmp_path / "none")] + [processes.submit(time.sleep, 2) for _ in range(20)]
        made[0].result()
    assert time.monotonic() - begun < 30
