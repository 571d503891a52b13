"""Stochastic gradient Langevin dynamics, and Hamiltonian Monte Carlo with friction.

Gradient descent with as much noise as makes the parameters wander through the posterior: Welling
and Teh, "Bayesian learning via stochastic gradient Langevin dynamics" (2011); with momentum: Chen,
Fox and Guestrin, "Stochastic gradient Hamiltonian Monte Carlo" (2014, equation 15).

With U the mean loss of an example less the log-prior's share, h the learning rate, N the examples
and f the friction, a step is

    v <- (1 - f) v - h grad U + Normal(0, 2 f h T / N),      parameters <- parameters + v.

At f = 1 that is Langevin dynamics with Welling and Teh's step size 2 h / N. Its draws are too wide
by the factor 1 / (1 - h c / 2) of the variance where U has curvature c.

Logged in training: what the likelihood logs of the present parameters on the batch ("loss" in
nats); gradient_norm, of grad U; weight_norm, of the parameters, which is steady once the walk has
arrived. Logged in evaluation: the scores of the mixture of the draws that are kept, see
jaxdl/losses/likelihood.py.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdl import errors, learner, metrics
from jaxdl.learners import gradient
from jaxdl.losses import likelihood as likelihoods
from jaxdl.nn import limits


class State(NamedTuple):
    """Where the walk is, and the last draws: `kept` has a leading axis of them."""

    params: Any
    velocity: Any
    kept: Any
    steps: jax.Array


def supervised(
    model: Any,
    likelihood: likelihoods.Likelihood,
    learning_rate: gradient.Scalar | Callable[[jax.Array], jax.Array],
    *,
    examples: int,
    prior: gradient.Scalar = 1.0,
    friction: gradient.Scalar = 1.0,
    temperature: gradient.Scalar = 1.0,
    keep: int = 32,
    every: int = 50,
) -> learner.Learner:
    """A walk through the posterior of a model's parameters.

    learning_rate: a number, or a schedule of optax's kind (cyclical: Zhang et al. 2020).
    examples: how many the training data have. prior: standard deviation of N(0, prior^2).
    temperature: of the posterior; below 1 it is "cold", 0 is gradient descent with weight decay.
    keep, every: evaluation averages the last `keep` draws, `every` so many steps one.
    """
    _check(learning_rate, examples, prior, friction, temperature, (keep, every))
    potential = functools.partial(_potential, model, likelihood, prior**2 * examples)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        params = gradient.only_params(gradient.initial(model, key, batch["input"], train=False))
        kept = jax.tree.map(lambda x: jnp.repeat(x[None], keep, axis=0), params)
        return State(params, jax.tree.map(jnp.zeros_like, params), kept, jnp.int32(0))

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        noise_key, dropout_key = jax.random.split(key)
        slope, measured = jax.grad(potential, has_aux=True)(state.params, batch, dropout_key)
        rate = learning_rate(state.steps) if callable(learning_rate) else learning_rate
        scale = jnp.sqrt(2 * friction * rate * temperature / examples)
        velocity = jax.tree.map(
            lambda v, g, noise: (1 - friction) * v - rate * g + scale * noise,
            state.velocity,
            slope,
            optax.tree.random_like(noise_key, slope),
        )
        params = optax.apply_updates(state.params, velocity)
        steps = state.steps + 1
        measured["gradient_norm"] = metrics.Mean.of(optax.tree.norm(slope))
        measured["weight_norm"] = metrics.Mean.of(optax.tree.norm(params))
        return State(params, velocity, _kept(state.kept, params, steps, every), steps), measured

    def outputs(state: State, batch: learner.Batch) -> Any:
        def one(params: Any) -> Any:
            return model.apply({"params": params}, batch["input"], train=False)

        return jax.vmap(one)(state.kept)

    return learner.Learner(
        init,
        step,
        lambda state, batch, key: likelihood.scores(outputs(state, batch), batch),
        lambda state, batch: likelihood.mixture(outputs(state, batch)),
    )


def _potential(
    model: Any, likelihood: likelihoods.Likelihood, width: Any, params: Any, batch: Any, key: Any
) -> tuple[jax.Array, learner.Metrics]:
    """U and what the likelihood measures; width: the prior's variance times the examples."""
    outputs, _ = gradient.applied(model, {"params": params}, key, batch["input"], train=True)
    measured = likelihood.loss(outputs, batch)
    decay = optax.tree.norm(params, squared=True) / (2 * width)
    return measured["loss"].total / measured["loss"].count + decay, measured


def _kept(kept: Any, params: Any, steps: jax.Array, every: int) -> Any:
    """The last draws with these parameters among them, if it is their turn.

    In the first round they also fill the places after their own: no draw is of before learning.
    """
    keep = len(jax.tree.leaves(kept)[0])
    turn = steps // every - 1
    place, places = turn % keep, jnp.arange(keep)
    write = (steps % every == 0) & ((places == place) | (places > place) & (turn < keep))

    def one(old: jax.Array, new: jax.Array) -> jax.Array:
        return jnp.where(write.reshape(-1, *[1] * new.ndim), new[None], old)

    return jax.tree.map(one, kept, params)


def _check(
    learning_rate: Any,
    examples: int,
    prior: Any,
    friction: Any,
    temperature: Any,
    draws: tuple[int, int],
) -> None:
    """Refuse what cannot be meant; a traced number cannot be looked at."""
    limits.at_least(1, "The number of training examples", examples)
    limits.at_least(1, "The draws to keep, and the steps between them,", draws)
    limits.at_least(0, "The temperature of a posterior", temperature)
    limits.positive("The learning rate", learning_rate)
    if isinstance(friction, float | int) and not 0 < friction <= 1:
        raise errors.InputError(f"friction must lie in (0, 1], got {friction}.")
    limits.positive("The prior of weights", prior)
