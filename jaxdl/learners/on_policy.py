"""Learning from what the policy itself does: REINFORCE, A2C and PPO.

REINFORCE: Williams, "Simple statistical gradient-following algorithms for connectionist
reinforcement learning" (1992), with a learned baseline. A2C: Mnih et al., "Asynchronous methods for
deep reinforcement learning" (2016), its environments in step. PPO: Schulman et al., "Proximal
policy optimization algorithms" (2017).

A step acts for a while in many environments at once, then learns from that and throws it away. A
model maps observations (b, ...) to a distribution of actions (jaxdl/nn/distributions.py) and values
(b,). Logged are:
- return, length: of the episodes that ended, as drawn from the policy; NaN where none did. An
  evaluation's, of the same names, are of the likeliest actions.
- loss: policy_loss + value's weight · value_loss - entropy's weight · entropy.
- policy_loss: what the policy is moved by; its size says nothing about how good the policy is.
- value_loss: half the squared error of the values. It grows with the returns.
- entropy: of the actions, in nats. It should fall slowly; at 0 nothing new is tried any more.
- explained_variance: of the returns by the values, a mean over the rollouts: 1 is perfect, 0 no
  better than a constant.
- kl: how far the policy has moved from the one that acted, in nats, by Schulman's estimator
  (ratio - 1) - log ratio. PPO only; above about 0.05 steps are too large.
- clip_fraction: how often the ratio of probabilities was outside its range. PPO only.
- gradient_norm: before it is clipped.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdl import errors, learner, metrics
from jaxdl.envs import environment as environments
from jaxdl.learners import advantages, gradient, moments, rollouts
from jaxdl.nn import layout, limits

Scalar = float | int | jax.Array
# Environments lie over the devices that share a batch; for `Run.rules`.
RULES = tuple((r"^(episodes|earned)/", ("data", *(None,) * more)) for more in range(4))


class State(NamedTuple):
    """What is carried from step to step.

    network: of the gradient learner inside. episodes: those being played, None where each step
    begins its own. seen: moments of the observations. earned: of the discounted returns, and those
    of the episodes being played. None where nothing is normalised.
    """

    network: gradient.State
    episodes: environments.Episode | None
    seen: moments.Moments | None
    earned: tuple[moments.Moments, jax.Array] | None


class Passes(NamedTuple):
    """How often the experience is gone through, in how many parts, and whether the advantages of
    each part are standardised.
    """

    epochs: int = 1
    minibatches: int = 1
    standardise: bool = False


def reinforce(
    environment: environments.Environment,
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    episodes: int = 16,
    discount: Scalar = 0.99,
    value: Scalar = 0.5,
    entropy: Scalar = 0.0,
    clip: Scalar | None = None,
) -> learner.Learner:
    """A step of the policy's gradient after so many whole episodes: what each action led to, less
    the model's value, times the gradient of the action's log-probability.

    value, entropy: weights in the loss. clip: the largest norm of a gradient.
    """
    experience = rollouts.Experience(episodes, environment.limit, discount, 1.0)
    objective = functools.partial(policy_gradient, model, value, entropy)
    return _learner(environment, model, optimizer, objective, experience, Passes(), clip, True)


def a2c(
    environment: environments.Environment,
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    value: Scalar = 0.5,
    entropy: Scalar = 0.0,
    clip: Scalar | None = 0.5,
    **experience: Any,
) -> learner.Learner:
    """A step of the policy's gradient after a few steps in each environment.

    value, entropy: weights in the loss. clip: the largest norm of a gradient.
    experience: the fields of `rollouts.Experience`; by default a length of 5 and a trace of 1.
    """
    collected = rollouts.Experience(**{"environments": 16, "length": 5, "trace": 1.0} | experience)
    objective = functools.partial(policy_gradient, model, value, entropy)
    return _learner(environment, model, optimizer, objective, collected, Passes(), clip)


def ppo(
    environment: environments.Environment,
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int = 4,
    minibatches: int = 4,
    clip_ratio: Scalar = 0.2,
    clip_value: Scalar | None = None,
    value: Scalar = 0.5,
    entropy: Scalar = 0.0,
    clip: Scalar | None = 0.5,
    **experience: Any,
) -> learner.Learner:
    """Several epochs of steps on the same experience, as long as the policy stays near.

    clip_ratio: how far from 1 the ratio of new to old probability may be driven, the paper's ε.
    clip_value: likewise, how far a value may move; None lets it.
    value, entropy: weights in the loss. clip: the largest norm of a gradient.
    experience: the fields of `rollouts.Experience`.
    """
    limits.positive("clip_ratio", clip_ratio)
    limits.positive("clip_value", clip_value)
    objective = functools.partial(proximal, model, clip_ratio, clip_value, value, entropy)
    passes = Passes(epochs, minibatches, True)
    collected = rollouts.Experience(**experience)
    return _learner(environment, model, optimizer, objective, collected, passes, clip)


# --- the objectives of a batch: observation, action, log_prob, advantage, return, value, mask


def policy_gradient(
    model: Any, weight: Scalar, bonus: Scalar, variables: Any, batch: Any, key: Any
) -> tuple[learner.Metrics, Any]:
    """-A log π(a), the loss of the values and the entropy."""
    (policy, value), after = gradient.applied(model, variables, key, batch["observation"])
    policy_loss = -batch["advantage"] * policy.log_prob(batch["action"])
    value_loss = (value - batch["return"]) ** 2 / 2
    return _told(batch, policy_loss, value_loss, policy.entropy(), weight, bonus), after


def proximal(
    model: Any,
    clip_ratio: Scalar,
    clip_value: Scalar | None,
    weight: Scalar,
    bonus: Scalar,
    variables: Any,
    batch: Any,
    key: Any,
) -> tuple[learner.Metrics, Any]:
    """PPO's clipped surrogate (equation 7), the loss of the values and the entropy."""
    (policy, value), after = gradient.applied(model, variables, key, batch["observation"])
    log_ratio = policy.log_prob(batch["action"]) - batch["log_prob"]
    ratio, advantage = jnp.exp(log_ratio), batch["advantage"]
    near = jnp.clip(ratio, 1 - clip_ratio, 1 + clip_ratio)
    policy_loss = -jnp.minimum(ratio * advantage, near * advantage)
    value_loss = (value - batch["return"]) ** 2 / 2
    if clip_value is not None:
        moved = batch["value"] + jnp.clip(value - batch["value"], -clip_value, clip_value)
        value_loss = jnp.maximum(value_loss, (moved - batch["return"]) ** 2 / 2)
    told = _told(batch, policy_loss, value_loss, policy.entropy(), weight, bonus)
    told["kl"] = metrics.Mean.of(ratio - 1 - log_ratio)
    told["clip_fraction"] = metrics.Mean.of(jnp.abs(ratio - 1) > clip_ratio)
    return told, after


