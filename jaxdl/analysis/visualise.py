"""What a network would most like to see: an input made by climbing a score, of a class
(`attribution.scores`) or of a unit within (`inside.unit`).

Class models: Simonyan, Vedaldi and Zisserman (2013), "Deep inside convolutional networks", with
their penalty on the input's size; jitter and smoothness as of Olah, Mordvintsev and Schubert
(2017), "Feature visualization".
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.analysis import attribution
from jaxdl.nn import limits


def best_inputs(
    score: attribution.Score,
    start: Any,
    key: Any,
    *,
    steps: int = 256,
    rate: float = 0.05,
    penalty: float = 0.01,
    roughness: float = 0.0,
    jitter: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Float[Array, "b *shape"]:
    """Inputs x that make score(x) - penalty |x|² - roughness TV(x) large, by Adam from `start`.

    start: inputs (b, ...), such as zeros or a little noise; each climbs by itself.
    roughness: weighs the squared differences of neighbours along the axes of space, of images and
        series; jitter: by up to how many pixels they are moved, anew for each step, so that what is
        found does not hang on its place. bounds: the least and the largest value.
    """
    limits.at_least(1, "Visualisation's steps", steps)
    limits.positive("Visualisation's rate", rate)
    limits.at_least(0, "Visualisation's jitter", jitter)
    start = jnp.asarray(start)
    if not jnp.issubdtype(start.dtype, jnp.floating):
        raise errors.InputError(
            f"An input that is optimised must hold floats, got {start.dtype}. "
            "Of tokens climb the score of inside.embedded."
        )
    space = tuple(range(1, start.ndim - 1))
    if (roughness or jitter) and not space:
        raise errors.InputError(
            f"Roughness and jitter must be of inputs with space, got {list(start.shape)}."
        )
    optimizer = optax.adam(rate)

    def loss(x: Array, moves: Array) -> Array:
        moved = jnp.roll(x, moves, space) if jitter else x
        # Sums, not means over examples, which would make them depend on each other's number.
        return -score(moved).sum() + penalty * (x * x).sum() + roughness * _differences(x, space)

    def climb(carry: Any, key: Any) -> tuple[Any, None]:
        x, moments = carry
        moves = jax.random.randint(key, (len(space),), -jitter, jitter + 1)
        updates, moments = optimizer.update(jax.grad(loss)(x, moves), moments)
        x = x + updates
        return (x if bounds is None else jnp.clip(x, *bounds), moments), None

    (x, _), _ = jax.lax.scan(climb, (start, optimizer.init(start)), jax.random.split(key, steps))
    return x


def _differences(x: Array, space: tuple[int, ...]) -> Array:
    return sum((jnp.square(jnp.diff(x, axis=axis)).sum() for axis in space), jnp.zeros(()))
