"""Conformal sets and intervals: the promise is kept, and the scores are those of the papers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdl import errors
from jaxdl.analysis import calibration, conformal


def overconfident(count, sharpness=2.5, classes=6):
    """Logits too large by `sharpness`, and classes drawn from what they were before."""
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(count, classes)).astype(np.float32)
    target = (logits + random.gumbel(size=logits.shape)).argmax(1)
    return jnp.asarray(sharpness * logits), jnp.asarray(target, jnp.int32)


@pytest.mark.parametrize(("method", "coverage"), [("lac", 0.9), ("aps", 0.9), ("lac", 0.95)])
def test_sets_hold_the_truth_as_often_as_promised(method, coverage):
    logits, target = overconfident(2000)
    found = calibration.halves(logits, target, coverage=coverage, method=method, splits=100)
    assert found["coverage"].mean() == pytest.approx(coverage, abs=0.01)
    # A threshold from n examples and m examined ones: a beta-binomial share.
    n = m = 1000
    rank = math.ceil((n + 1) * coverage)
    spread = stats.betabinom(m, rank, n + 1 - rank).std() / m
    assert found["coverage"].std() == pytest.approx(spread, rel=0.25)


def test_the_promise_is_exact_on_average():
    # Of 99 uniform scores the 90th smallest is Beta(90, 10): of mean 0.9.
    draws = jax.random.uniform(jax.random.key(0), (4000, 99))
    found = jax.vmap(lambda scores: conformal.threshold(scores, 0.9))(draws)
    assert found.mean() == pytest.approx(0.9, abs=0.002)
    assert found.std() == pytest.approx(stats.beta(90, 10).std(), rel=0.05)


@pytest.mark.parametrize(("count", "coverage"), [(19, 0.9), (100, 0.6), (999, 0.95), (720, 0.98)])
def test_the_threshold_is_numpys_quantile(count, coverage):
    scores = np.random.default_rng(count).random(count).astype(np.float32)
    share = min(1, math.ceil(round((count + 1) * coverage, 6)) / count)
    wanted = np.quantile(scores, share, method="inverted_cdf")
    assert conformal.threshold(jnp.asarray(scores), coverage) == wanted


def test_too_few_examples_promise_everything():
    assert conformal.threshold(jnp.arange(8.0), 0.9) == jnp.inf
    assert conformal.threshold(jnp.arange(9.0), 0.9) == 8
    everything = conformal.sets(jnp.ones((2, 3)), jnp.asarray(jnp.inf))
    assert everything.all()


def test_strangeness_is_the_papers():
    logits, _ = overconfident(20)
    chances = np.asarray(jax.nn.softmax(logits), np.float64)
    np.testing.assert_allclose(conformal.strangeness(logits), 1 - chances, atol=1e-6)
    key = jax.random.key(1)
    drawn = np.asarray(jax.random.uniform(key, (20, 1)))[:, 0]
    for given, shares in ((None, np.ones(20)), (key, drawn)):
        wanted = np.empty_like(chances)
        for i, row in enumerate(chances):
            for k, chance in enumerate(row):
                wanted[i, k] = sum(p for p in row if p > chance) + shares[i] * chance
        found = conformal.strangeness(logits, "aps", given)
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_whole_shares_hold_the_truth_more_often():
    logits, target = overconfident(4000, sharpness=1.0)
    covered = {}
    for name, key in (("whole", None), ("random", jax.random.key(0))):
        strange = conformal.strangeness(logits, "aps", key)
        truth = strange[jnp.arange(4000), target]
        covered[name] = (truth <= 0.8).mean()
    # Of the true probabilities, a random share makes the truth's strangeness uniform.
    assert covered["random"] == pytest.approx(0.8, abs=0.02)
    assert covered["whole"] < covered["random"] - 0.1


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_intervals_hold_numbers_as_often_as_promised(coverage):
    outputs = jax.random.normal(jax.random.key(0), (3000, 2))
    noise = jax.random.normal(jax.random.key(1), (3000, 2)) * jnp.array([[1.0, 3.0]])
    found = conformal.halves(outputs, outputs + noise, coverage=coverage)
    assert found["coverage"].mean() == pytest.approx(coverage, abs=0.01)
    width = 2 * stats.norm.ppf((1 + coverage) / 2) * (1 + 3) / 2  # the mean of both columns
    assert found["width"].mean() == pytest.approx(width, rel=0.05)


def test_quantiles_are_moved_by_their_worst_misses():
    lower, upper = jnp.array([0.0, 0.0, 0.0]), jnp.array([1.0, 2.0, 3.0])
    target = jnp.array([1.5, 0.5, -1.0])
    misses = conformal.misses(lower, upper, target)
    np.testing.assert_allclose(misses, [0.5, -0.5, 1.0])
    border = conformal.threshold(misses, 0.5)  # the second of three
    np.testing.assert_allclose(conformal.widened(lower, upper, border), [lower - 0.5, upper + 0.5])


def test_bad_input_is_refused():
    with pytest.raises(errors.InputError, match="coverage must be between 0 and 1"):
        conformal.threshold(jnp.zeros(3), 1.0)
    with pytest.raises(errors.InputError, match="at least 2 to be halved"):
        conformal.halves(jnp.zeros((1, 1)), jnp.zeros((1, 1)))
