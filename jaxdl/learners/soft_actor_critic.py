"""Soft actor-critic: a policy that earns much and stays as random as it can afford to.

Haarnoja et al., "Soft actor-critic algorithms and applications" (2018): several critics, of which
the lowest counts, and a temperature that holds the policy's entropy at its aim.

The learner makes its own experience, evaluated on {"episode": numbers}. Logged are:
- return, length: of the episodes that ended, as drawn from the policy; NaN where none did. An
  evaluation's, of the same names, are of tanh of the mean.
- loss: critic_loss + actor_loss + the temperature's; it measures nothing by itself.
- critic_loss: half the squared error of the critics, added up. It grows with the returns.
- actor_loss: temperature · log π - Q, which falls as the values rise.
- q: the values of the replayed actions. entropy: of the policy, -log π, in nats.
- temperature: what a nat of entropy is worth, in rewards.
"""

import functools
import typing
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import errors, learner, metrics
from jaxdl.envs import environment as environments
from jaxdl.learners import gradient, replay
from jaxdl.nn import limits

Scalar = float | int | jax.Array


class Settings(NamedTuple):
    """How experience is made, and how it is learned from.

    environments: how many, side by side. moves: steps in each, in a step of the learner.
    warmup: transitions made by random actions before the first step. capacity: how many are kept.
    updates, batch_size: gradient steps in a step of the learner, and transitions in each.
    discount: γ. rate: τ, by which the slow critics that make the targets follow, at each update.
    aim: the entropy to hold, in nats; None is minus the number of an action's dimensions.
    """

    environments: int = 4
    moves: int = 16
    warmup: int = 1000
    capacity: int = 100_000
    updates: int = 64
    batch_size: int = 256
    discount: Scalar = 0.99
    rate: Scalar = 0.005
    aim: Scalar | None = None


class State(NamedTuple):
    """Actor, critics and temperature with their optimizer, the slow critics, the episodes being
    played and what is remembered.
    """

    network: gradient.State
    slow: Any
    episodes: environments.Episode
    memory: replay.Ring


class Models(NamedTuple):
    """The modules, as jaxdl/models/soft_actor_critic.py has them."""

    actor: Any
    critics: Any

    def policy(self, params: Any, observation: Any) -> Any:
        """The distribution of actions in (-1, 1)."""
        return self.actor.apply({"params": params["actor"]}, observation)

    def values(self, critics: Any, observation: Any, action: Any) -> Any:
        """What each critic gives, (critics, b)."""
        return self.critics.apply({"params": critics}, observation, action)


