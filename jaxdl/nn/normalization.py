"""Normalisation layers as fields of a model: any Linen norm, batch norm told whether it trains."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax import lax
from jaxtyping import Array, Float

# A class or partial that makes the layer: nn.LayerNorm, functools.partial(nn.GroupNorm, 8), ...
Norm = Callable[..., Any]

batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)  # PyTorch's


def normalize(
    norm: Norm, x: Float[Array, "*b d"], train: bool, **fields: Any
) -> Float[Array, "*b d"]:
    """Make `norm(**fields)` inside the calling module and apply it to x.

    Batch norm uses and updates its running statistics by `train`, unless the maker has fixed that
    (`functools.partial(nn.BatchNorm, use_running_average=True)` freezes them).
    """
    layer = norm(**fields)
    if not isinstance(layer, nn.BatchNorm):
        return layer(x)
    # Statistics over one axis of all positions, not over three: XLA:CPU sums them six to ten times
    # as fast. The barriers keep it from taking the reshape away, there and for the gradients: a
    # ResNet-20's training step takes 0.87 of the time.
    rows = x.reshape(-1, x.shape[-1]) if layer.axis == -1 else x
    if layer.use_running_average is not None:
        return layer(rows).reshape(x.shape)
    if not train:
        return layer(rows, use_running_average=True).reshape(x.shape)
    rows = layer(_barrier(rows), use_running_average=False)
    return _gradient_barrier(rows).reshape(x.shape)


def _barrier(x):
    return lax.platform_dependent(x, cpu=lax.optimization_barrier, default=lambda x: x)


@jax.custom_jvp
def _gradient_barrier(x):
    """x, and a barrier before the gradient that comes back."""
    return x


@_gradient_barrier.defjvp
def _gradient_barrier_jvp(primals, tangents):
    return primals[0], _barrier(tangents[0])
