"""How far two ways to the same numbers may come apart where they only round differently.

Most runs keep their curves to a thousandth. Some enlarge rounding: a duel of networks, batch norm
of few examples, Adam's first steps, a score that counts few things. Whether it is that or a mistake
is measured: by the run itself, begun anew with each float of its state an ulp away.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl.train import program as programs

TOLERANCE = 1e-3  # of a curve, relative to its largest value: float32's 1e-7, grown over the steps
HALF_TOLERANCE = 3e-2  # where the program computes in 16 bits
NUDGES = 3  # runs an ulp away, of which the one that comes farthest counts
MARGIN = 4  # times as far other sums may come: they round at every operation, not once


def judged(
    apart: float, program: programs.Program, moved: Callable[[int], float], note: str = ""
) -> tuple[float, float, str]:
    """A difference, what it may be, and the note with what was measured, if anything had to be.

    moved: how far the same numbers are moved by the run's `nudged` state, for a number of it.
    """
    allowed = tolerance(program)
    if not allowed < apart < math.inf:
        return apart, allowed, note
    far = max(moved(number) for number in range(NUDGES))
    told = f"an ulp at the start makes {far:.2g}"
    return apart, max(allowed, MARGIN * far), f"{note}; {told}" if note else told


def tolerance(program: programs.Program) -> float:
    """How far curves may be apart, by the precision the step computes in."""
    text = str(program.jaxpr)
    return HALF_TOLERANCE if "bf16[" in text or ":f16[" in text else TOLERANCE


def nudged(tree: Any, number: int) -> Any:
    """A tree whose floats are each an ulp up or down; which of them, by the number."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(number), len(leaves))
    return structure.unflatten(map(_nudge, leaves, keys))


def _nudge(leaf: Any, key: jax.Array) -> Any:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
        return leaf
    up = jax.random.bernoulli(key, shape=jnp.shape(leaf))
    return jnp.nextafter(leaf, jnp.where(up, jnp.inf, -jnp.inf).astype(leaf.dtype))
