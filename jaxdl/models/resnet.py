"""Residual networks for CIFAR-10 and ImageNet.

He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2015). The bottleneck's
stride sits in its 3x3 convolution and each block begins as the identity (its last scale is zero):
Goyal et al., "Accurate, large minibatch SGD" (2017). Padding is explicit and symmetric, so that
PyTorch's weights fit.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.nn import convolution, limits, normalization, pooling

# Where parameters lie on a mesh: (pattern of the path, an axis or None for each dimension), for
# Run.rules. Kernels are cut by what they put out; the norms, small, are whole on every device.
RULES = (
    (r"conv\w*/kernel$", (None, None, None, "fsdp")),
    (r"output/kernel$", ("fsdp", "tensor")),
    (r"output/bias$", ("tensor",)),
    (r"norm\w*/(scale|bias|mean|var)$", (None,)),
)

batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)
group_norm = functools.partial(nn.GroupNorm, epsilon=1e-5)  # 32 groups (Wu and He 2018)


class Block(nn.Module):
    """What both residual blocks share: act(shortcut(x) + branch(x)), `features` inner channels.

    shortcut: where the shape changes, "project" is a strided 1x1 convolution (the paper's option B)
        and "pad" takes every other position and fills new channels with zeros (option A, no
        parameters).
    """

    features: int
    stride: int = 1
    norm: normalization.Norm = batch_norm
    act: Callable[[Array], Array] = nn.relu
    shortcut: Literal["project", "pad"] = "project"
    dtype: Any = None

    def _conv(self, x, size, features, stride, name):
        return _conv(features, size, stride, self.dtype, name)(x)

    def _norm(self, x, train, name, **fields):
        return normalization.normalize(self.norm, x, train, dtype=self.dtype, name=name, **fields)

    def _shortcut(self, x, features, train):
        if x.shape[-1] == features and self.stride == 1:
            return x
        if self.shortcut == "pad":
            x = x[:, :: self.stride, :: self.stride]
            return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))
        x = self._conv(x, 1, features, self.stride, "conv_shortcut")
        return self._norm(x, train, "norm_shortcut")


class BasicBlock(Block):
    """Two 3x3 convolutions (figure 5, left)."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h2 w2 d"]:
        y = self._conv(x, 3, self.features, self.stride, "conv_1")
        y = self.act(self._norm(y, train, "norm_1"))
        y = self._conv(y, 3, self.features, 1, "conv_2")
        y = self._norm(y, train, "norm_2", scale_init=nn.initializers.zeros_init())
        return self.act(self._shortcut(x, self.features, train) + y)


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolutions, the last four times as wide (figure 5, right)."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h2 w2 d"]:
        y = self._conv(x, 1, self.features, 1, "conv_1")
        y = self.act(self._norm(y, train, "norm_1"))
        y = self._conv(y, 3, self.features, self.stride, "conv_2")
        y = self.act(self._norm(y, train, "norm_2"))
        y = self._conv(y, 1, 4 * self.features, 1, "conv_3")
        y = self._norm(y, train, "norm_3", scale_init=nn.initializers.zeros_init())
        return self.act(self._shortcut(x, 4 * self.features, train) + y)


class ResNet(nn.Module):
    """A stem, stages of residual blocks that halve the image and double the width, a linear head.

    stages: blocks in each stage. classes: None leaves the head out, and the last stage's map of
    features is the output. width: the first stage's inner channels.
    stem: "imagenet" is a 7x7 convolution and a pool, a quarter of the image; "cifar" a 3x3 one, all
    of it.
    """

    stages: tuple[int, ...]
    classes: int | None
    block: Callable[..., Any] = BasicBlock
    width: int = 64
    stem: Literal["imagenet", "cifar"] = "imagenet"
    norm: normalization.Norm = batch_norm
    act: Callable[[Array], Array] = nn.relu
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "ResNet's stages", self.stages)
        limits.at_least(1, "ResNet's classes", self.classes)
        limits.at_least(1, "ResNet's width", self.width)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b *k"]:
        size, stride = (7, 2) if self.stem == "imagenet" else (3, 1)
        x = _conv(self.width, size, stride, self.dtype, "conv_stem")(x)
        x = normalization.normalize(self.norm, x, train, dtype=self.dtype, name="norm_stem")
        x = self.act(x)
        if self.stem == "imagenet":
            x = pooling.max_pool(x, 3, stride=2, padding=1)
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                x = self.block(
                    features=self.width * 2**i,
                    stride=2 if i > 0 and j == 0 else 1,
                    norm=self.norm,
                    act=self.act,
                    dtype=self.dtype,
                    name=f"stage_{i + 1}_block_{j + 1}",
                )(x, train)
        if self.classes is None:
            return x
        x = pooling.global_avg_pool(x)
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x)


def _conv(features: int, size: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    return nn.Conv(
        features,
        (size, size),
        (stride, stride),
        padding=size // 2,
        use_bias=False,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),  # He et al., 2015
        conv_general_dilated=convolution.convolve,
        dtype=dtype,
        name=name,
    )


# Table 6: 6n + 2 layers on CIFAR-10's 32x32 images, with shortcuts that have no parameters.
_cifar = functools.partial(
    ResNet,
    classes=10,
    width=16,
    stem="cifar",
    block=functools.partial(BasicBlock, shortcut="pad"),
)
resnet20 = functools.partial(_cifar, stages=(3, 3, 3))
resnet32 = functools.partial(_cifar, stages=(5, 5, 5))
resnet44 = functools.partial(_cifar, stages=(7, 7, 7))
resnet56 = functools.partial(_cifar, stages=(9, 9, 9))
resnet110 = functools.partial(_cifar, stages=(18, 18, 18))

# Table 1: ImageNet's 224x224 images.
_imagenet = functools.partial(ResNet, classes=1000)
resnet18 = functools.partial(_imagenet, stages=(2, 2, 2, 2))
resnet34 = functools.partial(_imagenet, stages=(3, 4, 6, 3))
resnet50 = functools.partial(_imagenet, stages=(3, 4, 6, 3), block=Bottleneck)
resnet101 = functools.partial(_imagenet, stages=(3, 4, 23, 3), block=Bottleneck)
resnet152 = functools.partial(_imagenet, stages=(3, 8, 36, 3), block=Bottleneck)