def _told(
    batch: Any, policy_loss: Any, value_loss: Any, entropy: Any, weight: Scalar, bonus: Scalar
) -> learner.Metrics:
    loss = policy_loss + weight * value_loss - bonus * entropy
    parts = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
    each = {"loss": loss} | parts
    return {name: metrics.Mean.of(x, batch.get("mask")) for name, x in each.items()}


# --- acting, and learning from it


def _learner(
    environment: environments.Environment,
    model: Any,
    optimizer: optax.GradientTransformation,
    objective: gradient.Objective,
    experience: rollouts.Experience,
    passes: Passes,
    clip: Scalar | None,
    whole: bool = False,
) -> learner.Learner:
    """whole: each step plays one whole episode in each environment, from its beginning."""
    _check(experience, passes)
    shape, count = environment.observation.shape, experience.environments

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        return gradient.initial(model, key, jnp.zeros((1, *shape)))

    # Evaluation and prediction are of the whole state, below.
    inner = gradient.minimise(begin, objective, optimizer, evaluate=lambda *_: {}, clip=clip)

    def acting(state: State) -> Callable[[Any], Any]:
        variables = gradient.variables(state.network)
        return lambda observation: model.apply(variables, _standardised(state.seen, observation))

    def init(key: learner.Key, batch: learner.Batch) -> State:
        network_key, key = jax.random.split(key)
        running = (moments.none(()), jnp.zeros(count)) if experience.normalize_rewards else None
        return State(
            inner.init(network_key, None),
            None if whole else environments.begun(environment, key, count),
            moments.none(shape) if experience.normalize_observations else None,
            running,
        )

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        begin_key, play_key, learn_key = jax.random.split(key, 3)
        episodes = state.episodes or environments.begun(environment, begin_key, count)
        act = acting(state)
        episodes, rollout = rollouts.played(environment, act, episodes, experience.length, play_key)
        earned, reward = rollouts.rewards(state.earned, rollout.outcome, experience.discount)
        examples, told = _judged(act, rollout, reward, experience, environment.limit, whole)
        seen = state.seen
        if seen is not None:
            examples["observation"] = moments.standardised(seen, examples["observation"])
            seen = moments.joined(seen, rollouts.flat(rollout.observation))
        network, learnt = _learnt(inner, state.network, examples, passes, learn_key)
        return State(network, None if whole else episodes, seen, earned), learnt | told

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        return environments.examine(
            environment, lambda seen: predict(state, {"observation": seen}), batch["episode"]
        )

    def predict(state: State, batch: learner.Batch) -> Any:
        policy, _ = acting(state)(batch["observation"])
        return rollouts.allowed(environment, policy.mode())

    return learner.Learner(init, step, evaluate, predict)


