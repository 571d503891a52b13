"""Made clips whose class is a motion and nothing else: a square drifts in one of four directions.

The field has no edge: what leaves on one side comes in on the other, so that in each frame by
itself the square is anywhere, whatever the class.
"""

import numpy as np

from jaxdl import errors
from jaxdl.data import splits

STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # classes: right, left, down, up, in pixels a frame


def load(
    train: int = 1000,
    test: int = 400,
    frames: int = 8,
    side: int = 12,
    square: int = 3,
    noise: float = 0.2,
    seed: int = 0,
) -> splits.Split:
    """Inputs float32 (n, frames, side, side, 1): 1 in the square, 0 elsewhere, plus normal noise;
    targets int32 (n,), each class as often as any.
    """
    if min(train, test, frames) < 1 or not 1 <= square < side:
        raise errors.InputError(
            "Motion must have examples, frames and a square smaller than its side, "
            f"got {train} and {test}, {frames}, {square} of {side}."
        )
    random = np.random.default_rng(seed)
    count = train + test
    target = random.permutation(np.arange(count) % len(STEPS)).astype(np.int32)
    start = random.integers(0, side, (count, 1, 2))
    places = start + np.arange(frames)[None, :, None] * np.array(STEPS)[target][:, None]
    away = (np.arange(side) - places[..., None]) % side < square  # (n, frames, 2, side)
    bright = away[:, :, 0, :, None] & away[:, :, 1, None, :]
    clips = bright + noise * random.standard_normal(bright.shape, np.float32)
    examples = {"input": clips[..., None].astype(np.float32), "target": target}
    return splits.Split(
        {name: x[:train] for name, x in examples.items()},
        {name: x[train:] for name, x in examples.items()},
    )
