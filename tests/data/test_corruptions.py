"""Corruptions against SciPy and what their tables say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdl import errors
from jaxdl.data import corruptions

IMAGES = np.random.default_rng(0).uniform(0.2, 0.8, (3, 9, 7, 2)).astype(np.float32)
KEY = jax.random.key(0)


def spoiled(kind, severity, images=IMAGES):
    return np.asarray(corruptions.corrupted(jnp.asarray(images), KEY, kind, severity))


@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_each_severity_changes_more(kind):
    both = jax.jit(lambda x, s: corruptions.corrupted(x, KEY, kind, s))
    found = [np.asarray(both(IMAGES, s)) for s in corruptions.SEVERITIES]  # one program
    np.testing.assert_allclose(found[2], spoiled(kind, 3), atol=1e-6)
    apart = [np.abs(x - IMAGES).mean() for x in found]
    assert apart[0] > 0.01 and apart == sorted(apart)
    assert all(x.min() >= 0 and x.max() <= 1 for x in found)


def test_blur_is_scipys():
    for severity, deviation in ((1, 0.4), (5, 1.0)):
        wanted = ndimage.gaussian_filter(IMAGES, (0, deviation, deviation, 0), mode="nearest")
        np.testing.assert_allclose(spoiled("blur", severity), wanted, atol=1e-5)


def test_noise_has_its_deviation():
    grey = np.full((1, 100, 100, 1), 0.5, np.float32)
    assert abs(spoiled("noise", 1, grey).std() - 0.08) < 0.002
    assert abs(spoiled("noise", 2, grey).std() - 0.12) < 0.002


def test_a_shift_is_scipys():
    """By severity/28 of each side, one way or the other."""
    images = np.random.default_rng(1).random((8, 14, 28, 1), np.float32)
    ways = set()
    for image, found in zip(images, spoiled("shift", 4, images), strict=True):
        near = {
            (down, right): np.abs(
                ndimage.shift(image, (2 * down, 4 * right, 0), order=1) - found
            ).max()
            for down in (-1, 1)
            for right in (-1, 1)
        }
        way = min(near, key=near.__getitem__)
        assert near[way] < 1e-6
        ways.add(way)
    assert len(ways) > 2


def test_contrast_keeps_the_mean():
    found = spoiled("contrast", 1)
    mean = IMAGES.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(found - mean, 0.4 * (IMAGES - mean), atol=1e-6)


def test_what_there_is_not():
    with pytest.raises(errors.InputError, match="must be one of noise, blur, shift, contrast, got"):
        spoiled("fog", 1)
    with pytest.raises(errors.InputError, match="severity must be from 1 to 5, got 6"):
        spoiled("noise", 6)
