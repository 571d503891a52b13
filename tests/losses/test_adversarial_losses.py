"""Losses of two players and the gradient penalty against PyTorch and closed forms.

The fixture: tests/fixtures/make_adversarial.py.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.losses import adversarial
from jaxdl.models import mlp

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "adversarial.npz")
KEY = jax.random.key(0)
REAL, MADE = (jnp.asarray(FIXTURE[f"losses/{name}"]) for name in ("real", "made"))
GAMES = {
    "non_saturating": adversarial.non_saturating,
    "hinge": adversarial.hinge,
    "least_squares": adversarial.least_squares,
    "wasserstein": adversarial.wasserstein,
}


@pytest.mark.parametrize("name", GAMES)
def test_losses_are_pytorchs(name):
    game = GAMES[name]()
    critic, slopes = jax.value_and_grad(lambda *x: game.critic(*x).mean(), (0, 1))(REAL, MADE)
    generator, slope = jax.value_and_grad(lambda x: game.generator(x).mean())(MADE)
    for found, wanted in (
        (critic, "critic"),
        (slopes[0], "critic/real"),
        (slopes[1], "critic/made"),
        (generator, "generator"),
        (slope, "generator/made"),
    ):
        np.testing.assert_allclose(found, FIXTURE[f"losses/{name}/{wanted}"], rtol=1e-5, atol=1e-7)


def test_scores_of_patches_are_averaged():
    outputs = jax.random.normal(KEY, (5, 4, 3, 1))
    wanted = np.asarray(outputs).reshape(5, 12).mean(1)
    np.testing.assert_allclose(adversarial.scores(outputs), wanted, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(adversarial.scores(outputs[:, 0, 0]), outputs[:, 0, 0, 0])


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 4, 4, 2)])
def test_outputs_that_are_no_scores_are_refused(shape):
    with pytest.raises(errors.InputError, match=r"^A critic must give scores of shape \(b, 1\)"):
        adversarial.scores(jnp.ones(shape))


def test_only_wasserstein_has_a_penalty():
    weights = [game().penalty for game in GAMES.values()]
    assert weights == [None, None, None, 10.0]


@pytest.mark.parametrize("norm", [1.0, 0.5, 3.0])
def test_a_linear_critics_penalty_is_its_norms_distance_from_one(norm):
    """Of a linear critic the slope is its weights; with unit norm the penalty is 0."""
    weights = jax.random.normal(KEY, (3, 4))
    weights = norm * weights / jnp.linalg.norm(weights)
    points = jax.random.normal(jax.random.key(1), (5, 3, 4))
    found = adversarial.gradient_penalty(lambda x: (x * weights[None]).sum((1, 2)) + 7, points)
    np.testing.assert_allclose(found, np.full(5, (norm - 1) ** 2), rtol=1e-5, atol=1e-12)


def test_the_penalty_and_its_gradient_are_pytorchs():
    critic = mlp.MLP(features=(8, 8), outputs=1, act="tanh")
    layers, leaves = ("hidden_0", "hidden_1", "output"), ("kernel", "bias")
    params = {
        layer: {leaf: FIXTURE[f"penalty/critic/{layer}/{leaf}"] for leaf in leaves}
        for layer in layers
    }

    def penalties(params):
        return adversarial.gradient_penalty(
            lambda x: critic.apply({"params": params}, x)[:, 0],
            jnp.asarray(FIXTURE["penalty/points"]),
        )

    np.testing.assert_allclose(penalties(params), FIXTURE["penalty/values"], rtol=1e-5)
    gradient = jax.grad(lambda params: penalties(params).mean())(params)
    for layer in layers:
        for leaf in leaves:
            path = f"{layer}/{leaf}"  # a bias that the slope does not depend on has none in PyTorch
            wanted = FIXTURE.get(f"penalty/gradient/{path}", np.zeros(1))
            np.testing.assert_allclose(gradient[layer][leaf], wanted, rtol=1e-5, atol=1e-7)


def test_a_flat_critic_has_a_penalty_of_one_and_no_gradient():
    """The norm has no slope at zero: PyTorch's is 0 there, a plain root's would be NaN."""

    def penalty(scale):
        critic = adversarial.gradient_penalty(lambda x: scale * x.sum(-1), jnp.ones((4, 3)))
        return critic.sum()

    assert float(penalty(0.0)) == pytest.approx(4, rel=1e-5)
    assert float(jax.grad(penalty)(0.0)) == 0


def test_points_lie_evenly_on_the_lines_between_pairs():
    real, made = jnp.zeros((2000, 1, 2)), jnp.broadcast_to(jnp.float32([[1, -2]]), (2000, 1, 2))
    points = adversarial.between(real, made, KEY)
    np.testing.assert_allclose(points[..., 1], -2 * points[..., 0], rtol=1e-6)  # one share a pair
    share = np.sort(np.asarray(points[:, 0, 0]))
    np.testing.assert_allclose(share, (np.arange(2000) + 0.5) / 2000, atol=0.04)


@pytest.mark.parametrize("penalty", [0, -1.0])
def test_a_penalty_must_be_positive(penalty):
    with pytest.raises(errors.InputError, match=f"^penalty must be positive, got {penalty}\\.$"):
        adversarial.wasserstein(penalty)
