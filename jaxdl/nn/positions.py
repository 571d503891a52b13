"""Positions of tokens: rotary embeddings (Su et al. 2021, "RoFormer")."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors


def rotate(
    x: Float[Array, "b t h d"], steps: Int[Array, "t"], base: float = 10_000.0
) -> Float[Array, "b t h d"]:
    """Turn pair i of every head's features by the angle step · base^(-2i/d).

    Pair i is features i and i + d/2, as in GPT-NeoX and Llama (RoFormer's own pairs are neighbours:
    the same up to an order of features). The product of a query and a key turned so depends
    on the difference of their steps alone. d must be even.
    """
    half, odd = divmod(x.shape[-1], 2)
    if odd:
        raise errors.InputError(
            f"Rotary positions must have an even width per head, got {x.shape[-1]}."
        )
    rate = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = steps.astype(jnp.float32)[:, None] * rate[None]
    cos = jnp.cos(angle)[None, :, None].astype(x.dtype)
    sin = jnp.sin(angle)[None, :, None].astype(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
