"""How the steps of a run are dispatched, by the backend and by what a step costs.

How the steps of a chunk run on the device:
- rolled: a loop on the device. Bitwise equal to loops of one step; dispatch and synchronisation are
  paid once a chunk (a small network runs 3 times faster), and compile time does not depend on it.
- single: one step a dispatch. For convolutions on CPU, which XLA runs 5 to 30 times slower inside a
  loop (jax-ml/jax#12868).
- unrolled: one program of all the chunk's steps. Only on request: XLA optimises across the steps,
  so the last bits differ from single steps, and it compiles long; small convolutions on CPU gain.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdl import run as runs
from jaxdl.train import cost

LONGEST = {"rolled": 100, "unrolled": 10}  # steps in a chunk
FLOPS_PER_SECOND = 5e10  # of a small program on two CPU cores, measured
SECONDS_PER_OPERATION = 2e-7  # likewise: what a small kernel costs beside its arithmetic
LONGEST_CHUNK = 2.0  # seconds on CPU; a signal is obeyed, and the terminal told, between chunks


class Layout(NamedTuple):
    """How the steps of this run are dispatched; kept in the run's folder."""

    strategy: str
    chunk: int


def seconds(step: cost.Cost) -> float:
    """About how long a step takes on two CPU cores."""
    return step.flops / FLOPS_PER_SECOND + step.operations * SECONDS_PER_OPERATION


def layout(run: runs.Run, step: cost.Cost, platform: str, members: int = 1) -> Layout:
    """How to dispatch, by the backend and what a step costs; the user's own choice goes first."""
    strategy = run.strategy
    if strategy == "auto":
        strategy = "single" if platform == "cpu" and step.convolves else "rolled"
    if strategy == "single":
        return Layout("single", 1)
    limit = LONGEST[strategy]
    if platform == "cpu":
        limit = max(1, min(limit, int(LONGEST_CHUNK / max(members * seconds(step), 1e-9))))
    limit = run.chunk or limit
    every = math.gcd(run.log_every or 1, run.eval_every or 1, run.save_every or 1)
    # A divisor of the intervals, so that all chunks have one length and share one program.
    chunk = max(size for size in range(1, min(limit, every) + 1) if every % size == 0)
    return Layout(strategy, chunk)


def loop_of_one(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any) -> Any:
    """`lax.scan` of one turn, without outputs, as a loop whose length XLA is not told, or it would
    take the loop away; and what is compiled outside of a loop may round otherwise.
    """
    once = jax.lax.optimization_barrier(jnp.uint32(1))
    return jax.lax.fori_loop(jnp.uint32(0), once, lambda i, carry: step(carry, i)[0], carry)
