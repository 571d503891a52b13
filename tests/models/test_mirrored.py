"""A mirrored network gives a mirrored board the mirrored moves and the same value."""

import jax
import numpy as np

from jaxdl.models import mirrored, mlp


def test_a_board_and_its_mirror_image_are_judged_alike():
    model = mirrored.Mirrored(mlp.MLP(features=(8,), outputs=8))
    boards = jax.random.uniform(jax.random.key(1), (3, 6, 7, 2))
    variables = model.init(jax.random.key(0), boards)
    found = model.apply(variables, boards)
    other = model.apply(variables, boards[:, :, ::-1])
    np.testing.assert_allclose(other[:, :7], found[:, 6::-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other[:, 7], found[:, 7], rtol=1e-5, atol=1e-6)
    assert np.abs(found[:, :7] - found[:, 6::-1]).max() > 0.01
    alone = model.model.apply({"params": variables["params"]["model"]}, boards)
    assert alone.shape == found.shape
    assert np.abs(alone - found).max() > 0.01
