"""Processes that join, stop together and end together; each is a small script of its own."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from jaxdl import cluster, errors, places, spawn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEAD = f"""
import os, signal, sys, time
sys.path.insert(0, {ROOT!r})
from jaxdl import cluster
from jaxdl.train import agreement
cluster.FAIL_SECONDS = cluster.LEAVE_SECONDS = 10
cluster.initialize()
me = int(os.environ["JAX_PROCESS_ID"])
"""


@pytest.fixture
def script(tmp_path):
    """Write a script, and give what runs it."""

    def write(body, head=HEAD):
        path = tmp_path / "script.py"
        path.write_text(head + textwrap.dedent(body))
        return [str(path)]

    return write


# --- who is who


SLURM = {
    "SLURM_STEP_NODELIST": "a,b",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}


def test_a_plain_machine_has_one_process():
    assert places.of({}) is None
    assert cluster.leader()
    assert cluster.count() == 1
    assert cluster.broadcast("mine") == "mine"
    assert cluster.leave(3) == 3


def test_the_place_in_a_step_of_slurm():
    assert places.of(SLURM) == (3, 4, None)


def test_a_shell_of_an_allocation_is_alone():
    batch = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    assert places.of(batch) is None
    assert places.of(batch | {"SLURM_STEP_NODELIST": "a", "SLURM_STEP_NUM_TASKS": "1"}) is None


def test_open_mpi_goes_before_the_step_that_started_it():
    assert places.of(SLURM | OPEN_MPI) == (1, 2, None)


@pytest.mark.parametrize(
    ("changes", "devices"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, [2, 3]),  # both of its tasks see all of a node's
        ({"CUDA_VISIBLE_DEVICES": "0"}, []),  # each has been given one
        ({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_GPUS_PER_TASK": "2"}, []),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_STEP_TASKS_PER_NODE": "3,1"}, []),
    ],
)
def test_the_gpus_of_a_node_are_shared_by_its_tasks(changes, devices):
    assert places.of(SLURM | changes).devices == devices


def test_a_place_given_by_hand():
    given = {"JAX_NUM_PROCESSES": "8", "JAX_PROCESS_ID": "7"}
    assert places.of(given) == (7, 8, [])
    assert places.of(places.alone(given | SLURM | OPEN_MPI)) is None
    with pytest.raises(errors.InputError, match="JAX_PROCESS_ID must be from 0"):
        places.of(given | {"JAX_PROCESS_ID": "8"})


def test_local_processes_share_the_gpus(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    seen = [told["CUDA_VISIBLE_DEVICES"] for told in spawn._environments(2)]
    assert seen == ["0,1", "2,3"]
    with pytest.raises(errors.InputError, match="must divide this machine's 4 GPUs, got 3"):
        spawn._environments(3)


@pytest.mark.parametrize("count", [0, -1, 65])
def test_a_number_of_processes_that_cannot_be(count):
    with pytest.raises(errors.InputError, match=f"--processes must be from 1 to 64, got {count}"):
        spawn.run([], count)


# --- together


def test_they_know_each_other_and_process_0s_text(script, capfd):
    run = script("""
        heard = cluster.broadcast(f"from {me}"), cluster.broadcast(f"again {me}")
        assert cluster.leader() == (me == 0)
        print(me, cluster.count(), *heard)
        sys.exit(cluster.leave(0))
    """)
    assert spawn.run([], 2, run) == 0
    assert capfd.readouterr().out == "0 2 from 0 again 0\n"  # of the others nothing is shown


def test_one_process_is_alone(script, monkeypatch):
    monkeypatch.setenv(
        "JAX_NUM_PROCESSES", "2"
    )  # as in a job whose others are not to be waited for
    run = script("assert cluster.count() == 1 and cluster.leader()", HEAD.rsplit("me =", 1)[0])
    assert spawn.run([], 1, run) == 0


LOOP = """
    asked = []
    begun = f"{sys.argv[0]}.{me}"
    signal.signal(signal.SIGTERM, lambda *_: asked.append("SIGTERM"))
    with agreement.Agreement() as agreeing:
        for call in range(100_000):
            time.sleep(0.002 * (1 + me))  # they are never at the same call
            name = agreeing.agreed(asked[0] if asked else None)
            if name:
                break
            if call == 5:
                open(begun, "w").close()
            if me == 1 and call == 100:
                os.kill(os.getpid(), signal.SIGTERM)
    calls = [cluster.broadcast(f"{call} {name}"), f"{call} {name}"]
    sys.exit(cluster.leave(75 if calls[0] == calls[1] else 1))
