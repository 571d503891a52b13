"""Made images and volumes in noise, with the class of every pixel.

Each is cut into quarters (a volume into eighths); about three in four hold a body of their own, of
any kind, size, place and brightness, so that bodies never overlap. Of a plane the bodies are a
disk, a square and a triangle; of space a ball and a box.
"""

import itertools
from typing import Any

import numpy as np

from jaxdl import errors
from jaxdl.data import splits

PLANE = ("disk", "square", "triangle")  # classes 1, 2 and 3; 0 is what surrounds them
SPACE = ("ball", "box")


def load(
    train: int = 1000,
    test: int = 200,
    side: int = 32,
    dimensions: int = 2,
    noise: float = 0.1,
    seed: int = 0,
) -> splits.Split:
    """So many to learn from and to be examined on, see `made`."""
    examples = made(train + test, side, dimensions, noise, seed)
    return splits.Split(
        {name: x[:train] for name, x in examples.items()},
        {name: x[train:] for name, x in examples.items()},
    )


def made(count: int, side: int, dimensions: int, noise: float, seed: int) -> splits.Examples:
    """Input float32 (count, side, side[, side], 1): 0, and 0.5 to 1 in a body, plus normal noise of
    this deviation; target int32 (count, side, side[, side]).
    """
    if dimensions not in (2, 3):
        raise errors.InputError(f"Masks must be of 2 or 3 dimensions, got {dimensions}.")
    if count < 1 or side < 16 or side % 2:
        raise errors.InputError(
            f"Masks must be at least 1, with an even side of at least 16, got {count} of {side}."
        )
    random = np.random.default_rng(seed)
    shape = (count, *(side,) * dimensions)
    images, target = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    half = side // 2
    for image, label in zip(images, target, strict=True):
        for corner in itertools.product((0, half), repeat=dimensions):
            if random.random() < 0.25:
                continue
            kind = random.integers(len(PLANE if dimensions == 2 else SPACE))
            body = _body(random, int(kind), half, dimensions)
            part = tuple(slice(at, at + half) for at in corner)
            image[part][body] = random.uniform(0.5, 1.0)
            label[part][body] = kind + 1
    images += noise * random.standard_normal(shape, np.float32)
    return {"input": images[..., None], "target": target}


def _body(random: np.random.Generator, kind: int, side: int, dimensions: int) -> Any:
    """Which pixels of a square or cube the body covers; it lies whole inside."""
    radius = random.uniform(0.6, 0.9) * (side / 2 - 1)
    centre = random.uniform(radius, side - 1 - radius, dimensions)
    away = np.indices((side,) * dimensions) - centre.reshape(-1, *(1,) * dimensions)
    if kind == 0:
        return np.square(away).sum(0) <= radius**2
    if kind == 1:
        return np.abs(away).max(0) <= radius * 0.85  # about the disk's area
    down, right = away
    return (np.abs(right) <= (down + radius) / 2) & (down <= radius)
