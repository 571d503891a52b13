"""Losses of classes against PyTorch's, scikit-learn's and optax's."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import sklearn.metrics

from jaxdl import metrics
from jaxdl.losses import classification

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "gradient.npz")


def drawn(*shape: int, seed: int = 0, scale: float = 3.0):
    """Logits, and targets one axis shorter."""
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(rng.normal(scale=scale, size=shape), jnp.float32)
    return logits, jnp.asarray(rng.integers(0, shape[-1], shape[:-1]), jnp.int32)


def total(logits, target):
    """What learners differentiate."""
    return classification.cross_entropy(logits, {"target": target})["loss"].total


@pytest.mark.parametrize("name", ["plain", "extreme"])
def test_cross_entropy_and_its_gradient_agree_with_pytorch(name):
    logits, target, losses, gradient = (
        jnp.asarray(FIXTURE[f"cross_entropy/{name}/{key}"])
        for key in ("logits", "target", "losses", "gradient")
    )
    ours, ours_gradient = jax.jit(jax.value_and_grad(total))(logits, target)
    assert np.isfinite(ours)
    np.testing.assert_allclose(ours, losses.sum(), rtol=1e-6)
    np.testing.assert_allclose(ours_gradient, gradient, atol=1e-6)


def test_cross_entropy_agrees_with_scikit_learn():
    logits, target = drawn(50, 6)
    measured = metrics.values(classification.cross_entropy(logits, {"target": target}))
    probability = scipy.special.softmax(np.asarray(logits, np.float64), -1)
    expected = sklearn.metrics.log_loss(target, probability, labels=range(6))
    assert measured["loss"] == pytest.approx(expected, rel=1e-5)
    assert measured["accuracy"] == pytest.approx(
        sklearn.metrics.accuracy_score(target, np.argmax(logits, -1))
    )


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 4, 7)], ids=str)
def test_any_leading_axes(shape):
    logits, target = drawn(*shape)
    loss = classification.cross_entropy(logits, {"target": target})["loss"]
    expected = optax.losses.softmax_cross_entropy_with_integer_labels(logits, target)
    np.testing.assert_allclose(loss.total, expected.sum(), rtol=1e-5)
    assert float(loss.count) == expected.size


def test_gradient_is_that_of_the_textbook():
    logits, target = drawn(9, 5)

    def textbook(logits):
        probability = jnp.exp(logits) / jnp.exp(logits).sum(-1, keepdims=True)
        return -jnp.log(probability[jnp.arange(9), target]).sum()

    np.testing.assert_allclose(
        jax.grad(total)(logits, target), jax.grad(textbook)(logits), atol=1e-6
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_extreme_logits_stay_finite(dtype):
    logits = jnp.asarray([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [1e4, 1e4, 1e4]], dtype)
    target = jnp.asarray([1, 0, 2])
    loss, gradient = jax.value_and_grad(total)(logits, target)
    high = float(logits[0, 0])
    assert float(loss) == pytest.approx(4 * high + np.log(2) + np.log(3), rel=1e-6)
    expected = [[1, -1, 0], [-1, 0.5, 0.5], [1 / 3, 1 / 3, -2 / 3]]
    np.testing.assert_allclose(gradient.astype(jnp.float32), expected, atol=2e-3)


def test_classes_ruled_out_by_minus_infinity():
    logits = jnp.asarray([[0.0, -jnp.inf, 0.0]])
    loss, gradient = jax.value_and_grad(total)(logits, jnp.asarray([2]))
    assert float(loss) == pytest.approx(np.log(2))
    np.testing.assert_allclose(gradient, [[0.5, 0, -0.5]], atol=1e-7)


def test_half_precision_logits_are_summed_in_single():
    logits, target = drawn(64, 300, seed=1)
    half = logits.astype(jnp.bfloat16)
    loss, gradient = jax.value_and_grad(total)(half, target)
    assert loss.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16
    exact = total(half.astype(jnp.float32), target)
    np.testing.assert_allclose(loss, exact, rtol=1e-6)


@pytest.mark.parametrize(
    ("logits", "right"),
    [([1.0, 2.0, 0.0], 1), ([2.0, 2.0, 0.0], 0), ([2.0, 1.0, 0.0], 0)],
    ids=["largest", "tied", "second"],
)
def test_right_is_strictly_the_largest(logits, right):
    measured = classification.cross_entropy(jnp.asarray([logits]), {"target": jnp.asarray([1])})
    assert float(measured["accuracy"].total) == right


def test_no_number_is_never_right():
    nothing = jnp.full((4, 3), jnp.nan)
    measured = classification.cross_entropy(nothing, {"target": jnp.asarray([0, 1, 2, 0])})
    assert float(measured["accuracy"].total) == 0 and np.isnan(measured["loss"].value())


@pytest.mark.parametrize("outside", [-1, 5, 1000])
def test_a_target_outside_the_classes_is_no_loss(outside):
    logits, target = drawn(4, 5)
    target = target.at[1].set(outside)
    measured = metrics.values(classification.cross_entropy(logits, {"target": target}))
    right = np.argmax(logits, -1) == np.asarray(target)
    assert np.isnan(measured["loss"]) and measured["accuracy"] == right.mean()


def test_soft_labels_are_the_mean_over_their_classes():
    logits, target = drawn(6, 5)
    label = jax.random.dirichlet(jax.random.key(0), jnp.ones(5), (6,))
    measured = classification.cross_entropy(logits, {"target": label})
    wanted = optax.losses.softmax_cross_entropy(logits, label)
    np.testing.assert_allclose(measured["loss"].total, wanted.sum(), rtol=1e-5)
    picked = label[jnp.arange(6), logits.argmax(-1)]
    np.testing.assert_allclose(measured["accuracy"].total, picked.sum(), rtol=1e-5)
    hard = classification.cross_entropy(logits, {"target": jax.nn.one_hot(target, 5)})
    plain = classification.cross_entropy(logits, {"target": target})
    assert metrics.values(hard) == pytest.approx(metrics.values(plain))


def test_a_soft_label_leaves_out_a_class_ruled_out():
    logits = jnp.asarray([[0.0, -jnp.inf, 0.0]])
    label = jnp.asarray([[0.25, 0.0, 0.75]])

    def loss(logits):
        return classification.cross_entropy(logits, {"target": label})["loss"].total

    value, gradient = jax.value_and_grad(loss)(logits)
    assert float(value) == pytest.approx(np.log(2))
    np.testing.assert_allclose(gradient, [[0.25, 0, -0.25]], atol=1e-7)


def test_targets_kept_as_bytes():
    """A vocabulary wider than the targets' type: no two classes may share a number."""
    logits, target = drawn(20, 600, seed=2)
    target = target % 200
    narrow = total(logits, target.astype(jnp.uint8))
    np.testing.assert_array_equal(narrow, total(logits, target))


