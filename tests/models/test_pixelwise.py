"""A function of each pixel alone."""

import jax
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import mlp, pixelwise

KEY = jax.random.key(0)


def test_it_is_the_perceptron_of_each_pixel():
    images = jax.random.normal(KEY, (2, 3, 4, 2))
    outputs, variables = pixelwise.Pixelwise(features=(5,), channels=3).init_with_output(
        KEY, images
    )
    pixels = images.reshape(-1, 2)
    wanted = mlp.MLP(features=(5,), outputs=3).apply(variables, pixels)
    np.testing.assert_allclose(outputs.reshape(-1, 3), wanted, atol=1e-6)


def test_bad_fields_are_refused():
    with pytest.raises(errors.InputError, match="Pixelwise's features must each be at least 1"):
        pixelwise.Pixelwise(features=(0,))
    with pytest.raises(errors.InputError, match="Pixelwise's channels must be at least 1, got 0"):
        pixelwise.Pixelwise(channels=0)
