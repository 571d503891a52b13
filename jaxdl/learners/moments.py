"""Mean and variance of all that has come so far, kept up as more comes.

Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
(1979).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

FARTHEST = 10.0  # standard deviations; as Gymnasium's and Stable-Baselines3's wrappers have it
SMALLEST = 1e-8  # added to a variance, likewise


class Moments(NamedTuple):
    """How many there were, their mean and their variance."""

    count: Float[Array, ""]
    mean: Float[Array, "..."]
    variance: Float[Array, "..."]


def none(shape: tuple[int, ...]) -> Moments:
    """Of nothing yet: what is standardised stays as it is."""
    return Moments(jnp.float32(0), jnp.zeros(shape), jnp.ones(shape))


def joined(moments: Moments, x: Float[Array, "n ..."]) -> Moments:
    """With n more."""
    count = moments.count + len(x)
    new, old = len(x) / count, moments.count / count
    gap = x.mean(0) - moments.mean
    variance = old * moments.variance + new * x.var(0) + old * new * gap**2
    return Moments(count, moments.mean + new * gap, variance)


def standardised(moments: Moments, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """How many standard deviations from the mean, at most 10."""
    mean, deviation = (
        jnp.broadcast_to(a, x.shape) for a in (moments.mean, jnp.sqrt(moments.variance + SMALLEST))
    )
    return jnp.clip((x - mean) / deviation, -FARTHEST, FARTHEST)


def scaled(moments: Moments, x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """In standard deviations, at most 10, the mean not taken off."""
    return jnp.clip(x / jnp.sqrt(moments.variance + SMALLEST), -FARTHEST, FARTHEST)
