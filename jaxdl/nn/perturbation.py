"""Inputs moved within a ball so that a loss rises: what an adversary would do to an image.

Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples" (2015): one step of
the gradient's sign. Madry et al., "Towards deep learning models resistant to adversarial attacks"
(2018): many small ones, each projected back into the ball.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Scalar = float | Array


def uniform(
    x: Float[Array, "b *shape"],
    key: Key[Array, ""],
    epsilon: Scalar,
    low: float = 0.0,
    high: float = 1.0,
) -> Float[Array, "b *shape"]:
    """A random point of the ball, where an attack may begin."""
    noise = jax.random.uniform(key, x.shape, x.dtype, -1, 1)
    return jnp.clip(x + epsilon * noise, low, high)


def descended(
    loss: Callable[[Any], Array],
    x: Float[Array, "b *shape"],
    start: Float[Array, "b *shape"],
    epsilon: Scalar,
    step: Scalar,
    steps: int,
    low: float = 0.0,
    high: float = 1.0,
) -> Float[Array, "b *shape"]:
    """Projected gradient descent on minus the loss, in the largest-coordinate norm.

        x' <- x' + step * sign(gradient of the loss at x'), clipped to the ball and to the range

    loss: inputs -> the sum of the examples' losses. start: where to begin, such as `x` itself or
    `uniform`. low, high: the range of inputs. One step of size epsilon from `x` is the fast
    gradient sign method.
    """

    def move(moved: Array, _: None) -> tuple[Array, None]:
        moved = moved + step * jnp.sign(jax.grad(loss)(moved))
        moved = x + jnp.clip(moved - x, -epsilon, epsilon)
        return jnp.clip(moved, low, high), None

    return jax.lax.scan(move, start, None, length=steps)[0]
