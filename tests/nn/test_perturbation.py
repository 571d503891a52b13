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
LENGTH, STRIDE = 0.3, 0.08  # in Euclid's norm
WIDE = {"low": -9.0, "high": 9.0}  # where ART is to find the ball alone, see the script
X = jnp.asarray(FIXTURE["input"])


def loss(x, classes="target"):
    """The total cross-entropy of the fixture's network."""
    logits = MODEL.apply({"params": PARAMS}, x)
    return classification.cross_entropy(logits, {"target": jnp.asarray(FIXTURE[classes])})[
        "loss"
    ].total


def length(change):
    """Euclid's, of each example."""
    return np.linalg.norm(np.asarray(change).reshape(len(change), -1), axis=1)


def test_projected_descent_is_foolboxs_and_arts():
    found = jax.jit(lambda x: perturbation.descended(loss, x, x, EPSILON, STEP, STEPS))(X)
    np.testing.assert_allclose(found, FIXTURE["foolbox"], atol=2e-7)
    np.testing.assert_allclose(found, FIXTURE["art"], atol=2e-7)
    assert np.abs(found - X).max() > 0.1  # it did move


def test_in_euclids_norm_too():
    found = jax.jit(lambda x: perturbation.descended(loss, x, x, LENGTH, STRIDE, STEPS, norm="l2"))(
        X
    )
    np.testing.assert_allclose(found, FIXTURE["foolbox_l2"], atol=2e-7)
    assert (length(found - X) > 0.2).all()
    found = perturbation.descended(loss, X, X, LENGTH, STRIDE, STEPS, **WIDE, norm="l2")
    np.testing.assert_allclose(found, FIXTURE["art_l2"], atol=2e-6)  # it adds 1e-7 to each length


def test_towards_a_class():
    def nearer(x):
        return -loss(x, "wanted")

    found = perturbation.descended(nearer, X, X, EPSILON, STEP, STEPS)
    np.testing.assert_allclose(found, FIXTURE["foolbox_targeted"], atol=2e-7)
    np.testing.assert_allclose(found, FIXTURE["art_targeted"], atol=2e-7)
    found = perturbation.descended(nearer, X, X, LENGTH, STRIDE, STEPS, norm="l2")
    np.testing.assert_allclose(found, FIXTURE["foolbox_l2_targeted"], atol=2e-7)


def test_one_step_is_the_fast_gradient_sign_method():
    found = perturbation.descended(loss, X, X, EPSILON, EPSILON, 1)
    np.testing.assert_allclose(found, FIXTURE["foolbox_fgsm"], atol=2e-7)
    found = perturbation.descended(loss, X, X, LENGTH, LENGTH, 1, norm="l2")
    np.testing.assert_allclose(found, FIXTURE["foolbox_l2_fast"], atol=2e-7)
    found = perturbation.descended(loss, X, X, LENGTH, LENGTH, 1, **WIDE, norm="l2")
    np.testing.assert_allclose(found, FIXTURE["art_l2_fast"], atol=2e-6)


def test_of_a_linear_loss_the_worst_point_is_known():
    """w·x rises by epsilon times the sum of |w|, the corner, or times the length of w; no point of
    the ball has more.
    """
    weights = jnp.asarray([0.5, -2.0, 0.25, 1.0])
    x = jnp.full((3, 4), 0.5)
    for norm, most in (("linf", 3.75), ("l2", np.sqrt(5.3125))):
        start = perturbation.uniform(x, jax.random.key(0), 0.1, norm=norm)
        found = perturbation.descended(
            lambda z: (z @ weights).sum(), x, start, 0.1, 0.02, 60, norm=norm
        )
        np.testing.assert_allclose((found - x) @ weights, np.full(3, 0.1 * most), rtol=1e-4)


def test_it_stays_within_the_ball_and_the_range():
    for norm, size in (("linf", lambda change: np.abs(change).max()), ("l2", length)):
        start = perturbation.uniform(X, jax.random.key(1), EPSILON, norm=norm)
        assert len(np.unique(start - X)) > 20
        for found in (start, perturbation.descended(loss, X, start, EPSILON, 0.3, 5, norm=norm)):
            assert np.max(size(found - X)) <= EPSILON + 1e-6
            assert found.min() >= 0 and found.max() <= 1


def test_points_begin_all_over_a_round_ball():
    """Of a ball in three dimensions the radius to the third power is uniform, so is each axis."""
    x = jnp.full((4000, 3), 0.5)
    change = perturbation.uniform(x, jax.random.key(2), 0.2, norm="l2") - x
    share = np.sort((length(change) / 0.2) ** 3)
    np.testing.assert_allclose(share, np.linspace(0, 1, 4000), atol=0.03)
    upper = np.sort(np.asarray(change)[:, 0] / length(change))  # Archimedes: uniform from -1 to 1
    np.testing.assert_allclose(upper, np.linspace(-1, 1, 4000), atol=0.05)


def test_slopes_of_any_size_have_a_direction():
    slopes = jnp.asarray([[3e-30, 4e-30], [3e30, 4e30], [0.0, 0.0]])
    found = perturbation.steepest(slopes, "l2")
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-6)
