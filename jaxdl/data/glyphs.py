"""Made images of which it is known where the answer lies: a digit drawn on 5x5 pixels, somewhere in
a field of single bright pixels that say nothing.

What explains a network must point at the digit: the pointing game of Zhang et al. (2016), "Top-down
neural attention by excitation backprop".
"""

import numpy as np

from jaxdl import errors
from jaxdl.data import splits
from jaxdl.nn import limits

SIDE = 5  # pixels of a digit
# Rows of the ten digits, "1" where a pixel is bright.
DIGITS = (
    "01110 10001 10001 10001 01110",
    "00100 01100 00100 00100 01110",
    "11110 00001 01110 10000 11111",
    "11110 00001 00110 00001 11110",
    "10010 10010 11111 00010 00010",
    "11111 10000 11110 00001 11110",
    "01111 10000 11110 10001 01110",
    "11111 00001 00010 00100 00100",
    "01110 10001 01110 10001 01110",
    "01110 10001 01111 00001 11110",
)


def load(
    train: int = 10000,
    test: int = 1000,
    side: int = 16,
    clutter: float = 0.15,
    noise: float = 0.1,
    seed: int = 0,
) -> splits.Split:
    """Inputs float32 (n, side, side, 1), about 1 where bright and 0 elsewhere; targets int32 (n,),
    each digit as often as any; boxes int32 (n, 4): top, left, height and width of the digit.

    clutter: the share of the other pixels that are as bright as the digit's; noise: the standard
        deviation of all pixels.
    """
    limits.at_least(1, "The number of examples", (train, test))
    limits.share("The share of clutter", clutter)
    if side < SIDE:
        raise errors.InputError(f"A glyph's image must have a side of at least {SIDE}, got {side}.")
    random = np.random.default_rng(seed)
    count = train + test
    shapes = np.array([[[c == "1" for c in row] for row in d.split()] for d in DIGITS])
    target = random.permutation(np.arange(count) % len(shapes)).astype(np.int32)
    corner = random.integers(0, side - SIDE + 1, (count, 2))
    bright = random.random((count, side, side)) < clutter
    for image, (top, left), digit in zip(bright, corner, target, strict=True):
        image[top : top + SIDE, left : left + SIDE] = shapes[digit]
    pixels = bright + noise * random.standard_normal(bright.shape, np.float32)
    box = np.concatenate([corner, np.full((count, 2), SIDE)], axis=1).astype(np.int32)
    examples = {"input": pixels[..., None].astype(np.float32), "target": target, "box": box}
    return splits.Split(
        {name: x[:train] for name, x in examples.items()},
        {name: x[train:] for name, x in examples.items()},
    )
