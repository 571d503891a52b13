"""Points spread evenly over the unit square: made data, of which everything is known.

The mean distance from a point of a square of side s to its centre is
s (sqrt(2) + asinh(1)) / 6 = 0.3826 s: what the best quantiser into squares reaches.
"""

import numpy as np

from jaxdl.data import splits
from jaxdl.nn import limits

TO_CENTRE = float((np.sqrt(2) + np.arcsinh(1)) / 6)  # of a square of side 1


def load(train: int = 2000, test: int = 4000, seed: int = 0) -> splits.Split:
    """Inputs float32 (n, 2) in [0, 1), so many to learn from and to be examined on."""
    for name, count in (("train", train), ("test", test)):
        limits.at_least(1, f"square's {name}", count)
    random = np.random.default_rng(seed)
    points = random.random((train + test, 2), np.float32)
    return splits.Split({"input": points[:train]}, {"input": points[train:]})
