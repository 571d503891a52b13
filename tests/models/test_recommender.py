"""Recommenders against their equations and a matrix that they can complete exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.data import ratings
from jaxdl.learners import gradient
from jaxdl.models import recommender

PAIRS = jnp.array([[0, 1], [2, 0], [0, 0]], jnp.int32)


def test_a_rating_is_what_the_equation_says():
    model = recommender.Factorisation(users=3, items=2, rank=2, mean=1.5)
    params = model.init(jax.random.key(0), PAIRS)["params"]
    assert jax.tree.map(jnp.shape, params) == {
        "mean": (),
        "user": {"embedding": (3, 2)}, "user_bias": {"embedding": (3, 1)},
        "item": {"embedding": (2, 2)}, "item_bias": {"embedding": (2, 1)},
    }  # fmt: skip
    assert params["mean"] == 1.5
    params = jax.tree.map(lambda x: x + jax.random.normal(jax.random.key(x.size), x.shape), params)
    found = model.apply({"params": params}, PAIRS)
    user, item = (np.asarray(params[name]["embedding"]) for name in ("user", "item"))
    above, beside = (np.asarray(params[f"{name}_bias"]["embedding"]) for name in ("user", "item"))
    target = np.float32([1, 2, 3])
    for row, (i, j) in enumerate(PAIRS.tolist()):
        wanted = params["mean"] + above[i, 0] + beside[j, 0] + user[i] @ item[j]
        assert found.rating[row] == pytest.approx(float(wanted), abs=1e-5)
        squares = (user[i] ** 2).sum() + (item[j] ** 2).sum() + above[i, 0] ** 2 + beside[j, 0] ** 2
        assert found.squares[row] == pytest.approx(float(squares), abs=1e-5)
    measured = recommender.squared_error(0.1)(found, {"target": target})
    wrong = ((found.rating - target) ** 2).mean()
    assert measured["squared_error"].value() == pytest.approx(float(wrong), abs=1e-5)
    wanted = wrong + 0.1 * found.squares.mean()
    assert measured["loss"].value() == pytest.approx(float(wanted), abs=1e-5)


def test_a_matrix_of_its_own_kind_is_completed_exactly():
    """Rank 2 and biases, four fifths seen: the rest is determined."""
    random = np.random.default_rng(0)
    truth = random.normal(size=(12, 2)) @ random.normal(size=(2, 10))
    truth += random.normal(size=(12, 1)) + random.normal(size=10)[None] + 3
    pairs = random.permutation(np.argwhere(np.ones((12, 10)))).astype(np.int32)
    target = truth[pairs[:, 0], pairs[:, 1]].astype(np.float32)
    seen, asked = (
        {"input": jnp.asarray(pairs[at]), "target": jnp.asarray(target[at])}
        for at in (slice(96), slice(96, 120))
    )
    model = recommender.Factorisation(12, 10, rank=2, mean=3.0)
    learner = gradient.supervised(model, recommender.squared_error(), optax.adam(0.03))
    state = learner.init(jax.random.key(1), seen)

    def step(state, _):
        return learner.step(state, seen, jax.random.key(0))[0], None

    state, _ = jax.jit(lambda state: jax.lax.scan(step, state, length=2000))(state)
    found = metrics.values(jax.device_get(learner.evaluate(state, asked, jax.random.key(0))))
    assert found["squared_error"] < 1e-4 * target.var()


def test_two_towers_are_cosines_and_a_softmax_over_the_batch():
    model = recommender.TwoTowers(width=3, features=(4,), temperature=0.5)
    keys = jax.random.split(jax.random.key(0), 3)
    x = {"user": jax.random.normal(keys[0], (5, 6)), "item": jax.random.normal(keys[1], (5, 2))}
    variables = jax.tree.map(lambda a: a + 0.1, model.init(keys[2], x))  # no bias is zero
    scores = np.asarray(model.apply(variables, x))
    units = []
    for name in ("user", "item"):
        tower = jax.tree.map(np.asarray, variables["params"][name])
        known = np.asarray(x[name])
        hidden = np.maximum(known @ tower["hidden_0"]["kernel"] + tower["hidden_0"]["bias"], 0)
        out = (hidden @ tower["output"]["kernel"]) + tower["output"]["bias"]
        units.append(out / np.linalg.norm(out, axis=1, keepdims=True))
    np.testing.assert_allclose(scores, units[0] @ units[1].T / 0.5, atol=1e-5)
    found = recommender.in_batch(jnp.asarray(scores), {})
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert found["loss"].value() == pytest.approx(-np.log(np.diag(shares)).mean(), abs=1e-5)
    right = (scores.argmax(1) == np.arange(5)).mean()
    assert found["accuracy"].value() == pytest.approx(right)


def test_planted_ratings_have_the_deviations_they_say():
    train, test = ratings.planted()
    assert len(train["input"]) == len(test["input"]) == 20_000
    pairs = np.concatenate([train["input"], test["input"]])
    assert len(np.unique(pairs, axis=0)) == 40_000 and pairs.max(0).tolist() == [499, 399]
    assert np.std(test["target"]) == pytest.approx(np.sqrt(1 + 2 * 0.25 + 0.25), abs=0.06)
    exact = ratings.planted(tastes=2, noise=0.0)
    noisy = ratings.planted(tastes=2, noise=0.1)
    np.testing.assert_array_equal(exact.train["input"], noisy.train["input"])
    gap = exact.train["target"] - noisy.train["target"]
    assert gap.std() == pytest.approx(0.1, abs=0.003)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: recommender.Factorisation(0, 2), "users must be at least 1, got 0"),
        (lambda: recommender.Factorisation(2, 2, rank=0), "rank must be at least 1, got 0"),
        (lambda: recommender.TwoTowers(temperature=0.0), "temperature must be positive, got 0.0"),
        (lambda: ratings.planted(seen=0.6), "must leave half for the test, got 0.6"),
        (lambda: ratings.planted(tastes=0), "tastes must be at least 1, got 0"),
        (
            lambda: recommender.TwoTowers().init(jax.random.key(0), {"user": jnp.zeros((1, 2))}),
            "must have user and item, got user",
        ),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(errors.InputError, match=message):
        make()
