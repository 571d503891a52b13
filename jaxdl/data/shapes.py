"""Made images of one to three rectangles and ellipses in noise, and the boxes around them.

32×32 grey pixels; a shape is 7 to 16 pixels wide and high, brighter than the ground, and no two
boxes meet. Class 0 is the rectangle, 1 the ellipse that fills its box. Edges lie anywhere between
pixels: a pixel's grey goes by the share of it that is covered, an ellipse's by that of 4×4 points.
Normal noise of deviation `NOISE` is on every pixel.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.data import splits

SIDE, MOST, CLASSES = 32, 3, 2
SMALLEST, LARGEST = 7.0, 16.0  # pixels
NOISE = 0.05
TRIES = 20  # places tried for a shape before it is left out
POINTS = 4  # per pixel and axis


@functools.cache  # a sweep builds the experiment for each member
def load(train: int = 16384, test: int = 500, seed: int = 0) -> splits.Split:
    """`input` float32 (n, 32, 32, 1), `boxes` float32 (n, 3, 4) in pixels, `classes` int32 (n, 3),
    -1 where there is no shape.
    """
    if min(train, test) < 1:
        raise errors.InputError(f"train and test must be at least 1, got {train} and {test}.")
    random = np.random.default_rng(seed)
    return splits.Split(_examples(random, train), _examples(random, test))


def mirrored(batch: dict[str, Any], key: Any) -> dict[str, Any]:
    """Each image of a batch in one of its eight mirrorings and turns, boxes with it: inside jit."""
    return jax.vmap(_mirror)(batch, jax.random.split(key, len(batch["input"])))


def _mirror(example: dict[str, Any], key: Any) -> dict[str, Any]:
    image, boxes = example["input"], example["boxes"]
    across, down, turn = jax.random.bernoulli(key, shape=(3,))
    image = jnp.where(across, image[:, ::-1], image)
    image = jnp.where(down, image[::-1], image)
    image = jnp.where(turn, image.swapaxes(0, 1), image)
    boxes = jnp.where(across, _flipped(boxes, 0), boxes)
    boxes = jnp.where(down, _flipped(boxes, 1), boxes)
    boxes = jnp.where(turn, boxes[:, jnp.array([1, 0, 3, 2])], boxes)
    return example | {"input": image, "boxes": boxes}


def _flipped(boxes: Float[Array, "m 4"], axis: int) -> Float[Array, "m 4"]:
    low, high = boxes[:, axis], boxes[:, axis + 2]
    return boxes.at[:, axis].set(SIDE - high).at[:, axis + 2].set(SIDE - low)


def _examples(random: np.random.Generator, count: int) -> splits.Examples:
    boxes, there = _places(random, count)
    kinds = random.integers(0, CLASSES, (count, MOST))
    ground, light = random.uniform(0, 0.3, (count, 1, 1)), random.uniform(0.5, 1, (count, MOST))
    images = np.broadcast_to(ground, (count, SIDE, SIDE))
    for i in range(MOST):
        cover = _cover(boxes[:, i], kinds[:, i], there[:, i])
        images = images * (1 - cover) + light[:, i, None, None] * cover
    images = images + NOISE * random.standard_normal(images.shape, np.float32)
    return {
        "input": images.astype(np.float32)[..., None],
        "boxes": np.where(there[..., None], boxes, 0).astype(np.float32),
        "classes": np.where(there, kinds, -1).astype(np.int32),
    }


def _places(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 3, 4) that do not meet, and which of them are there."""
    wanted = np.arange(MOST)[None] < random.integers(1, MOST + 1, count)[:, None]
    boxes, there = np.zeros((count, MOST, 4)), np.zeros((count, MOST), bool)
    for i in range(MOST):
        for _ in range(TRIES):
            size = random.uniform(SMALLEST, LARGEST, (count, 2))
            low = random.uniform(0, 1, (count, 2)) * (SIDE - size)
            box = np.concatenate([low, low + size], axis=1)
            apart = (boxes[:, :, 2:] <= box[:, None, :2]) | (box[:, None, 2:] <= boxes[:, :, :2])
            free = (apart.any(-1) | ~there).all(-1)
            put = wanted[:, i] & ~there[:, i] & free
            boxes[put, i], there[put, i] = box[put], True
    return boxes, there


def _cover(boxes: np.ndarray, kinds: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The share of each pixel that the shapes (n,) cover: (n, 32, 32)."""
    cover = np.zeros((len(boxes), SIDE, SIDE), np.float32)
    for i in np.flatnonzero(there):  # the points of all images at once would be gigabytes
        shape = _ellipse if kinds[i] else _rectangle
        cover[i] = shape(boxes[i])
    return cover


def _rectangle(box: np.ndarray) -> np.ndarray:
    """Exact: the covered part of each column times that of each row."""
    edges = np.arange(SIDE + 1.0)
    columns, rows = (np.diff(np.clip(edges, box[i], box[i + 2])) for i in (0, 1))
    return rows[:, None] * columns[None]


def _ellipse(box: np.ndarray) -> np.ndarray:
    """The share of the points of each pixel that lie inside."""
    points = (np.arange(SIDE * POINTS) + 0.5) / POINTS
    x, y = ((2 * points - box[i] - box[i + 2]) / (box[i + 2] - box[i]) for i in (0, 1))
    inside = (y * y)[:, None] + (x * x)[None] <= 1
    return inside.reshape(SIDE, POINTS, SIDE, POINTS).sum((1, 3)) / POINTS**2
