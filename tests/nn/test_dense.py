"""The affine layer against flax's, and its derivative against autodiff's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.nn import dense


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_flax_at_every_rank(shape, use_bias):
    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)
    variables = nn.Dense(3, use_bias).init(jax.random.key(0), x)
    ours, theirs = (
        dense.Dense(3, use_bias).apply(variables, x),
        nn.Dense(3, use_bias).apply(variables, x),
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    same = jax.tree.structure(dense.Dense(3, use_bias).init(jax.random.key(0), x))
    assert same == jax.tree.structure(variables)


def test_gradients_against_autodiff():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4))
    layer = dense.Dense(5)
    variables = layer.init(jax.random.key(1), x)
    kernel = variables["params"]["kernel"]

    def plain(x, kernel, bias):
        return jnp.sin(x @ kernel + bias[None, None]).sum()

    def ours(x, kernel, bias):
        return jnp.sin(dense.affine(x, kernel, bias)).sum()

    arguments = (x, kernel, jnp.arange(5.0))
    a, b = (jax.value_and_grad(f, (0, 1, 2))(*arguments) for f in (ours, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-5), a, b)
    np.testing.assert_allclose(layer.apply(variables, x), x @ kernel, rtol=1e-6, atol=1e-6)
