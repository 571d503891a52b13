"""Mixtures of two examples, and of their targets in the same proportion.

mixup: Zhang, Cisse, Dauphin and Lopez-Paz (2017). CutMix: Yun et al. (2019).

A mixture is a function of a batch and a key, for `batches.shuffled(augment=...)`. Each example i is
mixed with the one before it, which in a shuffled batch is any other, in a proportion of its own,
drawn from Beta(alpha, alpha). The integers (b,) of "target" become soft labels (b, classes) of sum
1, which losses/classification.py takes as they are; soft labels are mixed once more.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.losses import classification
from jaxdl.nn import limits


def mixup(batch: dict[str, Any], key: Any, *, alpha: float | Array, classes: int) -> dict[str, Any]:
    """share x_i + (1 - share) x_(i-1), of inputs of any shape and of the targets."""
    x = batch["input"]
    share = _share(key, alpha, len(x))
    return _mixed(batch, _along(share, x) * x + _along(1 - share, x) * _other(x), share, classes)


def cutmix(
    batch: dict[str, Any], key: Any, *, alpha: float | Array, classes: int
) -> dict[str, Any]:
    """A rectangle of image i is that of image i - 1; targets are in proportion to the pixels.

    The rectangle has the image's form, its centre is any pixel, and what lies outside is cut off
    (Yun et al., equation 2).
    """
    x = batch["input"]
    share_key, place_key = jax.random.split(key)
    side = jnp.sqrt(1 - _share(share_key, alpha, len(x)))
    row_key, column_key = jax.random.split(place_key)
    rows = _stretch(row_key, side, x.shape[1])
    columns = _stretch(column_key, side, x.shape[2])
    pasted = rows[:, :, None] & columns[:, None, :]
    share = 1 - pasted.mean((1, 2))
    return _mixed(batch, jnp.where(pasted[..., None], _other(x), x), share, classes)


def soft(target: Array, classes: int) -> Float[Array, "b k"]:
    """Targets as soft labels: one-hot of integers (b,), others as they are."""
    if jnp.issubdtype(target.dtype, jnp.integer):
        return classification.one_hot(target, classes)
    if target.ndim != 2 or target.shape[-1] != classes:
        raise errors.InputError(
            f"Targets to mix must be integers or soft labels of {classes} classes, "
            f"got shape {target.shape}."
        )
    return target


def _share(key: Any, alpha: float | Array, count: int) -> Float[Array, "b"]:
    limits.positive("A mixture's alpha", alpha)
    return jax.random.beta(key, alpha, alpha, (count,))


def _stretch(key: Any, side: Float[Array, "b"], length: int) -> Array:
    """Where, of `length` pixels, those lie that are within half the side of a random centre."""
    cut = jnp.floor(side * length).astype(jnp.int32)
    centre = jax.random.randint(key, side.shape, 0, length)
    start, stop = centre - cut // 2, centre + (cut + 1) // 2
    places = jnp.arange(length)[None]
    return (places >= start[:, None]) & (places < stop[:, None])


def _mixed(batch: Any, x: Any, share: Float[Array, "b"], classes: int) -> dict[str, Any]:
    target = soft(batch["target"], classes)
    return batch | {
        "input": x,
        "target": share[:, None] * target + (1 - share[:, None]) * _other(target),
    }


def _other(x: Any) -> Any:
    return jnp.roll(x, 1, axis=0)


def _along(share: Float[Array, "b"], x: Any) -> Any:
    return share.reshape(-1, *[1] * (x.ndim - 1))