"""


def test_a_signal_to_one_stops_all_at_the_same_call(script):
    assert spawn.run([], 3, script(LOOP)) == 75


def test_a_signal_to_the_parent_stops_all(script):
    waiting = script(LOOP.replace("call == 100", "call < 0"))

    def send():
        _until_begun(waiting)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    assert spawn.run([], 2, waiting) == 75
    sender.join()


def test_who_has_ended_by_itself_does_not_keep_the_others(script):
    run = script("""
        with agreement.Agreement() as agreeing:
            for call in range(1 if me == 0 else 2000):
                assert agreeing.agreed("SIGTERM" if me == 1 and call > 9 else None) is None
                time.sleep(0.001)
        sys.exit(cluster.leave(0))
    """)
    assert spawn.run([], 2, run) == 0


# --- the end


def test_a_killed_process_ends_the_others(script, capfd):
    run = script("""
        cluster.broadcast("all are here")
        if me == 1:
            print("what it said last", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    """)
    assert spawn.run(["digits_mlp", "--width", "8"], 2, run) == 1
    said = capfd.readouterr().err
    assert "[process 1] what it said last\n" in said
    assert "error: process 1 of 2 was killed by SIGKILL; the others were ended.\n" in said
    assert said.endswith("launch digits_mlp --width 8 --resume last --processes 2\n")


def test_an_error_of_all_is_said_once(script, capfd):
    run = script("""
        print("error: the same everywhere", file=sys.stderr)
        sys.exit(cluster.leave(2))
    """)
    assert spawn.run([], 2, run) == 2
    assert capfd.readouterr().err == "error: the same everywhere\n"


def test_an_exception_in_one_ends_the_others(script, capfd):
    run = script("""
        cluster.FAIL_SECONDS = 1
        cluster.broadcast("all are here")
        if me == 1:
            raise ArithmeticError("in process 1 alone")
        time.sleep(600)
    """)
    assert spawn.run([], 2, run) == 1
    said = capfd.readouterr().err
    assert "[process 1] ArithmeticError: in process 1 alone\n" in said
    assert "error: process 1 of 2 ended with code 1" in said


@pytest.mark.parametrize(
    ("index", "line"),
    [
        ("0", "All 2 processes must start within 1 s, got only some of them. (process 0)"),
        ("1", "Process 0 must answer at 127.0.0.1:"),
    ],
)
def test_who_waits_in_vain_says_so(script, index, line):
    address = spawn._environments(2)[0]["JAX_COORDINATOR_ADDRESS"]
    told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": index}
    head = HEAD.replace("cluster.initialize()", "cluster.CONNECT_SECONDS = 1\ncluster.initialize()")
    run = script("", head)
    done = subprocess.run(
        [sys.executable, *run],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {line}")
    assert len(done.stderr.splitlines()) == 2


def test_a_taken_port_is_an_input_error(monkeypatch):
    with socket.create_server(("", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", address)
        monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
        monkeypatch.setenv("JAX_PROCESS_ID", "0")
        with pytest.raises(errors.InputError, match=f"a free port, got {address}: .*in use"):
            cluster.initialize()


def test_children_of_a_killed_parent_stop(script):
    waiting = script(LOOP.replace("call == 100", "call < 0"))
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {ROOT!r})\n"
            f"from jaxdl import spawn; spawn.run([], 2, {waiting!r})",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _until_begun(waiting)
    children = _children(parent.pid)
    parent.kill()
    parent.wait()
    _until(lambda: not any(_alive(child) for child in children))


def _until_begun(run):
    _until(lambda: all(os.path.exists(f"{run[0]}.{i}") for i in range(2)))


def _children(parent):
    path = f"/proc/{parent}/task/{parent}/children"
    with open(path) as file:
        return [int(word) for word in file.read().split()]


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(ready, seconds=40):
    deadline = time.monotonic() + seconds
    while not (result := ready()):
        assert time.monotonic() < deadline, "it must come"
        time.sleep(0.05)
    return result
