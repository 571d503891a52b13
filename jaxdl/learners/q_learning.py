"""Deep Q-learning: the value of each action, learned from replayed experience.

Mnih et al., "Human-level control through deep reinforcement learning" (2015), after Watkins (1989).
With double estimation (van Hasselt et al. 2016), several steps ahead (Sutton 1988) and prioritised
replay (Schaul et al. 2016); a dueling network (Wang et al. 2016) is one of the models, dueling.py.

The learner makes its own experience, evaluated on {"episode": numbers}. Logged are:
- return, length: of the episodes that ended, played with exploration; NaN where none did. An
  evaluation's, of the same names, are greedy.
- loss: Huber's, of the error; prioritised replay weighs it. It follows the scale of the returns and
  says little about the policy.
- error: mean absolute difference between value and target. q: mean value of the actions replayed;
  far above what an episode can earn it is an illusion.
- exploration: the share of random actions.
- gradient_norm: before it is clipped.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import errors, learner, metrics
from jaxdl.envs import environment as environments
from jaxdl.learners import gradient, replay
from jaxdl.nn import limits

Scalar = float | int | jax.Array
SMALLEST = 1e-6  # is added to an error, so that every transition may be drawn (Schaul et al., 3.3)


class Acting(NamedTuple):
    """How experience is made.

    environments: how many, side by side. moves: steps in each, in a step of the learner.
    warmup: transitions made at random before the first step. capacity: how many are remembered.
    exploration: transitions until the share of random actions has fallen from 1 to `least`.
    """

    environments: int = 8
    moves: int = 32
    warmup: int = 1000
    capacity: int = 100_000
    exploration: Scalar = 10_000
    least: Scalar = 0.05


class Learning(NamedTuple):
    """How it is learned from.

    updates, batch_size: gradient steps in a step of the learner, and transitions in each.
    discount: γ. ahead: steps that are seen before a value takes over.
    target_every: steps of the learner between two copies of the network to the target's.
    double: the network chooses the next action and the target's values it; else both the latter.
    priority: transitions are drawn in proportion to |error| to this power (the paper: 0.6); None
        draws them all alike. correction: the power of the weights that make up for it, β; it stays
        as it is, where the paper lets it rise to 1.
    """

    updates: int = 128
    batch_size: int = 64
    discount: Scalar = 0.99
    ahead: int = 1
    target_every: int = 1
    double: bool = True
    priority: Scalar | None = None
    correction: Scalar = 0.4


class State(NamedTuple):
    """The network, the target's variables, the episodes being played, and what is remembered."""

    network: gradient.State
    target: gradient.Variables
    episodes: environments.Episode
    memory: replay.Ring


