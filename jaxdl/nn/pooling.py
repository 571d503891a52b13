"""Pooling of images and volumes by reshape and reduce, whose gradient is cheap.

XLA:CPU runs the gradient of the usual windowed maximum (select-and-scatter) so slowly that it takes
more than half of a small CNN's training step. Where the windows do not overlap they are axes of a
reshaped array instead.

Max pooling: Yamaguchi et al. (1990). Global average pooling: Lin, Chen and Yan, "Network in
network" (2013).
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors

Size = int | tuple[int, ...]  # the same for all axes of space, or one for each


def max_pool(
    x: Float[Array, "b *space c"], window: Size = 2, stride: Size | None = None, padding: Size = 0
) -> Float[Array, "b *space2 c"]:
    """The maximum of each window; stride = window unless given, padding (per side) is -inf.

    As in PyTorch, rows and columns that do not fill a window are left out (floor). Equal maxima
    share the gradient equally where windows do not overlap; where they do (stride is not window, or
    padding), the first takes it all, as PyTorch's.
    """
    window, stride, padding = _sizes(x, window, stride, padding)
    if window == stride and not any(padding):
        return _tiled_max(_crop(x, window), window)
    return nn.max_pool(x, window, stride, _both_sides(padding))


def avg_pool(
    x: Float[Array, "b *space c"], window: Size = 2, stride: Size | None = None, padding: Size = 0
) -> Float[Array, "b *space2 c"]:
    """The mean of each window; stride = window unless given, padding (per side) counts as zeros.

    As in PyTorch, rows and columns that do not fill a window are left out (floor).
    """
    window, stride, padding = _sizes(x, window, stride, padding)
    if window == stride and not any(padding):
        return _tiles(_crop(x, window), window).mean(axis=_within(x))
    return nn.avg_pool(x, window, stride, _both_sides(padding))


def global_avg_pool(x: Float[Array, "b *space c"]) -> Float[Array, "b c"]:
    """The mean over all positions."""
    return x.mean(axis=tuple(range(1, x.ndim - 1)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _tiled_max(x, window):
    return _tiles(x, window).max(axis=_within(x))


@_tiled_max.defjvp
def _tiled_max_jvp(window, primals, tangents):
    # The rule JAX has for `max`, with the count of equal maxima taken after the masked sum: 4 % of
    # a CNN's step.
    (x,), (dx,) = primals, tangents
    y = _tiled_max(x, window)
    axes = _within(x)
    hit = _tiles(x, window) == jnp.expand_dims(y, axes)
    count = hit.astype(x.dtype).sum(axis=axes)
    return y, jnp.where(hit, _tiles(dx, window), 0).sum(axis=axes) / count


def _tiles(x, window):
    """(b, h, w, c) -> (b, rows, window height, columns, window width, c), and so for any space."""
    sides = [n for size, side in _spaces(x, window) for n in (size // side, side)]
    return x.reshape(x.shape[0], *sides, x.shape[-1])


def _within(x):
    """The axes of `_tiles` that lie within a window."""
    return tuple(range(2, 2 * x.ndim - 3, 2))


def _crop(x, window):
    whole = tuple(size // side * side for size, side in _spaces(x, window))
    if whole == x.shape[1:-1]:
        return x
    return x[:, *(slice(size) for size in whole)]


def _spaces(x, window):
    return zip(x.shape[1:-1], window, strict=True)


def _sizes(x, window: Size, stride: Size | None, padding: Size):
    axes = x.ndim - 2
    window, padding = _each(window, axes), _each(padding, axes)
    stride = window if stride is None else _each(stride, axes)
    if min(window) < 1 or min(stride) < 1:
        raise errors.InputError(
            f"Pooling's window and stride must be at least 1, got {window} and {stride}."
        )
    if min(padding) < 0 or any(2 * p > w for p, w in zip(padding, window, strict=True)):
        raise errors.InputError(
            f"Pooling's padding must be at most half its window {window}, got {padding}."
        )
    return window, stride, padding


def _each(size: Size, axes: int) -> tuple[int, ...]:
    sizes = (size,) * axes if isinstance(size, int) else tuple(size)
    if len(sizes) != axes:
        raise errors.InputError(
            f"Pooling's sizes must be one for each of {axes} axes of space, got {sizes}."
        )
    return sizes


def _both_sides(padding: tuple[int, ...]) -> Any:
    return tuple((side, side) for side in padding)
