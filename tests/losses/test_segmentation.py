"""Overlaps of classes against scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxdl import metrics
from jaxdl.losses import classification, segmentation


def drawn(*shape):
    """Logits of 5 classes, of which the target has the first four alone."""
    random = np.random.default_rng(0)
    target = random.integers(0, 4, shape).astype(np.int32)
    logits = random.normal(size=(*shape, 5)) + 2 * np.eye(5)[target]
    logits[..., 4] = -9.0  # claimed nowhere: it does not count
    return jnp.asarray(logits, jnp.float32), jnp.asarray(target)


@pytest.mark.parametrize("shape", [(3, 6, 7), (2, 4, 3, 5)])
def test_overlap_agrees_with_scikit_learn(shape):
    logits, target = drawn(*shape)
    halves = [
        segmentation.overlap(logits[part], {"target": target[part]})
        for part in (slice(0, 1), slice(1, None))
    ]
    found = metrics.values(metrics.merge(*map(jax.device_get, halves)))
    flat, claimed = np.ravel(target), np.ravel(logits.argmax(-1))
    assert found == pytest.approx(
        {
            "overlap/iou": sklearn.metrics.jaccard_score(flat, claimed, average="macro"),
            "overlap/dice": sklearn.metrics.f1_score(flat, claimed, average="macro"),
        }
    )


def test_dice_of_certain_claims_is_that_of_sets():
    _, target = drawn(3, 4, 4)
    other = jnp.roll(target, 1, axis=1)
    logits = 1e3 * jax.nn.one_hot(other, 5)
    measured = segmentation.cross_entropy_and_dice(logits, {"target": target})
    wanted = []
    for there, claimed in zip(np.asarray(target), np.asarray(other), strict=True):
        sizes = [(there == k).sum() + (claimed == k).sum() for k in range(5)]
        both = [((there == k) & (claimed == k)).sum() for k in range(5)]
        seen = [(there == k).any() for k in range(5)]
        dice = [2 * b / s for b, s, k in zip(both, sizes, seen, strict=True) if k]
        wanted.append(np.mean(dice))
    plain = classification.cross_entropy(logits, {"target": target})["loss"]
    assert measured["dice"].value() == pytest.approx(np.mean(wanted), rel=1e-5)
    assert measured["loss"].value() == pytest.approx(plain.value() + 1 - np.mean(wanted), rel=1e-5)


def test_dice_of_soft_claims_is_of_the_classes_that_are_there():
    target = np.array([[[0, 1], [1, 1]], [[2, 2], [2, 2]]])
    logits = np.random.default_rng(0).normal(size=(2, 2, 2, 3))
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mask = np.array([[[1, 1], [1, 0]], [[0, 0], [1, 0]]])

    def dice(n, k):
        there, claimed = (target[n] == k) * mask[n], chance[n, ..., k] * mask[n]
        return 2 * (there * claimed).sum() / (there.sum() + claimed.sum())

    batch = {"target": jnp.asarray(target), "mask": jnp.asarray(mask)}
    logits = jnp.asarray(logits, jnp.float32)
    measured = segmentation.cross_entropy_and_dice(logits, batch)
    each = np.array([(dice(0, 0) + dice(0, 1)) / 2, dice(1, 2)])
    assert measured["dice"].value() == pytest.approx(each.mean(), rel=1e-5)
    plain = classification.cross_entropy(logits, batch)["loss"].value()
    # Each example counts by its pixels: three and one.
    wanted = plain + (3 * (1 - each[0]) + 1 - each[1]) / 4
    assert measured["loss"].value() == pytest.approx(wanted, rel=1e-5)


def test_nothing_has_no_overlap():
    empty = segmentation.Overlap(np.zeros((3, 3)))
    assert all(np.isnan(value) for value in empty.value().values())
