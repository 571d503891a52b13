"""Acting: what a policy does in many environments side by side, and what it has for it."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdl.envs import environment as environments
from jaxdl.learners import advantages, moments
from jaxdl.nn import layout, limits

Scalar = float | int | jax.Array
# Bytes of new episodes that may wait: those of all steps are begun at once, as random numbers are
# costly inside a loop, where each step might need them.
ROOM = 1 << 26


class Experience(NamedTuple):
    """What a step acts for, and what is made of it.

    environments: how many, side by side. length: steps in each.
    discount, trace: γ and λ, see jaxdl/learners/advantages.py.
    normalize_observations: standardise them by all that were seen before this step.
    normalize_rewards: divide them by the standard deviation of the discounted returns so far.
    """

    environments: int = 8
    length: int = 128
    discount: Scalar = 0.99
    trace: Scalar = 0.95
    normalize_observations: bool = False
    normalize_rewards: bool = False


class Rollout(NamedTuple):
    """What was observed, chosen and had for it, all (time, environments, ...)."""

    observation: Any
    action: Any
    policy: Any  # the distribution that the action was drawn from
    outcome: environments.Outcome


def played(
    environment: environments.Environment,
    act: Callable[[Any], Any],
    episodes: environments.Episode,
    length: int,
    key: Any,
) -> tuple[environments.Episode, Rollout]:
    """The episodes after some steps in each, and what happened in them."""
    episodes = layout.spread(episodes)
    advance = jax.vmap(functools.partial(environments.advance, environment))
    begin = jax.vmap(functools.partial(environments.begin, environment))
    act_key, step_key, begin_key = jax.random.split(key, 3)
    count = len(episodes.length)
    fresh = jax.random.split(begin_key, (length, count))
    at_once = length * sum(leaf.nbytes for leaf in jax.tree.leaves(episodes)) <= ROOM
    if at_once:
        fresh = jax.vmap(begin)(fresh)

    def one(episodes: environments.Episode, now: Any) -> tuple[environments.Episode, Rollout]:
        act_key, step_keys, fresh = now
        fresh = fresh if at_once else begin(fresh)
        observation = jax.vmap(environment.observe)(episodes.state)
        policy, _ = act(observation)
        action = policy.sample(act_key)
        episodes, outcome = advance(episodes, allowed(environment, action), fresh, step_keys)
        return episodes, Rollout(observation, action, policy, outcome)

    keys = jax.random.split(act_key, length), jax.random.split(step_key, (length, count))
    return jax.lax.scan(one, episodes, (*keys, fresh))


def values(
    value: Callable[[Any], jax.Array], rollout: Rollout, limit: int
) -> tuple[jax.Array, jax.Array]:
    """The values of what was observed before each step and after it, both (time, environments).

    What is observed after a step is what is observed before the next one, but where an episode was
    truncated. Between two truncations lie at least `limit` steps, so those can be picked out.
    """
    outcome = rollout.outcome
    length, count = outcome.reward.shape
    seen = jnp.concatenate([rollout.observation, outcome.observation[-1:]])
    before = value(flat(seen)).reshape(length + 1, count)
    _, cut = jax.lax.top_k(outcome.truncated.T.astype(jnp.int32), -(-length // limit))
    where = cut.T, jnp.arange(count)[None]
    last = outcome.observation[where]
    last = value(flat(last)).reshape(cut.T.shape)
    after = before[1:]
    after = after.at[where].set(jnp.where(outcome.truncated[where], last, after[where]))
    return before[:-1], after


def rewards(
    earned: tuple[moments.Moments, jax.Array] | None,
    outcome: environments.Outcome,
    discount: Scalar,
) -> tuple[Any, jax.Array]:
    """The rewards, in standard deviations of the discounted returns where those are kept."""
    if earned is None:
        return None, outcome.reward
    known, running = earned
    goes_on = ~outcome.ended
    totals = advantages.accumulated(outcome.reward, goes_on, discount, start=running)
    known = moments.joined(known, totals.reshape(-1))
    return (known, jnp.where(goes_on[-1], totals[-1], 0)), moments.scaled(known, outcome.reward)


def allowed(environment: environments.Environment, action: Any) -> Any:
    """What the environment is given: an action inside its box. The policy's own may lie outside."""
    box = environment.action
    return box.clip(action) if isinstance(box, environments.Box) else action


def flat(x: jax.Array) -> jax.Array:
    """(time, environments, ...) as one row of examples."""
    return x.reshape(-1, *x.shape[2:])


def check(experience: Experience) -> None:
    """Refuse what cannot be meant; a traced number cannot be looked at."""
    for name in ("environments", "length"):
        limits.at_least(1, name, getattr(experience, name))
    for name in ("discount", "trace"):
        limits.share(name, getattr(experience, name))
