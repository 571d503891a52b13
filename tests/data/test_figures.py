"""Made figures: who it is stays, how it is seen changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import figures
from jaxdl.losses import verification


def test_as_many_pictures_of_each_figure_the_same_again():
    train, test = figures.load(seen=6, unseen=5, pictures=8)
    assert train["input"].shape == (48, 16, 16, 1) and test["input"].shape == (40, 16, 16, 1)
    np.testing.assert_array_equal(train["target"], np.repeat(np.arange(6), 8))
    again = figures.load(seen=6, unseen=5, pictures=8)
    np.testing.assert_array_equal(again.train["input"], train["input"])
    assert not np.allclose(train["input"][:40], test["input"])


def test_pictures_of_a_figure_are_the_more_alike():
    _, test = figures.load(seen=2, unseen=12, pictures=12)
    flat = jnp.asarray(test["input"]).reshape(144, -1)
    target = jnp.asarray(test["target"])
    right = verification.pairs(flat, target).value()["eer"]
    shuffled = jax.random.permutation(jax.random.key(0), target)
    assert right < 0.4 < 0.45 < verification.pairs(flat, shuffled).value()["eer"]


def test_refusals():
    with pytest.raises(errors.InputError, match="must be at least 2, got 1, 40 and 20"):
        figures.load(seen=1)
