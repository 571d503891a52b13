"""Learners that begin with a trained model, and their experiments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import catalogue
from jaxdl import learner
from jaxdl.data import batches
from jaxdl.learners import gradient, low_rank
from jaxdl.losses import regression
from jaxdl.models import mlp


def _train() -> batches.Shuffled:
    random = np.random.default_rng(0)
    values = random.standard_normal((24, 7)).astype(np.float32)
    return batches.shuffled({"input": values[:, :5], "target": values[:, 5:]}, 8)


def _draw(key: Any) -> dict[str, jax.Array]:
    x = jax.random.normal(key, (8, 5))
    return {"input": x, "target": jnp.sin(x[:, :3])}


def _start() -> low_rank.Start:
    model = mlp.MLP(features=(6,), outputs=3)
    taught = gradient.supervised(model, regression.squared_error, optax.sgd(0.1))
    return low_rank.trained(taught, _draw, 2)


def _probe() -> learner.Learner:
    model = mlp.MLP(features=(6,), outputs=2)
    return low_rank.probe(model, _start(), regression.squared_error, optax.sgd(0.1))


def _lora() -> learner.Learner:
    model, optimizer = mlp.MLP(features=(6,), outputs=2), optax.sgd(0.1, momentum=0.9)
    return low_rank.lora(
        model, _start(), regression.squared_error, optimizer, rank=2, average=0.9, clip=1.0
    )


LEARNERS = {
    "probe": catalogue.Case(_probe, _train),
    "lora": catalogue.Case(_lora, _train),
}

SMALL = {"features_transfer": {"pretraining_steps": 2}}
