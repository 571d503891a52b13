"""AlphaZero: a network learns a game from nothing but its rules, by playing against itself.

Silver et al., "Mastering the game of Go without human knowledge" (2017) and "A general
reinforcement learning algorithm that masters chess, shogi, and Go through self-play" (2018); the
search is that of Danihelka et al. (2022), see jaxdl/envs/tree_search.py. Needs the extra `rl`.

The learner makes its own experience. Logged of a step:
loss: the sum of the next two.
policy_loss: cross-entropy of the network's policy to the search's, in nats.
value_loss: squared error of the network's value to what came of the position, see `outcomes`.
policy_entropy, search_entropy: of the network's policy and of the search's, in nats; how far
    policy_loss lies above search_entropy is what the search still improves.
length: moves in a game, random ones at its beginning left out.
decided: the share of games that are won by somebody.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxdl import learner, metrics
from jaxdl.envs import games, tree_search
from jaxdl.learners import gradient
from jaxdl.nn import limits


class Player(NamedTuple):
    """What an evaluation examines: the network alone, and with its search at its best."""

    judge: tree_search.Judge
    search: tree_search.Player


class Memory(NamedTuple):
    """The last moves of every game, oldest first, as (time, game, ...)."""

    observation: Float[Array, "t g *shape"]
    legal: Bool[Array, "t g a"]  # of a move not made yet: none
    policy: Float[Array, "t g a"]  # the search's
    value: Float[Array, "t g"]  # likewise, to who moved
    reward: Float[Array, "t g"]  # to who moved, by the rules: 1 where the move won
    ended: Bool[Array, "t g"]  # whether it was the last of its game


class State(NamedTuple):
    """The network and its optimizer, the games as they stand, and the moves that led there."""

    network: gradient.State
    positions: games.Position
    memory: Memory


# (positions, key) -> moves, and the policy and value that the search makes of the network's
Improve = Callable[[games.Position, learner.Key], tuple[Any, Any, Any]]
Examine = Callable[[Player, learner.Batch, learner.Key], learner.Metrics]


class Playing(NamedTuple):
    """How experience is made.

    simulations: positions that a search looks at for one move.
    parallel: games side by side. moves: made in each, in a step of the learner. memory: how many of
        a game's last moves are learnt from.
    opening, opened: a share `opened` of the games begins after 1 to `opening` random moves; a game
        that is always played well never shows what to do where a fault was made.
    trace: how far a position is valued by how its game ended, 1, or by what the search made of the
        positions soon after it, towards 0, see `outcomes`; AlphaZero has 1.
    """

    simulations: int = 32
    parallel: int = 64
    moves: int = 8
    memory: int = 64
    opening: int = 0
    opened: gradient.Scalar = 0.75
    trace: gradient.Scalar = 1.0


def alpha_zero(
    game: games.Game,
    model: Any,
    optimizer: optax.GradientTransformation,
    examine: Examine,
    *,
    updates: int = 8,
    batch_size: int = 256,
    clip: gradient.Scalar | None = None,
    average: gradient.Scalar | None = None,
    **playing: Any,
) -> learner.Learner:
    """A learner that plays games against itself and follows what its search finds better.

    A step makes a few moves in each game, then follows the gradient of `updates` batches drawn from
    the last moves of every game.

    model: maps observations to game.actions + 1 numbers: logits of the moves, and the value, which
        goes through a tanh.
    examine: (player, batch, key) -> metrics of an evaluation.
    clip, average: see `gradient.minimise`. playing: the fields of `Playing`.
    """
    tree_search.imported()
    how = Playing(**playing)
    _check(how, updates, batch_size)
    network = gradient.minimise(
        lambda key, batch: gradient.initial(model, key, batch["observation"], train=False),
        functools.partial(objective, model),
        optimizer,
        evaluate=lambda variables, batch, key: {},
        clip=clip,
        average=average,
    )

    def play(state: gradient.State, noise: float) -> tuple[tree_search.Judge, Improve]:
        """What the network makes of positions, and the search that it guides."""
        judge = judged(game, model, gradient.variables(state))
        search = functools.partial(tree_search.guided, game, judge, simulations=how.simulations)
        return judge, functools.partial(search, noise=noise)

    def begin(key: learner.Key) -> games.Position:
        return games.openings(game, key, how.parallel, how.opening, how.opened)

    def init(key: learner.Key, batch: None) -> State:
        network_key, begin_key = jax.random.split(key)
        positions = begin(begin_key)
        blank = _blank(game, how.memory, positions)
        return State(network.init(network_key, _drawn(blank, 1.0, key, 1)), positions, blank)

    def step(state: State, batch: None, key: learner.Key) -> tuple[State, learner.Metrics]:
        play_key, learn_key = jax.random.split(key)
        _, improve = play(state.network, noise=1.0)
        positions, made = _played(game, improve, begin, state.positions, play_key, how.moves)
        lately = jax.tree.map(
            lambda old, new: jnp.concatenate([old[how.moves :], new]), state.memory, made
        )

        def update(now: gradient.State, key: learner.Key) -> tuple[gradient.State, Any]:
            draw_key, key = jax.random.split(key)
            return network.step(now, _drawn(lately, how.trace, draw_key, batch_size), key)

        learnt, measured = jax.lax.scan(update, state.network, jax.random.split(learn_key, updates))
        measured = jax.tree.map(lambda x: x.sum(0), measured)
        return State(learnt, positions, lately), measured | _counted(made)

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        judge, improve = play(state.network, noise=0.0)
        return examine(Player(judge, lambda positions, key: improve(positions, key)[0]), batch, key)

    return learner.Learner(init, step, evaluate)


def heads(outputs: Float[Array, "b k"]) -> tuple[Float[Array, "b a"], Float[Array, " b"]]:
    """A network's numbers as the logits of the moves and the value in [-1, 1]."""
    return outputs[:, :-1], jnp.tanh(outputs[:, -1])


