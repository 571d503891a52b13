"""An anchor-free detector: each cell of a grid tells whether an object's centre lies in it.

CenterNet: Zhou, Wang and Krähenbühl, "Objects as points" (2019), with the focal loss of Law and
Deng, "CornerNet" (2018). A map for each class shows the centres, and two more pairs of numbers at
each cell are the object's size and where inside the cell its centre lies. What is found are the
peaks of the maps: there are no anchors, and no boxes to choose among.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import metrics
from jaxdl.losses import detection
from jaxdl.nn import limits, pooling

RARE = 0.1  # the first probability of a centre (Lin et al. 2017), or the many empty cells shout
OVERLAP = 0.7  # a box moved from the true one is nearly right while they overlap so much


class Maps(NamedTuple):
    """What a detector says at each cell: logits of a centre, and in cells the size (width, height)
    and the centre's place (x, y) from the cell's corner.
    """

    heat: Float[Array, "b h w k"]
    size: Float[Array, "b h w 2"]
    offset: Float[Array, "b h w 2"]


class Detector(nn.Module):
    """A trunk and three heads of one hidden convolution each (the paper's appendix).

    trunk: images -> a map of features, such as trunk.Trunk.
    """

    trunk: nn.Module
    classes: int
    width: int = 64
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "Detector's classes", self.classes)
        limits.at_least(1, "Detector's width", self.width)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Maps:
        x = self.trunk(x, train)
        return Maps(
            self._head(x, self.classes, "heat", math.log(RARE / (1 - RARE))),
            self._head(x, 2, "size", 2.0),
            self._head(x, 2, "offset", 0.5),
        )

    def _head(self, x: Array, outputs: int, name: str, bias: float) -> Float[Array, "b h w d"]:
        hidden = nn.Conv(self.width, (3, 3), padding=1, dtype=self.dtype, name=f"{name}_hidden")
        first = nn.initializers.constant(bias)
        output = nn.Conv(outputs, (1, 1), bias_init=first, dtype=self.dtype, name=f"{name}_output")
        return output(nn.relu(hidden(x))).astype(jnp.float32)


def loss(
    maps: Maps,
    batch: dict[str, Any],
    stride: int,
    size_weight: float | Array = 0.1,
    offset_weight: float | Array = 1.0,
) -> dict[str, Any]:
    """The mean over objects of the focal loss and the absolute errors of size and offset, in cells.

    batch: `boxes` and `classes`, see losses/detection.py. stride: pixels of a cell. The weights
    are the paper's.
    """
    boxes, there = batch["boxes"] / stride, batch["classes"] >= 0
    rows, columns = maps.heat.shape[1:3]
    centre, size = jnp.split(detection.centred(boxes), 2, axis=-1)
    cell = jnp.floor(centre).astype(jnp.int32)
    cell = jnp.clip(cell, 0, jnp.array([columns - 1, rows - 1])[None, None])
    target = jax.vmap(_heat, in_axes=(0, 0, 0, None))(cell, size, batch["classes"], maps.heat.shape)
    found_size, found_offset = (
        jax.vmap(lambda x, at: x[at[:, 1], at[:, 0]])(x, cell) for x in (maps.size, maps.offset)
    )
    errors = {
        "size": jnp.abs(found_size - size).sum(-1),
        "offset": jnp.abs(found_offset - (centre - cell)).sum(-1),
    }
    count = there.sum().astype(jnp.float32)
    sums = {name: jnp.where(there, error, 0).sum() for name, error in errors.items()}
    sums["heat"] = _focal(maps.heat, target)
    whole = sums["heat"] + size_weight * sums["size"] + offset_weight * sums["offset"]
    return {"loss": metrics.Mean(whole, count)} | {
        name: metrics.Mean(total, count) for name, total in sums.items()
    }


def decode(maps: Maps, stride: int, count: int = 20) -> detection.Detections:
    """The `count` highest peaks of each image's heat maps as boxes in pixels.

    A peak is a cell as warm as the warmest of the nine around it.
    """
    heat = nn.sigmoid(maps.heat)
    around = pooling.max_pool(heat, 3, stride=1, padding=1)
    peaks = jnp.where(heat == around, heat, 0)
    batch, _, columns, classes = heat.shape
    scores, place = jax.lax.top_k(peaks.reshape(batch, -1), min(count, peaks[0].size))
    label = place % classes
    row, column = place // classes // columns, place // classes % columns
    size, offset = (
        jax.vmap(lambda x, i, j: x[i, j])(x, row, column) for x in (maps.size, maps.offset)
    )
    centre = jnp.stack([column, row], axis=-1) + offset
    boxes = detection.corners(jnp.concatenate([centre, size], axis=-1)) * stride
    return detection.Detections(boxes, scores, label)


def radius(size: Float[Array, "*b 2"]) -> Float[Array, "*b"]:
    """How far both corners of a box may move, each by itself, and overlap it by `OVERLAP` or more.

    The least of three cases, each a quadratic equation: the moved box lies beside the true one, the
    corners moved alike, or inside it, or around it.
    """
    area, total, t = size.prod(-1), size.sum(-1), OVERLAP
    beside = (total - jnp.sqrt(total**2 - 4 * area * (1 - t) / (1 + t))) / 2
    inside = (total - jnp.sqrt(total**2 - 4 * area * (1 - t))) / 4
    around = (jnp.sqrt(total**2 + 4 * area * (1 - t) / t) - total) / 4
    return jnp.minimum(jnp.minimum(beside, inside), around)


def _heat(
    cell: Int[Array, "m 2"],
    size: Float[Array, "m 2"],
    label: Int[Array, "m"],
    shape: tuple[int, ...],
) -> Float[Array, "h w k"]:
    """1 in the cell of each centre of a class, falling around it as a normal distribution does."""
    _, rows, columns, classes = shape
    x = jnp.arange(columns)[None] - cell[:, [0]]
    y = jnp.arange(rows)[None] - cell[:, [1]]
    distance = (x**2)[:, None, :] + (y**2)[:, :, None]
    deviation = (2 * radius(size) + 1) / 6  # of CenterNet's code: the diameter is six deviations
    bumps = jnp.exp(-distance / (2 * deviation**2)[:, None, None])
    own = jax.nn.one_hot(label, classes)  # nothing where there is no object
    return (bumps[..., None] * own[:, None, None, :]).max(0)


def _focal(logits: Float[Array, "b h w k"], target: Float[Array, "b h w k"]) -> Float[Array, ""]:
    """Equation 1: the sum over cells; those near a centre count less as empty ones."""
    found = nn.sigmoid(logits)
    centre = (1 - found) ** 2 * nn.log_sigmoid(logits)
    empty = (1 - target) ** 4 * found**2 * nn.log_sigmoid(-logits)
    return -jnp.where(target == 1, centre, empty).sum()
