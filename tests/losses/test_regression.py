"""Losses of real numbers against scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxdl import errors, metrics
from jaxdl.losses import regression


@pytest.mark.parametrize("shape", [(9,), (9, 1), (9, 4)], ids=str)
def test_squared_error_agrees_with_scikit_learn(shape):
    rng = np.random.default_rng(0)
    outputs, target = (jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in range(2))
    loss = regression.squared_error(outputs, {"target": target})["loss"]
    expected = sklearn.metrics.mean_squared_error(target, outputs)
    assert loss.value() == pytest.approx(expected, rel=1e-5)
    gradient = jax.grad(lambda y: regression.squared_error(y, {"target": target})["loss"].total)
    np.testing.assert_allclose(gradient(outputs), 2 * (outputs - target), rtol=1e-6)


def test_half_precision_outputs_are_compared_in_single():
    outputs, target = jnp.asarray([[100.5]], jnp.bfloat16), jnp.asarray([[100.25]], jnp.float32)
    assert regression.squared_error(outputs, {"target": target})["loss"].value() == 0.0625


def test_shapes_must_agree():
    with pytest.raises(
        errors.InputError, match=r"must have the target's shape \(3,\), got \(3, 1\)\."
    ):
        regression.squared_error(jnp.zeros((3, 1)), {"target": jnp.zeros(3)})
    with pytest.raises(errors.InputError, match=r"one shape \(b, d\), got \(3, 1\) and \(3,\)"):
        regression.determination()(jnp.zeros((3, 1)), {"target": jnp.zeros(3)})


def test_the_root_is_of_all_batches_together_and_of_what_counts():
    outputs, target = jnp.array([[1.0, 5], [2, 9]]), jnp.zeros((2, 2))
    mask = jnp.array([[1.0, 0], [1, 0]])
    parts = [
        regression.root_mean_square(outputs[n : n + 1], {"target": target[:1], "mask": mask[:1]})
        for n in range(2)
    ]
    assert metrics.merge(*parts)["rmse"].value() == pytest.approx(2.5**0.5)
