"""Inputs moved within a ball so that a loss rises: what an adversary would do to an image.

Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples" (2015): one step of
the gradient's sign. Madry et al., "Towards deep learning models resistant to adversarial attacks"
(2018): many small ones, each projected back into the ball. A ball is of the largest coordinate
("linf") or of Euclid's distance ("l2"), of each example by itself.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

Scalar = float | Array
Norm = Literal["linf", "l2"]


def uniform(
    x: Float[Array, "b *shape"],
    key: Key[Array, ""],
    epsilon: Scalar,
    low: float = 0.0,
    high: float = 1.0,
    norm: Norm = "linf",
) -> Float[Array, "b *shape"]:
    """A random point of the ball, where an attack may begin; every part of it as likely."""
    if norm == "linf":
        noise = jax.random.uniform(key, x.shape, x.dtype, -1, 1)
    else:
        direction, distance = jax.random.split(key)
        share = jax.random.uniform(distance, (len(x),), x.dtype) ** (len(x) / x.size)
        noise = steepest(jax.random.normal(direction, x.shape, x.dtype), norm)
        noise = noise * along(share, x)
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
    norm: Norm = "linf",
) -> Float[Array, "b *shape"]:
    """Projected gradient descent on minus the loss.

        x' <- x' + step * steepest(gradient of the loss at x'), into the ball and the range

    loss: inputs -> the sum of the examples' losses. start: where to begin, such as `x` itself or
    `uniform`. low, high: the range of inputs, in which `x` lies. One step of size epsilon from `x`
    is the fast gradient sign method, or in "l2" the fast gradient method.
    """

    def move(moved: Array, _: None) -> tuple[Array, None]:
        moved = moved + step * steepest(jax.grad(loss)(moved), norm)
        return confined(moved, x, epsilon, low, high, norm), None

    return jax.lax.scan(move, start, None, length=steps)[0]


def steepest(gradient: Float[Array, "b *shape"], norm: Norm) -> Float[Array, "b *shape"]:
    """The point of the unit ball that lies furthest along the gradient; where that is 0, 0."""
    if norm == "linf":
        return jnp.sign(gradient)
    largest = jnp.abs(gradient).max(_axes(gradient), keepdims=True)
    scaled = gradient / jnp.where(largest > 0, largest, 1)  # squares of tiny slopes would be 0
    return scaled / jnp.maximum(_length(scaled), 1)  # at least the largest coordinate, which is 1


def confined(
    moved: Float[Array, "b *shape"],
    x: Float[Array, "b *shape"],
    epsilon: Scalar,
    low: float,
    high: float,
    norm: Norm,
) -> Float[Array, "b *shape"]:
    """The nearest point of the ball around `x`, then of the range, which leads not out of it."""
    change = moved - x
    if norm == "linf":
        change = jnp.clip(change, -epsilon, epsilon)
    else:
        length = _length(change)
        change = change * jnp.minimum(1, epsilon / jnp.where(length > 0, length, 1))
    return jnp.clip(x + change, low, high)


def along(values: Shaped[Array, "b"], x: Shaped[Array, "b *shape"]) -> Shaped[Array, "b *ones"]:
    """One number for each example, to be multiplied with it."""
    return values.reshape(-1, *[1] * (x.ndim - 1))


def _axes(x: Array) -> tuple[int, ...]:
    return tuple(range(1, x.ndim))


def _length(x: Array) -> Array:
    return jnp.sqrt(jnp.square(x).sum(_axes(x), keepdims=True))