def _judged(
    act: Callable[[Any], Any],
    rollout: rollouts.Rollout,
    reward: jax.Array,
    experience: rollouts.Experience,
    limit: int,
    whole: bool,
) -> tuple[dict[str, Any], learner.Metrics]:
    """The examples to learn from, in one row, and what is told of them."""
    outcome, ended = rollout.outcome, rollout.outcome.ended
    value, after = rollouts.values(lambda seen: act(seen)[1], rollout, limit)
    advantage = advantages.generalised(
        reward,
        value,
        after,
        ended if whole else outcome.terminated,  # a whole episode earns what it earned
        ended,
        experience.discount,
        experience.trace,
    )
    examples = {
        "observation": rollout.observation,
        "action": rollout.action,
        "log_prob": rollout.policy.log_prob(rollout.action),
        "advantage": advantage,
        "return": advantage + value,
        "value": value,
    }
    mask = jnp.ones_like(ended)
    if whole:
        mask = examples["mask"] = jnp.cumsum(ended, 0) - ended == 0  # the first episode's steps
    told = {
        "explained_variance": _explained(examples["return"], advantage, mask),
        "return": metrics.Mean.of(outcome.total, ended & mask),
        "length": metrics.Mean.of(outcome.length, ended & mask),
    }
    return jax.tree.map(rollouts.flat, examples), told


def _explained(returns: jax.Array, left: jax.Array, mask: jax.Array) -> metrics.Mean:
    """The share of the returns' variance that is not left; nothing where they do not vary."""
    whole, rest = (jnp.var(x, where=mask) for x in (returns, left))
    # Returns that are all the same leave nothing to explain but rounding.
    known = whole > 1e-10 * jnp.mean(returns**2, where=mask)
    return metrics.Mean.of(1 - rest / jnp.where(known, whole, 1), known)


def _learnt(
    inner: learner.Learner,
    network: gradient.State,
    examples: dict[str, Any],
    passes: Passes,
    key: Any,
) -> tuple[gradient.State, learner.Metrics]:
    """The network after all passes over the examples, and the metrics of all their steps."""

    def one(network: gradient.State, now: Any) -> tuple[gradient.State, learner.Metrics]:
        order, key = now
        part = jax.tree.map(lambda x: jnp.take(x, order, axis=0, mode="clip"), examples)
        return inner.step(network, layout.spread(_standardise(part, passes)), key)

    size, parts = len(examples["advantage"]), passes.epochs * passes.minibatches
    if parts == 1:
        return inner.step(network, _standardise(examples, passes), key)
    order_key, key = jax.random.split(key)
    orders = _orders(order_key, passes.epochs, size).reshape(parts, -1)
    network, told = jax.lax.scan(one, network, (orders, jax.random.split(key, parts)))
    return network, jax.tree.map(lambda x: x.sum(0), told)


def _orders(key: Any, epochs: int, size: int) -> jax.Array:
    """For each epoch all examples once, shuffled; (epochs, size).

    The index is kept in the low bits of a random number, so that one plain sort is enough: four
    times faster on CPU than `jax.random.permutation`. Where the high bits are equal, the index
    decides; of a million examples that is still a shuffle in 4096 piles.
    """
    low = jnp.uint32((1 << (size - 1).bit_length()) - 1)
    index = jnp.broadcast_to(jnp.arange(size, dtype=jnp.uint32), (epochs, size))
    drawn = jax.random.bits(key, (epochs, size), jnp.uint32)
    return (jnp.sort((drawn & ~low) | index, axis=-1) & low).astype(jnp.int32)


def _standardise(part: dict[str, Any], passes: Passes) -> dict[str, Any]:
    if not passes.standardise:
        return part
    x = part["advantage"]
    return part | {"advantage": (x - x.mean()) / (x.std(ddof=1) + 1e-8)}


def _standardised(seen: moments.Moments | None, observation: jax.Array) -> jax.Array:
    return observation if seen is None else moments.standardised(seen, observation)


def _check(experience: rollouts.Experience, passes: Passes) -> None:
    rollouts.check(experience)
    for name in ("epochs", "minibatches"):
        limits.at_least(1, name, getattr(passes, name))
    size = experience.environments * experience.length
    if size % passes.minibatches or size == passes.minibatches:
        raise errors.InputError(
            "minibatches must divide environments × length into parts of at least 2, "
            f"got {passes.minibatches} of {size}."
        )
