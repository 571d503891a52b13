"""A cross-validation against members that are trained one after another."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import datasets, linear_model, model_selection, pipeline, preprocessing

from jaxdl import errors, metrics
from jaxdl.data import splits, tabular
from jaxdl.learners import cross_validation, gradient, least_squares
from jaxdl.losses import classification, regression
from jaxdl.models import mlp, rbf

ONE = gradient.supervised(
    mlp.MLP(features=(5,), classes=3), classification.cross_entropy, optax.adam(0.1)
)


def test_members_learn_alone_and_are_asked_for_their_own_fold():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(30, 4)).astype(np.float32)
    target = np.arange(30, dtype=np.int32) % 3
    train, test = jax.tree.map(jnp.asarray, tuple(splits.folds(inputs, target, 3, seed=0)))
    taught = cross_validation.of(ONE, classification.cross_entropy, folds=3)
    state = taught.init(jax.random.key(0), train)
    after, measured = jax.jit(taught.step)(state, train, jax.random.key(1))
    outputs, losses = np.zeros((30, 3)), []
    for i in range(3):
        mine = jax.tree.map(lambda x, i=i: x[:, i], train)
        alone = ONE.init(jax.random.split(jax.random.key(0), 3)[i], mine)
        alone, found = ONE.step(alone, mine, jax.random.key(5))
        losses.append(found["loss"].value())
        rows = test["fold"] == i
        outputs[rows] = ONE.predict(alone, {"input": test["input"][rows]})
    np.testing.assert_allclose(taught.predict(after, test), outputs, atol=1e-5)
    assert measured["loss"].value() == pytest.approx(np.mean(losses), rel=1e-5)
    found = metrics.values(taught.evaluate(after, test, None))
    assert found["accuracy"] == pytest.approx(np.mean(outputs.argmax(1) == target))


class Whole(rbf.nn.Module):
    """The inputs as features."""

    def __call__(self, x):
        return x


def test_the_score_of_ridge_is_scikit_learns_cross_validation():
    train, test = jax.tree.map(jnp.asarray, tuple(tabular.diabetes_folds(5, seed=1)))
    size = train["input"].shape[0]
    taught = cross_validation.of(
        least_squares.ridge(Whole(), 10 / size), regression.determination(5), folds=5
    )
    state = taught.init(jax.random.key(0), train)
    state, _ = taught.step(state, train, jax.random.key(0))
    found = metrics.values(taught.evaluate(state, test, None))
    data = datasets.load_diabetes(scaled=False)
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge(10))
    cuts = model_selection.KFold(5, shuffle=True, random_state=1)
    theirs = model_selection.cross_val_score(model, data.data, data.target, cv=cuts)
    assert found["r2"] == pytest.approx(theirs.mean(), abs=1e-3)  # 442 = 4 · 354 + 353 examples


def test_what_does_not_fit_is_refused():
    with pytest.raises(errors.InputError, match="folds must be at least 2, got 1"):
        cross_validation.of(ONE, folds=1)
    with pytest.raises(errors.InputError, match="of a learner with `predict`"):
        cross_validation.of(ONE._replace(predict=None), folds=2)
    taught = cross_validation.of(ONE, folds=2)
    with pytest.raises(errors.InputError, match=r"must be \(b, 2, ...\), got \[6, 3\]"):
        taught.init(jax.random.key(0), {"input": jnp.zeros((6, 3))})
