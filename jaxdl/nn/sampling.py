"""Drawing from logits: temperature, top-k (Fan et al. 2018), nucleus (Holtzman et al. 2020)."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors

Scalar = float | Float[Array, ""]


def sample(
    key: Any,
    logits: Float[Array, "*b v"],
    temperature: Scalar = 1.0,
    top_k: int | None = None,
    top_p: Scalar | None = None,
) -> Int[Array, "*b"]:
    """Draw an index from softmax(logits / temperature), cut to the likeliest; 0 means argmax.

    The temperature comes first, then the k likeliest, then the nucleus among those.
    """
    if isinstance(temperature, float | int) and temperature < 0:
        raise errors.InputError(f"Temperature must be at least 0, got {temperature}.")
    logits = logits.astype(jnp.float32)
    greedy = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    cold = jnp.asarray(temperature) == 0
    warm = likeliest(logits / jnp.where(cold, 1.0, temperature), top_k, top_p)
    drawn = jax.random.categorical(key, warm, axis=-1).astype(jnp.int32)
    return jnp.where(cold, greedy, drawn)


def likeliest(
    logits: Float[Array, "*b v"], top_k: int | None = None, top_p: Scalar | None = None
) -> Float[Array, "*b v"]:
    """The logits of the likeliest tokens; those of all others are -inf.

    top_k: keep k tokens. top_p: keep the fewest tokens whose probabilities reach top_p together, at
    least one. Between equals the lower index is likelier.
    """
    if top_k is not None and top_k < 1:
        raise errors.InputError(f"top_k must be at least 1, got {top_k}.")
    if isinstance(top_p, float | int) and not 0 < top_p <= 1:
        raise errors.InputError(f"top_p must lie in (0, 1], got {top_p}.")
    if top_k is None and top_p is None:
        return logits
    order = jnp.argsort(-logits, axis=-1, stable=True)
    rank = jnp.argsort(order, axis=-1)  # the inverse permutation
    if top_k is not None:
        logits = jnp.where(rank < top_k, logits, -jnp.inf)
    if top_p is not None:
        probability = jax.nn.softmax(jnp.take_along_axis(logits, order, axis=-1), axis=-1)
        before = jnp.cumsum(probability, axis=-1) - probability
        inside = (before < top_p).at[..., 0].set(True)
        logits = jnp.where(jnp.take_along_axis(inside, rank, axis=-1), logits, -jnp.inf)
    return logits