def soft_actor_critic(
    environment: environments.Environment,
    actor: Any,
    critics: Any,
    optimizer: optax.GradientTransformation,
    settings: Settings,
    *,
    clip: Scalar | None = None,
) -> learner.Learner:
    """A learner that acts for a while, then follows the gradients of batches from its memory.

    actor: maps observations to a distribution of actions with `sample_and_log_prob` and `mode`.
    critics: maps observations and actions to values, (critics, b).
    optimizer: of actor, critics and the temperature's logarithm, whose gradients are apart: optax's
        `multi_transform` gives each a rate of its own.
    clip: the largest norm of the gradient of all.
    """
    _check(environment, settings)
    models = Models(actor, critics)
    aim = -float(_box(environment).shape[0]) if settings.aim is None else settings.aim
    inner = gradient.minimise(
        functools.partial(_begin, environment, models),
        functools.partial(objective, models, aim),
        optimizer,
        evaluate=lambda *_: {},
        clip=clip,
    )
    act = functools.partial(_acted, environment, models, settings)
    update = functools.partial(_updated, inner, models, settings)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        network_key, begin_key, play_key = jax.random.split(key, 3)
        network = inner.init(network_key, None)
        episodes = environments.begun(environment, begin_key, settings.environments)
        memory = replay.ring(environment, episodes, settings.capacity)
        slow = jax.tree.map(jnp.copy, network.params["critics"])
        state = State(network, slow, episodes, memory)
        return act(state, play_key, -(-settings.warmup // settings.environments), blindly=True)[0]

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        play_key, learn_key = jax.random.split(key)
        state, told = act(state, play_key, settings.moves)
        state, learnt = jax.lax.scan(update, state, jax.random.split(learn_key, settings.updates))
        return state, jax.tree.map(lambda x: x.sum(0), learnt) | told

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        return environments.examine(
            environment, lambda seen: predict(state, {"observation": seen}), batch["episode"]
        )

    def predict(state: State, batch: learner.Batch) -> Any:
        params = gradient.variables(state.network)["params"]
        return _box(environment).rescale(models.policy(params, batch["observation"]).mode())

    return learner.Learner(init, step, evaluate, predict)


def objective(
    models: Models, aim: Scalar, variables: gradient.Variables, batch: Any, key: Any
) -> tuple[learner.Metrics, gradient.Variables]:
    """The three losses in one; what one part follows is constant to the others.

    Critics: (Q(s, a) - y)² / 2. Actor: α log π(a' | s) - min Q(s, a'), a' drawn anew.
    Temperature: α (-log π(a' | s) - aim).
    """
    params = variables["params"]
    values = models.values(params["critics"], batch["observation"], batch["action"])
    critic_loss = ((values - batch["target"][None]) ** 2 / 2).sum(0)
    action, log_prob = models.policy(params, batch["observation"]).sample_and_log_prob(key)
    fixed = jax.lax.stop_gradient(params["critics"])
    value = models.values(fixed, batch["observation"], action).min(0)
    temperature = jnp.exp(params["log_temperature"])
    actor_loss = jax.lax.stop_gradient(temperature) * log_prob - value
    excess = jax.lax.stop_gradient(-log_prob) - aim
    measured = {
        "loss": critic_loss + actor_loss + temperature * excess,
        "critic_loss": critic_loss,
        "actor_loss": actor_loss,
        "q": values,
        "entropy": -log_prob,
        "temperature": temperature,
    }
    return {name: metrics.Mean.of(x) for name, x in measured.items()}, {}


def targets(models: Models, params: Any, slow: Any, ahead: replay.Ahead, key: Any) -> Any:
    """y = r + γ (min Q'(s', a') - α log π(a' | s')), a' drawn from the policy."""
    action, log_prob = models.policy(params, ahead.observation).sample_and_log_prob(key)
    value = models.values(slow, ahead.observation, action).min(0)
    soft = value - jnp.exp(params["log_temperature"]) * log_prob
    return ahead.reward + ahead.discount * soft


def _begin(
    environment: environments.Environment, models: Models, key: Any, batch: None
) -> gradient.Variables:
    seen = jnp.zeros((1, *environment.observation.shape))
    done = jnp.zeros((1, *_box(environment).shape))
    actor_key, critics_key = jax.random.split(key)
    params = {
        "actor": gradient.initial(models.actor, actor_key, seen)["params"],
        "critics": gradient.initial(models.critics, critics_key, seen, done)["params"],
        "log_temperature": jnp.zeros(()),
    }
    return {"params": params}


def _acted(
    environment: environments.Environment,
    models: Models,
    settings: Settings,
    state: State,
    key: Any,
    moves: int,
    blindly: bool = False,
) -> tuple[State, learner.Metrics]:
    """The state after some moves in each environment, and what is told of them.

    blindly: every action is random.
    """
    params, box = gradient.variables(state.network)["params"], _box(environment)

    def act(observation: Any, memory: replay.Ring, key: Any) -> tuple[Any, Any]:
        if blindly:
            action = jax.random.uniform(key, (settings.environments, *box.shape), minval=-1.0)
        else:
            action = models.policy(params, observation).sample(key)
        return action, box.rescale(action)

    playing = state.episodes, state.memory
    (episodes, memory), told = replay.played(environment, act, playing, moves, key)
    return state._replace(episodes=episodes, memory=memory), told


def _updated(
    inner: learner.Learner, models: Models, settings: Settings, state: State, key: Any
) -> tuple[State, learner.Metrics]:
    """The state after one batch from the memory."""
    draw_key, target_key, key = jax.random.split(key, 3)
    where = replay.uniform(state.memory, draw_key, settings.batch_size, 1)
    window = replay.windows(state.memory, *where, 1)
    ahead = replay.returns(window, settings.discount)
    params = gradient.variables(state.network)["params"]
    batch = {
        "observation": window.observation[0],
        "action": window.action[0],
        "target": targets(models, params, state.slow, ahead, target_key),
    }
    network, told = inner.step(state.network, batch, key)
    slow = optax.incremental_update(network.params["critics"], state.slow, settings.rate)
    return state._replace(network=network, slow=slow), told


def _box(environment: environments.Environment) -> environments.Box:
    """The actions, which `_check` has found to be a box."""
    return typing.cast(environments.Box, environment.action)


def _check(environment: environments.Environment, settings: Settings) -> None:
    box = environment.action
    if not isinstance(box, environments.Box) or len(box.shape) != 1:
        raise errors.InputError(
            f"Soft actor-critic's actions must be a Box of one axis, got {environment.action}."
        )
    if not np.all(np.isfinite([box.low, box.high])):
        raise errors.InputError(
            f"Soft actor-critic's actions must have finite bounds, got {box.low} and {box.high}."
        )
    for name in ("environments", "moves", "warmup", "updates", "batch_size"):
        limits.at_least(1, f"Settings' {name}", getattr(settings, name))
    for name in ("discount", "rate"):
        limits.share(f"Settings' {name}", getattr(settings, name))
