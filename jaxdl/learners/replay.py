"""Experience replay on the device, uniform (Lin 1992) and prioritised (Schaul et al. 2016).

A ring of the last transitions of environments that run side by side: every field is (time,
environments, ...). It is part of a learner's state, so a step that is given it to use up writes
into it in place: what a step costs does not grow with the ring.

Several steps ahead: what is drawn are windows of transitions that follow one another, and what
they earn together is worked out then (`returns`).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors, learner, metrics
from jaxdl.envs import environment as environments


class Transition(NamedTuple):
    """What was seen, done and had for it, in one step of one environment."""

    observation: Any
    action: Any
    outcome: environments.Outcome


class Priorities(NamedTuple):
    """Weights of the transitions, as a tree of sums, and the highest there was: what new ones get,
    so that each is seen soon.
    """

    sums: Float[Array, " n"]
    highest: Float[Array, ""]


class Ring(NamedTuple):
    """The transitions, how many times each environment has stepped, ever, and how likely each is
    drawn; without priorities all alike.
    """

    rows: Transition
    written: Int[Array, ""]
    priorities: Priorities | None = None

    @property
    def capacity(self) -> int:
        """Steps of each environment that have room."""
        return len(self.rows.outcome.reward)

    @property
    def environments(self) -> int:
        """How many step side by side."""
        return self.rows.outcome.reward.shape[1]


def advanced(
    environment: environments.Environment, episodes: environments.Episode, action: Any, key: Any
) -> tuple[environments.Episode, environments.Outcome]:
    """Each episode one step later, and what came of it."""
    advance = functools.partial(environments.advance, environment)
    step_key, begin_key = jax.random.split(key)
    count = len(episodes.length)
    fresh = environments.begun(environment, begin_key, count)
    return jax.vmap(advance)(episodes, action, fresh, jax.random.split(step_key, count))


def played(
    environment: environments.Environment,
    act: Callable[[Any, "Ring", Any], tuple[Any, Any]],
    playing: tuple[environments.Episode, "Ring"],
    moves: int,
    key: Any,
    ahead: int = 1,
) -> tuple[tuple[environments.Episode, "Ring"], learner.Metrics]:
    """The episodes and the ring after some moves in each, and the "return" and "length" of those
    that ended.

    act: (observations, ring, key) -> what is remembered as the actions, and what is done.
    ahead: steps that will be looked at together, see `windows`.
    """

    def one(playing: Any, key: Any) -> tuple[Any, learner.Metrics]:
        episodes, memory = playing
        act_key, advance_key = jax.random.split(key)
        observation = jax.vmap(environment.observe)(episodes.state)
        action, done = act(observation, memory, act_key)
        episodes, outcome = advanced(environment, episodes, done, advance_key)
        memory = write(memory, Transition(observation, action, outcome), ahead)
        told = {
            "return": metrics.Mean.of(outcome.total, outcome.ended),
            "length": metrics.Mean.of(outcome.length, outcome.ended),
        }
        return (episodes, memory), told

    playing, told = jax.lax.scan(one, playing, jax.random.split(key, moves))
    return playing, jax.tree.map(lambda x: x.sum(0), told)


def ring(
    environment: environments.Environment,
    episodes: environments.Episode,
    capacity: int,
    prioritised: bool = False,
) -> Ring:
    """An empty ring for `capacity` transitions, as many of each episode, rounded down."""
    count, space = len(episodes.length), environment.action
    if capacity < count:
        raise errors.InputError(
            f"A replay's capacity must be at least its {count} environments, got {capacity}."
        )
    if isinstance(space, environments.Discrete):
        action = jnp.zeros(count, jnp.int32)
    else:
        action = jnp.zeros((count, *space.shape))
    _, outcome = jax.eval_shape(
        functools.partial(advanced, environment), episodes, action, jax.random.key(0)
    )
    example = Transition(jax.vmap(environment.observe)(episodes.state), action, outcome)
    rows = jax.tree.map(lambda x: jnp.zeros((capacity // count, *x.shape), x.dtype), example)
    priorities = Priorities(tree(capacity), jnp.ones(())) if prioritised else None
    return Ring(rows, jnp.int32(0), priorities)


def write(memory: Ring, new: Transition, ahead: int = 1) -> Ring:
    """The ring with one more transition of each environment, in the place of the oldest.

    A window of `ahead` steps can be drawn from where it begins, once all of it has been written.
    """
    at = memory.written % memory.capacity
    rows = jax.tree.map(
        lambda old, x: jax.lax.dynamic_update_index_in_dim(old, x, at, 0), memory.rows, new
    )
    return Ring(rows, memory.written + 1, _opened(memory, ahead))


def _opened(memory: Ring, ahead: int) -> Priorities | None:
    """The priorities with the place that is written now closed, and the one opened, with the
    highest priority, of which all that is seen ahead will then have been written.
    """
    if memory.priorities is None:
        return None
    sums, highest = memory.priorities
    count = memory.environments
    now, complete = (
        (memory.written - back) % memory.capacity * count + jnp.arange(count)
        for back in (0, ahead - 1)
    )
    sums = weigh(sums, now, jnp.zeros(count))
    there = jnp.where(memory.written >= ahead - 1, highest, 0)
    return Priorities(weigh(sums, complete, jnp.broadcast_to(there, (count,))), highest)


def windows(
    memory: Ring, time: Int[Array, " b"], which: Int[Array, " b"], length: int
) -> Transition:
    """Transitions that follow one another, (length, b, ...), from these places on."""
    times = (time[None] + jnp.arange(length)[:, None]) % memory.capacity
    return jax.tree.map(lambda x: x[times, jnp.broadcast_to(which, times.shape)], memory.rows)


def uniform(
    memory: Ring, key: Any, count: int, length: int
) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
    """Where windows of `length` begin, all that are there equally likely: time and environment."""
    time_key, which_key = jax.random.split(key)
    there = jnp.minimum(memory.written, memory.capacity)
    oldest = memory.written - there
    begin = jax.random.randint(time_key, (count,), 0, jnp.maximum(there - length + 1, 1))
    which = jax.random.randint(which_key, (count,), 0, memory.environments)
    return (oldest + begin) % memory.capacity, which


def drawn(
    memory: Ring, key: Any, count: int, length: int, correction: Any
) -> tuple[Int[Array, " b"], Int[Array, " b"], Float[Array, " b"]]:
    """Where windows begin, time and environment, drawn by their priorities where there are any; and
    how much each counts: (what uniform replay would have made of it)^correction, over the largest.
    """
    if memory.priorities is None:
        return *uniform(memory, key, count, length), jnp.ones(count)
    leaf, weight = draw(memory.priorities.sums, key, count)
    counts = (weight / weight.min()) ** -correction
    return leaf // memory.environments, leaf % memory.environments, counts


def prioritise(
    memory: Ring, time: Int[Array, " b"], which: Int[Array, " b"], priority: Float[Array, " b"]
) -> Ring:
    """The ring with other priorities of the windows that begin at these places."""
    if memory.priorities is None:
        return memory
    sums, highest = memory.priorities
    sums = weigh(sums, time * memory.environments + which, priority)
    return memory._replace(priorities=Priorities(sums, jnp.maximum(highest, priority.max())))


class Ahead(NamedTuple):
    """What a window of transitions comes to, from its first observation.

    reward: the discounted sum until the window's or the episode's end.
    observation: the one after that. discount: of that one's value; 0 where the episode terminated.
    """

    reward: Float[Array, " b"]
    observation: Any
    discount: Float[Array, " b"]


def returns(window: Transition, discount: Any) -> Ahead:
    """The n-step return of windows (n, b, ...): an episode's end, by the clock as well, cuts them.

    From the back: R_k = r_k + γ R_{k+1}, and where an episode ends the rest begins anew.
    """
    outcome = window.outcome
    last = jax.tree.map(lambda x: x[-1], outcome)
    rest = Ahead(jnp.zeros_like(last.reward), last.observation, jnp.ones_like(last.reward))

    def back(rest: Ahead, now: environments.Outcome) -> tuple[Ahead, None]:
        ended = now.ended
        seen = jax.tree.map(
            lambda x, y: jnp.where(ended.reshape(-1, *[1] * (x.ndim - 1)), x, y),
            now.observation,
            rest.observation,
        )
        reward = now.reward + discount * jnp.where(ended, 0, rest.reward)
        weight = discount * jnp.where(ended, ~now.terminated, rest.discount)
        return Ahead(reward, seen, weight), None

    return jax.lax.scan(back, rest, outcome, reverse=True)[0]


# --- priorities: a binary tree of sums; reading and writing cost its depth


def tree(leaves: int) -> Float[Array, " n"]:
    """A tree of zeros over at least so many leaves: node i has the children 2i and 2i + 1."""
    return jnp.zeros(2 * _width(leaves))


def weigh(
    sums: Float[Array, " n"], leaf: Int[Array, " b"], weight: Float[Array, " b"]
) -> Float[Array, " n"]:
    """The tree with other weights on some leaves; of a leaf that is named twice, one of the two."""
    half = len(sums) // 2
    sums = sums.at[leaf + half].set(weight)

    def up(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        sums, node = carry
        return sums.at[node].set(sums[2 * node] + sums[2 * node + 1]), node // 2

    return jax.lax.fori_loop(0, half.bit_length() - 1, up, (sums, (leaf + half) // 2))[0]


def draw(
    sums: Float[Array, " n"], key: Any, count: int
) -> tuple[Int[Array, " b"], Float[Array, " b"]]:
    """Leaves in proportion to their weights, one from each of `count` equal parts of the sum; and
    these weights.
    """
    half = len(sums) // 2
    mass = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count * sums[1]

    # All is read in a loop, which XLA does not fuse with what comes after it: then the tree would
    # have to stay as it is for longer, as a copy.
    def down(_: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        node, mass, _ = carry
        left, other = sums[2 * node], sums[2 * node + 1]
        # Rounding must not lead to where nothing is.
        right = (mass >= left) & (other > 0)
        mass = jnp.where(right, mass - left, mass)
        return 2 * node + right, mass, jnp.where(right, other, left)

    start = jnp.ones(count, jnp.int32), mass, mass
    node, _, weight = jax.lax.fori_loop(0, half.bit_length() - 1, down, start)
    return node - half, weight


def _width(leaves: int) -> int:
    if leaves < 1:
        raise errors.InputError(f"A tree of priorities must have at least 1 leaf, got {leaves}.")
    return 1 << (leaves - 1).bit_length()