def q_learning(
    environment: environments.Environment,
    model: Any,
    optimizer: optax.GradientTransformation,
    acting: Acting,
    learning: Learning,
    *,
    clip: Scalar | None = 10.0,
) -> learner.Learner:
    """A learner that acts for a while, then follows the gradient of batches from its memory.

    model: maps observations (b, ...) to a value for each action, (b, a).
    clip: the largest norm of a gradient.
    """
    _check(environment, acting, learning)

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        shape = environment.observation.shape
        return gradient.initial(model, key, jnp.zeros((1, *shape)))

    inner = gradient.minimise(
        begin, functools.partial(temporal, model), optimizer, evaluate=lambda *_: {}, clip=clip
    )

    act = functools.partial(_acted, environment, model, acting, learning)
    update = functools.partial(_updated, inner, model, learning)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        network_key, begin_key, play_key = jax.random.split(key, 3)
        network = inner.init(network_key, None)
        target = jax.tree.map(jnp.copy, gradient.variables(network))
        episodes = environments.begun(environment, begin_key, acting.environments)
        prioritised = learning.priority is not None
        memory = replay.ring(environment, episodes, acting.capacity, prioritised)
        state = State(network, target, episodes, memory)
        return act(state, play_key, -(-acting.warmup // acting.environments), blindly=True)[0]

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        play_key, learn_key = jax.random.split(key)
        state, told = act(state, play_key, acting.moves)
        state = state._replace(target=_target(state, acting, learning))
        state, learnt = jax.lax.scan(update, state, jax.random.split(learn_key, learning.updates))
        return state, jax.tree.map(lambda x: x.sum(0), learnt) | told

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        def act(seen: Any) -> Any:
            return jnp.argmax(predict(state, {"observation": seen}), -1).astype(jnp.int32)

        return environments.examine(environment, act, batch["episode"])

    def predict(state: State, batch: learner.Batch) -> Any:
        return model.apply(gradient.variables(state.network), batch["observation"])

    return learner.Learner(init, step, evaluate, predict)


def temporal(
    model: Any, variables: gradient.Variables, batch: learner.Batch, key: learner.Key
) -> tuple[learner.Metrics, gradient.Variables]:
    """Huber's loss of the values of the actions that were taken, to their targets."""
    values, after = gradient.applied(model, variables, key, batch["observation"])
    value = _of(values, batch["action"])
    loss = batch["weight"] * optax.huber_loss(value, batch["target"])
    measured = {"loss": loss, "error": jnp.abs(value - batch["target"]), "q": value}
    return {name: metrics.Mean.of(x) for name, x in measured.items()}, after


def targets(
    model: Any,
    variables: gradient.Variables,
    target: gradient.Variables,
    ahead: replay.Ahead,
    double: bool,
) -> Float[Array, " b"]:
    """R + γⁿ Q'(s', argmax Q(s', ·)): the target network's value of the next action, which the
    network itself chooses where estimation is double.
    """
    values = model.apply(target, ahead.observation)
    chooser = model.apply(variables, ahead.observation) if double else values
    return ahead.reward + ahead.discount * _of(values, jnp.argmax(chooser, -1))


def _of(values: Float[Array, "b a"], action: Any) -> Float[Array, " b"]:
    """The values of these actions; a mask, not a look-up, whose gradient would be a scatter."""
    return jnp.where(jax.nn.one_hot(action, values.shape[-1], dtype=bool), values, 0).sum(-1)


def _acted(
    environment: environments.Environment,
    model: Any,
    acting: Acting,
    learning: Learning,
    state: State,
    key: Any,
    moves: int,
    blindly: bool = False,
) -> tuple[State, learner.Metrics]:
    """The state after some moves in each environment, and what is told of them.

    blindly: every action is random.
    """
    variables = gradient.variables(state.network)

    def share(memory: replay.Ring) -> Float[Array, ""]:
        return jnp.float32(1) if blindly else _exploration(acting, memory)

    def act(observation: Any, memory: replay.Ring, key: Any) -> tuple[Any, Any]:
        action = _explored(model.apply(variables, observation), share(memory), key)
        return action, action

    playing = state.episodes, state.memory
    (episodes, memory), told = replay.played(environment, act, playing, moves, key, learning.ahead)
    told["exploration"] = metrics.Mean.of(share(memory))
    return state._replace(episodes=episodes, memory=memory), told


def _explored(values: Float[Array, "b a"], share: Any, key: Any) -> Any:
    """The best actions, but for a share of random ones."""
    share_key, action_key = jax.random.split(key)
    count, actions = values.shape
    anything = jax.random.randint(action_key, (count,), 0, actions)
    explores = jax.random.uniform(share_key, (count,)) < share
    return jnp.where(explores, anything, jnp.argmax(values, -1)).astype(jnp.int32)


def _exploration(acting: Acting, memory: replay.Ring) -> Float[Array, ""]:
    made = memory.written.astype(jnp.float32) * acting.environments
    return jnp.maximum(acting.least, 1 - (1 - acting.least) * made / acting.exploration)


def _target(state: State, acting: Acting, learning: Learning) -> gradient.Variables:
    """The target's variables: a copy of the network's, when it is time."""
    steps = state.memory.written // acting.moves
    stale = steps % learning.target_every == 0
    now = gradient.variables(state.network)
    return jax.tree.map(lambda new, old: jnp.where(stale, new, old), now, state.target)


def _updated(
    inner: learner.Learner, model: Any, learning: Learning, state: State, key: Any
) -> tuple[State, learner.Metrics]:
    """The state after one batch from the memory."""
    draw_key, key = jax.random.split(key)
    memory, length = state.memory, learning.ahead
    time, which, weight = replay.drawn(
        memory, draw_key, learning.batch_size, length, learning.correction
    )
    window = replay.windows(memory, time, which, length)
    ahead = replay.returns(window, learning.discount)
    variables = gradient.variables(state.network)
    batch = {
        "observation": window.observation[0],
        "action": window.action[0],
        "target": targets(model, variables, state.target, ahead, learning.double),
        "weight": weight,
    }
    network, told = inner.step(state.network, batch, key)
    state = state._replace(network=network)
    if learning.priority is None:
        return state, told
    # The error that the step was made of (algorithm 1, line 11); XLA computes these values once.
    values = model.apply(variables, batch["observation"])
    error = jnp.abs(_of(values, batch["action"]) - batch["target"])
    memory = replay.prioritise(memory, time, which, (error + SMALLEST) ** learning.priority)
    return state._replace(memory=memory), told


def _check(environment: environments.Environment, acting: Acting, learning: Learning) -> None:
    if not isinstance(environment.action, environments.Discrete):
        raise errors.InputError(
            f"Q-learning's environment must have Discrete actions, got {environment.action}."
        )
    for name in ("environments", "moves", "warmup", "capacity"):
        limits.at_least(1, f"Acting's {name}", getattr(acting, name))
    for name in ("updates", "batch_size", "ahead", "target_every"):
        limits.at_least(1, f"Learning's {name}", getattr(learning, name))
    least = acting.environments * (acting.moves + learning.ahead)
    limits.at_least(least, "Acting's capacity", acting.capacity)
    limits.at_least(acting.environments * learning.ahead, "Acting's warmup", acting.warmup)
    limits.positive("Acting's exploration", acting.exploration)
    limits.share("Acting's least", acting.least)
    limits.share("Learning's discount", learning.discount)
    for name in ("priority", "correction"):
        limits.at_least(0, f"Learning's {name}", getattr(learning, name))
