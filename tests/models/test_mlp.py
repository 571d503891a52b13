"""The multilayer perceptron against NumPy and its own rules."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import mlp


def test_agrees_with_numpy():
    x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    model = mlp.MLP(features=(6, 5), classes=4)
    logits, variables = model.init_with_output(jax.random.key(0), jnp.asarray(x))
    hidden = x.reshape(3, 8)
    for name in ("hidden_0", "hidden_1"):
        layer = variables["params"][name]
        hidden = np.maximum(
            hidden @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])[None], 0
        )
    last = variables["params"]["output"]
    want = hidden @ np.asarray(last["kernel"]) + np.asarray(last["bias"])[None]
    np.testing.assert_allclose(logits, want, atol=1e-5)


def test_activation_norm_and_dropout_are_fields():
    x = jax.random.normal(jax.random.key(1), (4, 8))
    model = mlp.MLP(outputs=1, act="tanh", norm=nn.BatchNorm, dropout=0.5)
    variables = model.init(jax.random.key(0), x)
    assert set(variables) == {"params", "batch_stats"}
    one, two = (
        model.apply(
            variables, x, train=True, rngs={"dropout": jax.random.key(i)}, mutable="batch_stats"
        )[0]
        for i in range(2)
    )
    assert one.shape == (4, 1)
    assert (one != two).any()
    np.testing.assert_array_equal(model.apply(variables, x), model.apply(variables, x))


def test_computes_in_bfloat16_with_float32_parameters():
    model = mlp.MLP(classes=3, dtype=jnp.bfloat16)
    logits, variables = model.init_with_output(jax.random.key(0), jnp.ones((2, 5)))
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(
    "fields, rule",
    [
        ({}, "either classes or outputs"),
        ({"classes": 2, "outputs": 1}, "either classes or outputs"),
        ({"classes": 0}, "MLP's classes must be at least 1, got 0."),
        ({"outputs": -1}, "MLP's outputs must be at least 1, got -1."),
        ({"classes": 2, "features": (8, 0)}, r"features must each be at least 1, got \(8, 0\)."),
        ({"classes": 2, "dropout": 1.0}, r"MLP's dropout must lie in \[0, 1\), got 1.0."),
        ({"classes": 2, "dropout": float("nan")}, "got nan"),
        ({"classes": 2, "act": "rellu"}, "flax.linen, got 'rellu'"),
    ],
)
def test_refuses_at_construction(fields, rule):
    with pytest.raises(errors.InputError, match=rule):
        mlp.MLP(**fields)
