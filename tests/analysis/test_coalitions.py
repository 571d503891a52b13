"""Shapley values against shap's, and kernel SHAP against them."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.analysis import coalitions

KEPT = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "explain.npz")
X, BACKGROUND = KEPT["table/input"], KEPT["table/background"]


def score(x):
    w = [KEPT[f"table/{n}"] for n in ("hidden_0/kernel", "hidden_0/bias", "output/kernel")]
    hidden = jnp.tanh(jnp.dot(x, w[0], precision="highest") + w[1][None])
    return (jnp.dot(hidden, w[2], precision="highest") + KEPT["table/output/bias"][None])[:, 0]


@pytest.fixture(scope="module")
def played():
    value, laid = coalitions.game(score, X, BACKGROUND)
    return value, laid(coalitions.shapley(value, 6))


def test_exact_values_are_shaps(played):
    np.testing.assert_allclose(played[1], KEPT["table/shapley"], rtol=1e-5, atol=1e-5)


def test_the_kernel_over_all_coalitions_is_exact(played):
    found = coalitions.kernel_shap(played[0], 6, jax.random.key(0), samples=62)
    np.testing.assert_allclose(found, KEPT["table/shapley"], rtol=1e-4, atol=1e-5)


def test_the_drawn_kernel_comes_near_and_adds_up(played):
    twice = np.concatenate([X, X], axis=1)  # 12 features, of which the second six do nothing
    value, _ = coalitions.game(
        lambda x: score(x[:, :6]), twice, np.concatenate([BACKGROUND, BACKGROUND], axis=1)
    )
    found = coalitions.kernel_shap(value, 12, jax.random.key(0), samples=1920)
    wanted = np.concatenate([KEPT["table/shapley"], np.zeros_like(X)], axis=1)
    np.testing.assert_allclose(found, wanted, atol=0.05 * np.abs(wanted).max())
    change = score(X) - np.mean([score(b[None])[0] for b in BACKGROUND])
    np.testing.assert_allclose(found.sum(1), change, atol=1e-4)


def test_the_fewest_samples_allowed_are_enough_for_a_linear_game():
    wanted = jnp.arange(1.0, 11.0)
    for key in range(8):
        found = coalitions.kernel_shap(
            lambda mask: (mask * wanted).sum()[None], 10, jax.random.key(key), samples=20 + key
        )
        np.testing.assert_allclose(found[0], wanted, atol=1e-3)


def test_a_group_is_one_player_and_tokens_need_no_gradient():
    table = jnp.asarray([0.0, 1.0, 10.0, 100.0])

    def linear(tokens):
        return table[tokens].sum(1)

    x, nothing = np.array([[1, 2, 3], [3, 1, 1]]), np.zeros((1, 3), int)
    value, laid = coalitions.game(linear, x, nothing, groups=[0, 1, 1])
    assert coalitions.players([0, 1, 1], x) == 2 and coalitions.players(None, x) == 3
    found = laid(coalitions.shapley(value, 2))
    np.testing.assert_allclose(found, [[1, 55, 55], [100, 1, 1]], rtol=1e-6)
    single = coalitions.occlusion(linear, x, (1,))
    np.testing.assert_allclose(single, table[x], rtol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(errors.InputError, match="1 to 16 players, got 17"):
        coalitions.shapley(lambda mask: mask, 17)
    with pytest.raises(errors.InputError, match="at least twice its 30 players, got 40"):
        coalitions.kernel_shap(lambda mask: mask, 30, jax.random.key(0), samples=40)
    with pytest.raises(errors.InputError, match=r"must be inputs \(m, 6\), got \[4, 5\]"):
        coalitions.game(score, X, BACKGROUND[:, :5])
    with pytest.raises(errors.InputError, match="none left out"):
        coalitions.game(score, X, BACKGROUND, groups=[0, 0, 2, 2, 2, 3])
    for window, stride in (((7,), None), ((2,), (3,)), ((2, 2), None), ((0,), None)):
        with pytest.raises(errors.InputError, match=r"within \[6\]"):
            coalitions.occlusion(score, X, window, stride)
