"""Dropout kept on, against the closed form of a network without a nonlinearity."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.learners import mc_dropout
from jaxdl.losses import likelihood
from jaxdl.models import mlp

RATE = 0.4
BATCH = {"input": jnp.array([[1.0, -2.0, 0.5], [0.3, 0.2, -1.0]]), "target": jnp.ones((2, 1))}


def learner(draws, **fields):
    model = mlp.MLP(features=(6,), outputs=1, act=lambda x: x, dropout=RATE, **fields)
    targets = likelihood.gaussian(1.0)
    return mc_dropout.supervised(model, targets, optax.sgd(0.1), draws=draws)


def test_the_draws_have_the_mean_and_the_deviation_of_dropped_units():
    taught = learner(20_000)
    state = jax.jit(taught.init)(jax.random.key(0), BATCH)
    found = metrics.values(jax.jit(taught.evaluate)(state, BATCH, jax.random.key(1)))
    hidden, output = state.params["hidden_0"], state.params["output"]
    units = np.asarray(BATCH["input"] @ hidden["kernel"]) * np.asarray(output["kernel"])[:, 0]
    # A unit is there by the chance 1 - RATE, and divided by it: its variance is u^2 r / (1 - r).
    deviation = np.sqrt((units**2).sum(-1) * RATE / (1 - RATE))
    assert found["disagreement"] == pytest.approx(deviation.mean(), rel=0.02)
    plain = units.sum(-1)  # the biases begin at zero
    np.testing.assert_allclose(taught.predict(state, BATCH)[:, 0], plain, atol=0.03)
    error = ((plain - 1) ** 2).mean()
    assert found["deterministic/squared_error"] == pytest.approx(error, rel=1e-5)


def test_batch_statistics_are_refused():
    with pytest.raises(errors.InputError, match="parameters alone, got batch_stats as well"):
        learner(2, norm=nn.BatchNorm).init(jax.random.key(0), BATCH)


def test_no_draw_is_refused():
    with pytest.raises(errors.InputError, match="draws of dropout must be at least 1, got 0"):
        learner(0)


def test_a_network_without_dropout_is_refused():
    plain = mlp.MLP(features=(6,), outputs=1)
    with pytest.raises(errors.InputError, match=r"dropout must be above 0, .* got 0\.0\.$"):
        mc_dropout.supervised(plain, likelihood.gaussian(1.0), optax.sgd(0.1))
