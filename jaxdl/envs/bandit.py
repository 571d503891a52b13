"""The many-armed bandit: one action, one reward drawn from its arm, and the episode is over.

Robbins, "Some aspects of the sequential design of experiments" (1952).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl.envs import environment
from jaxdl.nn import limits


def make(means: Sequence[float], deviation: float = 1.0) -> environment.Environment:
    """Arm i earns a normal number about means[i]; there is nothing to observe but a 1."""

    def reset(key: Any) -> Float[Array, "1"]:
        return jnp.ones(1)

    def step(
        state: Float[Array, "1"], action: Int[Array, ""], key: Any
    ) -> tuple[Float[Array, "1"], Float[Array, ""], Bool[Array, ""]]:
        reward = jnp.asarray(means, jnp.float32)[action] + deviation * jax.random.normal(key)
        return state, reward, jnp.bool_(True)

    limits.at_least(1, "A bandit's number of arms", len(means))
    arms = environment.Discrete(len(means))
    return environment.Environment(reset, step, lambda x: x, environment.Box((1,), 1, 1), arms, 1)
