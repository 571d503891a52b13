"""Convolutions against PyTorch's (tests/fixtures/make_convolution.py), and the pooled one against
Flax's."""

import functools
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.nn import convolution, pooling

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "convolution.npz")
OPTIONS = {
    "narrow": {"padding": 1},
    "narrow_valid": {"padding": 0},
    "wide": {"padding": 1},
    "strided": {"padding": 1, "strides": 2},
    "grouped": {"padding": 1, "feature_group_count": 2},
    "dilated": {"padding": 2, "kernel_dilation": 2},
    "pointwise": {"padding": 0, "strides": 2},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_agrees_with_pytorch(name):
    x, y, cotangent, dx, kernel, dkernel = (
        jnp.asarray(FIXTURE[f"conv/{name}/{key}"])
        for key in ("x", "y", "cotangent", "dx", "kernel", "dkernel")
    )
    conv = nn.Conv(
        kernel.shape[-1],
        kernel.shape[:2],
        use_bias=False,
        conv_general_dilated=convolution.convolve,
        precision="highest",
        **OPTIONS[name],
    )

    @jax.jit
    def both(x, kernel):
        out, vjp = jax.vjp(lambda x, k: conv.apply({"params": {"kernel": k}}, x), x, kernel)
        return out, *vjp(cotangent)

    for ours, theirs in zip(both(x, kernel), (y, dx, dkernel), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pool", [pooling.max_pool, pooling.avg_pool])
@pytest.mark.parametrize("channels", [1, 8])
def test_bias_after_the_pool_is_the_same_function(pool, channels):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 6, channels)), jnp.float32)
    ours, flax = convolution.PooledConv(5, pool=pool), nn.Conv(5, (3, 3))
    params = flax.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(
        jnp.shape, params
    )
    params = {"params": params["params"] | {"bias": jnp.arange(5.0)}}

    def energy(apply, params):
        return (apply(params) ** 2).sum()

    got = jax.value_and_grad(functools.partial(energy, lambda p: ours.apply(p, x)))(params)
    want = jax.value_and_grad(functools.partial(energy, lambda p: pool(flax.apply(p, x))))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), got, want)


def test_many_narrow_kernels_at_once():
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(2, 6, 6, 1)), jnp.float32)
    kernels = jnp.asarray(rng.normal(size=(3, 3, 3, 1, 4)), jnp.float32)
    together = jax.jit(jax.vmap(convolution.convolve, in_axes=(None, 0)))(x, kernels)
    for ours, kernel in zip(together, kernels, strict=True):
        np.testing.assert_allclose(ours, convolution.convolve(x, kernel), atol=1e-5)


def test_computes_in_bfloat16_with_float32_parameters():
    x = jnp.ones((1, 4, 4, 1))
    out, variables = convolution.PooledConv(2, dtype=jnp.bfloat16).init_with_output(
        jax.random.key(0), x
    )
    assert out.dtype == jnp.bfloat16
    assert variables["params"]["kernel"].dtype == jnp.float32
