"""Learning from moved examples: closed forms of a linear model, and both losses by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special, stats

from jaxdl import errors, metrics
from jaxdl.learners import adversarial_training
from jaxdl.losses import classification

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
BATCH = {
    "input": jnp.asarray(RANDOM.uniform(0.3, 0.7, (8, 5)), jnp.float32),
    "target": jnp.asarray(RANDOM.integers(0, 2, 8)),
}
BALL = adversarial_training.Ball(0.1, 0.05, steps=10, examined=12)


class Linear(nn.Module):
    """Two logits, 0 and w·x."""

    @nn.compact
    def __call__(self, x, train=False):
        score = nn.Dense(1, use_bias=False, name="output")(x)
        return jnp.concatenate([jnp.zeros_like(score), score], -1)


def robust(beta=None, ball=BALL):
    return adversarial_training.robust(Linear(), optax.sgd(0.1), ball, beta=beta)


def weights(state):
    return np.asarray(state.params["output"]["kernel"][:, 0], np.float64)


def logits(x, w):
    return np.stack([np.zeros(len(x)), np.asarray(x, np.float64) @ w], -1)


def test_the_step_descends_the_loss_of_the_worst_corner():
    """Of a linear model it is known: each coordinate epsilon against the label's sign."""
    state = robust().init(KEY, BATCH)
    w, target = weights(state), np.asarray(BATCH["target"])
    sign = np.where(target == 1, -1, 1)[:, None]
    worst = np.asarray(BATCH["input"], np.float64) + BALL.epsilon * sign * np.sign(w)
    each = -special.log_softmax(logits(worst, w), -1)[np.arange(8), target]
    slope = ((special.softmax(logits(worst, w), -1)[:, 1] - target)[:, None] * worst).mean(0)
    after, measured = jax.jit(robust().step)(state, BATCH, KEY)
    assert measured["loss"].value() == pytest.approx(each.mean(), rel=1e-5)
    np.testing.assert_allclose(weights(after), w - 0.1 * slope, atol=1e-6)
    right = (logits(worst, w).argmax(-1) == target).mean()
    assert measured["robust_accuracy"].value() == pytest.approx(right)


def test_the_evaluation_finds_the_worst_corner_too():
    state = robust().init(KEY, BATCH)
    w, target = weights(state), np.asarray(BATCH["target"])
    sign = np.where(target == 1, -1, 1)[:, None]
    worst = np.asarray(BATCH["input"], np.float64) + BALL.epsilon * sign * np.sign(w)
    found = metrics.values(robust().evaluate(state, BATCH, KEY))
    assert found["robust_accuracy"] == (logits(worst, w).argmax(-1) == target).mean()
    assert found["accuracy"] == (logits(BATCH["input"], w).argmax(-1) == target).mean()


def test_trades_weighs_how_far_the_prediction_moves():
    """By SciPy, at the corner where it is farthest: all coordinates up the slope, or all down."""
    state = robust(3.0).init(KEY, BATCH)
    w, target, x = weights(state), np.asarray(BATCH["target"]), np.asarray(BATCH["input"])
    near = special.softmax(logits(x, w), -1)
    corners = [x + side * BALL.epsilon * np.sign(w) for side in (-1, 1)]
    apart = [stats.entropy(near, special.softmax(logits(c, w), -1), axis=-1) for c in corners]
    clean = -special.log_softmax(logits(x, w), -1)[np.arange(8), target].mean()
    _, measured = jax.jit(robust(3.0).step)(state, BATCH, KEY)
    found = measured["loss"].value()
    # An attack may end at the lesser of the two corners, but at no other point.
    low, high = clean + 3 * np.min(apart, 0).mean(), clean + 3 * np.max(apart, 0).mean()
    assert low - 1e-6 <= found <= high + 1e-6 and found > clean


def test_without_a_ball_it_is_plain_learning():
    ball = BALL._replace(epsilon=0.0)
    state = robust(ball=ball).init(KEY, BATCH)
    _, measured = robust(ball=ball).step(state, BATCH, KEY)
    plain = classification.cross_entropy(
        Linear().apply({"params": state.params}, BATCH["input"]), BATCH
    )
    assert measured["loss"].value() == pytest.approx(plain["loss"].value(), rel=1e-6)


def test_refuses():
    for field, value, message in (
        ("epsilon", -0.1, "Ball.epsilon must be at least 0, got -0.1"),
        ("steps", 0, "Ball.steps must be at least 1, got 0"),
        ("high", 0.0, "Ball.low must be below Ball.high"),
    ):
        with pytest.raises(errors.InputError, match=message):
            robust(ball=BALL._replace(**{field: value}))
    with pytest.raises(errors.InputError, match="beta must be at least 0, got -1"):
        robust(-1)
