"""Autoencoders, and their experiments."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl.data import batches
from jaxdl.learners import reconstruction
from jaxdl.models import autoencoder, mlp


def _images() -> Any:
    values = np.random.default_rng(0).random((24, 3, 3, 1), np.float32)
    return batches.shuffled({"input": values}, 8)


def _model() -> autoencoder.Autoencoder:
    encoder = mlp.MLP(features=(8,), outputs=2, dropout=0.1)
    return autoencoder.Autoencoder(encoder, mlp.MLP(features=(8,), outputs=9))


LEARNERS = {
    "denoising autoencoder": catalogue.Case(
        lambda: reconstruction.autoencoder(
            _model(), optax.sgd(0.1), corrupt=reconstruction.noise(0.3), average=0.9
        ),
        _images,
        random=True,
    ),
    "masked autoencoder": catalogue.Case(
        lambda: reconstruction.autoencoder(
            _model(), optax.sgd(0.1), corrupt=reconstruction.mask(0.5), microbatches=2
        ),
        _images,
        random=True,
    ),
    "sparse autoencoder": catalogue.Case(
        lambda: reconstruction.autoencoder(
            autoencoder.SparseAutoencoder(12, active=3), optax.sgd(0.1), penalty=0.01
        ),
        _images,
    ),
}

SMALL = {
    "dictionary_sparse": {"units": 8},
    "digits_autoencoder": {"width": 8},
    "digits_denoising": {"width": 8},
}
