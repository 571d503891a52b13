"""Learners of images, volumes and clips, and their experiments."""

import functools
from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl.data import batches
from jaxdl.learners import capsules, verification
from jaxdl.models import capsule, embedding, mlp


def _images() -> Any:
    values = np.random.default_rng(0).random((24, 6, 6, 1), np.float32)
    return batches.shuffled({"input": values, "target": np.arange(24, dtype=np.int32) % 3}, 8)


def _embedded(loss: verification.Loss) -> Any:
    model = embedding.Embedding(mlp.MLP(features=(8,), outputs=4), 3)
    return verification.verified(model, loss, optax.sgd(1e-2))


LEARNERS: dict[str, catalogue.Case] = {
    "capsules": catalogue.Case(
        lambda: capsules.capsules(
            capsule.CapsNet(3, 4, 3, primary=2, primary_width=2, width=3, decoder=(4,)),
            optax.sgd(1e-2),
        ),
        _images,
        exact=False,
        tolerance=1e-4,
    ),
    "verification": catalogue.Case(
        functools.partial(_embedded, verification.by_class(16.0, 0.3)), _images, tolerance=1e-4
    ),
}

SMALL: dict[str, dict[str, Any]] = {
    "digits_augment": {"width": 8, "batch_size": 16},
    "digits_capsule": {"width": 4, "batch_size": 8},
    "figures_verify": {"width": 2, "dimensions": 4, "batch_size": 16},
    "motion_conv3d": {"width": 2, "batch_size": 4},
    "shapes_unet": {"width": 4, "scales": 2, "batch_size": 4},
    "volumes_unet": {"width": 2, "scales": 2, "batch_size": 2},
}
