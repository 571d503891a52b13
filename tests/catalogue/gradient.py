"""Gradient learners of each architecture, and their experiments."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

import catalogue
from jaxdl import learner
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import cnn, gpt, mlp, resnet, rnn


def _images(side: int = 8, channels: int = 1) -> Any:
    random = np.random.default_rng(0)
    values = random.random((24, side, side, channels), np.float32)
    return batches.shuffled({"input": values, "target": np.arange(24, dtype=np.int32) % 3}, 8)


def _tokens() -> Any:
    corpus = np.random.default_rng(0).integers(0, 11, 24 * 6 + 1).astype(np.uint8)
    return batches.windows(corpus, 6, 8)


def _supervised(
    model: Any, loss: Any = classification.cross_entropy, rate: float = 1e-2, **options: Any
) -> learner.Learner:
    optimizer = options.pop("optimizer", optax.sgd(rate, momentum=0.9))
    return gradient.supervised(model, loss, optimizer, **options)


def _perceptron(**fields: Any) -> mlp.MLP:
    return mlp.MLP(features=(16,), classes=3, **fields)


LEARNERS: dict[str, catalogue.Case] = {
    "mlp": catalogue.Case(
        lambda: _supervised(_perceptron(dropout=0.3), optimizer=optax.adam(1e-3), average=0.9),
        _images,
        tolerance=1e-4,  # Adam divides by roots of small squares
    ),
    "mlp microbatches": catalogue.Case(
        lambda: _supervised(_perceptron(norm=nn.BatchNorm), microbatches=2, clip=1.0), _images
    ),
    "mlp frozen": catalogue.Case(lambda: _supervised(_perceptron(), freeze=("hidden_0",)), _images),
    "mlp bfloat16": catalogue.Case(
        lambda: _supervised(_perceptron(dtype=jnp.bfloat16)), _images, tolerance=2e-2
    ),
    "cnn": catalogue.Case(
        lambda: _supervised(cnn.CNN(features=(8, 4), classes=3, hidden=8, dropout=0.3)),
        _images,
        exact=False,
    ),
    "resnet": catalogue.Case(
        lambda: _supervised(resnet.ResNet(stages=(1, 1), classes=3, width=4, stem="cifar")),
        functools.partial(_images, channels=3),
        exact=False,
        tolerance=1e-4,
    ),
    "lstm": catalogue.Case(
        lambda: _supervised(
            rnn.RNN(outputs=11, cell="lstm", width=8, vocabulary=11),
            classification.in_bits,
            clip=1.0,
        ),
        _tokens,
    ),
    "gpt": catalogue.Case(
        lambda: _supervised(
            gpt.GPT(vocabulary=11, length=6, width=8, depth=1, heads=2, positions="rotary"),
            classification.in_bits,
        ),
        _tokens,
    ),
}

SMALL = {
    "cifar10_resnet": {"blocks": 1, "batch_size": 8},
    "digits_cnn": {"width": 4, "batch_size": 16},
    "digits_mlp": {"width": 8},
    "digits_resnet": {"width": 4, "batch_size": 16},
    "mnist_cnn": {"width": 4, "batch_size": 8},
    "stdlib_gpt": {"width": 8, "depth": 1, "heads": 2, "length": 16, "test_bytes": 2000},
    "stdlib_lstm": {"width": 8, "length": 16, "test_bytes": 2000},
    "stdlib_rnn": {"width": 8, "length": 16, "test_bytes": 2000},
}
