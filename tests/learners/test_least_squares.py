"""Ridge regression against scikit-learn's, whatever the batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model

from jaxdl import errors, metrics
from jaxdl.learners import least_squares
from jaxdl.models import rbf

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(60, 2)).astype(np.float32)
NUMBERS = RANDOM.normal(size=(60, 2)).astype(np.float32)
LABELS = RANDOM.integers(0, 3, 60).astype(np.int32)
BASIS = rbf.Basis(units=6)


@pytest.mark.parametrize("classes", [None, 3])
def test_one_epoch_in_batches_is_scikit_learns_ridge(classes):
    target = NUMBERS if classes is None else LABELS
    taught = least_squares.ridge(BASIS, 0.01, classes=classes)
    batch = {"input": jnp.asarray(INPUTS), "target": jnp.asarray(target)}
    state = taught.init(jax.random.key(0), batch)
    assert (np.asarray(taught.predict(state, batch)) == 0).all()
    for part in (slice(0, 7), slice(7, 40), slice(40, 60)):
        state, _ = taught.step(state, jax.tree.map(lambda x: x[part], batch), None)  # noqa: B023
    features = np.asarray(BASIS.apply(state.features, batch["input"]), np.float64)
    wanted = target if classes is None else np.eye(3)[target]
    theirs = linear_model.Ridge(alpha=0.01 * 60).fit(features, wanted).predict(features)
    np.testing.assert_allclose(taught.predict(state, batch), theirs, rtol=1e-3, atol=1e-4)
    found = metrics.values(taught.evaluate(state, batch, None))
    assert found["loss"] == pytest.approx(np.mean((theirs - wanted) ** 2), rel=1e-4)
    if classes is not None:
        assert found["accuracy"] == pytest.approx(np.mean(theirs.argmax(1) == target))
    again, _ = taught.step(state, batch, None)  # a second epoch
    np.testing.assert_allclose(
        taught.predict(again, batch), taught.predict(state, batch), rtol=1e-3, atol=1e-4
    )


def test_a_negative_penalty_is_refused():
    with pytest.raises(errors.InputError, match="penalty must be at least 0, got -1"):
        least_squares.ridge(BASIS, -1)
