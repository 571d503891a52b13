"""`--processes N`: a command line as several processes of this machine."""

import contextlib
import importlib.util
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

from jaxdl import cluster, errors, places

STOP_SECONDS = 5.0  # that processes have to end once one of them has died
MOST_PROCESSES = 64  # on one machine; each takes some 300 MB before it begins


def run(argv: Sequence[str], count: int, command: Sequence[str] = ("-m", "jaxdl.launch")) -> int:
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
        _end(children, cluster.FAIL_SECONDS + STOP_SECONDS if code in cluster.ENDINGS else 0.0)
        codes = [child.process.returncode for child in children]
        if code == cluster.STOPPED:  # all of them should have been
            first = next((i for i, other in enumerate(codes) if other != cluster.STOPPED), first)
            code = codes[first]
        if codes[0] != code:
            children[first].show(first)
        if code in cluster.ENDINGS:
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
        if any(code != cluster.LostError.exit_code for code in failed.values()):
            # One that was killed takes others down, not the other way round.
            return min(
                failed, key=lambda i: (failed[i] == cluster.LostError.exit_code, failed[i] > 0)
            )
        if failed:  # the cause is yet to be seen
            deadline = min(deadline, time.monotonic() + cluster.FAIL_SECONDS)
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