def test_next_token_in_nats_and_bits():
    logits, target = drawn(3, 8, 11)
    measured = metrics.values(classification.in_bits(logits, {"target": target}))
    rows = scipy.special.softmax(np.asarray(logits, np.float64), -1).reshape(-1, 11)
    nats = sklearn.metrics.log_loss(np.ravel(target), rows, labels=range(11))
    assert measured == pytest.approx(
        {
            "loss": nats,
            "bits": nats / np.log(2),
            "accuracy": float(np.mean(np.argmax(logits, -1) == np.asarray(target))),
        },
        rel=1e-5,
    )


def test_binary_scores_agree_with_scikit_learn():
    logits, target = drawn(200, 2, seed=3, scale=1.0)
    measured = metrics.values(classification.binary_scores(logits, {"target": target}))
    positive = jax.nn.softmax(logits)[:, 1]
    predicted = np.argmax(logits, -1)
    assert measured["scores/auroc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(target, positive), abs=2e-3
    )
    assert measured["scores/auprc"] == pytest.approx(
        sklearn.metrics.average_precision_score(target, positive), abs=5e-3
    )
    assert measured["confusion/f1"] == pytest.approx(
        sklearn.metrics.f1_score(target, predicted, average="macro")
    )


def test_confusion_takes_the_most_likely_class():
    logits, target = drawn(80, 4, seed=4)
    matrix = classification.confusion(logits, {"target": target})["confusion"].matrix
    np.testing.assert_array_equal(
        matrix, sklearn.metrics.confusion_matrix(target, np.argmax(logits, -1))
    )


def test_ranking_is_scikit_learns_where_probabilities_round_to_one():
    random = np.random.default_rng(0)
    target = (random.random(500) < 0.05).astype(np.int32)
    logits = (random.normal(size=(500, 2)) * 5 + 40 * np.array([[1, 0]])).astype(np.float32)
    logits[:, 1] += 8 * target
    parts = [
        classification.ranking(jnp.asarray(logits[half]), {"target": jnp.asarray(target[half])})
        for half in (slice(0, 200), slice(200, 500))
    ]
    found = metrics.values(metrics.merge(*parts))
    scores = logits[:, 1] - logits[:, 0]
    wanted = sklearn.metrics.average_precision_score(target, scores)
    assert found["ranking/average_precision"] == pytest.approx(wanted, rel=1e-9)
    wanted = sklearn.metrics.roc_auc_score(target, scores)
    assert found["ranking/auroc"] == pytest.approx(wanted, rel=1e-9)
    one_class = classification.ranking(jnp.zeros((3, 2)), {"target": jnp.zeros(3, int)})
    assert np.isnan(list(metrics.values(one_class).values())).all()


def test_only_what_the_mask_shows_counts():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 5))
    target, mask = jnp.array([[0, 1, 9], [2, 3, 4]]), jnp.array([[1, 1, 0], [0, 1, 1]])
    measured = classification.cross_entropy(logits, {"target": target, "mask": mask})
    shown = logits[mask > 0], {"target": target[mask > 0]}
    wanted = classification.cross_entropy(*shown)
    for name in ("loss", "accuracy"):
        assert measured[name].count == 4
        np.testing.assert_allclose(measured[name].total, wanted[name].total, rtol=1e-6)
