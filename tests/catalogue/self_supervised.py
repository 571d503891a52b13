"""Learners of representations and of few labels, and their experiments."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

import catalogue
from jaxdl.data import augment, batches
from jaxdl.learners import bootstrap, contrastive, fixmatch, masked_autoencoder, self_distillation
from jaxdl.losses import probe
from jaxdl.models import joint_embedding, mlp
from jaxdl.models import masked_autoencoder as masked_models

VIEWS = augment.each(
    functools.partial(augment.shift, pixels=1),
    functools.partial(augment.erase, size=1),
    functools.partial(augment.noise, deviation=0.1),
)


def _data() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "input": random.random((24, 4, 4, 1), np.float32),
        "unlabelled": random.random((24, 4, 4, 1), np.float32),
        "target": np.arange(24, dtype=np.int32) % 3,
        "labelled": (np.arange(24) < 12).astype(np.int32),
    }


def _test() -> dict[str, Any]:
    return {name: jnp.asarray(x) for name, x in _data().items()}


def _train() -> Any:
    return batches.shuffled(_data(), 8)


def _perceptron(outputs: int) -> mlp.MLP:
    return mlp.MLP(features=(8,), outputs=outputs, norm=nn.BatchNorm)


def _model(projector: Any = None, predictor: Any = None) -> joint_embedding.JointEmbedding:
    return joint_embedding.JointEmbedding(_perceptron(6), projector or _perceptron(4), predictor)


SGD = optax.sgd(1e-2, momentum=0.9)
LEARNT: dict[str, Any] = {"augment": VIEWS, "scores": probe.few_shot(2, 2)}

LEARNERS = {
    "simclr": catalogue.Case(
        lambda: contrastive.simclr(_model(), SGD, **LEARNT), _train, _test, tolerance=1e-4
    ),
    "byol": catalogue.Case(
        lambda: bootstrap.byol(_model(predictor=_perceptron(4)), SGD, **LEARNT),
        _train,
        _test,
        tolerance=1e-4,
    ),
    "dino": catalogue.Case(
        lambda: self_distillation.dino(
            _model(joint_embedding.Prototypes((8,), 4, 6)), SGD, local=(VIEWS,), **LEARNT
        ),
        _train,
        _test,
        tolerance=1e-4,
    ),
    "fixmatch": catalogue.Case(
        lambda: fixmatch.fixmatch(
            mlp.MLP(features=(8,), classes=3), SGD, weak=VIEWS, strong=VIEWS, threshold=0.3
        ),
        _train,
    ),
    "masked autoencoder": catalogue.Case(
        lambda: masked_autoencoder.masked(
            masked_models.MaskedAutoencoder(
                width=8, depth=1, heads=2, decoder_width=8, decoder_depth=1
            ),
            SGD,
        ),
        _train,
        random=True,
    ),
}

SMALL = {
    "digits_byol": {"width": 8, "batch_size": 16},
    "digits_dino": {"width": 8, "clusters": 8, "batch_size": 16},
    "digits_fixmatch": {"width": 8, "batch_size": 16},
    "digits_mae": {"width": 8, "depth": 1, "heads": 2, "batch_size": 16},
    "digits_simclr": {"width": 8, "batch_size": 16},
}