def judged(game: games.Game, model: Any, variables: gradient.Variables) -> tree_search.Judge:
    """What the network makes of positions."""

    def judge(positions: games.Position, key: learner.Key) -> tuple[Any, Any]:
        observation = jax.vmap(game.observe)(positions)
        return heads(model.apply(variables, observation, train=False))

    return judge


def objective(
    model: Any, variables: gradient.Variables, batch: learner.Batch, key: learner.Key
) -> tuple[learner.Metrics, gradient.Variables]:
    """The loss of AlphaZero, (z - v)² - pi · log p, of examples as `targets` makes them."""
    outputs, after = gradient.applied(model, variables, key, batch["observation"], train=True)
    logits, value = heads(outputs)
    log_policy = jax.nn.log_softmax(tree_search.masked(logits, batch["legal"]))
    made = batch["legal"].any(-1)
    policy_loss = -jnp.where(batch["legal"], batch["policy"] * log_policy, 0).sum(-1)
    value_loss = (batch["value"] - value) ** 2
    measured = {
        "loss": metrics.Mean.of(made * (policy_loss + value_loss)),
        "policy_loss": metrics.Mean.of(policy_loss, made),
        "value_loss": metrics.Mean.of(value_loss, made),
        "policy_entropy": metrics.Mean.of(_entropy(jnp.exp(log_policy)), made),
        "search_entropy": metrics.Mean.of(_entropy(batch["policy"]), made),
    }
    return measured, after


def outcomes(
    reward: Float[Array, "t g"], ended: Bool[Array, "t g"], value: Float[Array, "t g"], trace: Any
) -> Float[Array, "t g"]:
    """What came of each position, to who moved; value: what the search made of it.

    From the end back, as what is won by one is lost by the other, with λ the trace (Sutton 1988):
    z_t = -((1 - λ) v_{t+1} + λ z_{t+1}), the reward where the game ended, and v where the memory
    does.
    """

    def back(later: tuple[Any, Any], now: tuple[Any, Any, Any]) -> tuple[Any, Any]:
        (found, after), (reward, ended, value) = later, now
        found = jnp.where(ended, reward, -(trace * found + (1 - trace) * after))
        return (found, value), found

    start = -value[-1], -value[-1]
    return jax.lax.scan(back, start, (reward, ended, value), reverse=True)[1]


def _played(
    game: games.Game,
    improve: Improve,
    begin: Callable[[learner.Key], games.Position],
    positions: games.Position,
    key: learner.Key,
    moves: int,
) -> tuple[games.Position, Memory]:
    """The games some moves later, and those moves; where a game ends another begins."""

    def move(positions: games.Position, key: learner.Key) -> tuple[games.Position, Memory]:
        search_key, begin_key = jax.random.split(key)
        action, policy, value = improve(positions, search_key)
        after = jax.vmap(game.move)(positions, action)
        ended = jax.vmap(game.ended)(after)
        made = Memory(
            observation=jax.vmap(game.observe)(positions),
            legal=jax.vmap(game.legal)(positions),
            policy=policy,
            value=value,
            reward=jnp.where(ended, -jax.vmap(game.worth)(after), 0.0),
            ended=ended,
        )
        return games.where(ended, begin(begin_key), after), made

    return jax.lax.scan(move, positions, jax.random.split(key, moves))


def _blank(game: games.Game, length: int, positions: games.Position) -> Memory:
    """The memory before the first move."""
    legal, seen = jax.vmap(game.legal)(positions), jax.vmap(game.observe)(positions)
    number = jnp.zeros(len(legal))
    row = Memory(seen, legal, legal * 0.0, number, number, number > 0)
    return jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), row)


def _drawn(memory: Memory, trace: Any, key: learner.Key, count: int) -> learner.Batch:
    """So many moves of the memory, drawn with replacement, and what came of them."""
    value = outcomes(memory.reward, memory.ended, memory.value, trace)
    examples = {
        "observation": memory.observation,
        "legal": memory.legal,
        "policy": memory.policy,
        "value": value,
    }
    chosen = jax.random.randint(key, (count,), 0, value.size)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[chosen], examples)


def _counted(made: Memory) -> learner.Metrics:
    """Of the games that ended in these moves."""
    ended = made.ended.sum().astype(jnp.float32)
    return {
        "length": metrics.Mean(jnp.float32(made.ended.size), ended),
        "decided": metrics.Mean.of(made.reward != 0, made.ended),
    }


def _entropy(policy: Float[Array, "b a"]) -> Float[Array, " b"]:
    return -jax.scipy.special.xlogy(policy, policy).sum(-1)


def _check(how: Playing, updates: int, batch_size: int) -> None:
    for name in ("simulations", "parallel", "moves"):
        limits.at_least(1, f"Self-play's {name}", getattr(how, name))
    limits.at_least(1, "Self-play's updates", updates)
    limits.at_least(1, "Self-play's batch_size", batch_size)
    limits.at_least(how.moves, "Self-play's memory", how.memory)
    limits.at_least(0, "Self-play's opening", how.opening)
    limits.share("Self-play's opened", how.opened)
    limits.share("Self-play's trace", how.trace)
