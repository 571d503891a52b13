"""ConvNeXt: a convolutional network made as transformers are.

Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, "A ConvNet for the 2020s" (2022).
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.models import pretrained, tensor_layouts
from jaxdl.nn import convolution, dense, dropout, layer_norm, limits, pooling

# Where parameters lie on a mesh: kernels are cut by what they put out, all small things are whole.
RULES = (
    (r"(stem|down_\d+|depthwise)/kernel$", (None, None, None, "fsdp")),
    (r"up/kernel$", ("fsdp", "tensor")),
    (r"up/bias$", ("tensor",)),
    (r"down/kernel$", ("tensor", "fsdp")),
    (r"output/kernel$", ("fsdp", "tensor")),
    (r"(scale|bias)$", (None,)),
)

_EPSILON = 1e-6  # of all norms but, in transformers, the last
_init = nn.initializers.truncated_normal(0.02)  # table 5


def gelu(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """The exact one, by the error function."""
    return nn.gelu(x, approximate=False)


class Block(nn.Module):
    """x + scale · down(act(up(norm(depthwise(x))))), the depthwise convolution 7x7, `up` to four
    times the width (figure 4).
    """

    scale: float
    drop: float | Array
    act: Callable[[Array], Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"], train: bool) -> Float[Array, "b h w d"]:
        width = x.shape[-1]
        y = _conv(width, 7, 1, 3, self.dtype, "depthwise", width)(x)
        y = layer_norm.LayerNorm(_EPSILON, dtype=x.dtype, name="norm")(y)
        layer = functools.partial(dense.Dense, dtype=x.dtype, kernel_init=_init)
        y = layer(width, name="down")(self.act(layer(4 * width, name="up")(y)))
        # Liu et al., section 2.6: "layer scale", of Touvron et al. 2021.
        scale = self.param("scale", nn.initializers.constant(self.scale), (width,))
        y = y * scale.astype(y.dtype)[None, None, None]
        return x + dropout.StochasticDepth(self.drop, name="depth")(y, train)


class ConvNeXt(nn.Module):
    """Patches of 4x4, stages of blocks with half the image and more channels from one to the next,
    the mean, a norm, a linear head.

    depths, widths: blocks and channels of each stage.
    scale: what each branch is multiplied by at first.
    drop: the rate of the last block's stochastic depth; it grows evenly from 0 at the first.
    epsilon: of the last norm.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    classes: int = 1000
    scale: float = 1e-6
    drop: float | Array = 0.0
    act: Callable[[Array], Array] = gelu
    epsilon: float = _EPSILON
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for name in ("depths", "widths", "classes"):
            limits.at_least(1, f"ConvNeXt's {name}", getattr(self, name))
        limits.rate("ConvNeXt's drop", self.drop)
        if len(self.depths) != len(self.widths):
            raise errors.InputError(
                f"ConvNeXt's depths and widths must be of as many stages, got {self.depths} and "
                f"{self.widths}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        norm = functools.partial(layer_norm.LayerNorm, _EPSILON, dtype=self.dtype)
        x = _conv(self.widths[0], 4, 4, 0, self.dtype, "stem")(x)
        x = norm(name="norm_stem")(x)
        before, last = 0, max(1, sum(self.depths) - 1)
        for i, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            if i > 0:
                x = norm(name=f"norm_down_{i}")(x)
                x = _conv(width, 2, 2, 0, self.dtype, f"down_{i}")(x)
            for j in range(depth):
                rate = self.drop * (before + j) / last
                name = f"stage_{i}_block_{j}"
                x = Block(self.scale, rate, self.act, self.dtype, name=name)(x, train)
            before += depth
        x = pooling.global_avg_pool(x)
        x = layer_norm.LayerNorm(self.epsilon, dtype=self.dtype, name="norm")(x)
        output = dense.Dense(self.classes, dtype=self.dtype, kernel_init=_init, name="output")
        return output(x)


def _conv(
    features: int, size: int, stride: int, padding: int, dtype: Any, name: str, groups: int = 1
) -> nn.Conv:
    return nn.Conv(
        features,
        (size, size),
        (stride, stride),
        padding=padding,
        feature_group_count=groups,
        kernel_init=_init,
        conv_general_dilated=convolution.convolve,
        dtype=dtype,
        name=name,
    )


# Section 3, of ImageNet's thousand classes.
convnext_tiny = functools.partial(ConvNeXt, (3, 3, 9, 3), (96, 192, 384, 768))  # 28,589,128
convnext_small = functools.partial(ConvNeXt, (3, 3, 27, 3), (96, 192, 384, 768))  # 50,223,688
convnext_base = functools.partial(ConvNeXt, (3, 3, 27, 3), (128, 256, 512, 1024))  # 88,591,464
convnext_large = functools.partial(ConvNeXt, (3, 3, 27, 3), (192, 384, 768, 1536))  # 197,767,336


def _from_config(config: pretrained.Config) -> ConvNeXt:
    return ConvNeXt(
        tuple(config["depths"]),
        tuple(config["hidden_sizes"]),
        len(config["id2label"]),
        scale=config["layer_scale_init_value"],
        drop=config["drop_path_rate"],
        epsilon=config["layer_norm_eps"],
    )


def _to_config(model: ConvNeXt) -> pretrained.Config:
    if model.act is not gelu:
        raise errors.InputError("ConvNeXt in the form of transformers must have gelu, got another.")
    return {
        "depths": list(model.depths),
        "hidden_sizes": list(model.widths),
        "num_stages": len(model.depths),
        "layer_scale_init_value": model.scale,
        "drop_path_rate": model.drop,
        "layer_norm_eps": model.epsilon,
        **pretrained.labels(model.classes),
    }


def _layer(name: str, path: str, layout: tensor_layouts.Layout) -> tuple[pretrained.Tensor, ...]:
    """Kernel and bias of a convolution or a dense layer."""
    row = pretrained.Tensor
    return row(name + ".weight", path + "/kernel", layout), row(name + ".bias", path + "/bias")


def _norm(name: str, path: str) -> tuple[pretrained.Tensor, ...]:
    row = pretrained.Tensor
    return row(name + ".weight", path + "/scale"), row(name + ".bias", path + "/bias")


_CONV, _DENSE = tensor_layouts.CONV_2D, tensor_layouts.TRANSPOSED
_STAGE = "convnext.encoder.stages.{s}."
_THERE, _HERE = _STAGE + "layers.{n}.", "stage_{s}_block_{n}/"

PRETRAINED = (
    pretrained.Format(
        model=ConvNeXt,
        model_type="convnext",
        architectures=("ConvNextForImageClassification",),
        module=_from_config,
        config=_to_config,
        tensors=(
            *_layer("convnext.embeddings.patch_embeddings", "stem", _CONV),
            *_norm("convnext.embeddings.layernorm", "norm_stem"),
            *_norm(_STAGE + "downsampling_layer.0", "norm_down_{s}"),
            *_layer(_STAGE + "downsampling_layer.1", "down_{s}", _CONV),
            *_layer(_THERE + "dwconv", _HERE + "depthwise", _CONV),
            *_norm(_THERE + "layernorm", _HERE + "norm"),
            *_layer(_THERE + "pwconv1", _HERE + "up", _DENSE),
            *_layer(_THERE + "pwconv2", _HERE + "down", _DENSE),
            pretrained.Tensor(_THERE + "layer_scale_parameter", _HERE + "scale"),
            *_norm("convnext.layernorm", "norm"),
            *_layer("classifier", "output", _DENSE),
        ),
        supported={"hidden_act": ("gelu",), "num_channels": (3,), "patch_size": (4,)},
        prefix="convnext.",
        inputs=pretrained.pictures,
    ),
)
