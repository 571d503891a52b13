"""Several processes that run one program: how they find each other, stop together and end together.

Each process of a job runs the same command. What started them (SLURM's srun, Open MPI, Kubernetes,
Cloud TPU, `--processes N`) has said in the environment who is who; JAX does the rest. By hand, for
instance through ssh: JAX_COORDINATOR_ADDRESS=HOST:PORT JAX_NUM_PROCESSES=N JAX_PROCESS_ID=0 to N-1.

Processes agree through the key-value store of JAX's coordination service, which process 0 serves:
no device takes part, so that nothing on a device waits. Only the standard library is imported here.
"""

import atexit
import ctypes
import itertools
import os
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

from jaxdl import errors, places

CONNECT_SECONDS = 60.0  # until all processes must have met; started together, they do in a few
CONNECT_SECONDS_PODS = 300.0  # pods are scheduled one by one
HEARTBEAT_SECONDS = 30  # without a sign of life, until a process counts as dead
LEAVE_SECONDS = 45.0  # to wait for the others at the end
FAIL_SECONDS = 3.0  # to wait for the others after an error that may be theirs, too

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
    _check_port(place)
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
        if "RPC server" in str(error):  # its remains crash the process when it ends
            _exit_with(_refusal(place, error))
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


def _check_port(place: places.Place | None) -> None:
    """Process 0 must be able to listen, where its address has been given: jaxlib 0.10.2 may crash
    where it is not.
    """
    address = os.environ.get(places.BIND_ADDRESS) or os.environ.get(places.ADDRESS)
    if place is None or place.index != 0 or address is None:
        return
    try:
        socket.create_server(("", int(address.rpartition(":")[2]))).close()
    except (OSError, ValueError, OverflowError) as error:
        raise errors.InputError(
            f"{places.ADDRESS} must be HOST:PORT with a free port, got {address}: {error}."
        ) from error


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
    look = "Look at the other processes' output; to run this one alone, add --processes 1."
    _exit_with(f"{line} (process {index})\n{look}")


def _exit_with(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr, flush=True)
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
