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


def test_batch_norm_has_flax_gradients_forwards_and_backwards():
    """Also those of the second order, and under vmap: the barriers are nothing but in the way."""
    random = np.random.default_rng(2)
    x, v = (jnp.asarray(random.normal(size=(3, 4, 4, 2)), jnp.float32) for _ in range(2))
    ours, theirs = Layer(nn.BatchNorm), nn.BatchNorm(use_running_average=False)
    variables = ours.init(jax.random.key(0), x)

    def own(x):
        return jnp.sum(ours.apply(variables, x, True, mutable="batch_stats")[0] ** 3)

    def plain(x):
        given = {kind: tree["norm"] for kind, tree in variables.items()}
        return jnp.sum(theirs.apply(given, x, mutable="batch_stats")[0] ** 3)

    for of in (
        jax.grad,
        lambda f: lambda x: jax.jvp(f, (x,), (v,))[1],
        lambda f: lambda x: jax.jvp(jax.grad(f), (x,), (v,))[1],
        lambda f: lambda x: jax.vmap(jax.grad(f))(jnp.stack([x, v])),
    ):
        np.testing.assert_allclose(jax.jit(of(own))(x), of(plain)(x), rtol=2e-4, atol=2e-4)


def test_frozen_batch_norm_stays_frozen_in_training():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)), jnp.float32)
    layer = Layer(functools.partial(nn.BatchNorm, use_running_average=True))
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(layer.apply(variables, x, train=True), layer.apply(variables, x))


@pytest.mark.parametrize("norm", [nn.LayerNorm, functools.partial(nn.GroupNorm, num_groups=1)])
def test_other_norms_need_no_statistics(norm):
    variables = Layer(norm).init(jax.random.key(0), jnp.ones((2, 4, 4, 3)))
    assert set(variables) == {"params"}
