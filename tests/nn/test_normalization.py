"""Norms as fields: batch norm against its definition, and which statistics it uses when."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.nn import normalization


class Layer(nn.Module):
    norm: normalization.Norm

    @nn.compact
    def __call__(self, x, train=False):
        return normalization.normalize(self.norm, x, train, name="norm")


@pytest.mark.parametrize("shape", [(6, 3), (2, 4, 4, 3)])
def test_batch_norm_is_its_definition(shape):
    x = np.random.default_rng(0).normal(2.0, 3.0, size=shape).astype(np.float32)
    layer = Layer(functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5))
    variables = layer.init(jax.random.key(0), jnp.asarray(x))
    y, after = layer.apply(variables, jnp.asarray(x), train=True, mutable="batch_stats")
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-4)
    moved = after["batch_stats"]["norm"]
    np.testing.assert_allclose(moved["mean"], 0.1 * mean.ravel(), rtol=1e-4)
    np.testing.assert_allclose(moved["var"], 0.9 + 0.1 * var.ravel(), rtol=1e-4)
    evaluated = layer.apply({**variables, **after}, jnp.asarray(x))
    assert evaluated.shape == shape
    assert not np.allclose(evaluated, y)


def test_frozen_batch_norm_stays_frozen_in_training():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)), jnp.float32)
    layer = Layer(functools.partial(nn.BatchNorm, use_running_average=True))
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(layer.apply(variables, x, train=True), layer.apply(variables, x))


@pytest.mark.parametrize("norm", [nn.LayerNorm, functools.partial(nn.GroupNorm, num_groups=1)])
def test_other_norms_need_no_statistics(norm):
    variables = Layer(norm).init(jax.random.key(0), jnp.ones((2, 4, 4, 3)))
    assert set(variables) == {"params"}
