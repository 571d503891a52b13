"""Learners of boxes, whose matching is a loop that ends when the data let it; and experiments."""

import functools
from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import set_prediction
from jaxdl.models import detector, detr
from jaxdl.nn import trunk


def _boxes() -> Any:
    """Two objects or one in an image."""
    random = np.random.default_rng(0)
    corner, size = random.uniform(0, 4, (2, 24, 2, 2)).astype(np.float32)
    classes = random.integers(0, 2, (24, 2)).astype(np.int32)
    classes[::3, 1] = -1
    images = random.random((24, 8, 8, 1), np.float32)
    boxes = np.concatenate([corner, corner + size], axis=-1)
    return batches.shuffled({"input": images, "boxes": boxes, "classes": classes}, 8)


LEARNERS = {
    "detector": catalogue.Case(
        lambda: gradient.supervised(
            detector.Detector(trunk.Trunk((4,), depth=0), 2, width=4),
            functools.partial(detector.loss, stride=2),
            optax.sgd(0.01),
        ),
        _boxes,
        exact=False,
    ),
    "detr": catalogue.Case(
        lambda: gradient.supervised(
            detr.DETR(
                trunk.Trunk((4,), depth=0),
                2,
                queries=3,
                width=8,
                heads=2,
                encoder_depth=0,
                decoder_depth=1,
                hidden=8,
                dropout=0.1,
                refine=True,
            ),
            set_prediction.loss,
            optax.sgd(0.01),
        ),
        _boxes,
        exact=False,
    ),
}

SMALL = {
    "shapes_detector": {"width": 8, "depth": 0, "batch_size": 8, "images": 16},
    "shapes_detr": {
        "width": 8,
        "trunk_depth": 0,
        "encoder_depth": 0,
        "decoder_depth": 1,
        "batch_size": 8,
        "images": 16,
    },
}
