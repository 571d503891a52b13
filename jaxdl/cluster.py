"""Several processes that run one program: how they find each other, stop together and end together.

Each process of a job runs the same command. What started them (SLURM's srun, Open MPI, Kubernetes,
Cloud TPU, `--processes N`) has said in the environment who is who; JAX does the rest. By hand, for
instance through ssh: JAX_COORDINATOR_ADDRESS=HOST:PORT JAX_NUM_PROCESSES=N JAX_PROCESS_ID=0 to N-1.

Processes agree through the key-value store of JAX's coordination service, which process 0 serves:
no device takes part, so that nothing on a device waits. Only the standard library is imported here.
"""

import atexit
import contextlib
import ctypes
import importlib.util
import itertools
import math
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from jaxdl import errors, places

CONNECT_SECONDS = 60.0  # until all processes must have met; started together, they do in a few
CONNECT_SECONDS_PODS = 300.0  # pods are scheduled one by one
HEARTBEAT_SECONDS = 30  # without a sign of life, until a process counts as dead
LEAVE_SECONDS = 45.0  # to wait for the others at the end
FAIL_SECONDS = 3.0  # to wait for the others after an error that may be theirs, too
STOP_SECONDS = 5.0  # that local processes have to end once one of them has died

MOST_PROCESSES = 64  # on one machine; each takes some 300 MB before it begins
STOPPED = 75  # exit code of a run that was stopped and saved (train/stop.py)
ENDINGS = (0, 2, 3, 4, STOPPED)  # exit codes of a launch that says itself how it ended (launch.py)
PR_SET_PDEATHSIG = 1  # linux/prctl.h

# What a collective, or the service, says where the process at the other end is no more.
LOST = ("Gloo", "Connection closed by peer", "Connection reset by peer", "CoordinationService")
LOST += ("remote process exited", "heartbeat")


class LostError(errors.UserError, RuntimeError):
    """Another process of this job has ended; this one cannot go on."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h: the cause is to be looked for elsewhere


# --- which processes belong together


def initialize() -> None:
    """Join the other processes of this job; on a plain machine nothing happens.

    Before JAX's first computation. Where not all processes come, this one says so and exits with 2.
    errors.InputError: JAX cannot join them.
    """
    place = places.of(os.environ)
    pods = place is None and places.in_pods(os.environ)
    if place is None and not pods:
        return
    import jax

    if jax.distributed.is_initialized():
        return
    _end_with_parent()
    # It would take SIGTERM, without which a process that compiles could not be ended.
    jax.config.update("jax_enable_preemption_service", False)
    if places.PARENT in os.environ:
        jax.config.update("jax_check_proxy_envs", False)  # they do not stand between us
    patience = CONNECT_SECONDS_PODS if pods else CONNECT_SECONDS
    arguments: dict[str, Any] = {}
    if place is not None:
        arguments = {"process_id": place.index, "num_processes": place.count}
        arguments["local_device_ids"] = place.devices
    # Where its own time is up, JAX ends the process with a stack trace.
    timer = threading.Timer(patience, _give_up, (place, patience))
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            **arguments,
            initialization_timeout=int(2 * patience),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=int(LEAVE_SECONDS),
        )
    except Exception as error:
        if pods and "should be defined" in str(error):
            return  # one host: there is nobody to join
        raise errors.InputError(_refusal(place, error)) from error
    finally:
        timer.cancel()
    atexit.register(_leave_anyhow)  # runs before JAX's own, which would wait longer


def leader() -> bool:
    """Whether this process is the one that logs: process 0, or the only one."""
    joined = runtime()
    if joined is not None:
        return joined.process_id == 0
    place = places.of(os.environ)
    return place is None or place.index == 0


def count() -> int:
    """How many processes have joined; 1 before `initialize`."""
    joined = runtime()
    return 1 if joined is None else joined.num_processes


def runtime() -> Any:
    """JAX's record of the job, None before it has joined one. JAX has no public name for it."""
    module = sys.modules.get("jax._src.distributed")
    state = None if module is None else module.global_state
    return state if state is not None and state.client is not None else None


