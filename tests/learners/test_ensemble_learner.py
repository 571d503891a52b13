"""An ensemble against its members, each by itself, and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from jaxdl import errors, metrics
from jaxdl.learners import ensemble, gradient
from jaxdl.losses import likelihood
from jaxdl.models import mlp

RANDOM = np.random.default_rng(0)
CLASSES = likelihood.categorical()
ONE = gradient.supervised(mlp.MLP(features=(5,), classes=3), CLASSES.loss, optax.adam(0.1))
BATCH = {
    "input": jnp.asarray(RANDOM.normal(size=(12, 4)), jnp.float32),
    "target": jnp.asarray(RANDOM.integers(0, 3, 12), jnp.int32),
}


def test_members_learn_alone_from_parts_of_the_batch():
    taught = ensemble.of(ONE, CLASSES, members=3)
    state = jax.jit(taught.init)(jax.random.key(0), BATCH)
    init, step = jax.jit(ONE.init), jax.jit(ONE.step)
    after, measured = jax.jit(taught.step)(state, BATCH, jax.random.key(1))
    losses, outputs = [], []
    for i in range(3):
        part = jax.tree.map(lambda x, i=i: x[4 * i : 4 * i + 4], BATCH)
        alone = init(jax.random.split(jax.random.key(0), 3)[i], part)
        alone, found = step(alone, part, jax.random.key(5))
        mine = jax.tree.map(lambda x, i=i: x[i], after.params)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), mine, alone.params)
        losses.append(found["loss"].value())
        outputs.append(np.asarray(ONE.predict(alone, BATCH)))
    assert measured["loss"].value() == pytest.approx(np.mean(losses), rel=1e-5)
    chances = special.softmax(np.stack(outputs), axis=-1)
    predicted = special.softmax(taught.predict(after, BATCH), axis=-1)
    np.testing.assert_allclose(predicted, chances.mean(0), atol=1e-5)
    found = metrics.values(jax.jit(taught.evaluate)(after, BATCH, jax.random.key(0)))
    single = -np.log(chances[:, np.arange(12), BATCH["target"]]).mean()
    assert found["single/loss"] == pytest.approx(single, rel=1e-4) and found["loss"] < single


def test_bad_ensembles_are_refused():
    with pytest.raises(errors.InputError, match="members must be at least 1, got 0"):
        ensemble.of(ONE, CLASSES, members=0)
    with pytest.raises(errors.InputError, match="of a learner with `predict`"):
        ensemble.of(ONE._replace(predict=None), CLASSES, members=2)
    with pytest.raises(errors.InputError, match="members must divide the batch size 12, got 5"):
        ensemble.of(ONE, CLASSES, members=5).init(jax.random.key(0), BATCH)
