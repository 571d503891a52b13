"""Networks of clips (b, t, h, w, c) that convolve time as they do space.

C3D: Tran et al., "Learning spatiotemporal features with 3D convolutional networks" (2015).
R(2+1)D, whose convolutions are one of space and one of time after it: Tran et al., "A closer look
at spatiotemporal convolutions for action recognition" (2018).
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import activation, convolution, dropout, limits, normalization, pooling

# Where parameters lie on a mesh: kernels are cut by what they put out, norms are whole.
RULES = (
    (r"(conv\w*|space|time)/kernel$", (None, None, None, None, "fsdp")),
    (r"(hidden_\d|output)/kernel$", ("fsdp", "tensor")),
    (r"(scale|bias|mean|var)$", (None,)),
)

Sides = tuple[int, int, int]  # along time, height and width


class C3D(nn.Module):
    """Stages of convolutions, each before a maximum pool; then dense layers over what is left.

    stages: the channels of each convolution, stage by stage. pools: the window after each.
    time: how many frames a convolution sees; 1 knows of no motion.
    hidden: widths of the dense layers; without any the output is of the mean over all positions.
    last_padding: pixels that the last pool adds on each side of height and width.
    """

    classes: int
    stages: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512), (512, 512))
    pools: tuple[Sides, ...] = ((1, 2, 2), *((2, 2, 2),) * 4)
    time: int = 3
    hidden: tuple[int, ...] = (4096, 4096)
    last_padding: int = 0
    dropout: float | Array = 0.0
    act: Callable[[Array], Array] = activation.relu
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "C3D's classes", self.classes)
        for features in self.stages:
            limits.at_least(1, "C3D's stages", features)
        for window in self.pools:
            limits.at_least(1, "C3D's pools", window)
        limits.at_least(1, "C3D's hidden", self.hidden)
        limits.rate("C3D's dropout", self.dropout)
        if len(self.pools) != len(self.stages):
            raise errors.InputError(
                f"C3D's pools must be one for each of its {len(self.stages)} stages, "
                f"got {len(self.pools)}."
            )
        limits.at_least(1, "C3D's time", self.time)
        if self.time % 2 == 0:
            raise errors.InputError(f"C3D's time must be odd, got {self.time}.")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], train: bool = False) -> Float[Array, "b k"]:
        clip = " x ".join(map(str, x.shape[1:4]))
        for i, features in enumerate(self.stages):
            for j, width in enumerate(features):
                name = f"conv_{i + 1}_{j + 1}"
                x = self.act(_conv(width, (self.time, 3, 3), (1, 1, 1), self.dtype, name, True)(x))
            last = self.last_padding if i == len(self.stages) - 1 else 0
            padding = (0, last, last)
            sides = [n + 2 * more for n, more in zip(x.shape[1:4], padding, strict=True)]
            if any(n < side for n, side in zip(sides, self.pools[i], strict=True)):
                raise errors.InputError(
                    f"C3D's clips must be large enough for its pools {self.pools}, got {clip}, of "
                    f"which pool {i + 1} finds {' x '.join(map(str, sides))}."
                )
            x = pooling.max_pool(x, self.pools[i], padding=padding)
        x = x.reshape(x.shape[0], -1) if self.hidden else pooling.global_avg_pool(x)
        for i, width in enumerate(self.hidden):
            x = self.act(nn.Dense(width, dtype=self.dtype, name=f"hidden_{i + 1}")(x))
            x = dropout.Dropout(self.dropout, name=f"dropout_{i + 1}")(x, train)
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x)


class Factored(nn.Module):
    """A convolution of space, norm and activation, then one of time: in place of one of both.

    middle: channels between the two.
    """

    features: int
    middle: int
    stride: int
    norm: normalization.Norm
    act: Callable[[Array], Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b t2 h2 w2 d"]:
        step = self.stride
        x = _conv(self.middle, (1, 3, 3), (1, step, step), self.dtype, "space")(x)
        x = normalization.normalize(self.norm, x, train, dtype=self.dtype, name="norm")
        return _conv(self.features, (3, 1, 1), (step, 1, 1), self.dtype, "time")(self.act(x))


class Block(nn.Module):
    """A residual block of two factored convolutions, each with as many weights as a 3³ one."""

    features: int
    stride: int
    norm: normalization.Norm
    act: Callable[[Array], Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b t2 h2 w2 d"]:
        norm = functools.partial(normalization.normalize, self.norm, dtype=self.dtype)
        into, out, step = x.shape[-1], self.features, self.stride
        middle = 27 * into * out // (9 * into + 3 * out)  # section 3.5
        fields = (self.norm, self.act, self.dtype)
        y = Factored(out, middle, step, *fields, name="conv_1")(x, train)
        y = self.act(norm(y, train, name="norm_1"))
        y = Factored(out, middle, 1, *fields, name="conv_2")(y, train)
        y = norm(y, train, name="norm_2")
        if into != out or step != 1:
            x = _conv(out, (1, 1, 1), (step, step, step), self.dtype, "conv_shortcut")(x)
            x = norm(x, train, name="norm_shortcut")
        return self.act(x + y)


class R2Plus1D(nn.Module):
    """A residual network of factored convolutions.

    stages: blocks in each; from the second on a stage halves time, height and width and doubles
    the channels, of which the first has `width`.
    """

    classes: int
    stages: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    norm: normalization.Norm = normalization.batch_norm
    act: Callable[[Array], Array] = activation.relu
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "R2Plus1D's classes", self.classes)
        limits.at_least(1, "R2Plus1D's stages", self.stages)
        limits.at_least(1, "R2Plus1D's width", self.width)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], train: bool = False) -> Float[Array, "b k"]:
        norm = functools.partial(normalization.normalize, self.norm, dtype=self.dtype)
        middle = 45 * self.width // 64  # of the published network of width 64
        x = _conv(middle, (1, 7, 7), (1, 2, 2), self.dtype, "conv_space")(x)
        x = self.act(norm(x, train, name="norm_space"))
        x = _conv(self.width, (3, 1, 1), (1, 1, 1), self.dtype, "conv_time")(x)
        x = self.act(norm(x, train, name="norm_time"))
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                x = Block(
                    self.width * 2**i,
                    2 if i > 0 and j == 0 else 1,
                    self.norm,
                    self.act,
                    self.dtype,
                    name=f"stage_{i + 1}_block_{j + 1}",
                )(x, train)
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(pooling.global_avg_pool(x))


def _conv(
    features: int, sides: Sides, strides: Sides, dtype: Any, name: str, use_bias: bool = False
) -> nn.Conv:
    return nn.Conv(
        features,
        sides,
        strides,
        padding=[(side // 2, side // 2) for side in sides],
        use_bias=use_bias,
        kernel_init=nn.initializers.he_normal(),
        conv_general_dilated=convolution.convolve,
        dtype=dtype,
        name=name,
    )


# Figure 3 of the paper, of 16 frames of 112 x 112 pixels: 78,409,573 parameters for UCF101.
c3d = functools.partial(C3D, classes=101, dropout=0.5, last_padding=1)
# Table 1 with two blocks a stage: 31,505,325 parameters for Kinetics-400 (torchvision's).
r2plus1d_18 = functools.partial(R2Plus1D, classes=400)
