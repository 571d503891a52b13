"""Palindromes: words that read the same in both directions, of letters drawn alike.

A hidden letter is known where its mirror is seen, and otherwise is any of them: what a masked model
can know is known.
"""

import numpy as np
from jaxtyping import Int

from jaxdl.nn import limits


def draw(count: int, length: int = 24, letters: int = 16, seed: int = 0) -> Int[np.ndarray, "n t"]:
    """So many words, letters in [0, letters), int32; a middle letter of an odd length is its own
    mirror.
    """
    for name, value in (("count", count), ("length", length), ("letters", letters)):
        limits.at_least(1, f"The {name} of palindromes", value)
    half = np.random.default_rng(seed).integers(0, letters, (count, (length + 1) // 2), np.int32)
    return np.concatenate([half, half[:, ::-1][:, length % 2 :]], axis=1)
