"""The rectifier, against Flax's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.nn import activation


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_values_and_gradients_are_those_of_flax(dtype):
    x = jnp.asarray([-np.inf, -2.0, -0.0, 0.0, 1e-30, 3.0, np.inf, np.nan], dtype)
    found, wanted = activation.relu(x), nn.relu(x)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.astype(jnp.float32), wanted.astype(jnp.float32))
    slopes = [jax.vmap(jax.grad(f))(x[:-1]) for f in (activation.relu, nn.relu)]
    np.testing.assert_array_equal(*slopes)


def test_a_residual_chain_is_not_computed_anew():
    """What the compiled gradient of eight blocks reads and writes does not grow with their square:
    of a maximum, XLA:CPU's fusions have four times the operations.
    """

    def operations(act):
        def loss(kernels, x):
            for kernel in kernels:
                y = jax.lax.conv(x, kernel, (1, 1), "SAME")
                x = act(x + y)
            return x.sum()

        kernels = [jnp.ones((4, 4, 3, 3))] * 8
        compiled = jax.jit(jax.grad(loss)).lower(kernels, jnp.ones((2, 4, 8, 8))).compile()
        return compiled.as_text().count(" add(")

    assert operations(activation.relu) < 0.7 * operations(nn.relu)
