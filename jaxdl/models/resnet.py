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

from jaxdl import errors
from jaxdl.models import pretrained, tensor_layouts
from jaxdl.nn import activation, convolution, limits, normalization, pooling

RELU = (nn.relu, activation.relu)  # what checkpoints call so
# Where parameters lie on a mesh: (pattern of the path, an axis or None for each dimension), for
# Run.rules. Kernels are cut by what they put out; the norms, small, are whole on every device.
RULES = (
    (r"conv\w*/kernel$", (None, None, None, "fsdp")),
    (r"output/kernel$", ("fsdp", "tensor")),
    (r"output/bias$", ("tensor",)),
    (r"norm\w*/(scale|bias|mean|var)$", (None,)),
)

group_norm = functools.partial(nn.GroupNorm, epsilon=1e-5)  # 32 groups (Wu and He 2018)


class Block(nn.Module):
    """What both residual blocks share: act(shortcut(x) + branch(x)), `features` inner channels.

    shortcut: where the shape changes, "project" is a strided 1x1 convolution (the paper's option B)
        and "pad" takes every other position and fills new channels with zeros (option A, no
        parameters).
    """

    features: int
    stride: int = 1
    norm: normalization.Norm = normalization.batch_norm
    act: Callable[[Array], Array] = activation.relu
    shortcut: Literal["project", "pad"] = "project"
    dtype: Any = None

    def _conv(self, x, size, features, stride, name):
        return conv(features, size, stride, self.dtype, name)(x)

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
    norm: normalization.Norm = normalization.batch_norm
    act: Callable[[Array], Array] = activation.relu
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "ResNet's stages", self.stages)
        limits.at_least(1, "ResNet's classes", self.classes)
        limits.at_least(1, "ResNet's width", self.width)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b *k"]:
        size, stride = (7, 2) if self.stem == "imagenet" else (3, 1)
        x = conv(self.width, size, stride, self.dtype, "conv_stem")(x)
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


def conv(features: int, size: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    """A convolution without bias, padded alike on all sides, with He et al.'s first weights."""
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


def _from_config(config: pretrained.Config) -> ResNet:
    block = {"basic": BasicBlock, "bottleneck": Bottleneck}[config["layer_type"]]
    width, stages = config["embedding_size"], tuple(config["depths"])
    model = ResNet(stages, len(config["id2label"]), block, width)
    if list(config["hidden_sizes"]) != _hidden_sizes(model):
        raise errors.InputError(
            f"ResNet's hidden_sizes must double from stage to stage, {_hidden_sizes(model)} for an "
            f"embedding_size of {width}, got {config['hidden_sizes']}."
        )
    return model


def _to_config(model: ResNet) -> pretrained.Config:
    kinds = {BasicBlock: "basic", Bottleneck: "bottleneck"}
    norm = model.norm == normalization.batch_norm
    kept = model.stem == "imagenet" and norm and model.act in RELU
    if model.block not in kinds or model.classes is None or not kept:
        raise errors.InputError(
            "A ResNet in the form of transformers must have the stem for ImageNet, batch norm, "
            "relu, a head, and BasicBlock or Bottleneck as they are, got others."
        )
    return {
        "layer_type": kinds[model.block],
        "depths": list(model.stages),
        "embedding_size": model.width,
        "hidden_sizes": _hidden_sizes(model),
        **pretrained.labels(model.classes),
    }


def _hidden_sizes(model: ResNet) -> list[int]:
    expansion = 4 if model.block is Bottleneck else 1
    return [expansion * model.width * 2**i for i in range(len(model.stages))]


def _layer(name: str, conv: str, norm: str) -> tuple[pretrained.Tensor, ...]:
    """A convolution and the batch norm after it, with its statistics."""
    row, before = pretrained.Tensor, name + ".normalization."
    return (
        row(name + ".convolution.weight", conv + "/kernel", tensor_layouts.CONV_2D),
        row(before + "weight", norm + "/scale"),
        row(before + "bias", norm + "/bias"),
        row(before + "running_mean", f"batch_stats/{norm}/mean"),
        row(before + "running_var", f"batch_stats/{norm}/var"),
    )


_THERE, _HERE = "resnet.encoder.stages.{s}.layers.{n}", "stage_{s+1}_block_{n+1}"

PRETRAINED = (
    pretrained.Format(
        model=ResNet,
        model_type="resnet",
        architectures=("ResNetForImageClassification",),
        module=_from_config,
        config=_to_config,
        tensors=(
            *_layer("resnet.embedder.embedder", "conv_stem", "norm_stem"),
            *_layer(_THERE + ".layer.{l}", _HERE + "/conv_{l+1}", _HERE + "/norm_{l+1}"),
            *_layer(_THERE + ".shortcut", _HERE + "/conv_shortcut", _HERE + "/norm_shortcut"),
            pretrained.Tensor("classifier.1.weight", "output/kernel", tensor_layouts.TRANSPOSED),
            pretrained.Tensor("classifier.1.bias", "output/bias"),
        ),
        supported={
            "hidden_act": ("relu",),
            "num_channels": (3,),
            "downsample_in_first_stage": (False,),
            "downsample_in_bottleneck": (False,),
        },
        prefix="resnet.",
        ignored=(r"num_batches_tracked$",),
        inputs=pretrained.pictures,
    ),
)
