"""Snakemake killed in the middle of a sweep, and the same command again."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from glasslib import GlasslibError, workflow
from glasslib.files import alone


def prepared(folder):
    """A folder with the project's files and a profile of three short simulations, and the command that runs it."""
    for name in ("Snakefile", "notebooks", "data", "book", "glasslib", "profiles", "_config.yml"):
        (folder / name).symlink_to(workflow.ROOT / name)
    simulation = {"atoms": 27, "melt": 0.02, "equilibrate": 0.02, "produce": 3.0}
    profile = {"compositions": ["NS2"], "temperatures": [2500, 3000, 3500], "04_simulation": simulation}
    (folder / "tiny.yml").write_text(yaml.safe_dump(profile))
    return {"cwd": folder, "env": os.environ | {"NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(workflow.ROOT)}}


def children(process):
    return [
        int(p) for p in subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True).stdout.split()
    ]


def test_snakemake_killed_in_a_sweep_goes_on_without_repeating_or_losing_anything(tmp_path):
    settings = prepared(tmp_path)
    trajectories, notebooks = tmp_path / "runs/tiny/trajectories", tmp_path / "runs/tiny/simulations"
    with open(tmp_path / "out", "w") as out:
        command = [sys.executable, "-m", "glasslib.cli", "run", "tiny.yml", "--cores", "1"]
        run = subprocess.Popen(command, stdout=out, stderr=out, **settings)
        for _ in range(3000):  # until one simulation is done and another has begun
            if list(notebooks.glob("NS2*.ipynb")) and list(trajectories.glob("*.run/checkpoint-*")):
                break
            time.sleep(0.05)
        (snakemake,) = children(run.pid)
        jobs = children(snakemake)
        kernels = [kernel for job in jobs for kernel in children(job)]
        for process in (snakemake, run.pid):
            os.kill(process, signal.SIGKILL)
        run.wait()
    assert jobs and kernels, (tmp_path / "out").read_text()
    for _ in range(200):  # jobs end with the Snakemake that began them
        if not any(os.path.exists(f"/proc/{process}/cmdline") for process in jobs + kernels):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a job outlived Snakemake")
    done = {path: path.stat().st_mtime_ns for path in notebooks.glob("NS2*.ipynb")}
    (unfinished,) = (path.name.removesuffix(".h5.run") for path in trajectories.glob("*.run"))
    assert len(done) == 1 and not (notebooks / f"{unfinished}.ipynb").exists()

    code = "from glasslib.files import alone\nfrom glasslib.workflow import _snakemake\n"
    code += "with alone('runs/tiny') as lock: assert _snakemake('tiny.yml', 1, '--until', 'simulate', lock=lock)"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **settings)
    assert again.returncode == 0, again.stderr
    assert f"{unfinished}.h5: going on at step" in again.stdout + again.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert len(list(notebooks.glob("NS2*.ipynb"))) == len(list(trajectories.glob("*.h5"))) == 3


def test_a_profile_is_run_by_one_process_at_a_time(tmp_path, monkeypatch):
    prepared(tmp_path)
    monkeypatch.chdir(tmp_path)
    with alone("runs/tiny"), pytest.raises(GlasslibError, match="another process is running"):
        workflow.run("tiny.yml")
