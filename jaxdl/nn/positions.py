"""Positions of tokens: rotary embeddings (Su et al. 2021, "RoFormer"), and sines (Vaswani et al.
2017) of a grid.
"""

import math

import jax.numpy as jnp
import numpy as np
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


def square_sines(count: int, width: int, base: float = 10_000.0) -> Float[np.ndarray, "n d"]:
    """Fixed positions of a square grid of so many patches in reading order, float32.

    A quarter of the features each: sines of the column, cosines of it, sines of the row, cosines of
    it, of base^(-4i/d) radians a patch (He et al. 2021, whose published code puts columns first).
    """
    side, quarter = math.isqrt(count), width // 4
    if side * side != count:
        raise errors.InputError(f"The patches must form a square grid, got {count} of them.")
    if width % 4:
        raise errors.InputError(
            f"Positions of a grid must have a width that 4 divides, got {width}."
        )
    rate = base ** -(np.arange(quarter) / quarter)
    row, column = (np.ravel(x)[:, None] * rate for x in np.divmod(np.arange(count), side))
    angles = [np.sin(column), np.cos(column), np.sin(row), np.cos(row)]
    return np.concatenate(angles, axis=1).astype(np.float32)


def buckets(
    relative: Int[Array, "*t"], count: int = 32, farthest: int = 128, both: bool = True
) -> Int[Array, "*t"]:
    """The bucket, in [0, count), of each distance of a key after a query (Raffel et al. 2019, T5).

    The nearest half of the distances have a bucket each, farther ones share those that are left,
    ever more of them up to `farthest`. both: half of the buckets are of keys after the query; else
    all are of keys before it, and those after it count as here.
    """
    side = count // 2 if both else count
    near = side // 2
    away = np.arange(farthest + 1, dtype=np.float32)
    rise = np.log(np.maximum(away, 1) / near) / np.log(np.float32(farthest / near))
    far = np.minimum(near + (rise * (side - near)).astype(np.int32), side - 1)
    table = jnp.asarray(np.where(away < near, away, far), jnp.int32)
    before = jnp.abs(relative) if both else jnp.maximum(-relative, 0)
    bucket = table[jnp.minimum(before, farthest)]
    return bucket + side * (relative > 0) if both else bucket
