"""Losses of two players: a generator makes examples, a critic scores them against real ones.

Goodfellow et al., "Generative adversarial nets" (2014), and what others made of the game since.
A score is a number for each example, high for real ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors, learner

Scalar = float | int | jax.Array  # traced in a sweep
Scores = Float[Array, "b"]


class Losses(NamedTuple):
    """What either player minimises.

    critic: (scores of real examples, scores of made ones) -> (b,).
    generator: (scores of made examples) -> (b,).
    penalty: the weight of the critic's `gradient_penalty`, at points `between` real and
        made examples; None is without.
    """

    critic: Callable[[Scores, Scores], Scores]
    generator: Callable[[Scores], Scores]
    penalty: Scalar | None = None


def scores(outputs: Float[Array, "*shape"]) -> Scores:
    """A critic's outputs (b, 1) as scores; those of patches, (b, h, w, 1), are averaged (PatchGAN:
    Isola, Zhu, Zhou and Efros, "Image-to-image translation with conditional adversarial networks",
    2017).

    errors.InputError: they have another shape.
    """
    if outputs.ndim < 2 or outputs.shape[-1] != 1:
        raise errors.InputError(
            f"A critic must give scores of shape (b, 1), or (b, h, w, 1), got {outputs.shape}."
        )
    return outputs.reshape(len(outputs), -1).mean(1)


def non_saturating() -> Losses:
    """Goodfellow et al. (2014): the critic's cross-entropy of its logits; the generator maximises
    the log-probability of being taken for real, whose slope does not vanish while it loses.
    """
    return Losses(
        lambda real, made: jax.nn.softplus(-real) + jax.nn.softplus(made),
        lambda made: jax.nn.softplus(-made),
    )


def hinge() -> Losses:
    """Lim and Ye, "Geometric GAN" (2017): a support vector machine's margin of one."""
    return Losses(
        lambda real, made: jax.nn.relu(1 - real) + jax.nn.relu(1 + made), lambda made: -made
    )


def least_squares() -> Losses:
    """Mao et al., "Least squares generative adversarial networks" (2017): real is 1, made is 0."""
    return Losses(
        lambda real, made: jnp.square(real - 1) + jnp.square(made),
        lambda made: jnp.square(made - 1),
    )


def wasserstein(penalty: Scalar = 10.0) -> Losses:
    """Gulrajani et al., "Improved training of Wasserstein GANs" (2017), WGAN-GP: the difference of
    the mean scores is the earth mover's distance while the critic's slope is at most one.

    penalty: the weight; the paper's is 10, and 0.1 in its code for points in the plane.
    """
    if isinstance(penalty, float | int) and penalty <= 0:
        raise errors.InputError(f"penalty must be positive, got {penalty}.")
    return Losses(lambda real, made: made - real, lambda made: -made, penalty)


def gradient_penalty(
    critic: Callable[[Float[Array, "b *shape"]], Scores], points: Float[Array, "b *shape"]
) -> Scores:
    """How far the critic's slope at each point is from one, squared: (‖∇D(x)‖ - 1)².

    An example's score must not depend on the others: batch norm in a critic spoils it.
    """
    slopes = jax.grad(lambda x: critic(x).sum())(points)
    squares = jnp.square(slopes).reshape(slopes.shape[0], -1).sum(-1)
    # The root's own slope is infinite at zero, where it is to be none.
    return jnp.square(jnp.sqrt(jnp.maximum(squares, 1e-12)) - 1)


def between(
    real: Float[Array, "b *shape"], made: Float[Array, "b *shape"], key: learner.Key
) -> Float[Array, "b *shape"]:
    """A random point on the line between each pair, where WGAN-GP looks at the slope (equation 3).

    εx + (1-ε)G with ε uniform in [0, 1), one for each pair.
    """
    share = jax.random.uniform(key, (real.shape[0],) + (1,) * (real.ndim - 1))
    return share * real + (1 - share) * made
