"""Made streams of events, as of a camera that sees change alone: dots that drift in one direction.

The class is the direction: right, left, down or up. Dots begin anywhere, on a field whose sides are
joined, so every single moment looks alike whatever the direction; and read backwards, right is left
and down is up. Hence who adds up what each moment tells by itself is right about the sign of motion
half of the time, at best.
"""

import numpy as np

from jaxdl.data import splits
from jaxdl.nn import limits

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # rows and columns in a step


def load(
    train: int = 20_000,
    test: int = 1000,
    side: int = 6,
    moments: int = 12,
    dots: int = 2,
    seen: float = 0.8,
    noise: float = 0.02,
    seed: int = 0,
) -> splits.Split:
    """Inputs float32 (n, moments, side, side) of 0 and 1, targets int32 (n,) in 0..3.

    seen: the chance that a dot gives its event. noise: that a place gives one for no reason.
    """
    sizes = {"train": train, "test": test, "side": side, "moments": moments, "dots": dots}
    for name, count in sizes.items():
        limits.at_least(1, f"moving_events' {name}", count)
    for name, share in (("seen", seen), ("noise", noise)):
        limits.share(f"moving_events' {name}", share)
    random = np.random.default_rng(seed)
    count = train + test
    target = random.integers(len(DIRECTIONS), size=count)
    start = random.integers(side, size=(count, 1, dots, 2))
    moved = np.arange(moments)[None, :, None, None] * np.array(DIRECTIONS)[target][:, None, None]
    row, column = np.moveaxis((start + moved) % side, -1, 0)
    events = random.random((count, moments, side, side)) < noise
    shown = random.random(row.shape) < seen
    example, moment = np.ogrid[:count, :moments]
    where = (example[..., None] + 0 * row)[shown], (moment[..., None] + 0 * row)[shown]
    events[(*where, row[shown], column[shown])] = True
    inputs, target = events.astype(np.float32), target.astype(np.int32)
    return splits.Split(
        {"input": inputs[:train], "target": target[:train]},
        {"input": inputs[train:], "target": target[train:]},
    )
