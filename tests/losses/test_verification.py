"""Margins between embeddings against their equations, the error rate against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from jaxdl import metrics
from jaxdl.losses import verification

RANDOM = np.random.default_rng(0)


def test_equal_error_rate_is_where_scikit_learns_curve_crosses():
    target = RANDOM.integers(0, 4, 60)
    embeddings = RANDOM.normal(size=(60, 5)) + 1.5 * np.eye(5)[target]
    found = metrics.values(
        {"pairs": verification.pairs(jnp.asarray(embeddings, jnp.float32), jnp.asarray(target))}
    )
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(60, 1)
    cosine, same = (units @ units.T)[first, second], target[first] == target[second]
    passed, let, _ = sklearn.metrics.roc_curve(same, cosine)
    crossing = np.argmin(np.abs(1 - let - passed))
    assert found["pairs/eer"] == pytest.approx((1 - let + passed)[crossing] / 2, abs=4e-3)
    assert found["pairs/auroc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(same, cosine), abs=2e-3
    )


def test_error_rates_at_the_ends():
    bins = np.zeros(10)
    apart = verification.Pairs(np.eye(10)[8], np.eye(10)[2])
    assert apart.value()["eer"] == pytest.approx(0, abs=1e-9)
    wrong = verification.Pairs(np.eye(10)[2], np.eye(10)[8])
    assert wrong.value()["eer"] == pytest.approx(1)
    blind = verification.Pairs(np.full(10, 3.0), np.full(10, 5.0))
    assert blind.value()["eer"] == pytest.approx(0.5)
    assert np.isnan(verification.Pairs(bins, bins).value()["eer"])


def test_arcface_is_its_equation():
    cosines = RANDOM.uniform(-0.8, 0.99, (6, 4))
    target = RANDOM.integers(0, 4, 6)
    logits = 10.0 * cosines
    rows = np.arange(6)
    logits[rows, target] = 10.0 * np.cos(np.arccos(cosines[rows, target]) + 0.4)
    wanted = -scipy.special.log_softmax(logits, -1)[rows, target]
    found = verification.arcface(
        jnp.asarray(cosines, jnp.float32), jnp.asarray(target), scale=10.0, margin=0.4
    )
    assert found["loss"].value() == pytest.approx(wanted.mean(), rel=1e-4)
    assert found["accuracy"].value() == pytest.approx((cosines.argmax(-1) == target).mean())


def test_arcface_goes_on_falling_and_has_gradients_at_the_ends():
    def loss(cosine):
        row = jnp.stack([cosine, jnp.float32(0)])[None]
        return verification.arcface(row, jnp.array([0]), 10.0, 0.5)["loss"].total

    losses = [float(loss(jnp.float32(x))) for x in (-1.0, -0.95, -0.9, 0.0, 0.9, 1.0)]
    assert losses == sorted(losses, reverse=True)
    slopes = [float(jax.grad(loss)(jnp.float32(x))) for x in (-1.0, 1.0)]
    assert np.isfinite(slopes).all()


def test_triplets_are_the_hardest_of_the_batch():
    embeddings, target = RANDOM.normal(size=(7, 3)), np.array([0, 0, 0, 1, 1, 2, 1])
    wanted = []
    for i in range(7):
        apart = [np.linalg.norm(embeddings[i] - other) for other in embeddings]
        own = [apart[j] for j in range(7) if j != i and target[j] == target[i]]
        if own:  # the only one of its class has no triplet
            nearest = min(apart[j] for j in range(7) if target[j] != target[i])
            wanted.append(max(0, 0.2 + max(own) - nearest))
    found = verification.triplet(jnp.asarray(embeddings, jnp.float32), jnp.asarray(target))["loss"]
    assert float(found.count) == len(wanted) == 6
    assert found.value() == pytest.approx(np.mean(wanted), rel=1e-4)
    slope = jax.grad(lambda x: verification.triplet(x, jnp.asarray(target))["loss"].total)(
        jnp.ones((7, 3))
    )
    assert np.isfinite(slope).all()
