"""Runs commands through SLURM, and functions side by side, both by submitit (extra `slurm`).

A job that reaches its time limit or is preempted stops at the next chunk, saves, and queues itself
again into the same run folder, where it goes on.
"""

import abc
import contextlib
import os
import pathlib
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Literal

from jaxdl import errors, experiment, hyperparameters, options, places
from jaxdl.train import stop

FORM = "nodes=2,gpus_per_node=8,time=4:00:00,partition=NAME"
# What a user may set, and what submitit calls it.
NUMBERS = {name: name for name in ("nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node")}
WORDS = {
    name: f"slurm_{name}"
    for name in ("partition", "account", "qos", "constraint", "nodelist", "exclude", "mem")
}
OTHERS = ("time", "reservation", "warning")
MINUTES = 60  # of a job without `time`
WARNING = 90  # seconds before a job's limit at which it stops and saves
REQUEUES = 100  # after the time limit; after a preemption any number
HOLD_SECONDS = 600  # that a preempted job waits for SLURM to end or to requeue it
YEAR = 60 * 24 * 365  # minutes: local jobs have no limit
ASKED = "SIGINT"  # what a job of SLURM's gets from a launcher that is asked to stop
LATE_SECONDS = 120.0  # a local job that is cancelled may take to save and to end
POLL_SECONDS = 0.2
QUEUE_SECONDS = 20.0  # between looks at SLURM's queue
STOP_SECONDS = 4.0  # likewise once its jobs are to stop


def slurm(argv: Sequence[str], settings: str) -> int:
    """Submit a command line of the launcher as a SLURM job; returns 0 once it is in the queue.

    argv: without --slurm. settings: as in `FORM`. One task a node, unless tasks_per_node says else.
    errors.InputError: a setting that is malformed or not known, no submitit, no SLURM here.
    """
    asked = parameters(settings)
    named = list(argv)
    given = dict(hyperparameters.groups(named[0 if named[0].startswith("-") else 1 :]))
    if "--name" not in given and "--resume" not in given:
        named += ["--name", options.new_name()]  # a requeued job must find its folder
    if given.get("--resume") == ["last"]:
        named = _without_last(named, pathlib.Path(*given.get("--logdir", ["runs"])))
    folder = pathlib.Path(*given.get("--logdir", ["runs"])) / "slurm"
    queue = executor("slurm", folder / "%j", asked)
    with _refused():
        job = queue.submit(Command(named))
    print(f"Submitted job {job.job_id}: python -m jaxdl.launch {' '.join(named)}")
    print(f"Its output: {folder / job.job_id}; squeue -j {job.job_id} shows how it stands.")
    return 0


def _without_last(argv: Sequence[str], logdir: pathlib.Path) -> list[str]:
    """With the folder that `--resume last` means now: another run may be the last later."""
    named = not argv[0].startswith("-")
    name = experiment.find(argv[0]).name if named else None
    folder = str(options.run_folder("last", logdir, name))
    found = list(argv[: int(named)])
    for flag, words in hyperparameters.groups(argv[int(named) :]):
        found += [flag, *([folder] if flag == "--resume" else words)]
    return found


def check(kind: Literal["local", "slurm"], instead: str = "--processes N runs") -> None:
    """errors.InputError: no submitit, no SLURM here; `instead`: what does without it."""
    try:
        import submitit  # noqa: F401 - whether it is there
    except ImportError as error:
        raise errors.InputError(
            "submitit must be installed to run jobs elsewhere. Install jaxdl[slurm]."
        ) from error
    if kind == "slurm" and (shutil.which("sbatch") is None or shutil.which("srun") is None):
        raise errors.InputError(
            "--slurm must be given on a machine that has SLURM's sbatch and srun, got one without "
            f"them.\n{instead} on this machine alone."
        )


def executor(
    kind: Literal["local", "slurm"], folder: pathlib.Path, settings: str | Mapping[str, Any] = ""
) -> Any:
    """What runs functions elsewhere: "local" processes, or SLURM jobs with these settings.

    folder: for their output and results, which every host must see; `%j` in it is a job's id.
    errors.InputError: as of `slurm`.
    """
    check(kind)
    import submitit

    asked = parameters(settings) if isinstance(settings, str) else dict(settings)
    if kind == "local":
        from jaxdl.sweep import local

        made = local.SessionExecutor(folder)
        made.update_parameters(timeout_min=YEAR)
        return made
    made = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=REQUEUES)
    # One task that dies takes the others along, which would wait for it.
    together = ["--kill-on-bad-exit=1"]
    made.update_parameters(name="jaxdl", slurm_srun_args=together, **asked)
    return made


