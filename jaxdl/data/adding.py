"""The adding problem: remember two numbers of a long sequence and give their sum.

Hochreiter and Schmidhuber, "Long short-term memory" (1997), section 5.4, in the form of Le, Jaitly
and Hinton (2015): numbers in [0, 1], one of them marked in each half. Who always says 1 has a mean
square error of 1/6.
"""

import numpy as np

from jaxdl.data import splits
from jaxdl.nn import limits

CONSTANT = 1 / 6  # the mean square error of the best constant, the variance of the sum


def load(length: int = 50, train: int = 100_000, test: int = 4_000, seed: int = 0) -> splits.Split:
    """`input` (n, length, 2) float32, a number and its mark, 0 or 1; `target` (n, 1) float32."""
    limits.at_least(2, "A sequence's length", length)
    for name, count in (("training", train), ("test", test)):
        limits.at_least(1, f"The number of {name} sequences", count)
    random = np.random.default_rng(seed)
    return splits.Split(_examples(random, train, length), _examples(random, test, length))


def _examples(random: np.random.Generator, count: int, length: int) -> splits.Examples:
    numbers = random.random((count, length), np.float32)
    half = length // 2
    marked = np.stack(
        [random.integers(0, half, count), random.integers(half, length, count)], axis=1
    )
    marks = np.zeros((count, length), np.float32)
    np.put_along_axis(marks, marked, 1, axis=1)
    target = np.take_along_axis(numbers, marked, axis=1).sum(1, keepdims=True)
    return {"input": np.stack([numbers, marks], axis=-1), "target": target}
