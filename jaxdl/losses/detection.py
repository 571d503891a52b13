"""Boxes around objects: how well two agree, and what a detector is judged by.

A box is its corners (left, top, right, bottom) in pixels. A batch of examples holds `boxes`
(b, m, 4) and `classes` (b, m), integers, -1 where an image has fewer than m objects.

The score is COCO's (Lin et al., "Microsoft COCO: Common objects in context", 2014), computed by
its own code, pycocotools (the extra `detection`): a detection is right where it overlaps an object
that is not taken yet so much that their intersection over union reaches a threshold; the average
precision is the area under precision over recall, of every class, in the mean.
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdl import errors, metrics

STRICT = tuple(np.linspace(0.5, 0.95, 10))  # COCO's thresholds; 0.5 alone is PASCAL VOC's
LENIENT = (0.5,)


class Detections(NamedTuple):
    """What was found in each image, in any order: as many as the detector always gives, the worst
    of them with scores near 0.
    """

    boxes: Float[Array, "b n 4"]
    scores: Float[Array, "b n"]
    classes: Int[Array, "b n"]


def overlap(a: Float[Array, "*#b 4"], b: Float[Array, "*#b 4"]) -> Float[Array, "..."]:
    """Intersection over union of each pair of boxes; 0 where both are empty."""
    shared, union = _shared(a, b)
    return shared / jnp.maximum(union, 1e-9)


def generalized_overlap(a: Float[Array, "*#b 4"], b: Float[Array, "*#b 4"]) -> Float[Array, "..."]:
    """Intersection over union, less the empty part of the smallest box around both: in (-1, 1].

    Rezatofighi et al., "Generalized intersection over union" (2019): boxes that do not meet have a
    slope too.
    """
    shared, union = _shared(a, b)
    low, high = jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])
    around = jnp.maximum((high - low).prod(-1), 1e-9)
    return shared / jnp.maximum(union, 1e-9) - (around - union) / around


def corners(boxes: Float[Array, "*b 4"]) -> Float[Array, "*b 4"]:
    """Corners of boxes that are given by centre and size (x, y, width, height)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def centred(boxes: Float[Array, "*b 4"]) -> Float[Array, "*b 4"]:
    """Centre and size (x, y, width, height) of boxes that are given by corners."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return jnp.concatenate([(low + high) / 2, high - low], axis=-1)


def average_precision(
    decode: Callable[[Any], Detections],
) -> Callable[[Any, dict[str, Any]], dict[str, Any]]:
    """A function (outputs, batch) -> the metrics "ap", the mean over COCO's ten thresholds of
    overlap, 0.5 to 0.95, and "ap50", at 0.5 alone.

    decode: the model's outputs -> detections. errors.MissingError: there is no pycocotools.
    """
    _library()

    def scores(outputs: Any, batch: dict[str, Any]) -> dict[str, Any]:
        arrays = {"found": decode(outputs), "boxes": batch["boxes"], "classes": batch["classes"]}
        return {
            "ap": metrics.Collected(arrays, strict_precision),
            "ap50": metrics.Collected(arrays, lenient_precision),
        }

    return scores


def strict_precision(arrays: dict[str, Any]) -> float:
    """COCO's average precision of `found` (Detections) against `boxes` and `classes`."""
    return _precision(arrays, STRICT)


def lenient_precision(arrays: dict[str, Any]) -> float:
    """The average precision where an overlap of a half is enough."""
    return _precision(arrays, LENIENT)


def _shared(a: Array, b: Array) -> tuple[Array, Array]:
    """The areas of the intersection and of the union."""
    low, high = jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])
    shared = jnp.maximum(high - low, 0).prod(-1)
    areas = [jnp.maximum(x[..., 2:] - x[..., :2], 0).prod(-1) for x in (a, b)]
    return shared, areas[0] + areas[1] - shared


def _precision(arrays: dict[str, Any], thresholds: tuple[float, ...]) -> float:
    """NaN where a detection is no number, or there is no object to be found."""
    found, boxes, classes = arrays["found"], arrays["boxes"], arrays["classes"]
    finite = np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()
    if not finite or not (classes >= 0).any():
        return float("nan")
    coco, evaluation = _library()
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of its progress
        truth = coco.COCO()
        truth.dataset = _truth(boxes, classes)
        truth.createIndex()
        judged = evaluation.COCOeval(truth, truth.loadRes(_found(found)), "bbox")
        judged.params.iouThrs = np.array(thresholds)
        judged.params.maxDets = [100]
        judged.params.areaRng, judged.params.areaRngLbl = [[0, 1e10]], ["all"]
        judged.evaluate()
        judged.accumulate()
    precision = judged.eval["precision"]  # -1 of a class without objects
    return float(precision[precision > -1].mean())


def _truth(boxes: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """A data set in COCO's words. Ids count from 1: its code takes 0 for no object."""
    places = np.argwhere(classes >= 0)
    sizes = boxes[..., 2:] - boxes[..., :2]
    objects = [
        {
            "id": number,
            "image_id": int(image),
            "category_id": int(classes[image, i]),
            "bbox": [*map(float, boxes[image, i, :2]), *map(float, sizes[image, i])],
            "area": float(sizes[image, i].prod()),
            "iscrowd": 0,
        }
        for number, (image, i) in enumerate(places, start=1)
    ]
    return {
        "images": [{"id": i} for i in range(len(boxes))],
        "categories": [{"id": int(label)} for label in np.unique(classes[classes >= 0])],
        "annotations": objects,
    }


def _found(found: Detections) -> np.ndarray:
    """Rows of (image, left, top, width, height, score, class), as its code reads them fast."""
    count = found.scores.shape[1]
    image = np.repeat(np.arange(len(found.scores)), count)
    boxes = np.asarray(found.boxes, np.float64).reshape(-1, 4)
    columns = [boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]
    rest = [np.ravel(found.scores)[:, None], np.ravel(found.classes)[:, None]]
    return np.concatenate([image[:, None], *columns, *rest], axis=1)


def _library() -> tuple[Any, Any]:
    names = ("pycocotools.coco", "pycocotools.cocoeval")
    coco, cocoeval = (errors.needed("Average precision", name) for name in names)
    return coco, cocoeval
