"""Runs through a real SLURM of this machine's own, as one node and as two; and side by side."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import types

import pytest
import runs
import slurm
import test_processes

from jaxdl import errors, submit
from jaxdl.train import stop

TESTS = pathlib.Path(__file__).parent
sys.path.append(str(TESTS / "sweep"))
import small  # noqa: E402

# An experiment without data, of which each size is a program.
WALK = """
import small

def experiment(rate: float = 0.1, size: int = 4):
    \"\"\"A noisy walk to zero.\"\"\"
    return small.walk(rate, size=size)
"""
FOLDER = "least"  # where the experiment's runs lie, by its name


@pytest.fixture(scope="module")
def cluster():
    """The environment for SLURM's commands."""
    if (reason := slurm.missing()) is not None:
        pytest.skip(reason)
    # Not pytest's folder: a socket's path may have a hundred letters.
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        slurm.running(pathlib.Path(folder)) as environment,
    ):
        yield {**environment, "JAX_NUM_CPU_DEVICES": "1"}


@pytest.fixture
def experiment(tmp_path):
    """The file of a small experiment."""
    path = tmp_path / f"{FOLDER}.py"
    path.write_text(test_processes.EXPERIMENT)
    return path


def said(command, environment, code=0):
    """Run to the end; what it has printed."""
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_srun_starts_one_run_of_two_tasks_on_a_node(cluster, experiment, tmp_path):
    launch = [sys.executable, "-m", "jaxdl.launch", experiment, "--logdir", tmp_path]
    out = said(["srun", "-N1", "-n2", *launch, "--name", "srun"], cluster)
    assert out.count("completed at step 120") == 1
    assert "2 × cpu" in out
    whole = runs.train(test_processes.made(mesh={"data": 2}), tmp_path / "one")
    test_processes.check_close(tmp_path / FOLDER / "srun", whole.folder)


@pytest.mark.parametrize(
    "how",
    [("scancel", "--signal", "USR2"), ("scontrol", "requeue")],
    ids=["out of time", "preempted"],
)
def test_a_job_saves_and_queues_again_into_its_folder(how, cluster, experiment, tmp_path):
    launch = [sys.executable, "-m", "jaxdl.launch", experiment, "--logdir", tmp_path]
    settings = ["--slurm", "nodes=2,time=10"]
    out = said([*launch, *settings], {**cluster, "PAUSE": "0.3"})
    job, name = re.match(r"Submitted job (\d+): .* --name (\S+)\n", out).groups()
    folder = tmp_path / FOLDER / name
    until(lambda: list((folder / "checkpoints").glob("[0-9]*")), "a checkpoint")
    said([*how, job], cluster)
    output = tmp_path / "slurm" / job / f"{job}_0_log.out"
    until(lambda: "completed at step 120" in output.read_text(), "the end of the run")
    text = output.read_text()
    assert re.search(r"SIGTERM: saved at step \d+", text)
    assert "Resumed from the checkpoint of step" in text
    whole = runs.train(test_processes.made(mesh={"data": 2}), tmp_path / "one")
    test_processes.check_close(folder, whole.folder)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [name]


def test_a_sweep_is_an_array_of_jobs(cluster, tmp_path):
    """Two programs, a job each; the folder is as of a sweep without SLURM."""
    path = tmp_path / "walk.py"
    path.write_text(f"import sys\nsys.path[:0] = [{str(TESTS / 'sweep')!r}]\n" + WALK)
    launch = [sys.executable, "-m", "jaxdl.launch", path, "--logdir", tmp_path]
    sweep = ["--sweep", "rate=0.1,0.2", "size=3,4", "--seeds", "2"]
    environment = {**cluster, "PYTHONPATH": str(TESTS)}
    out = said(
        [*launch, *sweep, "--slurm", "time=10", "--jobs", "2", "--name", "jobs"], environment
    )
    ended = re.findall(r"size=(\d): job (\d+)_(\d) has ended", out)
    assert sorted((size, task) for size, _, task in ended) == [("3", "0"), ("4", "1")]
    assert len({job for _, job, _ in ended}) == 1
    said([*launch, *sweep, "--name", "here"], environment)
    folders = [tmp_path / "walk" / name for name in ("jobs", "here")]
    tables = [small.table(folder) for folder in folders]
    assert len(tables[0]) == 8 and tables[0] == tables[1]
    assert small.curves(folders[0]) == small.curves(folders[1])


