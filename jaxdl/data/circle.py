"""Points of a square, and whether they lie within a circle of half its area.

The problem of Pérez-Salinas et al., "Data re-uploading for a universal quantum classifier" (2020).
"""

import math

import numpy as np

from jaxdl.data import splits
from jaxdl.nn import limits

RADIUS = math.sqrt(2 / math.pi)  # of [-1, 1]^2 half is inside


def load(train: int = 1000, test: int = 1000, seed: int = 0) -> splits.Split:
    """Inputs float32 (n, 2) in [-1, 1), targets int32 (n,): 1 inside, 0 outside."""
    for name, count in (("train", train), ("test", test)):
        limits.at_least(1, f"circle's {name}", count)
    points = np.random.default_rng(seed).uniform(-1, 1, (train + test, 2)).astype(np.float32)
    inside = (np.square(points).sum(1) < RADIUS**2).astype(np.int32)
    return splits.Split(
        {"input": points[:train], "target": inside[:train]},
        {"input": points[train:], "target": inside[train:]},
    )
