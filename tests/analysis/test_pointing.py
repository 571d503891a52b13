"""The pointing game, on heat whose hits are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdl import errors, learner, metrics
from jaxdl.analysis import attribution, pointing


def test_the_largest_pixel_must_lie_in_the_box():
    heat = np.zeros((4, 6, 6, 2), np.float32)
    for i, (row, column) in enumerate([(1, 2), (4, 2), (1, 5), (3, 3)]):
        heat[i, row, column] = -1, -2
    heat[:, 0, 0] = 2, -0.5  # less than the 3 of both channels together
    box = jnp.asarray([[1, 2, 3, 2]] * 4)
    np.testing.assert_array_equal(pointing.hits(jnp.asarray(heat), box), [True, False, False, True])


def test_likeness_is_spearmans():
    one, other = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    expected = [
        stats.spearmanr(np.abs(a).ravel(), np.abs(b).ravel())[0]
        for a, b in zip(one, other, strict=True)
    ]
    found = pointing.alike(jnp.asarray(one, jnp.float32), jnp.asarray(other, jnp.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_equal_values_have_the_average_of_their_ranks():
    one, other = np.random.default_rng(0).integers(0, 4, (2, 3, 20))
    expected = [stats.spearmanr(a, b)[0] for a, b in zip(one, other, strict=True)]
    found = pointing.alike(jnp.asarray(one, jnp.float32), jnp.asarray(other, jnp.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert jnp.isnan(pointing.alike(jnp.ones((1, 7)), jnp.arange(7.0)[None])).all()


def test_the_game_is_played_by_the_network_and_by_an_untrained_one():
    place = {"taught": 7, "new": 0}  # the pixel of 3x3 that the score is made of

    def predict(state, batch):
        flat = batch["input"].reshape(len(batch["input"]), -1)
        return jnp.take(flat, state, axis=1)[:, None]

    taught = learner.Learner(
        lambda key, batch: jnp.int32(place["new"]),
        lambda state, batch, key: (state, {}),
        lambda state, batch, key: {"own": metrics.Mean.of(jnp.ones(2))},
        predict,
    )
    methods = {"saliency": lambda score, x, key: attribution.saliency(score, x)}
    batch = {
        "input": jnp.ones((3, 3, 3, 1)),
        "box": jnp.asarray([[2, 0, 1, 2]] * 2 + [[0, 0, 2, 2]]),
    }
    found = pointing.game(taught, methods).evaluate(
        jnp.int32(place["taught"]), batch, jax.random.key(0)
    )
    values = {name: metric.value() for name, metric in found.items()}
    wanted = {"pointing/chance": 8 / 27, "pointing/saliency": 2 / 3, "untrained/saliency": 1 / 3}
    assert values == pytest.approx({"own": 1, **wanted})
    with pytest.raises(errors.InputError, match="of a learner with `predict`"):
        pointing.game(taught._replace(predict=None), methods)
