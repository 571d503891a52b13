"""Climbing a score: a linear one has a best input in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.analysis import visualise


def test_the_best_input_of_a_linear_score():
    kernel = np.random.default_rng(0).normal(size=(5, 5, 1)).astype(np.float32)

    def score(x):
        return (x * kernel[None]).sum((1, 2, 3))

    start = jnp.zeros((2, 5, 5, 1))
    found = visualise.best_inputs(score, start, jax.random.key(0), steps=400, penalty=0.5)
    np.testing.assert_allclose(found, np.stack([kernel, kernel]), atol=1e-3)  # w / (2 penalty)
    bounded = visualise.best_inputs(
        score, start, jax.random.key(0), steps=100, penalty=0.0, bounds=(0.0, 1.0)
    )
    np.testing.assert_allclose(bounded[0], kernel > 0, atol=1e-6)
    smooth = visualise.best_inputs(score, start, jax.random.key(0), penalty=0.5, roughness=1.0)
    assert jnp.abs(jnp.diff(smooth, axis=1)).sum() < 0.6 * jnp.abs(jnp.diff(found, axis=1)).sum()


def test_jitter_forgets_the_place():
    def score(x):
        return x[:, 2, 2, 0]

    start = jnp.zeros((1, 5, 5, 1))
    still, moved = (
        visualise.best_inputs(score, start, jax.random.key(0), penalty=0.5, jitter=jitter)[
            0, ..., 0
        ]
        for jitter in (0, 1)
    )
    assert (jnp.abs(still) > 0.01).sum() == 1
    assert float(still[2, 2]) == pytest.approx(1, abs=1e-3)  # 1 / (2 penalty)
    assert float(moved[1:4, 1:4].mean()) == pytest.approx(1 / 9, abs=0.03)
    assert (moved[0] == 0).all() and moved[1:4, 1:4].max() < 0.5


def test_bad_input_is_refused():
    with pytest.raises(errors.InputError, match="must hold floats, got int32"):
        visualise.best_inputs(lambda x: x, jnp.ones((1, 2), jnp.int32), jax.random.key(0))
    with pytest.raises(errors.InputError, match="inputs with space"):
        visualise.best_inputs(lambda x: x, jnp.ones((1, 2)), jax.random.key(0), jitter=1)
