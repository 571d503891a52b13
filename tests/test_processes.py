"""Runs of several processes, launched as a user would: the same as of one, also after a kill."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import runs

from jaxdl.data import streams

TESTS = pathlib.Path(__file__).parent
EXPERIMENT = f'''
import os, sys, time
sys.path[:0] = [{str(TESTS)!r}]
import runs, test_processes

def experiment(streamed: bool = False):
    """Least squares, on several devices."""
    return test_processes.made(streamed, float(os.environ.get("PAUSE", 0)))
'''


def made(streamed=False, pause=0.0, **changes):
    """A run; `pause` is in seconds, at each evaluation."""

    def show(state, key):
        time.sleep(pause)
        return state["count"]

    run = runs.linear(steps=120, summaries={"shown/count": show}, **changes)
    if not streamed:
        return run
    source = streams.shuffled(run.train.arrays, 8)
    return runs.linear(steps=120, summaries={"shown/count": show}, train=source, **changes)


@pytest.fixture
def launch(tmp_path):
    """Launch the experiment in a process of its own."""
    path = tmp_path / "least.py"
    path.write_text(EXPERIMENT)
    started = []

    def start(*arguments, **environment):
        command = [sys.executable, "-m", "jaxdl.launch", str(path), "--logdir", str(tmp_path)]
        process = subprocess.Popen(
            [*command, *arguments],
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "1", **environment},
            cwd=TESTS.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def ended(process, code):
    """What it has said on its two streams."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    return out, err


def check_close(folder, other):
    """The curves of two runs, within what another order of summation may change."""
    mine, theirs = runs.curves(folder), runs.curves(other)
    assert mine.keys() == theirs.keys()
    for tag, points in theirs.items():
        np.testing.assert_allclose(mine[tag], points, rtol=2e-5, err_msg=tag)


def test_two_processes_that_read_their_shares_are_one_run(launch, tmp_path):
    out, _ = ended(launch("--processes", "2", "--name", "two", "--streamed"), 0)
    assert out.count("completed at step 120") == 1
    assert "2 × cpu" in out
    whole = runs.train(made(True, mesh={"data": 2}), tmp_path / "one")
    check_close(tmp_path / "least" / "two", whole.folder)
    record = json.loads((tmp_path / "least" / "two" / "run.json").read_text())
    assert record["result"]["status"] == "completed"


def test_a_signal_to_one_process_stops_and_saves_the_run(launch, tmp_path):
    process = launch("--processes", "2", "--name", "two", PAUSE="0.3")
    os.kill(child(process, 1, when=tmp_path / "least" / "two" / "checkpoints"), signal.SIGTERM)
    out, _ = ended(process, 75)
    assert "SIGTERM: saved at step" in out
    ended(launch("--processes", "2", "--name", "two"), 0)
    whole = runs.train(made(mesh={"data": 2}), tmp_path / "one")
    check_close(tmp_path / "least" / "two", whole.folder)


def test_a_killed_process_ends_the_run_and_another_number_goes_on(launch, tmp_path):
    process = launch("--processes", "2", "--name", "two", PAUSE="0.3")
    os.kill(child(process, 1, when=tmp_path / "least" / "two" / "checkpoints"), signal.SIGKILL)
    killed = time.monotonic()
    _, err = ended(process, 1)
    assert time.monotonic() - killed < 60  # a job ends within a minute of any of its processes
    assert "error: process 1 of 2 was killed by SIGKILL; the others were ended.\n" in err
    assert "Go on from the last checkpoint with: python -m jaxdl.launch" in err
    out, _ = ended(launch("--name", "two"), 0)
    assert "Resumed from the checkpoint of step" in out
    whole = runs.train(made(), tmp_path / "one")
    check_close(tmp_path / "least" / "two", whole.folder)


def test_an_error_is_said_once(launch, tmp_path):
    (tmp_path / "least" / "other").mkdir(parents=True)
    (tmp_path / "least" / "other" / "file").touch()
    _, err = ended(launch("--processes", "2", "--name", "other"), 2)
    assert err.count("error: ") == 1
    assert "must be empty or hold a run" in err


def child(process, index, when):
    """The id of a process of the run, once there is a checkpoint."""
    deadline = time.monotonic() + 60
    while not (when.is_dir() and any(path.name.isdecimal() for path in when.iterdir())):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in children:
        if f"JAX_PROCESS_ID={index}\0" in pathlib.Path(f"/proc/{pid}/environ").read_text():
            return int(pid)
    raise AssertionError(children)
