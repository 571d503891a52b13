"""How much better an action was than expected: generalised advantage estimation.

Schulman, Moritz, Levine, Jordan and Abbeel, "High-dimensional continuous control using generalized
advantage estimation" (2015).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Scalar = float | int | jax.Array


def generalised(
    reward: Float[Array, "t b"],
    value: Float[Array, "t b"],
    after: Float[Array, "t b"],
    terminated: Bool[Array, "t b"],
    ended: Bool[Array, "t b"],
    discount: Scalar,
    trace: Scalar,
) -> Float[Array, "t b"]:
    """A_t = δ_t + γλ A_{t+1} within an episode, δ_t = r_t + γ V(after it) - V(before it).

    value, after: of what was seen before and after the action, in the same episode; the value of
        what comes after a terminated episode is 0, whatever `after` says.
    ended: terminated or truncated; what comes next is another episode.
    discount, trace: γ and λ. 1 for λ is what was earned, 0 the temporal difference alone.
    """
    error = reward + discount * jnp.where(terminated, 0, after) - value
    return accumulated(error, ~ended, discount * trace, reverse=True)


def accumulated(
    x: Float[Array, "t b"],
    goes_on: Bool[Array, "t b"],
    decay: Scalar,
    *,
    start: Float[Array, "b"] | None = None,
    reverse: bool = False,
) -> Float[Array, "t b"]:
    """y_t = x_t + decay · y before it, or after it in `reverse`; where it is another episode, 0.

    goes_on: whether the episode of a step goes on after it. start: y before the first step.
    """

    def one(carry: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        x, goes_on = now
        total = x + decay * (jnp.where(goes_on, carry, 0) if reverse else carry)
        return (total if reverse else jnp.where(goes_on, total, 0)), total

    start = jnp.zeros_like(x[0]) if start is None else start
    # Unrolled: a turn of the loop costs as much as what it does.
    return jax.lax.scan(one, start, (x, goes_on), reverse=reverse, unroll=8)[1]
