"""The loss of a set of boxes: each object is matched with one of them, at the least cost in all.

Carion et al., "End-to-end object detection with transformers" (2020), section 3.1 and appendix A.2;
the matching is Kuhn's ("The Hungarian method", 1955), by optax, inside jit.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxdl import errors, metrics
from jaxdl.losses import detection

CLASS_COST, BOX_COST, OVERLAP_COST = 1.0, 5.0, 2.0  # of a match, and of the loss (appendix A.4)
NOTHING = 0.1  # the weight of queries without an object
FAR = 1e4  # a cost above all others


class Found(NamedTuple):
    """What each query says after each layer of the decoder, the last one last: logits, the last of
    them of no object, and boxes (x, y, width, height) as shares of the image.
    """

    logits: Float[Array, "b l q k"]
    boxes: Float[Array, "b l q 4"]


def loss(found: Found, batch: dict[str, Any]) -> dict[str, Any]:
    """The published loss, a mean over the batch's objects for every layer of the decoder.

    batch: `boxes` and `classes`, see losses/detection.py, and the images they lie in as `input`.
    Logged beside the sum: the last layer's `class`, `box` and `overlap`, without their weights.
    """
    queries, objects = found.boxes.shape[2], batch["classes"].shape[1]
    if queries < objects:
        raise errors.InputError(
            f"A set's queries must be at least as many as an image's objects, got {queries} and "
            f"{objects}. Give the model more queries."
        )
    height, width = batch["input"].shape[1:3]
    boxes = detection.centred(batch["boxes"]) / jnp.array([width, height] * 2)[None, None]
    classes = batch["classes"]
    count = (classes >= 0).sum().astype(jnp.float32)
    layers = jax.vmap(_layer_loss, in_axes=(1, 1, None, None))(*found, boxes, classes)
    weights = {"class": CLASS_COST, "box": BOX_COST, "overlap": OVERLAP_COST}
    whole = sum(weights[name] * layers[name].sum() for name in weights)
    parts = {"loss": whole} | {name: sums[-1] for name, sums in layers.items()}
    return {name: metrics.Mean(total, count) for name, total in parts.items()}


def decode(found: Found, height: int, width: int) -> detection.Detections:
    """Every query's box in pixels of such an image, its likeliest class and how likely that is."""
    probability = jax.nn.softmax(found.logits[:, -1], axis=-1)[..., :-1]
    boxes = detection.corners(found.boxes[:, -1]) * jnp.array([width, height] * 2)[None, None]
    return detection.Detections(boxes, probability.max(-1), jnp.argmax(probability, axis=-1))


def match(
    logits: Float[Array, "q k"],
    found: Float[Array, "q 4"],
    boxes: Float[Array, "m 4"],
    classes: Int[Array, "m"],
) -> Int[Array, "m"]:
    """The query of each object, so that the sum of costs is least (equation 1); m <= q.

    Objects that are not there (class -1) cost the same everywhere, and take what is left.
    """
    probability = jax.nn.softmax(logits, axis=-1)[:, classes]
    apart = jnp.abs(found[:, None] - boxes[None]).sum(-1)
    shared = detection.generalized_overlap(
        detection.corners(found)[:, None], detection.corners(boxes)[None]
    )
    cost = BOX_COST * apart - CLASS_COST * probability - OVERLAP_COST * shared
    cost = jnp.where((classes >= 0)[None], cost, 0)
    cost = jnp.nan_to_num(cost, nan=FAR)  # the search for a NaN's place would not end
    query, item = optax.assignment.hungarian_algorithm(cost)
    return jnp.zeros_like(classes).at[item].set(query.astype(classes.dtype))


def _layer_loss(logits: Array, found: Array, boxes: Array, classes: Array) -> dict[str, Array]:
    """Sums over the objects of a batch."""
    held = jax.lax.stop_gradient((logits, found))
    query = jax.vmap(match)(*held, boxes, classes)
    there = classes >= 0
    count = there.sum()
    nothing = logits.shape[-1] - 1
    target = jax.vmap(lambda at, label: jnp.full(logits.shape[1], nothing).at[at].set(label))(
        query, jnp.where(there, classes, nothing)
    )
    weight = jnp.where(target == nothing, NOTHING, 1.0)
    wrong = optax.softmax_cross_entropy_with_integer_labels(logits, target)
    matched = jnp.take_along_axis(found, query[..., None], axis=1)
    apart = jnp.abs(matched - boxes).sum(-1)
    shared = detection.generalized_overlap(detection.corners(matched), detection.corners(boxes))
    return {
        "class": count * (weight * wrong).sum() / weight.sum(),
        "box": jnp.where(there, apart, 0).sum(),
        "overlap": jnp.where(there, 1 - shared, 0).sum(),
    }
