"""Pictures of maps, against MiniSom's numbers and read back from their pixels."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.analysis import maps
from jaxdl.learners import competitive

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "competitive.npz")


def state(codebook):
    return competitive.State(jnp.asarray(codebook, jnp.float32), jnp.int32(0))


@pytest.mark.parametrize("cells", ["rectangular", "hexagonal"])
def test_distances_are_minisoms(cells):
    grid = competitive.Grid(5, 4, "square" if cells == "rectangular" else cells)
    apart = maps.distances(grid, np.asarray(FIXTURE[f"{cells}/online"][-1], np.float32))
    np.testing.assert_allclose(apart / apart.max(), FIXTURE[f"{cells}/distances"], atol=1e-6)


def test_pictures_lie_as_the_units_do():
    square_grid, bricks = competitive.Grid(2, 3), competitive.Grid(2, 3, "hexagonal")
    codebook = np.arange(6, dtype=np.float32)[:, None].repeat(4, 1)
    planes = maps.component_planes(square_grid, state(codebook)).pixels
    assert planes.shape == (4, 4, 6, 1)
    np.testing.assert_allclose(planes[0, ::2, ::2, 0], codebook[:, 0].reshape(2, 3) / 5)
    shown = maps.codebook_picture(bricks, state(codebook / 10), 2, 2).pixels[..., 0]
    np.testing.assert_allclose(shown[0], [0, 0, 0.1, 0.1, 0.2, 0.2, 0.5], atol=1e-6)
    np.testing.assert_allclose(shown[2], [0.5, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5], atol=1e-6)
    hits = maps.hit_picture(square_grid, state(codebook), codebook[[1, 1, 5]]).pixels
    np.testing.assert_allclose(hits[::2, ::2, 0], [[0, 1, 0], [0, 0, 0.5]])
    ridge = maps.distance_picture(competitive.Grid(1, 4), state([[0.0], [0], [9], [9]])).pixels
    np.testing.assert_allclose(ridge[0, ::2, 0], [0, 1, 1, 0])


def test_a_picture_must_hold_all_features():
    with pytest.raises(errors.InputError) as caught:
        maps.codebook_picture(competitive.Grid(1, 2), state([[0.0], [1]]), 2, 2)
    assert str(caught.value) == "Height times width must be the 1 features, got 2x2."
