"""Mixtures of predictions against NumPy, SciPy's densities, and pairs counted one by one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxdl import errors, metrics
from jaxdl.losses import likelihood

RANDOM = np.random.default_rng(0)
LOGITS = (2 * RANDOM.normal(size=(4, 30, 3))).astype(np.float32)
TARGET = RANDOM.integers(0, 3, 30).astype(np.int32)
CLASSES = likelihood.categorical()
CHANCES = special.softmax(LOGITS.astype(np.float64), axis=-1)


def test_classes_are_mixed_and_judged():
    found = jax.jit(CLASSES.scores)(LOGITS, {"target": TARGET})
    found = metrics.values(found)
    mean, rows = CHANCES.mean(0), np.arange(30)
    assert found["loss"] == pytest.approx(-np.log(mean[rows, TARGET]).mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((mean.argmax(-1) == TARGET).mean())
    single = -np.log(CHANCES[:, rows, TARGET]).mean()
    assert found["single/loss"] == pytest.approx(single, rel=1e-5) and single > found["loss"]
    assert found["single/accuracy"] == pytest.approx((CHANCES.argmax(-1) == TARGET[None]).mean())
    chosen = CHANCES.argmax(-1)
    pairs = [(chosen[i] != chosen[j]).mean() for i, j in itertools.combinations(range(4), 2)]
    assert found["disagreement"] == pytest.approx(np.mean(pairs))
    right, confidence = mean.argmax(-1) == TARGET, mean.max(-1)
    bins, error = np.minimum((confidence * 15).astype(int), 14), 0.0
    for i in set(bins):
        error += (bins == i).mean() * abs(confidence[bins == i].mean() - right[bins == i].mean())
    assert found["confidence/ece"] == pytest.approx(error, abs=2e-3)  # of bins of a thousandth


def test_the_mixture_is_logits_of_the_mean():
    mixed = likelihood.categorical().mixture(jnp.asarray(LOGITS))
    np.testing.assert_allclose(special.softmax(mixed, axis=-1), CHANCES.mean(0), atol=1e-6)


def test_outsiders_are_ranked_by_entropy():
    outsider = (np.arange(30) % 3 == 0).astype(np.int32)
    batch = {"outsider": jnp.asarray(outsider)}
    found = jax.jit(CLASSES.scores)(LOGITS, batch)
    found = metrics.values(metrics.merge(found, found))  # twice the same is the same ranking

    def ranked(chances):
        entropy = special.entr(chances).sum(-1)
        above = entropy[outsider == 1][:, None] - entropy[outsider == 0][None]
        return ((above > 0) + 0.5 * (above == 0)).mean()

    assert found["auroc"] == pytest.approx(ranked(CHANCES.mean(0)), abs=1e-3)
    assert found["single/auroc"] == pytest.approx(np.mean([ranked(p) for p in CHANCES]), abs=1e-3)


def test_outsiders_alone_cannot_be_ranked():
    found = jax.jit(CLASSES.scores)(LOGITS, {"outsider": np.ones(30, int)})
    assert np.isnan(metrics.values(found)["auroc"])


def test_what_has_diverged_is_ranked_nowhere():
    batch = {"outsider": jnp.arange(30) % 2}
    found = metrics.values(jax.jit(CLASSES.scores)(LOGITS * np.float32("nan"), batch))
    assert found.keys() == {"auroc", "single/auroc"} and np.isnan([*found.values()]).all()


def test_numbers_are_mixed_and_judged():
    outputs, target = RANDOM.normal(size=(5, 40, 2)), RANDOM.normal(size=(40, 2))
    gaussian = likelihood.gaussian(0.7)
    batch = {"target": jnp.asarray(target, jnp.float32)}
    found = metrics.values(jax.jit(gaussian.scores)(jnp.asarray(outputs, jnp.float32), batch))
    density = stats.norm.logpdf(target[None], outputs, 0.7).sum(-1)
    mixed = special.logsumexp(density, axis=0) - np.log(5)
    assert found["loss"] == pytest.approx(-mixed.mean(), rel=1e-5)
    assert found["single/loss"] == pytest.approx(-density.mean(), rel=1e-5)
    assert found["squared_error"] == pytest.approx(((outputs.mean(0) - target) ** 2).mean())
    below = stats.norm.cdf(target[None], outputs, 0.7).mean(0)
    assert found["coverage"] == pytest.approx(((below > 0.05) & (below < 0.95)).mean())
    assert found["disagreement"] == pytest.approx(outputs.std(0).mean(), rel=1e-5)
    alone = metrics.values(gaussian.loss(jnp.asarray(outputs[0], jnp.float32), batch))
    assert alone["loss"] == pytest.approx(-density[0].mean(), rel=1e-5)


def test_bad_numbers_are_refused():
    with pytest.raises(errors.InputError, match="must be positive, got 0"):
        likelihood.gaussian(0)
    with pytest.raises(errors.InputError, match=r"target's shape \(3, 2\), got \(3, 1\)"):
        likelihood.gaussian(1.0).loss(jnp.zeros((3, 1)), {"target": jnp.zeros((3, 2))})
