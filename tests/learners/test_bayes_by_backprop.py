"""Bayes by backprop on a linear model, whose best product of Gaussians has a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from jaxdl import errors, metrics
from jaxdl.learners import bayes_by_backprop
from jaxdl.losses import likelihood
from jaxdl.models import mlp

NOISE, PRIOR, COUNT = 0.5, 1.0, 60
LINEAR = mlp.MLP(features=(), outputs=1)


def problem():
    """Correlated inputs and noisy targets: the batch, the posterior's precision and mean (weights
    of the inputs first, then the intercept), and the evidence in nats.
    """
    random = np.random.default_rng(0)
    inputs = random.normal(size=(COUNT, 3)) @ np.array([[1, 0.4, 0], [0, 1, 0.4], [0, 0, 1]])
    target = inputs @ [[0.7], [-0.4], [0.2]] + 0.3 + NOISE * random.normal(size=(COUNT, 1))
    design = np.concatenate([inputs, np.ones((COUNT, 1))], axis=1)
    precision = design.T @ design / NOISE**2 + np.eye(4) / PRIOR**2
    mean = np.linalg.solve(precision, design.T @ target / NOISE**2)[:, 0]
    covariance = NOISE**2 * np.eye(COUNT) + PRIOR**2 * design @ design.T
    evidence = stats.multivariate_normal(np.zeros(COUNT), covariance).logpdf(target[:, 0])
    batch = {"input": jnp.asarray(inputs, jnp.float32), "target": jnp.asarray(target, jnp.float32)}
    return batch, precision, mean, evidence


def learner(optimizer=None, **options):
    settings = {"examples": COUNT, "prior": PRIOR} | options
    optimizer = optimizer or optax.sgd(1e-3)
    return bayes_by_backprop.supervised(LINEAR, likelihood.gaussian(NOISE), optimizer, **settings)


def flat(layer):
    return np.append(np.asarray(layer["kernel"])[:, 0], np.asarray(layer["bias"]))


def test_a_linear_model_reaches_the_best_product_of_gaussians():
    batch, precision, mean, evidence = problem()
    steps, key = 3000, jax.random.key(0)
    taught = learner(optax.adam(optax.cosine_decay_schedule(0.02, steps)), draws=64)

    def one(state, i):
        state, measured = taught.step(state, batch, jax.random.fold_in(key, i))
        return state, measured["loss"].total / measured["loss"].count

    state = jax.jit(taught.init)(key, batch)
    state, losses = jax.jit(lambda s: jax.lax.scan(one, s, jnp.arange(steps)))(state)
    posterior = state.params
    deviation = flat(jax.tree.map(jax.nn.softplus, posterior["spread"]["output"]))
    # The best factors have the posterior's mean and its precision's diagonal.
    best = 1 / np.sqrt(np.diag(precision))
    np.testing.assert_allclose(deviation, best, rtol=0.02)
    off = (flat(posterior["mean"]["output"]) - mean) * np.sqrt(np.diag(precision))
    assert np.abs(off).max() < 0.02
    # Their bound is the evidence less KL = (sum of log diag - log det) / 2.
    lost = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    bound = -COUNT * float(losses[-300:].mean())
    assert lost > 0.2 and abs(bound - (evidence - lost)) < 0.1


def test_the_divergence_is_the_integral():
    mean, spread = 0.4, -0.3
    deviation = np.log1p(np.exp(spread))
    z = np.linspace(mean - 12 * deviation, mean + 12 * deviation, 20001)
    q, p = stats.norm.logpdf(z, mean, deviation), stats.norm.logpdf(z, 0, 0.8)
    integral = np.trapezoid(np.exp(q) * (q - p), z)
    posterior = {"mean": {"w": jnp.full(3, mean)}, "spread": {"w": jnp.full(3, spread)}}
    assert float(bayes_by_backprop.kl(posterior, 0.8)) == pytest.approx(3 * integral, rel=1e-5)


def test_draws_have_the_means_and_the_deviations():
    posterior = {
        "mean": {"w": jnp.array([1.0, -2.0])},
        "spread": {"w": jnp.array([0.0, 1.0])},
    }
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = jax.vmap(lambda key: bayes_by_backprop.draw(posterior, key))(keys)["w"]
    np.testing.assert_allclose(drawn.mean(0), [1, -2], atol=0.03)
    np.testing.assert_allclose(drawn.std(0), np.log1p(np.exp([0.0, 1.0])), rtol=0.02)


def test_the_loss_is_the_likelihood_and_a_share_of_the_divergence():
    batch, *_ = problem()
    taught = learner(draws=3)
    state = jax.jit(taught.init)(jax.random.key(0), batch)
    _, measured = jax.jit(taught.step)(state, batch, jax.random.key(1))
    found = metrics.values(measured)
    assert found["loss"] == pytest.approx(found["nll"] + found["kl"] / COUNT, rel=1e-6)
    assert found["deviation"] == pytest.approx(0.02, rel=1e-5)


def test_q_begins_with_the_deviation_asked_for_also_in_a_sweep():
    def spread(deviation):
        return learner(deviation=deviation).init(jax.random.key(0), problem()[0]).params["spread"]

    for begun, wanted in (
        (spread(1e-4), 1e-4),
        (jax.jit(spread)(0.3), 0.3),
        (spread(200.0), 200.0),
    ):
        for leaf in jax.tree.leaves(begun):
            np.testing.assert_allclose(jax.nn.softplus(leaf), wanted, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": 0.0}, "The prior of weights must be positive, got 0.0."),
        ({"deviation": -1.0}, "The first deviation of weights must be positive, got -1.0."),
        ({"examples": 0}, "The number of training examples must be at least 1, got 0."),
        ({"draws": 0}, "The draws of a posterior must each be at least 1, got (0, 32)."),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(errors.InputError) as caught:
        learner(**options)
    assert str(caught.value) == message