def map(
    executor: Any,
    function: Callable[[Any], Any],
    items: Sequence[Any],
    at_once: int,
    done: Callable[[int, Any], None] = lambda i, job: None,
    stopping: Callable[[], bool] = lambda: False,
) -> list[Any]:
    """Run a function on every item, so many at once; the jobs, when all have ended.

    function: importable or picklable, as are the items; `job.result()` is what it returned, or
    raises; of a job that was lost there is no `job.paths.result_pickle`, and it may wait for ever.
    done(i, job) is called as each ends. stopping: once true, what runs gets SIGTERM, on SLURM
    `ASKED`, and no more is begun. Local processes, or one array job on SLURM. An exception in
    between, such as KeyboardInterrupt, cancels what runs.
    """
    running: dict[int, Any] = {}  # by the item's number
    lanes: dict[int, int] = {}  # likewise; those of running jobs differ
    jobs: list[Any] = []
    array = getattr(executor, "cluster", "local") == "slurm"
    stopped = False
    try:
        if array:
            executor.update_parameters(slurm_array_parallelism=at_once)
            with _refused():
                jobs = executor.map_array(function, items)
            running = dict(enumerate(jobs))
        queue = _Queue()
        while running or (len(jobs) < len(items) and not stopped):
            if stopping() and not stopped:
                stopped = True
                _stop(list(running.values()), array)
                queue.every = min(queue.every, STOP_SECONDS)
            while len(jobs) < len(items) and len(running) < at_once and not stopped:
                lane = min(set(range(at_once)) - {lanes[i] for i in running})
                _share_gpus(executor, lane, at_once)
                lanes[len(jobs)] = lane
                running[len(jobs)] = executor.submit(function, items[len(jobs)])
                jobs.append(running[len(jobs)])
            if array:
                queue.look(list(running.values()))
            for i, job in list(running.items()):
                if job.job_id in queue.lost or (
                    job.paths.result_pickle.exists() if array else job.done()
                ):
                    done(i, running.pop(i))
            time.sleep(POLL_SECONDS)
    except BaseException:
        for job in running.values():
            job.cancel()
        late = time.monotonic() + LATE_SECONDS
        while not array and not all(job.done() for job in running.values()):
            if time.monotonic() > late:  # one that was only beginning may not have heard
                for job in running.values():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(int(job.job_id), signal.SIGKILL)  # a session of its own
            time.sleep(POLL_SECONDS)
        raise
    return jobs


def _stop(jobs: Sequence[Any], array: bool) -> None:
    """Ask them to stop and save; what still waits in SLURM's queue is taken out of it."""
    if array and jobs:
        names = [job.job_id for job in jobs]
        for how in ("--state=PENDING", f"--signal={ASKED}"):  # SIGTERM is SLURM's own
            subprocess.run(["scancel", how, *names], capture_output=True, check=False)
        return
    for job in jobs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(job.job_id), signal.SIGTERM)  # submitit's parent of the job passes it on


class _Queue:
    """Which jobs SLURM has lost; submitit would ask the accounting, which not every site has."""

    def __init__(self) -> None:
        self.asked, self.every = time.monotonic(), QUEUE_SECONDS
        self.missing: set[str] = set()
        self.lost: set[str] = set()  # missing twice: no result of theirs can be on its way

    def look(self, jobs: Sequence[Any]) -> None:
        """Ask, if it is time to."""
        if not jobs or time.monotonic() < self.asked + self.every:
            return
        self.asked = time.monotonic()
        array = jobs[0].job_id.split("_")[0]
        command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={array}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 and "Invalid job id" not in done.stderr:
            return  # SLURM is too busy to say
        missing = {job.job_id for job in jobs} - set(done.stdout.split())
        self.lost = missing & self.missing
        self.missing = missing


def _share_gpus(executor: Any, lane: int, lanes: int) -> None:
    """Give the next local job its share of this machine's GPUs; submitit hides all others."""
    gpus = [int(gpu) for gpu in places.gpus(os.environ) if gpu.isdecimal()]
    share = gpus[lane::lanes] or gpus[lane % len(gpus) :][:1] if gpus else []
    executor.update_parameters(gpus_per_node=len(share), visible_gpus=tuple(share))


