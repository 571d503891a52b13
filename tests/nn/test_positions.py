"""Rotary positions against complex numbers in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.nn import positions


def by_complex_numbers(x, steps, base):
    half = x.shape[-1] // 2
    number = x[..., :half].astype(np.float64) + 1j * x[..., half:]
    rate = base ** (-2 * np.arange(half) / x.shape[-1])
    turned = number * np.exp(1j * steps[:, None] * rate)[None, :, None]
    return np.concatenate([turned.real, turned.imag], axis=-1)


@pytest.mark.parametrize("base", [10_000.0, 100.0])
def test_equals_complex_rotation(base):
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 8)).astype(np.float32)
    steps = np.array([0, 1, 2, 3, 50, 51, 300])
    out = positions.rotate(jnp.asarray(x), jnp.asarray(steps), base)
    np.testing.assert_allclose(out, by_complex_numbers(x, steps, base), rtol=1e-4, atol=1e-4)


def test_products_depend_on_the_difference_alone():
    x = jnp.asarray(np.random.default_rng(1).standard_normal((1, 5, 1, 8)), jnp.float32)
    near, far = (positions.rotate(x, jnp.arange(5) + start) for start in (0, 40))
    products = [jnp.einsum("bthd,bshd->bts", y, y) for y in (near, far)]
    np.testing.assert_allclose(products[0], products[1], rtol=1e-4, atol=1e-4)


def test_an_odd_width_is_refused():
    with pytest.raises(errors.InputError, match="even width per head, got 3"):
        positions.rotate(jnp.zeros((1, 2, 1, 3)), jnp.arange(2))
