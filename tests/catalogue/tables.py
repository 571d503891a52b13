"""Learners of tables: closed forms, radial basis functions, cross-validation; and experiments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import catalogue
from jaxdl.data import batches, splits
from jaxdl.learners import cross_validation, gradient, least_squares
from jaxdl.losses import classification
from jaxdl.models import mlp, rbf


def _examples() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(24, 5)).astype(np.float32), np.arange(24, dtype=np.int32) % 3


def _plain() -> Any:
    inputs, target = _examples()
    return batches.shuffled({"input": inputs, "target": target}, 8)


def _folded() -> splits.Folds:
    return splits.folds(*_examples(), 2, seed=0)


LEARNERS = {
    "ridge": catalogue.Case(
        lambda: least_squares.ridge(rbf.Basis(units=4), 0.1, classes=3), _plain
    ),
    "cross-validation": catalogue.Case(
        lambda: cross_validation.of(
            gradient.supervised(
                mlp.MLP(features=(6,), classes=3, dropout=0.3),
                classification.cross_entropy,
                optax.sgd(0.1),
            ),
            classification.cross_entropy,
            folds=2,
        ),
        lambda: batches.shuffled(_folded().train, 8),
        test=lambda: jax.tree.map(jnp.asarray, _folded().test),
    ),
}

SMALL = {
    "cancer_mlp": {"width": 4},
    "diabetes_ensemble": {"width": 4, "members": 2},
    "fraud_mlp": {"width": 4, "batch_size": 64},
    "iris_rbf": {"units": 4},
    "spirals_rbf": {"units": 4},
    "wine_mlp": {"width": 4},
}
