"""Learners of many owners' data: federated averaging, and learning in private."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl.data import batches
from jaxdl.learners import federated, private
from jaxdl.losses import classification
from jaxdl.models import mlp

LOSS = classification.cross_entropy


def _clients() -> Any:
    random = np.random.default_rng(0)
    values = random.normal(size=(8, 5, 3)).astype(np.float32)
    counts = np.array([5, 3, 5, 1, 4, 5, 2, 5], np.int32)
    target = random.integers(0, 3, (8, 5)).astype(np.int32)
    return batches.shuffled({"input": values, "target": target, "count": counts}, 4)


def _examples() -> Any:
    random = np.random.default_rng(0)
    values = random.normal(size=(24, 3)).astype(np.float32)
    return batches.shuffled({"input": values, "target": np.arange(24, dtype=np.int32) % 3}, 8)


def _test() -> Any:
    source = _examples()
    return source.select(source.open(0).first(), 0)


def _averaging(**options: Any) -> Any:
    model = mlp.MLP(features=(4,), classes=3, dropout=0.2)
    return federated.averaging(model, LOSS, optax.sgd(0.1), **options)


LEARNERS = {
    "federated averaging": catalogue.Case(
        lambda: _averaging(epochs=2, batch_size=2, proximal=0.1, participation=0.8),
        _clients,
        _test,
    ),
    "federated, adaptive and private": catalogue.Case(
        lambda: _averaging(server=optax.adam(0.01, eps=1e-3), privacy=private.Privacy(0.1, 0.5)),
        _clients,
        _test,
    ),
    "private": catalogue.Case(
        lambda: private.supervised(
            mlp.MLP(features=(4,), classes=3),
            LOSS,
            optax.sgd(0.1),
            privacy=private.Privacy(0.5, 0.5),
            participation=0.5,
        ),
        _examples,
    ),
}

SMALL = {
    "digits_dpfed": {"participants": 20},
    "digits_dpsgd": {"width": 4},
    "digits_fedavg": {"width": 4, "epochs": 1},
    "digits_fedprox": {"width": 4, "epochs": 1, "participants": 12, "asked": 6},
}
