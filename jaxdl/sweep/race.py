"""Which way is faster for a group of runs: all together in one program, or one after another.

Measured, not guessed: both programs are compiled and run a few chunks of steps. But convolutions on
CPU are not tried together: with weights of their own for each member they become grouped
convolutions, which XLA runs 3 to 10 times slower there (jax-ml/jax#15339). And runs so short that
the race would take longer than they run together, for want of files of their own.
"""

import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.sweep import plan
from jaxdl.train import dispatch, record
from jaxdl.train import program as programs

SECONDS = 0.2  # of each way, at most, once it is compiled
SHARE = 0.7  # of the free memory that a wave of members may take
# Beside the steps, what a run of its own costs, whose files members share: opening its folder and
# writing a checkpoint; measured on two CPU cores.
ALONE, SAVE = 0.15, 0.04  # seconds
SHORT = 8.0  # seconds of all runs one after another: compiling the other way would take as long
FILE = "decision.json"  # in a group's folder
CONTAINER = pathlib.Path("/sys/fs/cgroup")  # Linux's control group of this process, version 2


class Decision(NamedTuple):
    """together: whether one program runs all members. wave: of so many at a time. why: in words."""

    together: bool
    wave: int
    why: str


def kept(folder: pathlib.Path) -> Decision | None:
    """The decision of an earlier launch, None where none was made yet."""
    path = folder / FILE
    try:
        return Decision(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:  # another way cannot go on with it
        raise errors.StorageError(
            f"{path} must be readable, got {error}. "
            f"Put back a copy, or delete {folder} to run its group from the beginning."
        ) from error


def keep(folder: pathlib.Path, decision: Decision) -> None:
    """For later launches."""
    record.put_new(folder / FILE, decision._asdict())


class Ways(NamedTuple):
    """How to make the programs of a group, with a feed: of its first member alone, and of a wave of
    so many members together, shared out among `devices` where it is a multiple of them.
    """

    alone: Callable[[], tuple[programs.Program, batches.Feed]]
    together: Callable[[int], tuple[programs.Program, batches.Feed]]
    devices: int


def decide(run: runs.Run, members: int, ways: Ways) -> tuple[Decision, programs.Program | None]:
    """The faster way for so many members, and its program where it has been made."""
    alone = Decision(False, 1, "")
    if members == 1:
        return alone._replace(why="there is one"), None
    if plan.streamed(run) or plan.read_tests(run):
        return alone._replace(why="streams are read by one run at a time"), None
    if run.mesh is not None and "member" not in run.mesh and jax.device_count() > 1:
        return alone._replace(why="each has the whole mesh"), None
    wave = filled(members, ways.devices)
    shared, theirs = ways.together(wave)
    if jax.default_backend() == "cpu" and shared.cost.convolves:
        return alone._replace(why="convolutions on CPU are slower together"), None
    fits = _wave(shared, theirs, members, ways.devices)
    if fits < wave:
        wave = fits
        shared, theirs = ways.together(wave)
    short = members * run.steps * dispatch.seconds(shared.cost) < SHORT
    if jax.default_backend() == "cpu" and short:
        return Decision(True, wave, "too short for a race"), shared
    try:
        solo, feed = ways.alone()
    except errors.InputError as error:  # a batch that cannot be cut over the devices
        return Decision(True, wave, str(error).splitlines()[0]), shared
    real = members / -(-members // wave)  # those that were asked for
    single, fused = _seconds(solo, feed), _seconds(shared, theirs) / real
    saves = run.steps // (run.save_every or run.steps) + 1
    apart = run.steps * single + ALONE + saves * SAVE
    joint = run.steps * fused + saves * SAVE / real
    why = f"{_micro(fused)} a step and run together, {_micro(single)} one after another"
    if joint < apart:
        return Decision(True, wave, why), shared
    return alone._replace(why=why), solo


def _seconds(program: programs.Program, feed: batches.Feed) -> float:
    """A step's, the best of a few chunks; what is computed is thrown away."""
    chunk = program.layout.chunk
    carry = program.advance(program.begin(), feed.take(0, chunk), 0, chunk)
    jax.block_until_ready(carry)
    best, began = np.inf, time.perf_counter()
    for _ in range(5):
        start = time.perf_counter()
        carry = program.advance(carry, feed.take(0, chunk), 0, chunk)
        jax.block_until_ready(carry)
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - began > SECONDS:
            break
    return best / chunk


def _wave(shared: programs.Program, feed: batches.Feed, members: int, devices: int) -> int:
    """How many members fit into memory at once: as many as the program has, or of waves of equal
    size, filled up to a multiple of the devices or, where it does not reach that, on one of them.
    """
    size = len(shared.family.seeds)
    # What XLA tells is of one device; those of a CPU share the machine's memory.
    cut = 1 if shared.mesh is None else shared.mesh.size
    needed = shared.memory(feed.take(0, shared.layout.chunk))
    tests = [batches.first(test) for test in shared.run.tests.values()]  # none has a larger one
    needed = max([needed, *(shared.examining_memory(*test) for test in tests)])
    needed += _bytes(shared.shape.state) // cut  # of each member's best evaluation
    if jax.default_backend() == "cpu":
        needed *= cut
    fits = max(1, int(size * SHARE * free_memory() / needed))
    if fits >= size:
        return size
    if jax.default_backend() != "cpu":
        fits = max(fits, devices)  # fewer would be no more on each
    if fits >= devices:
        fits -= fits % devices
        return filled(-(-members // -(-members // fits)), devices)
    return -(-members // -(-members // fits))


def filled(members: int, devices: int) -> int:
    """As many members, and some more so that each device has as many."""
    return members + -members % devices


def _bytes(shape: Any) -> int:
    kinds = [x for x in jax.tree.leaves(shape) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]
    return sum(x.size * x.dtype.itemsize for x in kinds)


def free_memory() -> int:
    """Bytes that a program may still take, of the device; on CPU, of the machine or container."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * next(int(x.split()[1]) for x in lines if x.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    try:
        limit, used = (int((CONTAINER / f"memory.{n}").read_text()) for n in ("max", "current"))
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    return max(0, min(free, limit - used))


def _micro(seconds: float) -> str:
    return f"{1e6 * seconds:.3g} µs" if seconds < 1e-3 else f"{1e3 * seconds:.3g} ms"
