"""Groups of a sweep in processes of their own: what they are told, what comes of them."""

import json
import os
import signal

import jax
import pytest
import runs
import small
from submitit.core import utils as submitit_utils

from jaxdl import errors, submit
from jaxdl.sweep import execute, fanout, plan, race, space
from jaxdl.train import record


class Ended:
    """A job of submitit's, as `submit.map` returns it."""

    def __init__(self, folder, name, result=None, fault=None, lost=False):
        self.job_id, self.paths, self._result, self._fault = name, self, result, fault
        self.folder, self.stderr = folder, folder / f"{name}.err"
        self.result_pickle = folder / f"{name}.pkl"
        self._lost = lost
        if not lost:
            self.result_pickle.touch()

    def result(self):
        assert not self._lost, "nobody waits for what is lost"
        return self._result

    def exception(self):
        assert not self._lost, "nobody waits for what is lost"
        return self._fault


def part(folder, size, mesh=None):
    base = runs.launched(experiment="walk", source=None)
    made = execute.Experiment(small.walk, {}, base, mesh)
    return fanout.Part(
        made, plan.Group((), [space.Setting({"size": size})]), [0], folder / f"groups/0.{size}"
    )


def came(monkeypatch, folder, *jobs):
    """What comes of these jobs."""
    monkeypatch.setattr(submit, "executor", lambda *given: None)
    monkeypatch.setattr(submit, "map", lambda *given: list(jobs))
    parts = [part(folder, size) for size in range(3, 3 + len(jobs))]
    return fanout.side_by_side(
        fanout.Elsewhere("local", 2), parts, lambda line: None, lambda: False
    )


def test_what_comes_of_groups(monkeypatch, tmp_path):
    def job(**kinds):
        return Ended(tmp_path, "7", **kinds)

    good, stopped, lost = job(), job(result="SIGTERM"), Ended(tmp_path, "8", lost=True)
    assert came(monkeypatch, tmp_path, good, good) == fanout.Came(True)
    assert came(monkeypatch, tmp_path, good, stopped) == fanout.Came(False)
    refused = came(monkeypatch, tmp_path, good, job(result=("StorageError", "A disk is full.")))
    assert not refused.finished
    assert type(refused.error) is errors.StorageError
    assert str(refused.error) == f"size=4: A disk is full.\nIts output: {tmp_path}/7.err"
    trace = "Traceback\n  File\nKeyError: 'x'\n"
    fault = submitit_utils.FailedJobError(f"Job:\n-------\n{trace}\n-------\nSee job.stderr()")
    broken = came(monkeypatch, tmp_path, job(fault=fault), good)
    assert str(broken.error) == f"size=3: KeyError: 'x'\nIts output: {tmp_path}/7.err"
    gone = came(monkeypatch, tmp_path, lost)
    assert str(gone.error) == f"size=3: its job was lost.\nIts output: {tmp_path}/8.err"


@pytest.mark.parametrize("setting", ["nodes=2", "tasks_per_node=4"])
def test_a_group_runs_once(setting, monkeypatch):
    monkeypatch.setattr(submit.shutil, "which", lambda name: name)
    fanout.check(fanout.Elsewhere("slurm", 2, "nodes=1,tasks_per_node=1,time=10"))
    with pytest.raises(errors.InputError) as caught:
        fanout.check(fanout.Elsewhere("slurm", 2, setting))
    assert str(caught.value) == (
        f"--slurm of a sweep must have one node and one task for each group, got {setting}."
    )


def test_the_mesh_and_the_cache_go_along(tmp_path):
    mine = part(tmp_path, 3, {"member": 2})
    told = json.loads(json.dumps(fanout._described(mine)))
    assert told["mesh"] == {"member": 2}
    assert told["seeds"] == [0]
    assert told["cache"].keys() == set(fanout.CACHE)
    assert all(hasattr(jax.config, name) for name in fanout.CACHE)


def test_a_way_that_cannot_be_read_is_not_chosen_anew(tmp_path):
    mine = part(tmp_path, 3)
    assert race.kept(mine.folder) is None
    mine.folder.mkdir(parents=True)
    (mine.folder / race.FILE).write_text('{"together": tr')
    with pytest.raises(
        errors.StorageError, match=r"decision.json must be readable, got Exp.*\. Put"
    ):
        race.kept(mine.folder)


def test_a_file_is_written_whole(tmp_path, monkeypatch):
    path = tmp_path / "new" / "decision.json"
    record.put_new(path, {"a": 1})
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(errors.StorageError, match="must be writable"):
        record.put_new(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_users_error_is_returned(tmp_path):
    before = signal.getsignal(signal.SIGUSR2)
    try:
        kind, text = fanout.Job()(str(tmp_path / "groups" / "0.0"))
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert kind == "StorageError"
    assert "group.json" in text


class Asked(submit.Requeued):
    """Gets SIGUSR2 while it runs, as of a time limit."""

    def run(self, folder):
        from jaxdl.train import stop

        with stop.Catcher() as stopping:
            os.kill(os.getpid(), signal.SIGUSR2)
            return stopping.requested is None

    def stopped(self, result):
        return result is False

    preempted = fanout.Job.preempted


@pytest.mark.parametrize(
    "executor, number, held",
    [("slurm", "SIGTERM", True), ("slurm", "SIGINT", False), ("local", "SIGTERM", False)],
)
def test_what_slurm_preempts_waits_for_it(executor, number, held, tmp_path, monkeypatch):
    """It would else have ended, and not be requeued; the launcher itself asks with SIGINT."""
    slept = []
    monkeypatch.setattr(submit.time, "sleep", slept.append)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", executor)
    mine = part(tmp_path, 3)

    class Stopping:
        def run(self, console, stopping):
            os.kill(os.getpid(), signal.Signals[number])
            return False

    monkeypatch.setattr(fanout, "_read", lambda folder: Stopping())
    before = signal.getsignal(signal.SIGUSR2)
    try:
        assert fanout.Job()(str(mine.folder)) == number
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert slept == [submit.HOLD_SECONDS] * held


def test_a_time_limit_first_saves_then_requeues():
    again = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: again.append(number))
    try:
        assert Asked()("here") is False
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert again == [signal.SIGUSR2]
    function = fanout.Job()
    assert function.checkpoint("here").args == ("here",)
    assert function.checkpoint("here").function is function
