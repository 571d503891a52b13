"""Small convolutional networks: a modern one, and LeNet-5.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (1998).
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import convolution, dropout, limits, normalization, pooling


class CNN(nn.Module):
    """For each of `features`: a convolution, a pool and an activation; then a dense head.

    The pool stands before norm and activation: for relu the same function as after it, on a
    quarter of the values.

    pool: of 2x2 pixels; functools.partial(pooling.max_pool, window=1) leaves all as they are.
    hidden: the width of the dense layer before the last one; 0 leaves it out.
    norm: makes a layer in the place of the bias, such as nn.BatchNorm or
        functools.partial(nn.GroupNorm, 8).
    dropout: the rate before the last layer.
    """

    features: tuple[int, ...] = (32, 64)
    classes: int = 10
    hidden: int = 128
    kernel_size: tuple[int, int] = (3, 3)
    act: Callable[[Array], Array] = nn.relu
    pool: Callable[[Array], Array] = pooling.max_pool
    norm: normalization.Norm | None = None
    dropout: float | Array = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "CNN's features", self.features)
        limits.at_least(1, "CNN's classes", self.classes)
        limits.at_least(0, "CNN's hidden", self.hidden)
        limits.at_least(1, "CNN's kernel_size", self.kernel_size)
        limits.rate("CNN's dropout", self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        if min(x.shape[1:3]) < 2 ** len(self.features):
            raise errors.InputError(
                f"CNN's images must be at least {2 ** len(self.features)} pixels high and wide for "
                f"{len(self.features)} pools, got {x.shape[1]} x {x.shape[2]}. Use fewer features."
            )
        for i, width in enumerate(self.features):
            x = convolution.PooledConv(
                width,
                self.kernel_size,
                pool=self.pool,
                use_bias=self.norm is None,
                dtype=self.dtype,
                name=f"conv_{i}",
            )(x)
            if self.norm is not None:
                x = normalization.normalize(self.norm, x, train, dtype=self.dtype, name=f"norm_{i}")
            x = self.act(x)
        x = x.reshape(x.shape[0], -1)
        if self.hidden:
            x = self.act(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(x))
        x = dropout.Dropout(self.dropout, name="dropout")(x, train)
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x)


class LeNet5(nn.Module):
    """LeNet-5's layers (figure 2) on 32x32 images, or 28x28 ones with a border of zeros.

    As it is used today: relu, max pooling, every map of C3 connected to all of S2 (the paper's
    table 1 leaves some out) and linear outputs for a softmax where the paper has radial basis
    functions. 61,706 parameters for one channel and ten classes.
    """

    classes: int = 10
    act: Callable[[Array], Array] = nn.relu
    pool: Callable[[Array], Array] = pooling.max_pool
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "LeNet5's classes", self.classes)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        if x.shape[1:3] not in ((28, 28), (32, 32)):
            raise errors.InputError(
                "LeNet5's images must be 28 x 28 or 32 x 32 pixels, "
                f"got {x.shape[1]} x {x.shape[2]}. For other sizes use CNN."
            )
        border = (32 - x.shape[1]) // 2
        conv = functools.partial(
            convolution.PooledConv, kernel_size=(5, 5), pool=self.pool, dtype=self.dtype
        )
        x = self.act(conv(6, padding=((border, border), (border, border)), name="c1")(x))
        x = self.act(conv(16, padding="VALID", name="c3")(x))
        x = x.reshape(x.shape[0], -1)
        x = self.act(nn.Dense(120, dtype=self.dtype, name="c5")(x))
        x = self.act(nn.Dense(84, dtype=self.dtype, name="f6")(x))
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x)


def squash(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """The paper's scaled tanh, 1.7159 tanh(2x/3), which maps 1 to 1 and -1 to -1 (appendix A)."""
    return 1.7159 * jnp.tanh(2 / 3 * x)


# Averaging and squashing as in 1998 (the paper's subsampling also scales each map by a weight).
lenet5_1998 = functools.partial(LeNet5, act=squash, pool=pooling.avg_pool)
