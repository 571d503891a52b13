"""The U-Net against PyTorch's (fixtures/make_unet.py), and its published size."""

import functools
import pathlib
import re

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import unet

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "unet.npz")


def tree(part):
    """The arrays whose names begin so, as variables are nested."""
    found = {
        key.removeprefix(part + "/"): jnp.asarray(FIXTURE[key])
        for key in FIXTURE
        if key.startswith(part + "/")
    }
    return flax.traverse_util.unflatten_dict(found, sep="/")


@pytest.mark.parametrize("dimensions", [2, 3])
def test_agrees_with_pytorch(dimensions):
    params, gradient, statistics = (
        tree(f"{dimensions}/{part}") for part in ("params", "gradient", "statistics")
    )
    x, y, cotangent, dx, evaluated = (
        jnp.asarray(FIXTURE[f"{dimensions}/{key}"])
        for key in ("x", "y", "cotangent", "dx", "evaluated")
    )
    model = unet.UNet(classes=3, features=(4, 6), dimensions=dimensions)
    begun = jax.tree.map(jnp.zeros_like, statistics)

    @jax.jit
    def both(params, x):
        def output(params, x):
            return model.apply(
                {"params": params, "batch_stats": begun}, x, train=True, mutable="batch_stats"
            )

        found, vjp, _ = jax.vjp(output, params, x, has_aux=True)
        return found, vjp(cotangent)

    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    with jax.default_matmul_precision("highest"):
        found, (slopes, dfound) = both(params, x)
        seen = model.apply({"params": params, "batch_stats": statistics}, x)
    close(found, y, rtol=1e-5, atol=1e-5)
    close(seen, evaluated, rtol=1e-5, atol=1e-5)
    close(dfound, dx)
    jax.tree.map(close, slopes, gradient)


def test_number_of_parameters_and_their_places():
    for model, side, rules in (
        (unet.unet(), (16, 16, 1), unet.RULES),
        (unet.UNet(3, features=(4, 8), dimensions=3), (4, 4, 4, 1), unet.VOLUME_RULES),
    ):
        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *side)))
        for path, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items():
            found = [axes for pattern, axes in rules if re.search(pattern, path)]
            assert found and len(found[0]) == leaf.ndim, path
        if side == (16, 16, 1):
            # Figure 1's layers counted: 3x3 convolutions, 2x2 transposed ones, all with a bias.
            assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 31_030_658


def test_refuses_what_does_not_halve():
    model = unet.UNet(classes=2, features=(4, 8, 8))
    for shape in ((1, 8, 6, 1), (1, 8, 8, 8, 1)):
        with pytest.raises(errors.InputError, match="2 axes of space, each a multiple of 4"):
            jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
    with pytest.raises(errors.InputError, match="UNet's dimensions must be 1, 2 or 3, got 4"):
        unet.UNet(classes=2, dimensions=4)
