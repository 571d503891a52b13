"""Normalisation layers as fields of a model: any Linen norm, batch norm told whether it trains."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
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
    # Statistics over one axis of all positions, not over three: XLA:CPU sums them so much faster
    # that the whole training step of a ResNet-20 takes 0.83 of the time.
    rows = x.reshape(-1, x.shape[-1]) if layer.axis == -1 else x
    fixed = layer.use_running_average is not None
    rows = layer(rows) if fixed else layer(rows, use_running_average=not train)
    return rows.reshape(x.shape)
