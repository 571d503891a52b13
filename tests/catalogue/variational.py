"""Variational autoencoders, and their experiments."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl.data import batches, binary
from jaxdl.learners import variational
from jaxdl.models import mlp, vae


def _images() -> Any:
    random = np.random.default_rng(0)
    arrays = {"input": random.random((24, 3, 3, 1), np.float32), "target": np.arange(24) % 3}
    return batches.shuffled(arrays, 8, augment=binary.draw)


def _model(outputs: int = 9, **fields: Any) -> vae.VAE:
    encoder = mlp.MLP(features=(8,), outputs=4, dropout=0.1)
    return vae.VAE(encoder, mlp.MLP(features=(8,), outputs=outputs), latent=2, **fields)


LEARNERS = {
    "vae": catalogue.Case(
        lambda: variational.evidence(
            _model(), optax.adam(1e-3), beta=2.0, test_draws=3, average=0.9
        ),
        _images,
        random=True,
        tolerance=1e-4,  # Adam divides by roots of small squares
    ),
    "conditional vae": catalogue.Case(
        lambda: variational.importance_weighted(
            _model(likelihood="gaussian", classes=3), optax.sgd(1e-3), draws=2, test_draws=3
        ),
        _images,
        random=True,
    ),
}

SMALL = {
    "digits_cvae": {"width": 8, "latent": 2, "test_draws": 2},
    "digits_vae": {"width": 8, "latent": 2, "test_draws": 2},
}
