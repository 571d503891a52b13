"""Learners that are unsure: ensembles, dropout, Bayes by backprop, Langevin dynamics."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl.data import batches
from jaxdl.learners import bayes_by_backprop, ensemble, gradient, langevin, mc_dropout
from jaxdl.losses import likelihood
from jaxdl.models import mlp

CLASSES = likelihood.categorical()


def _examples() -> Any:
    random = np.random.default_rng(0)
    values = random.normal(size=(24, 5)).astype(np.float32)
    return batches.shuffled({"input": values, "target": np.arange(24, dtype=np.int32) % 3}, 8)


def _lines() -> Any:
    random = np.random.default_rng(0)
    values = random.normal(size=(24, 2)).astype(np.float32)
    return batches.shuffled({"input": values, "target": values[:, :1]}, 8)


def _perceptron(**fields: Any) -> mlp.MLP:
    return mlp.MLP(features=(6,), classes=3, **fields)


LEARNERS = {
    "ensemble": catalogue.Case(
        lambda: ensemble.of(
            gradient.supervised(_perceptron(dropout=0.3), CLASSES.loss, optax.sgd(0.1)),
            CLASSES,
            members=2,
        ),
        _examples,
    ),
    "dropout": catalogue.Case(
        lambda: mc_dropout.supervised(
            _perceptron(dropout=0.3), CLASSES, optax.sgd(0.1), draws=3, clip=1.0
        ),
        _examples,
        random=True,
    ),
    "bayes by backprop": catalogue.Case(
        lambda: bayes_by_backprop.supervised(
            _perceptron(), CLASSES, optax.sgd(0.01), examples=24, draws=2, test_draws=3
        ),
        _examples,
        random=True,
    ),
    "langevin": catalogue.Case(
        lambda: langevin.supervised(
            mlp.MLP(features=(), outputs=1),
            likelihood.gaussian(0.5),
            0.05,
            examples=24,
            friction=0.2,
            keep=3,
            every=2,
        ),
        _lines,
    ),
}

SMALL = {
    "digits_bayes": {"width": 4, "members": 2, "batch_size": 8},
    "line_bayes": {"draws": 4},
}