def test_the_jobs_of_a_sweep_stop_with_their_launcher(cluster, tmp_path):
    """One runs, which saves and does not wait for SLURM; the other is still in the queue."""
    path = tmp_path / "walk.py"
    text = WALK.replace("size=size", "size=size, steps=10_000_000, every=1000, chunk=100")
    path.write_text(f"import sys\nsys.path[:0] = [{str(TESTS / 'sweep')!r}]\n" + text)
    launch = [sys.executable, "-m", "jaxdl.launch", path, "--logdir", tmp_path, "--name", "jobs"]
    process = subprocess.Popen(
        [*map(str, launch), "--sweep", "size=3,4", "--slurm", "time=10", "--jobs", "1"],
        env={**cluster, "PYTHONPATH": str(TESTS)},
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = tmp_path / "walk" / "jobs"
    until(lambda: list(folder.glob("*/**/checkpoints/*000")), "a checkpoint")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == stop.EXIT_CODE, out
    assert "--slurm time=10 --jobs 1" in out.splitlines()[-1]
    (record,) = [json.loads(path.read_text()) for path in folder.glob("size=*/run.json")]
    assert record["result"]["status"] == "stopped"
    assert (folder / f"size=3/checkpoints/{record['result']['step']}").is_dir()


def test_a_job_that_slurm_refuses(cluster, experiment, tmp_path):
    launch = [sys.executable, "-m", "jaxdl.launch", experiment, "--logdir", tmp_path]
    err = said([*launch, "--slurm", "partition=nowhere"], cluster, code=2)
    assert err.splitlines()[-1].startswith("error: SLURM must accept the job, got: ")


def doubled(x):
    """What the jobs compute; of 3, nothing."""
    if x == 3:
        raise ArithmeticError("not of 3")
    return 2 * x, os.environ.get("SLURM_ARRAY_TASK_ID")


def check_doubled(executor, array):
    """One code path for local processes and jobs in an array."""
    ended = []
    jobs = submit.map(executor, doubled, [1, 2, 3], 2, lambda i, job: ended.append((i, job)))
    assert sorted(ended, key=lambda pair: pair[0]) == list(enumerate(jobs))
    tasks = ["0", "1"] if array else [None, None]
    assert [job.result() for job in jobs[:2]] == [(2, tasks[0]), (4, tasks[1])]
    assert "ArithmeticError: not of 3" in str(jobs[2].exception())


def test_functions_side_by_side_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
    check_doubled(submit.executor("local", tmp_path), array=False)


def test_functions_side_by_side_on_slurm(cluster, tmp_path, monkeypatch):
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
    check_doubled(submit.executor("slurm", tmp_path, "time=5"), array=True)


def test_a_lost_job_does_not_keep_the_others(cluster, tmp_path, monkeypatch):
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(submit, "QUEUE_SECONDS", 1.0)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
    executor = submit.executor("slurm", tmp_path, "time=5")

    def lose(i, job):
        if i == 0:
            said(["scancel", "--signal", "KILL", job.job_id.replace("_0", "_1")], cluster)

    jobs = submit.map(executor, time.sleep, [0.1, 600], 2, lose)
    assert [job.paths.result_pickle.exists() for job in jobs] == [True, False]


def test_what_runs_is_cancelled_with_the_caller(tmp_path):
    class Stopped(Exception):
        pass

    def stop(i, job):
        raise Stopped

    executor = submit.executor("local", tmp_path)
    with pytest.raises(Stopped):
        submit.map(executor, time.sleep, [0.1, 600], 2, stop)
    left = [int(path.name.split("_")[0]) for path in tmp_path.glob("*_submitted.pkl")]
    until(lambda: not any(alive(job) for job in left), "the end of the others", seconds=30)


class Deaf:
    """A local job that does not hear that it is cancelled, as one that was only beginning."""

    def __init__(self):
        words = [sys.executable, "-c", "import signal, time\nsignal.signal(2, 1)\ntime.sleep(600)"]
        self.process = subprocess.Popen(words, start_new_session=True)
        self.job_id = str(self.process.pid)

    def done(self):
        return self.process.poll() is not None

    def cancel(self):
        self.process.send_signal(signal.SIGINT)


def test_a_cancelled_job_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(submit, "LATE_SECONDS", 0.5)
    monkeypatch.setattr(submit, "_share_gpus", lambda executor, lane, count: None)
    jobs = []

    def submitted(function, item):
        jobs.append(Deaf())
        return jobs[0]

    def interrupted():
        if jobs:
            time.sleep(1)  # until it does not hear
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        submit.map(
            types.SimpleNamespace(submit=submitted), time.sleep, [1], 1, stopping=interrupted
        )
    assert jobs[0].process.returncode == -signal.SIGKILL


def test_a_local_job_gets_a_free_lane_of_gpus(monkeypatch):
    """The first of two ends last; the third takes the second's place."""
    lanes = []
    monkeypatch.setattr(submit, "_share_gpus", lambda executor, lane, count: lanes.append(lane))
    monkeypatch.setattr(submit, "POLL_SECONDS", 0)
    begun = []

    class Job:
        def __init__(self, item):
            self.item, self.job_id = item, str(item)
            begun.append(item)

        def done(self):
            return self.item != 0 or len(begun) == 4

        def cancel(self):
            begun.append(None)

    class Executor:
        cluster = "local"

        def submit(self, function, item):
            return Job(item)

    submit.map(Executor(), doubled, [0, 1, 2, 3], 2)
    assert lanes == [0, 1, 1, 1]


def test_the_last_run_is_named_when_a_job_is_submitted(tmp_path):
    for i, name in enumerate(["a", "b"]):
        path = tmp_path / "digits_mlp" / name / "run.json"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (i, i))
    words = ["--resume=last", "--logdir", str(tmp_path), "--rate", "-1"]
    named = ["--resume", str(tmp_path / "digits_mlp" / "b"), *words[1:]]
    assert submit._without_last(["digits_mlp", *words], tmp_path) == ["digits_mlp", *named]
    assert submit._without_last(words, tmp_path) == named
    with pytest.raises(errors.InputError, match="must find a run"):
        submit._without_last(["digits_cnn", *words], tmp_path)


