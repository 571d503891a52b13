"""Layer norm against flax's, whose derivative is autodiff's: values, gradients, both modes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.nn import layer_norm


def setting():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 3, 8)) * 3 + 1, jnp.float32)
    params = {name: jnp.asarray(rng.standard_normal(8), jnp.float32) for name in ("scale", "bias")}
    return x, params, jnp.asarray(rng.standard_normal((2, 3, 8)), jnp.float32)


def values(module, x, params, weight):
    def function(x, params):
        return (module.apply({"params": params}, x) * weight).sum()

    gradient = jax.grad(function, (0, 1))
    product = jax.jit(lambda *at: jax.jvp(gradient, at, (weight, params)))(x, params)
    return module.apply({"params": params}, x), product


def test_equals_flax_in_value_gradient_and_second_derivative():
    ours = values(layer_norm.LayerNorm(), *setting())
    theirs = values(nn.LayerNorm(epsilon=1e-5, use_fast_variance=False), *setting())
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_computes_in_float32_and_returns_its_dtype():
    x, params, _ = setting()
    large = (x + 1000).astype(jnp.bfloat16)
    out = layer_norm.LayerNorm(dtype=jnp.bfloat16).apply({"params": params}, large)
    exact = layer_norm.LayerNorm().apply({"params": params}, large.astype(jnp.float32))
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(np.float32), exact, rtol=1e-2, atol=1e-2)
