"""What an environment is: a few pure functions, with their specification; and how episodes go on.

An environment knows its dynamics and nothing of time. An `Episode` is one being played: `advance`
takes a step, ends the episode at its limit and begins the next one (auto-reset). An end of its own
(terminated: nothing more can be earned) and one by the clock (truncated: the rest is unseen) are
kept apart (Pardo et al. 2018, "Time limits in reinforcement learning").
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl import metrics
from jaxdl.nn import limits

Bound = float | tuple[float, ...]
EPISODES = 7  # the seed of the keys of examined episodes, apart from those of training


class Discrete(NamedTuple):
    """Whole numbers from 0 to size - 1."""

    size: int


class Box(NamedTuple):
    """Arrays of real numbers between two bounds, of all or of each number."""

    shape: tuple[int, ...]
    low: Bound = -jnp.inf
    high: Bound = jnp.inf

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    def clip(self, x: Float[Array, "*b a"]) -> Float[Array, "*b a"]:
        """The nearest array inside."""
        low, high = self._bounds(x)
        return jnp.clip(x, low, high)

    def rescale(self, x: Float[Array, "*b a"]) -> Float[Array, "*b a"]:
        """What lies in [-1, 1], stretched over the box."""
        low, high = self._bounds(x)
        return low + (x + 1) / 2 * (high - low)

    def _bounds(self, x: Array) -> tuple[Array, Array]:
        low, high = (jnp.asarray(bound, x.dtype) for bound in (self.low, self.high))
        return jnp.broadcast_to(low, x.shape), jnp.broadcast_to(high, x.shape)


class Environment(NamedTuple):
    """The dynamics of one environment, its specification and the limit of an episode.

    reset: key -> the first state of an episode.
    step: (state, action, key) -> (state, reward, terminated).
    observe: state -> the observation, of `observation.shape`, float32.
    limit: an episode is truncated after so many steps.
    """

    reset: Callable[[Any], Any]
    step: Callable[[Any, Any, Any], tuple[Any, Any, Any]]
    observe: Callable[[Any], Any]
    observation: Box
    action: Discrete | Box
    limit: int


class Episode(NamedTuple):
    """An episode that is being played, the steps taken and the sum of the rewards until now."""

    state: Any
    length: Int[Array, ""]
    total: Float[Array, ""]


class Outcome(NamedTuple):
    """What a step led to.

    observation: after the action, in the same episode, even where it is the last one: what the
        value of a truncated episode's end is estimated from.
    truncated: never where `terminated`.
    length, total: of the episode until now: all of it where it has `ended`.
    """

    observation: Float[Array, "..."]
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]
    length: Int[Array, ""]
    total: Float[Array, ""]

    @property
    def ended(self) -> Bool[Array, "..."]:
        """Whether this step was the episode's last."""
        return self.terminated | self.truncated


def begin(environment: Environment, key: Any) -> Episode:
    """A new episode."""
    return Episode(environment.reset(key), jnp.int32(0), jnp.float32(0))


def begun(environment: Environment, key: Any, count: int) -> Episode:
    """So many new episodes, side by side."""
    limits.at_least(1, "An environment's limit", environment.limit)
    return jax.vmap(functools.partial(begin, environment))(jax.random.split(key, count))


def advance(
    environment: Environment, episode: Episode, action: Any, fresh: Episode, key: Any
) -> tuple[Episode, Outcome]:
    """One step, what came of it, and the episode after it: `fresh` where this one has ended."""
    state, reward, terminated = environment.step(episode.state, action, key)
    length, total = episode.length + 1, episode.total + reward
    truncated = (length >= environment.limit) & ~terminated
    outcome = Outcome(environment.observe(state), reward, terminated, truncated, length, total)
    after = jax.tree.map(
        lambda new, old: jnp.where(outcome.ended, new, old), fresh, Episode(state, length, total)
    )
    return after, outcome


def examine(
    environment: Environment, act: Callable[[Any], Any], numbers: Int[Array, "b"]
) -> dict[str, Any]:
    """The mean "return" and "length" of whole episodes, played side by side.

    act: observations (b, ...) -> actions (b, ...).
    numbers: which episodes. Each number has a key of its own, the same in every run, so that
        policies are compared by the same beginnings and the same chances.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(EPISODES), numbers)

    def one(carry: Any, step: Any) -> tuple[Any, None]:
        states, lengths, totals, playing = carry
        actions = act(jax.vmap(environment.observe)(states))
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        states, rewards, terminated = jax.vmap(environment.step)(states, actions, step_keys)
        # An episode that is over goes on unseen: its steps no longer count.
        totals = totals + jnp.where(playing, rewards, 0)
        return (states, lengths + playing, totals, playing & ~terminated), None

    first = jax.vmap(environment.reset)(keys)
    zero = jnp.zeros(numbers.shape)
    carry = first, zero.astype(jnp.int32), zero, zero == 0
    steps = jnp.arange(1, environment.limit + 1)
    (_, lengths, totals, _), _ = jax.lax.scan(one, carry, steps)
    return {"return": metrics.Mean.of(totals), "length": metrics.Mean.of(lengths)}
