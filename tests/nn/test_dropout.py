"""Dropout: flax's bits for a plain rate, and the same function of a traced one."""

import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import cnn, gpt, mlp, rnn
from jaxdl.nn import dropout

KEYS = {"dropout": jax.random.key(3)}


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_plain_rate_has_the_bits_of_flax(rate, dtype):
    x = jax.random.normal(jax.random.key(0), (7, 5), dtype)
    ours = dropout.Dropout(rate, name="d").apply({}, x, True, rngs=KEYS)
    theirs = flax_nn.Dropout(rate, deterministic=False, name="d").apply({}, x, rngs=KEYS)
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, theirs)


def test_off_outside_training_and_free_where_the_rate_is_zero():
    x = jnp.ones((3, 4))
    assert dropout.Dropout(0.5).apply({}, x, False) is x  # no key was asked for
    assert dropout.Dropout(0.0).apply({}, x, True) is x


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_traced_rate_is_the_same_function(dtype):
    x = jax.random.normal(jax.random.key(0), (50, 4), dtype)

    def dropped(rate):
        return dropout.Dropout(rate).apply({}, x, True, rngs=KEYS)

    rates = [0.0, 0.25, 0.5]
    together = jax.jit(jax.vmap(dropped))(jnp.asarray(rates))
    assert together.dtype == dtype
    for one, rate in zip(together, rates, strict=True):
        np.testing.assert_allclose(
            one.astype(jnp.float32), dropped(rate).astype(jnp.float32), rtol=1e-6
        )


IMAGES = jnp.zeros((2, 8, 8, 1)), jnp.zeros(2, jnp.int32)
TOKENS = jnp.zeros((2, 6), jnp.int32), jnp.zeros((2, 6), jnp.int32)
MODELS = {
    "mlp": (lambda rate: mlp.MLP(features=(4,), classes=3, dropout=rate), IMAGES),
    "cnn": (lambda rate: cnn.CNN(features=(2,), classes=3, hidden=4, dropout=rate), IMAGES),
    "rnn": (
        lambda rate: rnn.RNN(11, "gru", width=4, depth=2, vocabulary=11, dropout=rate),
        TOKENS,
    ),
    "gpt": (
        lambda rate: gpt.GPT(vocabulary=11, length=6, width=4, depth=1, heads=2, dropout=rate),
        TOKENS,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_a_traced_rate(name):
    make, (inputs, targets) = MODELS[name]
    batch = {"input": inputs, "target": targets}

    def whole(rate):
        taught = gradient.supervised(make(rate), classification.cross_entropy, optax.sgd(0.1))
        state = taught.init(jax.random.key(0), batch)
        state, measured = taught.step(state, batch, jax.random.key(1))
        return measured, taught.evaluate(state, batch, jax.random.key(2))

    jaxpr = jax.make_jaxpr(whole)(0.5).jaxpr
    assert jaxpr.invars[0] in {v for equation in jaxpr.eqns for v in equation.invars if _hashed(v)}


def _hashed(variable):
    return not hasattr(variable, "val")
