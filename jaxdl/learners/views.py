"""What learners of views share: two random views of each example, how far from collapse, a picture.

Such a learner makes representations of two views of an example alike. Its danger is collapse: the
same representation for all examples, which is alike for any two views.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import learner, summary
from jaxdl.learners import gradient

Augment = Callable[[Any, Any], Any]  # (inputs, key) -> inputs of the same shape, each by chance


def two(augment: Augment, inputs: Any, key: Any) -> Any:
    """Two views of each example, one after the other: of b examples the rows i and b + i."""
    first, second = jax.random.split(key)
    return jnp.concatenate([augment(inputs, first), augment(inputs, second)])


def swapped(x: Float[Array, "two_b d"]) -> Float[Array, "two_b d"]:
    """In each row the other view's."""
    first, second = jnp.split(x, 2)
    return jnp.concatenate([second, first])


def unit(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Rows of length 1; the small number keeps the gradient of a zero row finite."""
    return x / jnp.sqrt((x**2).sum(-1, keepdims=True) + 1e-12)


def spread(x: Float[Array, "b d"]) -> Float[Array, ""]:
    """0 where all rows have one direction, or are 0 (collapse); 1 where directions spread evenly.

    The root of mean |unit|² - |mean of the units|², which is the total standard deviation of
    normalised rows; Chen and He, "Exploring simple Siamese representation learning" (2021),
    section 4.1, watch it dimension by dimension.
    """
    units = unit(x)
    # Rounding must not bring it below 0: the root would be NaN just where all has collapsed.
    return jnp.sqrt(jnp.maximum(0, (units**2).sum(-1).mean() - (units.mean(0) ** 2).sum()))


def similarities(
    taught: learner.Learner, inputs: Float[Any, "b *shape"]
) -> Callable[[gradient.State, Any], summary.Image]:
    """A summary: the cosine of each two examples' features, less their mean; white is 1, black -1.

    Sorted by class, good features show light squares on the diagonal; where they have collapsed all
    is one grey.
    """

    def shown(state: gradient.State, key: Any) -> summary.Image:
        assert taught.predict is not None
        features = taught.predict(state, {"input": jnp.asarray(inputs)})
        units = unit(features - features.mean(0)[None])
        return summary.Image(jnp.clip((1 + units @ units.T) / 2, 0, 1))

    return shown
