"""Affine maps of images: the identity, and moments that move as they should."""

import numpy as np
import pytest

from jaxdl.data import affine


def blobs(count):
    """Images of one smooth spot, 4 wide and 2 high in standard deviation, in the middle."""
    rows, columns = np.mgrid[:33, :33] - 16
    image = np.exp(-(rows**2) / 8 - columns**2 / 32)
    return np.tile(image[None, ..., None].astype(np.float32), (count, 1, 1, 1))


def moments(image):
    """Centre and covariance of the brightness, rows first."""
    weights = image[..., 0] / image.sum()
    places = np.indices(weights.shape).reshape(2, -1)
    centre = places @ weights.ravel()
    away = places - centre[:, None]
    return centre - 16, (away * weights.ravel()) @ away.T


def test_nothing_asked_nothing_changed():
    images = np.random.default_rng(0).random((3, 7, 8, 2)).astype(np.float32)
    same = affine.changed(images, degrees=0.0, shear=0.0, stretch=0.0, pixels=0.0)
    np.testing.assert_allclose(same, images, atol=1e-6)
    assert not np.allclose(affine.changed(images), affine.changed(images, seed=1))


def test_turns_keep_the_form_and_show_their_angle():
    angles = []
    for image in affine.changed(blobs(60), degrees=30.0, shear=0.0, stretch=0.0, pixels=0.0):
        centre, spread = moments(image)
        np.testing.assert_allclose(centre, 0, atol=0.05)
        np.testing.assert_allclose(np.linalg.eigvalsh(spread), (4.2, 16), rtol=0.06)
        angles.append(np.degrees(np.arctan2(2 * spread[0, 1], spread[1, 1] - spread[0, 0]) / 2))
    assert np.max(np.abs(angles)) <= 30.5
    assert np.histogram(angles, 3, (-30, 30))[0].min() > 10


def test_stretches_shears_and_moves():
    for image in affine.changed(blobs(20), degrees=0.0, shear=0.0, stretch=0.25, pixels=0.0):
        height, width = np.sqrt(np.diag(moments(image)[1]))
        assert 1.4 < height < 2.6 and 2.9 < width < 5.05
    for image in affine.changed(blobs(20), degrees=0.0, shear=0.25, stretch=0.0, pixels=0.0):
        spread = moments(image)[1]
        assert abs(spread[0, 1] / spread[0, 0]) < 0.26  # columns go with rows
        assert spread[0, 0] == pytest.approx(4.2, rel=0.06)
    moved = affine.changed(blobs(20), degrees=0.0, shear=0.0, stretch=0.0, pixels=2.0)
    centres = np.array([moments(image)[0] for image in moved])
    assert 1.2 < np.abs(centres).max() <= 2.05
