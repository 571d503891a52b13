"""Langevin dynamics against posteriors in closed form and by the no-U-turn sampler
(tests/fixtures/make_bayesian.py).
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors
from jaxdl.data import line
from jaxdl.learners import langevin
from jaxdl.losses import likelihood
from jaxdl.models import mlp

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "bayesian.npz")
POINTS = line.load()[0]
BATCH = jax.tree.map(jnp.asarray, POINTS)
LINEAR = mlp.MLP(features=(), outputs=1)


def learner(rate=0.01, **options):
    settings = {"examples": 20, "prior": line.PRIOR, "keep": 1} | options
    return langevin.supervised(LINEAR, likelihood.gaussian(line.NOISE), rate, **settings)


def walked(taught, batch, chains, steps, forget):
    """What the parameters of many chains are after each step, but the first ones."""

    def chain(key):
        def one(state, i):
            state, _ = taught.step(state, batch, jax.random.fold_in(key, i))
            return state, state.params["output"]

        state = taught.init(jax.random.fold_in(key, steps), batch)
        return jax.lax.scan(one, state, jnp.arange(steps))[1]

    drawn = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(0), chains))
    return jax.tree.map(lambda x: np.asarray(x, np.float64)[:, forget:], drawn)


def moments(drawn):
    """Means and deviations over chains and steps."""
    return drawn.mean((0, 1)), drawn.std((0, 1))


@pytest.mark.parametrize(("friction", "rate"), [(1.0, 0.006), (0.1, 0.003)], ids=["SGLD", "SGHMC"])
def test_draws_of_a_line_have_the_posterior(friction, rate):
    known = line.posterior(POINTS)
    drawn = walked(learner(rate, friction=friction), BATCH, chains=64, steps=6000, forget=2000)
    weights = np.concatenate([drawn["kernel"][..., 0], drawn["bias"]], axis=-1)
    mean, deviation = moments(weights)
    exact = np.sqrt(np.diag(known.covariance))
    np.testing.assert_allclose(deviation, exact, rtol=0.08)
    assert np.abs((mean - known.mean) / exact).max() < 0.1
    correlation = np.corrcoef(weights.reshape(-1, 2).T)[0, 1]
    assert correlation == pytest.approx(known.covariance[0, 1] / exact.prod(), abs=0.02)


def test_draws_of_a_classifier_are_those_of_the_no_u_turn_sampler():
    batch = {name: jnp.asarray(FIXTURE[name]) for name in ("input", "target")}
    taught = langevin.supervised(
        mlp.MLP(features=(), classes=2),
        likelihood.categorical(),
        0.2,
        examples=len(FIXTURE["target"]),
        prior=float(FIXTURE["prior"]),
        friction=0.1,
        keep=1,
    )
    drawn = walked(taught, batch, chains=64, steps=5000, forget=1000)
    for name in ("kernel", "bias"):
        mean, deviation = moments(drawn[name])
        np.testing.assert_allclose(deviation, FIXTURE[f"{name}/deviation"], rtol=0.08)
        off = (mean - FIXTURE[f"{name}/mean"]) / FIXTURE[f"{name}/deviation"]
        assert np.abs(off).max() < 0.1


def test_without_heat_and_with_all_friction_it_is_gradient_descent():
    rate = 0.01
    taught = learner(rate, temperature=0.0)
    state = jax.jit(taught.init)(jax.random.key(0), BATCH)
    start = state.params["output"]
    weights = np.append(np.asarray(start["kernel"]), np.asarray(start["bias"])).astype(np.float64)
    design = np.concatenate([POINTS["input"], np.ones((20, 1))], axis=1)
    for i in range(3):
        state, _ = jax.jit(taught.step)(state, BATCH, jax.random.key(i))
        error = design @ weights - POINTS["target"][:, 0]
        slope = design.T @ error / 20 / line.NOISE**2 + weights / line.PRIOR**2 / 20
        weights -= rate * slope
    found = state.params["output"]
    np.testing.assert_allclose(found["kernel"][0, 0], weights[0], rtol=1e-5)
    np.testing.assert_allclose(found["bias"][0], weights[1], rtol=1e-5)


def test_the_last_draws_are_kept():
    taught = learner(keep=3, every=2)
    state, at = jax.jit(taught.init)(jax.random.key(0), BATCH), []
    step = jax.jit(taught.step)
    for i in range(10):
        state, _ = step(state, BATCH, jax.random.key(i))
        at.append(float(state.params["output"]["bias"][0]))
        kept = np.asarray(state.kept["output"]["bias"])[:, 0].tolist()
        turns = at[1::2]
        if len(turns) == 1:
            assert kept == turns * 3
        elif len(turns) == 2:
            assert kept == [turns[0], turns[1], turns[1]]
        elif turns:
            assert sorted(kept) == sorted(turns[-3:])


def test_the_rate_may_be_a_schedule():
    schedule = optax.piecewise_constant_schedule(0.0, {})
    taught = learner(schedule)
    state = jax.jit(taught.init)(jax.random.key(0), BATCH)
    after, _ = jax.jit(taught.step)(state, BATCH, jax.random.key(0))
    assert float(after.params["output"]["bias"][0]) == float(state.params["output"]["bias"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"friction": 0.0}, "friction must lie in (0, 1], got 0.0."),
        ({"temperature": -1.0}, "The temperature of a posterior must be at least 0, got -1.0."),
        ({"rate": -0.1}, "The learning rate must be positive, got -0.1."),
        ({"prior": -1.0}, "The prior of weights must be positive, got -1.0."),
        (
            {"every": 0},
            "The draws to keep, and the steps between them, must each be at least 1, got (1, 0).",
        ),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(errors.InputError) as caught:
        learner(**options)
    assert str(caught.value) == message
