"""Patterns to remember, and probes to recall them by: made data, of which everything is known."""

from typing import NamedTuple

import numpy as np

from jaxdl import errors
from jaxdl.nn import limits


class Memories(NamedTuple):
    """Patterns to store, as `input`; probes, as `input`, with the pattern of each, as `target`."""

    stored: dict[str, np.ndarray]
    probes: dict[str, np.ndarray]


def binary(count: int, units: int, flipped: float = 0.0, seed: int = 0) -> Memories:
    """Patterns (count, units) of +1 and -1 by the toss of a coin, float32.

    flipped: the share of each probe's elements that have the other sign.
    """
    _check(count, units)
    if not 0 <= flipped <= 1:
        raise errors.InputError(f"flipped must be in [0, 1], got {flipped}.")
    random = np.random.default_rng(seed)
    patterns = random.choice(np.array([-1, 1], np.float32), (count, units))
    wrong = random.random((count, units)).argsort(1) < round(flipped * units)
    probes = np.where(wrong, -patterns, patterns)
    return Memories({"input": patterns}, {"input": probes, "target": patterns})


def spherical(count: int, width: int, probes: int, noise: float = 0.5, seed: int = 0) -> Memories:
    """Patterns (count, width) spread evenly over a sphere of radius sqrt(width), float32.

    probes: of how many patterns there are probes.
    noise: the standard deviation of the normal noise in each element of a probe; elements of
        patterns have 1.
    """
    _check(count, width)
    if not 1 <= probes <= count:
        raise errors.InputError(f"probes must be in 1..{count}, the patterns, got {probes}.")
    random = np.random.default_rng(seed)
    patterns = random.standard_normal((count, width), np.float32)
    patterns *= np.float32(np.sqrt(width)) / np.linalg.norm(patterns, axis=1, keepdims=True)
    target = patterns[:probes]
    noisy = target + np.float32(noise) * random.standard_normal(target.shape, np.float32)
    return Memories({"input": patterns}, {"input": noisy, "target": target})


def _check(count: int, width: int) -> None:
    for name, value in (("number", count), ("width", width)):
        limits.at_least(1, f"The {name} of patterns", value)
