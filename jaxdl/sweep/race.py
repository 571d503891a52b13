"""Which way is faster for a group of runs: all together in one program, or one after another.

Measured, not guessed: both programs are compiled and run a chunk of steps. Only convolutions on CPU
are not tried together: with weights of their own for each member they become grouped convolutions,
which XLA runs 3 to 10 times slower there (jax-ml/jax#15339).
"""

import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdl.data import batches
from jaxdl.train import program as programs

SECONDS = 0.2  # of each way, at most, once it is compiled
SHARE = 0.7  # of the free memory that a wave of members may take
# Beside the steps, what a run of its own costs, whose files members share: opening its folder and
# writing a checkpoint; measured on two CPU cores.
ALONE, SAVE = 0.15, 0.04  # seconds


class Decision(NamedTuple):
    """together: whether one program runs all members. wave: of so many at a time. why: in words."""

    together: bool
    wave: int
    why: str


def decide(
    solo: programs.Program,
    feed: batches.Feed,
    members: int,
    joined: Callable[[int], tuple[programs.Program, batches.Feed]],
) -> tuple[Decision, programs.Program | None]:
    """The faster way for so many members, and the program of a wave where that is together.

    solo, feed: a member's. joined: makes the program and feed of a wave of so many.
    """
    alone = Decision(False, 1, "")
    if members == 1:
        return alone._replace(why="there is one"), None
    if not hasattr(solo.run.train, "together") and solo.run.train is not None:
        return alone._replace(why="streams are read by one run at a time"), None
    if jax.default_backend() == "cpu" and solo.cost.convolves:
        return alone._replace(why="convolutions on CPU are slower together"), None
    single = _seconds(solo, feed)
    wave = _wave(solo, members)
    devices = jax.device_count() if solo.mesh is not None else 1
    wave += -wave % devices  # the last ones fill it up
    program, theirs = joined(wave)
    shared = _seconds(program, theirs) / wave
    run = solo.run
    saves = run.steps // (run.save_every or run.steps) + 1
    apart = run.steps * single + ALONE + saves * SAVE
    fused = run.steps * shared + saves * SAVE / wave
    why = f"{_micro(shared)} a step and run together, {_micro(single)} one after another"
    if fused < apart:
        return Decision(True, wave, why), program
    return alone._replace(why=why), None


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


def _wave(solo: programs.Program, members: int) -> int:
    """How many members fit into memory at once, in waves of equal size."""
    fits = max(1, int(SHARE * free_memory() / max(1, _bytes(solo))))
    waves = -(-members // fits)
    return -(-members // waves)


def _bytes(solo: programs.Program) -> int:
    """A member's: its state twice (now, and the best), what a step needs beside, and metrics."""
    state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(solo.shape) if _plain(x))
    return 2 * state + solo.work_space()


def _plain(x: Any) -> bool:
    return not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def free_memory() -> int:
    """Bytes that a program may still take, of the device or, on CPU, of the machine."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(x.split()[1]) for x in lines if x.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _micro(seconds: float) -> str:
    return f"{1e6 * seconds:.3g} µs" if seconds < 1e-3 else f"{1e3 * seconds:.3g} ms"