def _refusal(place: places.Place | None, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "should be defined" in reason:
        remedy = f"Set {places.ADDRESS}=HOST:PORT, a free port of process 0's host."
    elif "RPC server" in reason:
        remedy = (
            f"Is its port taken? {places.ADDRESS}=HOST:PORT or JAX_COORDINATOR_PORT sets another."
        )
    elif "before" in reason:
        remedy = "Launch from a Python in which JAX has not computed anything yet."
    else:
        remedy = "To run alone, add --processes 1."
    who = "" if place is None else f" (process {place.index} of {place.count})"
    return f"The processes of this job must join through JAX, got: {reason}{who}\n{remedy}"


def _give_up(place: places.Place | None, patience: float) -> None:
    """Not all came: one line instead of JAX's stack trace. Runs beside the main thread, which JAX
    holds; no exception would get through to it.
    """
    module = sys.modules["jax._src.distributed"]
    address = module.global_state.coordinator_address or "an unknown address"
    index, number = (place.index, place.count) if place else (module.global_state.process_id, "?")
    if index != 0 and not _answers(address):
        line = f"Process 0 must answer at {address}, got no answer in {patience:g} s."
    else:
        line = f"All {number} processes must start within {patience:g} s, got only some of them."
    print(
        f"error: {line} (process {index})\n"
        "Look at the other processes' output; to run this one alone, add --processes 1.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(errors.InputError.exit_code)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def _end_with_parent() -> None:
    """A process started by --processes is asked to stop where its parent has been killed."""
    parent = os.environ.get(places.PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):  # it went before that
        os.kill(os.getpid(), signal.SIGTERM)


# --- what all of them must know


_broadcasts = itertools.count()


def broadcast(text: str) -> str:
    """Process 0's text, in every process. All must call it, in the same order."""
    joined = runtime()
    if joined is None or joined.num_processes == 1:
        return text
    name = f"jaxdl/broadcast/{next(_broadcasts)}"
    if joined.process_id == 0:
        joined.client.key_value_set(name, text)
        return text
    return joined.client.blocking_key_value_get(name, int(1000 * CONNECT_SECONDS_PODS))


# --- how they end


def explained(error: Exception) -> Exception:
    """The error, or a LostError where it only tells that another process has ended."""
    lost = any(sign in str(error) for sign in LOST)
    if count() == 1 or isinstance(error, errors.UserError) or not lost:
        return error
    lost_error = LostError(
        "Another process of this job has ended; its own output says why.\n"
        "Go on from the last checkpoint with --resume."
    )
    lost_error.__cause__ = error
    return lost_error


_left = False


def leave(code: int) -> int:
    """At the very end: the exit code, after the others have come to their end too.

    Where they do not come in time, this process ends at once, so that they notice.
    """
    global _left
    joined = runtime()
    if joined is None or joined.num_processes == 1 or _left:
        return code
    _left = True
    seconds = LEAVE_SECONDS if code in (0, STOPPED) else FAIL_SECONDS
    try:
        joined.client.wait_at_barrier("jaxdl/leave", int(1000 * seconds))
    except RuntimeError:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or LostError.exit_code)
    import jax

    jax.distributed.shutdown()
    return code


def _leave_anyhow() -> None:
    """The same where nobody has called `leave`: a traceback has been shown, or all is well."""
    leave(1 if hasattr(sys, "last_type") else 0)


# --- processes of this machine


def spawn(argv: Sequence[str], count: int, command: Sequence[str] = ("-m", "jaxdl.launch")) -> int:
    """Run a command line as `count` processes of this machine; returns their common exit code.

    argv: without --processes. command: of Python, before argv. Process 0 has the terminal; of the
    others only what the first to die said is shown. Where one dies, the others are ended, and a
    line says so; the exit code is 1 where they do not agree on another.
    errors.InputError: a count that cannot be.
    """
    environments = _environments(count)
    with contextlib.ExitStack() as stack:
        children = []
        stack.callback(_end, children)
        stack.enter_context(_forwarded(children))
        for environment in environments:
            log = stack.enter_context(tempfile.TemporaryFile()) if children else None
            children.append(_Child.start([sys.executable, *command, *argv], environment, log))
        first = _first_to_fail(children)
        if first is None:
            return 0
        code = children[first].process.returncode
        _end(children, FAIL_SECONDS + STOP_SECONDS if code in ENDINGS else 0.0)
        codes = [child.process.returncode for child in children]
        if code == STOPPED:  # all of them should have been
            first = next((i for i, other in enumerate(codes) if other != STOPPED), first)
            code = codes[first]
        if codes[0] != code:
            children[first].show(first)
        if code in ENDINGS:
            return code
        _say_who_died(first, code, argv, count)
        return 1


class _Child(NamedTuple):
    """A local process, and where what it says goes; process 0 says it on the terminal."""

    process: subprocess.Popen[bytes]
    log: IO[bytes] | None

    @classmethod
    def start(
        cls, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes] | None
    ) -> "_Child":
        """A session of its own, or a Ctrl-C would reach it twice: from the terminal and from us."""
        out = None if log is None else subprocess.DEVNULL
        return cls(
            subprocess.Popen(
                command, env=environment, stdout=out, stderr=log, start_new_session=True
            ),
            log,
        )

    def show(self, index: int) -> None:
        """The end of what it said."""
        if self.log is not None:
            self.log.seek(0)
            for line in self.log.read().decode(errors="replace").splitlines()[-20:]:
                print(f"[process {index}] {line}", file=sys.stderr)


