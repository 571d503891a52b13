"""Distributions of actions against SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxdl.nn import distributions

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(2, 3, 5)).astype(np.float32)
MEAN = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
SCALE = RANDOM.uniform(0.3, 2, (2, 3, 4)).astype(np.float32)
OTHER = RANDOM.normal(size=(2, 3, 5)).astype(np.float32)


def test_categorical_is_scipys():
    made, other = (distributions.Categorical(jnp.asarray(x)) for x in (LOGITS, OTHER))
    likely, second = (scipy.special.softmax(x.astype(np.float64), -1) for x in (LOGITS, OTHER))
    action = RANDOM.integers(0, 5, (2, 3)).astype(np.int32)
    wanted = np.log(np.take_along_axis(likely, action[..., None], -1))[..., 0]
    np.testing.assert_allclose(made.log_prob(jnp.asarray(action)), wanted, rtol=1e-5)
    np.testing.assert_allclose(made.entropy(), scipy.stats.entropy(likely, axis=-1), rtol=1e-5)
    divergence = scipy.stats.entropy(likely, second, axis=-1)
    np.testing.assert_allclose(made.divergence(other), divergence, rtol=1e-4)
    np.testing.assert_array_equal(made.mode(), likely.argmax(-1))


def test_a_class_that_never_comes_counts_nothing():
    made = distributions.Categorical(jnp.array([0.0, -jnp.inf, 0.0]))
    slope = jax.grad(lambda x: distributions.Categorical(x).entropy())(made.logits)
    assert float(made.entropy()) == pytest.approx(np.log(2))
    assert float(made.divergence(made)) == 0
    assert np.isfinite(slope[jnp.array([0, 2])]).all()
    assert not np.any(jax.vmap(made.sample)(jax.random.split(KEY, 200)) == 1)


def test_normal_is_scipys():
    made = distributions.Normal(jnp.asarray(MEAN), jnp.asarray(SCALE))
    theirs = scipy.stats.norm(MEAN.astype(np.float64), SCALE)
    x = RANDOM.normal(size=MEAN.shape).astype(np.float32)
    np.testing.assert_allclose(made.log_prob(jnp.asarray(x)), theirs.logpdf(x).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(made.entropy(), theirs.entropy().sum(-1), rtol=1e-5)
    np.testing.assert_array_equal(made.mode(), MEAN)


def test_the_divergence_of_normals_is_the_mean_of_the_logs():
    one = distributions.Normal(jnp.array([0.3]), jnp.array([0.7]))
    two = distributions.Normal(jnp.array([-0.5]), jnp.array([1.2]))
    x = np.linspace(-8, 8, 20001)
    first, second = (scipy.stats.norm(float(d.mean[0]), float(d.scale[0])) for d in (one, two))
    wanted = np.trapezoid(first.pdf(x) * (first.logpdf(x) - second.logpdf(x)), x)
    assert float(one.divergence(two)) == pytest.approx(wanted, rel=1e-5)


def test_the_density_of_a_tanh_of_normals():
    """The change of variables, written out in float64; and it comes to one."""
    made = distributions.TanhNormal(jnp.asarray(MEAN), jnp.asarray(SCALE))
    x, told = made.sample_and_log_prob(KEY)
    before = np.arctanh(np.asarray(x, np.float64))
    wanted = scipy.stats.norm(MEAN, SCALE).logpdf(before) - np.log1p(
        -(np.asarray(x, np.float64) ** 2)
    )
    np.testing.assert_allclose(told, wanted.sum(-1), rtol=1e-3)
    np.testing.assert_allclose(made.log_prob(x), told, rtol=1e-3)
    one = distributions.TanhNormal(jnp.array([0.2]), jnp.array([0.5]))
    grid = jnp.linspace(-0.9999, 0.9999, 40001)
    density = np.exp(jax.vmap(one.log_prob)(grid[:, None]))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
    assert np.isfinite(one.log_prob(jnp.ones((1,)))) and np.isfinite(one.log_prob(-jnp.ones((1,))))


def test_far_from_nought_the_log_density_keeps_its_digits():
    made = distributions.TanhNormal(jnp.array([12.0]), jnp.array([1.0]))
    x, told = made.sample_and_log_prob(KEY)
    assert float(x[0]) == 1.0  # no digits are left of it
    before = 12 + float(jax.random.normal(KEY, (1,))[0])
    wanted = scipy.stats.norm(12, 1).logpdf(before) - 2 * (np.log(2) - before)
    assert float(told) == pytest.approx(wanted, rel=1e-5)


def test_samples_are_of_the_distribution():
    keys = jax.random.split(KEY, 4000)
    logits = jnp.asarray(LOGITS[0, 0])
    drawn = jax.vmap(distributions.Categorical(logits).sample)(keys)
    np.testing.assert_allclose(np.bincount(drawn) / 4000, jax.nn.softmax(logits), atol=0.03)
    made = distributions.Normal(jnp.asarray(MEAN[0, 0]), jnp.asarray(SCALE[0, 0]))
    drawn = np.asarray(jax.vmap(made.sample)(keys))
    np.testing.assert_allclose(drawn.mean(0), MEAN[0, 0], atol=0.12)
    np.testing.assert_allclose(drawn.std(0), SCALE[0, 0], rtol=0.05)
