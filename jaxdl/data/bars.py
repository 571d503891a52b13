"""Bars and stripes: images whose rows, or columns, are each all white or all black.

D. MacKay, "Information Theory, Inference, and Learning Algorithms" (2003), chapter 43. Made data:
2^(side + 1) - 2 different images, which are the whole distribution; its entropy is the log of that.
"""

import itertools

import numpy as np

from jaxdl import errors


def load(side: int = 4) -> dict[str, np.ndarray]:
    """All images, each once, as `input`: float32 (n, side, side, 1) of 0 and 1."""
    if not 1 <= side <= 12:
        raise errors.InputError(f"The side of bars and stripes must be in 1..12, got {side}.")
    lines = np.array(list(itertools.product([0, 1], repeat=side)), np.float32)
    columns = np.broadcast_to(lines[:, None, :], (len(lines), side, side))
    both = np.concatenate([columns, columns.transpose(0, 2, 1)])
    return {"input": np.unique(both, axis=0)[..., None]}
