"""Copying, reversal and associative recall: made tasks that need a memory.

Graves, Wayne and Danihelka, "Neural Turing Machines" (2014), sections 4.1 and 4.3; reversal is of
Grefenstette et al., "Learning to transduce with unbounded memory" (2015), section 4.1, over bits
instead of symbols. Vectors are of random bits; more channels mark the end of what is shown (copy,
reverse), or the beginnings of an item and of a query (recall). What is to be told comes after it,
while the input is silent.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors
from jaxdl.data import batches
from jaxdl.nn import limits

Examples = dict[str, np.ndarray]


def copy(count: int, lengths: tuple[int, int], bits: int = 6, seed: int = 0) -> Examples:
    """Sequences to tell again, of lengths drawn evenly from `lengths`, both included.

    input: (n, 2 longest + 1, bits + 1), target: (n, 2 longest + 1, bits), mask: (n, 2 longest + 1),
    1 at the steps where the target is to be told. All uint8, zeros after the end.
    """
    least, longest = lengths
    if not 1 <= least <= longest:
        raise errors.InputError(f"lengths must rise from at least 1, got {lengths}.")
    _check(count, bits)
    random = np.random.default_rng(seed)
    size = random.integers(least, longest, count, endpoint=True)[:, None]
    values = random.integers(0, 2, (count, longest, bits), np.uint8)
    place = np.arange(2 * longest + 1)[None, :]
    inside, told = place < size, (place > size) & (place <= 2 * size)
    shown = np.zeros((count, 2 * longest + 1, bits + 1), np.uint8)
    target = np.zeros((count, 2 * longest + 1, bits), np.uint8)
    shown[..., :bits][inside] = values[inside[:, :longest]]
    target[told] = values[inside[:, :longest]]  # of each example as many, and in order
    shown[..., bits] = place == size
    return {"input": shown, "target": target, "mask": told.astype(np.uint8)}


def reverse(count: int, lengths: tuple[int, int], bits: int = 6, seed: int = 0) -> Examples:
    """`copy`'s sequences, to be told from the last vector to the first."""
    made = copy(count, lengths, bits, seed)
    told, size = made["mask"] > 0, made["mask"].sum(axis=1, dtype=int)[:, None]
    place = np.arange(told.shape[1])[None, :]
    from_place = np.where(told, 3 * size + 1 - place, place)
    target = np.take_along_axis(made["target"], from_place[..., None], axis=1)
    return made | {"target": target}


def recall(
    count: int, items: tuple[int, int], length: int = 3, bits: int = 6, seed: int = 0
) -> Examples:
    """Lists of items, one of which is asked for again: the next one is to be told.

    items: how many, drawn evenly between both, included; each of `length` vectors. Of n items and
    t = (most + 1) (length + 1) + 1 + length steps, input: (n, t, bits + 2), target: (n, t, bits),
    mask: (n, t), 1 at the steps where the target is to be told. All uint8, zeros after the end.
    """
    least, most = items
    if not 2 <= least <= most:
        raise errors.InputError(f"items must rise from at least 2, got {items}.")
    limits.at_least(1, "An item's length", length)
    _check(count, bits)
    random = np.random.default_rng(seed)
    size = random.integers(least, most, count, endpoint=True)
    values = random.integers(0, 2, (count, most, length, bits), np.uint8)
    asked = random.integers(0, size - 1)  # not the last: nothing comes after it
    rows, along = np.arange(count), np.arange(length)
    steps = (most + 1) * (length + 1) + 1 + length
    shown = np.zeros((count, steps, bits + 2), np.uint8)
    target = np.zeros((count, steps, bits), np.uint8)
    mask = np.zeros((count, steps), np.uint8)
    for item in range(most):
        has, begin = rows[size > item], item * (length + 1)
        shown[has, begin, bits] = 1
        shown[has, begin + 1 : begin + 1 + length, :bits] = values[has, item]
    query = size * (length + 1)
    within = rows[:, None], query[:, None] + 1 + along[None, :]
    shown[rows, query, bits + 1] = shown[rows, query + 1 + length, bits + 1] = 1
    shown[*within, :bits] = values[rows, asked]
    answer = rows[:, None], within[1] + length + 1
    target[answer] = values[rows, asked + 1]
    mask[answer] = 1
    return {"input": shown, "target": target, "mask": mask}


def longer(made: Callable[..., Examples], longest: int) -> dict[str, batches.Pass]:
    """Tests of 200 sequences as `copy` or `reverse` makes them, all of one length: of the longest
    that is learnt from, of twice and of three times as long; by name, as "length_10".
    """
    return {
        f"length_{n}": batches.once(made(200, (n, n), seed=n), 200, transform=floats)
        for n in (longest, 2 * longest, 3 * longest)
    }


def floats(batch: Any) -> Any:
    """A batch's bytes as float32: the `transform` of a source of batches."""
    return jax.tree.map(lambda x: x.astype(jnp.float32), batch)


def _check(count: int, bits: int) -> None:
    for name, value in (("sequences", count), ("bits", bits)):
        limits.at_least(1, f"The number of {name}", value)