class Requeued(abc.ABC):
    """A function for submitit that stops and saves before its job's time limit, and is requeued.

    submitit's own handler of SIGUSR2 would requeue at once, in the middle of a step. This one first
    lets the loop stop and save; SIGTERM comes to the loop as on any machine.
    """

    @abc.abstractmethod
    def run(self, *arguments: Any) -> Any:
        """What it does."""

    @abc.abstractmethod
    def stopped(self, result: Any) -> bool:
        """Whether this is what `run` returns after a signal."""

    @abc.abstractmethod
    def preempted(self, result: Any) -> bool:
        """Likewise, if it may have been SLURM that sent it."""

    def __call__(self, *arguments: Any) -> Any:
        """Run; does not return where the job is queued again."""
        requeue = signal.getsignal(signal.SIGUSR2)
        asked: list[int] = []

        def stop_first(number: int, frame: FrameType | None) -> None:
            asked.append(number)
            handler = signal.getsignal(signal.SIGTERM)
            if isinstance(getattr(handler, "__self__", None), stop.Catcher):
                os.kill(os.getpid(), signal.SIGTERM)
            elif handler is not signal.SIG_DFL:  # no run has begun, or been asked to stop before
                requeue(number, frame)  # type: ignore[operator]

        signal.signal(signal.SIGUSR2, stop_first)
        result = self.run(*arguments)
        if self.stopped(result):
            signal.signal(signal.SIGUSR2, requeue)
            if asked:
                requeue(signal.SIGUSR2, None)  # type: ignore[operator]
        if self.preempted(result):  # SLURM requeues what it preempts, but not what has ended
            time.sleep(HOLD_SECONDS)
        return result

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit puts into the queue again; the run's folder holds the rest."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


class Command(Requeued):
    """A command line of the launcher."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)

    def run(self) -> int:
        """Launch; returns the exit code."""
        return _launch(self.argv)

    def stopped(self, result: int) -> bool:
        """Whether the run was stopped and saved."""
        return result == stop.EXIT_CODE

    preempted = stopped

    def __call__(self) -> int:
        """Launch; returns the exit code 0. Any other ends the process with it."""
        code = super().__call__()
        if code:
            sys.exit(code)
        return code


def _launch(argv: Sequence[str]) -> int:
    """`python -m jaxdl.launch` in this process, which has SLURM's environment and signals."""
    sys.argv = ["jaxdl.launch", *argv]
    try:
        runpy.run_module("jaxdl.launch", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """SLURM's refusal as one line."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        yield
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        said = [line for line in str(error).splitlines() if "error:" in line] or [str(error)]
        reason = said[-1].strip().removeprefix("sbatch: error: ")
        raise errors.InputError(f"SLURM must accept the job, got: {reason}") from error


# --- settings


def parameters(settings: str) -> dict[str, Any]:
    """submitit's parameters from `nodes=2,time=4:00:00,…`; errors.InputError as of `slurm`."""
    found: dict[str, Any] = {"timeout_min": MINUTES, "slurm_signal_delay_s": WARNING}
    seen = set()
    for setting in filter(None, settings.split(",")):
        name, equals, value = setting.partition("=")
        if not (name and equals and value):
            raise errors.InputError(f"--slurm must be settings such as {FORM}, got {setting!r}.")
        if name in seen:
            raise errors.InputError(f"--slurm must name each setting once, got {name} twice.")
        seen.add(name)
        found |= _parameter(name, value)
    return found


def _parameter(name: str, value: str) -> dict[str, Any]:
    if name in NUMBERS:
        return {NUMBERS[name]: _number(name, value)}
    if name in WORDS:
        return {WORDS[name]: value}
    if name == "time":
        return {"timeout_min": _minutes(value)}
    if name == "warning":
        return {"slurm_signal_delay_s": _number(name, value)}
    if name == "reservation":
        return {"slurm_additional_parameters": {"reservation": value}}
    known = [*NUMBERS, *WORDS, *OTHERS]
    close = experiment.nearest(name, known)
    hint = f"Did you mean {close}?" if close else f"It has {', '.join(known)}."
    raise errors.InputError(f"--slurm has no setting {name}. {hint}")


def _number(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise errors.InputError(f"--slurm {name} must be a whole number from 1, got {value!r}.")
    return int(value)


def _minutes(text: str) -> int:
    """SLURM's forms: MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS[:MINUTES[:…]]."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise errors.InputError(
            f"--slurm time must be such as 30, 4:00:00 or 2-12:00:00, got {text!r}."
        )
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is None and len(parts) < 3:
        parts.insert(0, 0)  # minutes come first
    hours, minutes, seconds = [*parts, 0, 0][:3]
    total = (int(days or 0) * 24 + hours) * 60 + minutes + -(-seconds // 60)
    if total < 1:
        raise errors.InputError(f"--slurm time must be at least a minute, got {text!r}.")
    return total
