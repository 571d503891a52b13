"""How far two ways to the same numbers may come apart where they only round differently.

Most runs keep their curves to a thousandth. Some enlarge rounding: a duel of networks, batch norm
of few examples, Adam's first steps, a score that counts few things. Whether it is that or a mistake
is measured: by the run itself, begun anew with each float of its state an ulp away.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.train import program as programs

TOLERANCE = 1e-3  # of a curve, relative to its largest value: float32's 1e-7, grown over the steps
HALF_TOLERANCE = 3e-2  # where the program computes in 16 bits
NUDGES = 3  # runs an ulp away, of which the one that comes farthest counts
MARGIN = 4  # times as far other sums may come: they round at every operation, not once
CEILING = 0.5  # of a curve: where rounding alone may make more, nothing can be told

Gaps = dict[str, float]  # tag -> the largest difference of its numbers, relative to the largest one


def judged(
    apart: Gaps, program: programs.Program, moved: Callable[[int], Gaps], note: str = ""
) -> tuple[float | None, float, str]:
    """A difference, what it may be, and a note: of the curve that fares worst. None for the
    difference where nothing can be told.

    moved: how far the same numbers are moved by the run's `nudged` state, for a number of it. It is
    asked only for curves that are farther apart than most may be.
    """
    allowed = tolerance(program)
    far = {tag: gap for tag, gap in apart.items() if gap > allowed}
    if not far or math.inf in far.values():
        return max(apart.values(), default=0.0), allowed, note
    nudges = largest(moved(number) for number in range(NUDGES))
    limits = {tag: max(allowed, MARGIN * nudges.get(tag, 0.0)) for tag in far}
    worst = max(far, key=lambda tag: far[tag] / limits[tag])
    hidden = [tag for tag in far if limits[tag] > CEILING]
    unclear = bool(hidden) and far[worst] <= limits[worst]
    tag = hidden[0] if unclear else worst
    told = f"an ulp at the start makes {nudges.get(tag, 0.0):.2g} of {tag}"
    told = f"{note}; {told}" if note else told
    if unclear:
        return None, limits[tag], f"cannot be told: {told}"
    return far[tag], limits[tag], told


def gaps(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Gaps:
    """Of each number or curve how far the two are apart; of one that only one has, infinitely."""
    apart = dict.fromkeys(found.keys() ^ wanted.keys(), math.inf)
    for tag in found.keys() & wanted.keys():
        apart[tag] = 0.0
        if not np.array_equal(found[tag], wanted[tag], equal_nan=True):
            scale = max(float(np.nanmax(np.abs(wanted[tag]), initial=0.0)), 1e-3)
            gap = float(np.max(np.abs(found[tag] - wanted[tag]))) / scale
            apart[tag] = math.inf if math.isnan(gap) else gap
    return apart


def largest(several: Iterable[Gaps]) -> Gaps:
    """Of each tag the largest."""
    found: Gaps = {}
    for one in several:
        found |= {tag: max(gap, found.get(tag, 0.0)) for tag, gap in one.items()}
    return found


def tolerance(program: programs.Program) -> float:
    """How far curves may be apart, by the precision the step computes in."""
    text = str(program.jaxpr)
    return HALF_TOLERANCE if "bf16[" in text or ":f16[" in text else TOLERANCE


def nudged(tree: Any, number: int) -> Any:
    """A tree whose floats are each an ulp up or down, but for zeros and infinities, which may be
    meant; which of them, by the number.
    """
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(number), len(leaves))
    return structure.unflatten(map(_nudge, leaves, keys))


def _nudge(leaf: Any, key: jax.Array) -> Any:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
        return leaf
    up = jax.random.bernoulli(key, shape=jnp.shape(leaf))
    moved = jnp.nextafter(leaf, jnp.where(up, jnp.inf, -jnp.inf).astype(leaf.dtype))
    return jnp.where(jnp.isfinite(leaf) & (leaf != 0), moved, leaf)