def _environments(count: int) -> list[dict[str, str]]:
    """What each of the processes is told."""
    if not 1 <= count <= MOST_PROCESSES:
        raise errors.InputError(f"--processes must be from 1 to {MOST_PROCESSES}, got {count}.")
    inherited = places.alone(os.environ) | {places.PARENT: str(os.getpid())}
    if count == 1:
        return [inherited]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    # Only this machine may knock; and no proxy of the user's is asked for it.
    direct = ",".join(filter(None, (inherited.get("no_proxy"), "127.0.0.1")))
    inherited |= {places.ADDRESS: address, places.BIND_ADDRESS: address, "no_proxy": direct}
    shares = _shares(inherited, count)
    return [
        inherited | {places.COUNT: str(count), places.INDEX: str(i)} | share
        for i, share in enumerate(shares)
    ]


def _shares(environment: Mapping[str, str], count: int) -> list[dict[str, str]]:
    """A share of this machine's GPUs for each process, where JAX would use them."""
    cpu = environment.get("JAX_PLATFORMS", "").startswith("cpu")
    if cpu or not any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13)):
        return [{}] * count
    gpus = places.gpus(environment)
    if not gpus:
        return [{}] * count
    if len(gpus) % count:
        raise errors.InputError(
            f"--processes must divide this machine's {len(gpus)} GPUs, got {count}.\n"
            "JAX_PLATFORMS=cpu in the environment tries it out without them."
        )
    each = len(gpus) // count
    cut = [gpus[i * each : (i + 1) * each] for i in range(count)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(share)} for share in cut]


@contextlib.contextmanager
def _forwarded(children: list[_Child]) -> Iterator[None]:
    """SIGTERM and SIGINT go to all the processes, which decide what to do."""

    def forward(number: int, frame: Any) -> None:
        for child in children:
            child.process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may
        return
    before = {n: signal.signal(n, forward) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_to_fail(children: Sequence[_Child]) -> int | None:
    """Wait until one has failed, or all have ended well."""
    deadline = math.inf
    while True:
        failed = {i: c.process.returncode for i, c in enumerate(children) if c.process.poll()}
        if any(code != LostError.exit_code for code in failed.values()):
            # One that was killed takes others down, not the other way round.
            return min(failed, key=lambda i: (failed[i] == LostError.exit_code, failed[i] > 0))
        if failed:  # the cause is yet to be seen
            deadline = min(deadline, time.monotonic() + FAIL_SECONDS)
        if time.monotonic() > deadline or all(c.process.returncode is not None for c in children):
            return next(iter(failed), None)
        time.sleep(0.05)


def _end(children: Sequence[_Child], patience: float = 0.0) -> None:
    """End those that still run: after patience, and then a little grace."""
    for seconds, number in ((patience, signal.SIGTERM), (STOP_SECONDS, signal.SIGKILL)):
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(c.process.poll() is None for c in children):
            time.sleep(0.05)
        for child in children:
            child.process.send_signal(number)
    for child in children:
        child.process.wait()


def _say_who_died(index: int, code: int, argv: Sequence[str], count: int) -> None:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    named = any(word.split("=")[0] in ("--name", "--resume") for word in argv)
    again = [*argv, *([] if named else ["--resume", "last"]), "--processes", str(count)]
    print(
        f"error: process {index} of {count} {how}; the others were ended.\n"
        f"Go on from the last checkpoint with: python -m jaxdl.launch {shlex.join(again)}",
        file=sys.stderr,
    )