def alive(pid):
    """Whether a process still runs."""
    path = pathlib.Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"


def until(ready, what, seconds=100):
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except FileNotFoundError:
            pass
        assert time.monotonic() < deadline, f"{what} must come"
        time.sleep(0.1)


# --- settings


def test_the_settings_as_submitit_takes_them():
    text = "nodes=2,gpus_per_node=8,tasks_per_node=8,time=1-02:30:00,partition=gpu,mem=64GB"
    assert submit.parameters(text) == {
        "nodes": 2,
        "gpus_per_node": 8,
        "tasks_per_node": 8,
        "timeout_min": 26 * 60 + 30,
        "slurm_partition": "gpu",
        "slurm_mem": "64GB",
        "slurm_signal_delay_s": 90,
    }


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30", 30), ("4:30", 5), ("4:00:00", 240), ("1:0:1", 61), ("2-12", 3600), ("0-0:10", 10)],
)
def test_times_are_slurms(text, minutes):
    assert submit.parameters(f"time={text}")["timeout_min"] == minutes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("node=2", "--slurm has no setting node. Did you mean nodes?"),
        ("gpu_per_node=2", "Did you mean gpus_per_node?"),
        ("colour=red", "--slurm has no setting colour. It has nodes, tasks_per_node,"),
        ("nodes=two", "--slurm nodes must be a whole number from 1, got 'two'."),
        ("nodes=0", "--slurm nodes must be a whole number from 1, got '0'."),
        ("nodes", "--slurm must be settings such as nodes=2,"),
        ("nodes=1,nodes=2", "--slurm must name each setting once, got nodes twice."),
        ("time=soon", "--slurm time must be such as 30, 4:00:00 or 2-12:00:00, got 'soon'."),
        ("time=0:00:00", "--slurm time must be at least a minute, got '0:00:00'."),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(errors.InputError) as caught:
        submit.slurm(["digits_mlp"], settings)
    assert message in str(caught.value)


def test_no_slurm_here(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.InputError, match="on a machine that has SLURM's sbatch and srun"):
        submit.slurm(["digits_mlp"], "nodes=2")


def test_no_submitit_here(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(errors.InputError, match=r"Install jaxdl\[slurm\]"):
        submit.slurm(["digits_mlp"], "nodes=2")
