"""Attacks against foolbox and ART (tests/fixtures/make_perturbation.py), and in closed form."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.nn import perturbation

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "perturbation.npz")
MODEL = mlp.MLP(features=(16,), classes=3, act="tanh")
PARAMS = {
    layer: {leaf: jnp.asarray(FIXTURE[f"{layer}/{leaf}"]) for leaf in ("kernel", "bias")}
    for layer in ("hidden_0", "output")
}
EPSILON, STEP, STEPS = 0.15, 0.04, 12
X = jnp.asarray(FIXTURE["input"])


def loss(x):
    """The total cross-entropy of the fixture's network."""
    logits = MODEL.apply({"params": PARAMS}, x)
    return classification.cross_entropy(logits, {"target": jnp.asarray(FIXTURE["target"])})[
        "loss"
    ].total


def test_projected_descent_is_foolboxs_and_arts():
    found = jax.jit(lambda x: perturbation.descended(loss, x, x, EPSILON, STEP, STEPS))(X)
    np.testing.assert_allclose(found, FIXTURE["foolbox"], atol=2e-7)
    np.testing.assert_allclose(found, FIXTURE["art"], atol=2e-7)
    assert np.abs(found - X).max() > 0.1  # it did move


def test_one_step_is_the_fast_gradient_sign_method():
    found = perturbation.descended(loss, X, X, EPSILON, EPSILON, 1)
    np.testing.assert_allclose(found, FIXTURE["foolbox_fgsm"], atol=2e-7)


def test_of_a_linear_loss_the_worst_point_is_a_corner():
    """The loss w·x rises by epsilon times the sum of |w|, and no point of the ball has more."""
    weights = jnp.asarray([0.5, -2.0, 0.25, 1.0])
    x = jnp.full((3, 4), 0.5)
    start = perturbation.uniform(x, jax.random.key(0), 0.1)
    found = perturbation.descended(lambda z: (z @ weights).sum(), x, start, 0.1, 0.02, 20)
    np.testing.assert_allclose((found - x) @ weights, np.full(3, 0.1 * 3.75), rtol=1e-5)


def test_it_stays_within_the_ball_and_the_range():
    start = perturbation.uniform(X, jax.random.key(1), EPSILON)
    assert len(np.unique(start - X)) > 20
    for found in (start, perturbation.descended(loss, X, start, EPSILON, 0.3, 5)):
        assert np.abs(found - X).max() <= EPSILON + 1e-6
        assert found.min() >= 0 and found.max() <= 1
