"""The grid of Gaussians against the numbers of its mixture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.data import gaussians


def test_the_mixture_has_the_published_means_and_unit_variance():
    grid = gaussians.Grid()
    scaled = grid.centres * np.sqrt(8)
    pairs = [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
    np.testing.assert_allclose(scaled, pairs, atol=1e-12)
    assert grid.sigma * np.sqrt(8) == pytest.approx(0.05)
    points = gaussians.draw(50_000, seed=0)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(points.T), np.eye(2), atol=0.02)
    assert np.array_equal(points, gaussians.draw(50_000, seed=0))
    assert not np.array_equal(points, gaussians.draw(50_000, seed=1))


def test_the_mixture_covers_itself():
    value = gaussians.coverage(jnp.asarray(gaussians.draw(100_000, seed=2))).value()
    assert value["modes"] == 25
    # A plane Gaussian is within r sigma with probability 1 - exp(-r²/2).
    assert value["inside"] == pytest.approx(1 - np.exp(-8), abs=4e-4)
    assert value["spread"] == pytest.approx(1, abs=0.01)
    # Twenty-five binomial frequencies: half the sum of their mean deviations.
    expected = 25 / 2 * np.sqrt(2 / np.pi * 0.04 * 0.96 / 100_000)
    assert value["variation"] == pytest.approx(expected, rel=0.5)


def test_coverage_by_hand():
    grid = gaussians.Grid(side=2, spacing=2.0, sigma=0.1)  # means at -1 and 1
    close, far = [1.0, -1.39], [1.0, 0.59]  # 3.9 and 4.1 sigma from (1, -1) and (1, 1)
    first = gaussians.coverage(jnp.float32([[-1, -1], close, far]), grid)
    second = gaussians.coverage(jnp.float32([[1, -1]]), grid)
    for joined in (
        metrics.merge({"grid": first}, {"grid": second})["grid"],
        gaussians.coverage(jnp.float32([[-1, -1], close, far, [1, -1]]), grid),
    ):
        np.testing.assert_array_equal(joined.nearest, [1, 0, 2, 1])
        np.testing.assert_array_equal(joined.inside, [1, 0, 2, 0])
        value = joined.value()
        assert value.pop("spread") == pytest.approx(3.9 / np.sqrt(3 * 2), rel=1e-5)
        assert value == {"modes": 2, "inside": 0.75, "variation": 0.25}


def test_a_mode_counts_from_a_tenth_of_its_share_on():
    grid = gaussians.Grid(side=2, spacing=2.0, sigma=0.1)
    corner = jnp.float32([1.0, 1.0])
    for alone, modes in ((24, 1), (25, 2)):  # of 1,000 samples, 250 were fair
        samples = jnp.tile(-corner, (1000, 1)).at[:alone].set(corner)
        assert jax.jit(lambda x: gaussians.coverage(x, grid))(samples).value()["modes"] == modes


def test_samples_that_are_no_numbers_are_outside():
    value = gaussians.coverage(jnp.full((10, 2), jnp.nan)).value()
    assert (value["modes"], value["inside"]) == (0, 0)


def test_no_points_are_refused():
    with pytest.raises(errors.InputError, match="count must be at least 1, got 0"):
        gaussians.draw(0, seed=0)


def test_the_picture_counts_samples_where_they_are():
    """The first row of pixels is the highest y; a sample outside is not seen."""
    samples = jnp.float32([[-1.99, 1.99], [1.99, 1.99], [1.99, 1.99], [2.01, 0], [0, -2.01]])
    pixels = np.asarray(gaussians.picture(samples))
    assert pixels.shape == (128, 128)
    assert np.argwhere(pixels < 1).tolist() == [[0, 0], [0, 127]]
    assert pixels[0, 127] < pixels[0, 0] < 1
