"""Changes of colours against Pillow's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from jaxdl import errors
from jaxdl.data import augment, colour

KEY = jax.random.key(0)
BYTES = np.random.default_rng(0).integers(60, 190, (12, 10, 3)).astype(np.uint8)
PILLOWS = {
    colour.brightness: ImageEnhance.Brightness,
    colour.contrast: ImageEnhance.Contrast,
    colour.saturation: ImageEnhance.Color,
}


@pytest.mark.parametrize("change", PILLOWS)
def test_each_is_pillows_by_some_factor(change):
    image = jnp.asarray(BYTES / 255.0, jnp.float32)
    some = jnp.broadcast_to(image[None], (200, *image.shape))
    changed = np.asarray(augment.each(functools.partial(change, amount=0.3))(some, KEY))
    enhancer = PILLOWS[change](Image.fromarray(BYTES))
    none, full = (np.asarray(enhancer.enhance(x), np.float64) / 255 for x in (0, 1))
    away = full - none  # linear in the factor: its least-squares estimate for each image
    factors = ((changed - none) * away).sum((1, 2, 3)) / (away**2).sum()
    assert np.abs(factors - 1).max() <= 0.3 + 0.01
    assert np.histogram(factors, 3, (0.7, 1.3))[0].min() > 45
    for i in (0, 1, 2):
        wanted = np.asarray(enhancer.enhance(factors[i]), np.float64) / 255
        np.testing.assert_allclose(changed[i], wanted, atol=1.5 / 255)  # Pillow rounds twice


def test_values_stay_within_their_range():
    image = jnp.asarray([[[0.0, 0.9, 1.0], [1.0, 0.1, 0.5]]])
    for change in PILLOWS:
        changed = jax.vmap(lambda key, change=change: change(image, key, amount=0.9))(
            jax.random.split(KEY, 50)
        )
        assert float(changed.min()) >= 0 and float(changed.max()) <= 1


def test_grey_images_have_contrast_and_no_other_number_of_channels():
    image = jnp.asarray([[[0.2], [0.6]]])
    changed = colour.contrast(image, KEY, amount=0.5)
    assert float(changed.mean()) == pytest.approx(0.4) and not np.allclose(changed, image)
    with pytest.raises(errors.InputError, match="Colours must be of 1 or 3 channels, got 2"):
        colour.grey(jnp.ones((1, 1, 2)))
