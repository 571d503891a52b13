"""Pooling of images by reshape and reduce, whose gradient is cheap.

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

Size = int | tuple[int, int]


def max_pool(
    x: Float[Array, "b h w c"], window: Size = 2, stride: Size | None = None, padding: Size = 0
) -> Float[Array, "b h2 w2 c"]:
    """The maximum of each window; stride = window unless given, padding (per side) is -inf.

    As in PyTorch, rows and columns that do not fill a window are left out (floor). Equal maxima
    share the gradient equally where windows do not overlap; where they do (stride is not window, or
    padding), the first takes it all, as PyTorch's.
    """
    window, stride, padding = _sizes(window, stride, padding)
    if window == stride and padding == (0, 0):
        return _tiled_max(_crop(x, window), window)
    return nn.max_pool(x, window, stride, _both_sides(padding))


def avg_pool(
    x: Float[Array, "b h w c"], window: Size = 2, stride: Size | None = None, padding: Size = 0
) -> Float[Array, "b h2 w2 c"]:
    """The mean of each window; stride = window unless given, padding (per side) counts as zeros.

    As in PyTorch, rows and columns that do not fill a window are left out (floor).
    """
    window, stride, padding = _sizes(window, stride, padding)
    if window == stride and padding == (0, 0):
        return _tiles(_crop(x, window), window).mean(axis=(2, 4))
    return nn.avg_pool(x, window, stride, _both_sides(padding))


def global_avg_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """The mean over all positions."""
    return x.mean(axis=(1, 2))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _tiled_max(x, window):
    return _tiles(x, window).max(axis=(2, 4))


@_tiled_max.defjvp
def _tiled_max_jvp(window, primals, tangents):
    # The rule JAX has for `max`, with the count of equal maxima taken after the masked sum: 4 % of
    # a CNN's step.
    (x,), (dx,) = primals, tangents
    y = _tiled_max(x, window)
    hit = _tiles(x, window) == y[:, :, None, :, None]
    count = hit.astype(x.dtype).sum(axis=(2, 4))
    return y, jnp.where(hit, _tiles(dx, window), 0).sum(axis=(2, 4)) / count


def _tiles(x, window):
    """(b, h, w, c) -> (b, rows, window height, columns, window width, c)."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // window[0], window[0], width // window[1], window[1], channels)


def _crop(x, window):
    rows, columns = (size // side * side for size, side in zip(x.shape[1:3], window, strict=True))
    return x if (rows, columns) == x.shape[1:3] else x[:, :rows, :columns]


def _sizes(window: Size, stride: Size | None, padding: Size):
    window, padding = _pair(window), _pair(padding)
    stride = window if stride is None else _pair(stride)
    if min(window) < 1 or min(stride) < 1:
        raise errors.InputError(
            f"Pooling's window and stride must be at least 1, got {window} and {stride}."
        )
    if min(padding) < 0 or any(2 * p > w for p, w in zip(padding, window, strict=True)):
        raise errors.InputError(
            f"Pooling's padding must be at most half its window {window}, got {padding}."
        )
    return window, stride, padding


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _both_sides(padding: tuple[int, int]) -> Any:
    return tuple((side, side) for side in padding)
