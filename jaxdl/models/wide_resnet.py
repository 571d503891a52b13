"""Residual networks whose blocks normalise first, deep ones and wide ones.

He, Zhang, Ren and Sun, "Identity mappings in deep residual networks" (2016); Zagoruyko and
Komodakis, "Wide residual networks" (2016).
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdl.models import resnet
from jaxdl.nn import activation, dropout, limits, normalization, pooling

RULES = resnet.RULES  # of where parameters lie on a mesh, for Run.rules


class Block(nn.Module):
    """x + branch(act(norm(x))), a branch of two 3x3 convolutions with norm and activation between.

    Where the shape changes, the shortcut is a 1x1 convolution of act(norm(x)) (He et al. 2016,
    section 4.1). dropout: its rate between the convolutions (Zagoruyko and Komodakis, section 2.4).
    """

    features: int
    stride: int
    norm: normalization.Norm
    act: Callable[[Array], Array]
    dropout: float | Array
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h2 w2 d"]:
        y = self._activated(x, train, "norm_1")
        x, y = self._shortcut(x, y, self.features), self._conv(y, 3, self.features, True, "conv_1")
        y = self._activated(y, train, "norm_2")
        y = dropout.Dropout(self.dropout, name="dropout")(y, train)
        return x + self._conv(y, 3, self.features, False, "conv_2")

    def _activated(self, x: Array, train: bool, name: str) -> Array:
        return self.act(normalization.normalize(self.norm, x, train, dtype=self.dtype, name=name))

    def _shortcut(self, x: Array, y: Array, features: int) -> Array:
        if x.shape[-1] == features and self.stride == 1:
            return x
        return self._conv(y, 1, features, True, "conv_shortcut")

    def _conv(self, x: Array, size: int, features: int, strided: bool, name: str) -> Array:
        return resnet.conv(features, size, self.stride if strided else 1, self.dtype, name)(x)


class Bottleneck(Block):
    """The same with a branch of 1x1, 3x3 and 1x1 convolutions, the last four times as wide."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h2 w2 d"]:
        y = self._activated(x, train, "norm_1")
        x = self._shortcut(x, y, 4 * self.features)
        y = self._conv(y, 1, self.features, False, "conv_1")
        y = self._conv(self._activated(y, train, "norm_2"), 3, self.features, True, "conv_2")
        y = self._activated(y, train, "norm_3")
        y = dropout.Dropout(self.dropout, name="dropout")(y, train)
        return x + self._conv(y, 1, 4 * self.features, False, "conv_3")


class WideResNet(nn.Module):
    """A 3x3 convolution, stages of blocks, norm, activation, mean, and a linear head.

    stages: blocks in each; the first keeps the image's size, the others halve it.
    width: channels of the first convolution, and, `widen` times as many, of the first stage's
        blocks; they double from stage to stage.
    """

    stages: tuple[int, ...]
    classes: int = 10
    block: Callable[..., Any] = Block
    width: int = 16
    widen: int = 1
    norm: normalization.Norm = normalization.batch_norm
    act: Callable[[Array], Array] = activation.relu
    dropout: float | Array = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        for name in ("stages", "classes", "width", "widen"):
            limits.at_least(1, f"WideResNet's {name}", getattr(self, name))
        limits.rate("WideResNet's dropout", self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        x = resnet.conv(self.width, 3, 1, self.dtype, "conv_stem")(x)
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                x = self.block(
                    features=self.width * self.widen * 2**i,
                    stride=2 if i > 0 and j == 0 else 1,
                    norm=self.norm,
                    act=self.act,
                    dropout=self.dropout,
                    dtype=self.dtype,
                    name=f"stage_{i + 1}_block_{j + 1}",
                )(x, train)
        x = normalization.normalize(self.norm, x, train, dtype=self.dtype, name="norm_output")
        x = pooling.global_avg_pool(self.act(x))
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x)


# Zagoruyko and Komodakis, table 4: depth and width, on CIFAR-10.
wrn_16_8 = functools.partial(WideResNet, stages=(2, 2, 2), widen=8)  # 10,961,370 parameters
wrn_28_10 = functools.partial(WideResNet, stages=(4, 4, 4), widen=10)  # 36,479,194
wrn_40_4 = functools.partial(WideResNet, stages=(6, 6, 6), widen=4)  # 8,949,210

# He et al. 2016, table 3, on CIFAR-10.
preresnet110 = functools.partial(WideResNet, stages=(18, 18, 18))  # 1,730,522
preresnet164 = functools.partial(WideResNet, stages=(18, 18, 18), block=Bottleneck)  # 1,703,258
# 10,327,706
preresnet1001 = functools.partial(WideResNet, stages=(111, 111, 111), block=Bottleneck)
