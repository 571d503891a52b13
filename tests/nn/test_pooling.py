"""Pools against PyTorch's (tests/fixtures/make_convolution.py) and closed forms."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.nn import pooling

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "convolution.npz")
POOLS = {
    "max": lambda x: pooling.max_pool(x),
    "max_overlapping": lambda x: pooling.max_pool(x, 3, stride=2, padding=1),
    "avg": lambda x: pooling.avg_pool(x),
    "avg_overlapping": lambda x: pooling.avg_pool(x, (3, 3), stride=(2, 2), padding=1),
}


@pytest.mark.parametrize("name", POOLS)
def test_agrees_with_pytorch(name):
    x, y, cotangent, dx = (FIXTURE[f"pool/{name}/{k}"] for k in ("x", "y", "cotangent", "dx"))
    ours, vjp = jax.vjp(jax.jit(POOLS[name]), jnp.asarray(x))
    np.testing.assert_allclose(ours, y, atol=1e-6)
    np.testing.assert_allclose(vjp(jnp.asarray(cotangent))[0], dx, atol=1e-6)


def test_equal_maxima_share_the_gradient():
    x = jnp.asarray([[1.0, 1.0], [0.0, 1.0]]).reshape(1, 2, 2, 1)
    gradient = jax.grad(lambda x: pooling.max_pool(x).sum())(x)
    np.testing.assert_allclose(gradient.reshape(2, 2), [[1 / 3, 1 / 3], [0, 1 / 3]], rtol=1e-6)


def test_max_pool_forward_mode_agrees_with_differences():
    x, dx = np.random.default_rng(0).normal(size=(2, 2, 4, 4, 3)).astype(np.float32)
    _, ours = jax.jvp(pooling.max_pool, (jnp.asarray(x),), (jnp.asarray(dx),))

    def tiles(a):
        return a.reshape(2, 2, 2, 2, 2, 3).transpose(0, 1, 3, 5, 2, 4).reshape(2, 2, 2, 3, 4)

    place = tiles(x).argmax(-1)[..., None]
    np.testing.assert_array_equal(ours, np.take_along_axis(tiles(dx), place, -1)[..., 0])


def test_max_pool_under_vmap_and_twice_differentiated():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2, 4, 4, 1)), jnp.float32)

    def energy(x):
        return (pooling.max_pool(x) ** 2).sum()

    np.testing.assert_array_equal(
        jax.vmap(jax.grad(energy))(x), jnp.stack([jax.grad(energy)(one) for one in x])
    )
    # Half the energy's second derivative along ones counts the windows: 4 for each image.
    ones = jnp.ones_like(x[0])
    _, curved = jax.jvp(jax.grad(energy), (x[0],), (ones,))
    assert float(curved.sum()) == 2 * 2 * 4


def test_keeps_bfloat16_and_not_a_number():
    x = jnp.ones((1, 4, 4, 2), jnp.bfloat16).at[0, 0, 0, 0].set(jnp.nan)
    for pool in POOLS.values():
        assert pool(x).dtype == jnp.bfloat16
    assert bool(jnp.isnan(pooling.max_pool(x)[0, 0, 0, 0]))
    assert jax.grad(lambda x: pooling.max_pool(x).sum())(x).dtype == jnp.bfloat16


def test_global_average():
    x = np.random.default_rng(2).normal(size=(2, 3, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(pooling.global_avg_pool(jnp.asarray(x)), x.mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize("options", [{"window": 0}, {"stride": 0}, {"padding": 2}, {"padding": -1}])
def test_refuses_impossible_sizes(options):
    with pytest.raises(errors.InputError, match="Pooling's"):
        pooling.max_pool(jnp.zeros((1, 4, 4, 1)), **options)
