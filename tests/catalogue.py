"""Every kind of learner the contract's tests run over: one row for each, in a tiny size."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import learner
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import cnn, gpt, mlp, resnet, rnn


class Case(NamedTuple):
    """A learner and its data.

    exact: whether a loop on the device gives the bits of single steps; XLA:CPU compiles
        convolutions otherwise inside a loop.
    tolerance: of a step under vmap or on two devices, against a step by itself.
    """

    learner: Callable[[], learner.Learner]
    train: Callable[[], Any]
    exact: bool = True
    tolerance: float = 1e-5


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


LEARNERS: dict[str, Case] = {
    "mlp": Case(
        lambda: _supervised(_perceptron(dropout=0.3), optimizer=optax.adam(1e-3), average=0.9),
        _images,
        tolerance=1e-4,  # Adam divides by roots of small squares
    ),
    "mlp microbatches": Case(
        lambda: _supervised(_perceptron(norm=nn.BatchNorm), microbatches=2, clip=1.0), _images
    ),
    "mlp frozen": Case(lambda: _supervised(_perceptron(), freeze=("hidden_0",)), _images),
    "mlp bfloat16": Case(
        lambda: _supervised(_perceptron(dtype=jnp.bfloat16)), _images, tolerance=2e-2
    ),
    "cnn": Case(
        lambda: _supervised(cnn.CNN(features=(8, 4), classes=3, hidden=8, dropout=0.3)),
        _images,
        exact=False,
    ),
    "resnet": Case(
        lambda: _supervised(resnet.ResNet(stages=(1, 1), classes=3, width=4, stem="cifar")),
        functools.partial(_images, channels=3),
        exact=False,
        tolerance=1e-4,
    ),
    "lstm": Case(
        lambda: _supervised(
            rnn.RNN(outputs=11, cell="lstm", width=8, vocabulary=11),
            classification.next_token,
            clip=1.0,
        ),
        _tokens,
    ),
    "gpt": Case(
        lambda: _supervised(
            gpt.GPT(vocabulary=11, length=6, width=8, depth=1, heads=2, positions="rotary"),
            classification.next_token,
        ),
        _tokens,
    ),
}
