"""The U-Net: a class for every pixel of an image, or of a volume, seen at several scales.

Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation"
(2015); of volumes: Çiçek et al., "3D U-Net" (2016). Convolutions pad with zeros, so that outputs
have the input's size, where the paper crops; batch norm is Çiçek's.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import activation, convolution, limits, normalization, pooling

# Where parameters lie on a mesh: kernels are cut by what they put out, the small rest is whole.
RULES = (
    (r"(conv_\d|up_\d+)/kernel$", (None, None, None, "fsdp")),
    (r"output/kernel$", (None, None)),
    (r"/(scale|bias|mean|var)$", (None,)),
)
VOLUME_RULES = ((r"(conv_\d|up_\d+)/kernel$", (None, None, None, None, "fsdp")), *RULES[1:])


class Stage(nn.Module):
    """Two convolutions of side 3, each with norm and activation."""

    features: int
    dimensions: int
    norm: normalization.Norm | None
    act: Callable[[Array], Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"], train: bool) -> Float[Array, "b *space d"]:
        for i in (1, 2):
            x = nn.Conv(
                self.features,
                (3,) * self.dimensions,
                padding=1,
                use_bias=self.norm is None,
                kernel_init=nn.initializers.he_normal(),  # section 3 of the paper
                conv_general_dilated=convolution.convolve,
                dtype=self.dtype,
                name=f"conv_{i}",
            )(x)
            if self.norm is not None:
                x = normalization.normalize(self.norm, x, train, dtype=self.dtype, name=f"norm_{i}")
            x = self.act(x)
        return x


class UNet(nn.Module):
    """Down by halves, up again by doubles; on the way up each scale sees what it was on the way
    down. Outputs are logits of every pixel.

    features: channels at each scale, from the input's down; one pool less than there are scales.
    dimensions: 2 of images (b, h, w, c), 3 of volumes (b, d, h, w, c), 1 of sequences (b, t, c).
    norm: None leaves it out and gives the convolutions a bias, as the paper's.
    """

    classes: int
    features: tuple[int, ...] = (64, 128, 256, 512, 1024)
    dimensions: int = 2
    norm: normalization.Norm | None = normalization.batch_norm
    act: Callable[[Array], Array] = activation.relu
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "UNet's classes", self.classes)
        limits.at_least(1, "UNet's features", self.features)
        if self.dimensions not in (1, 2, 3):
            raise errors.InputError(f"UNet's dimensions must be 1, 2 or 3, got {self.dimensions}.")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], train: bool = False
    ) -> Float[Array, "b *space k"]:
        self._check(x.shape[1:-1])
        fields = (self.dimensions, self.norm, self.act, self.dtype)
        seen = []
        for i, width in enumerate(self.features):
            x = Stage(width, *fields, name=f"down_{i}")(x if i == 0 else pooling.max_pool(x), train)
            seen.append(x)
        for i in reversed(range(len(self.features) - 1)):
            pair = (2,) * self.dimensions
            up = convolution.TransposedConv(
                self.features[i], pair, pair, dtype=self.dtype, name=f"up_{i}"
            )
            x = jnp.concatenate([seen[i], up(x)], axis=-1)
            x = Stage(self.features[i], *fields, name=f"merge_{i}")(x, train)
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x)

    def _check(self, sides: tuple[int, ...]) -> None:
        multiple = 2 ** (len(self.features) - 1)
        if len(sides) != self.dimensions or any(side % multiple for side in sides):
            raise errors.InputError(
                f"UNet's inputs must have {self.dimensions} axes of space, each a multiple of "
                f"{multiple}, got {sides}. Pad them, or use fewer features."
            )


# The paper's figure 1, of one channel and two classes: 31,030,658 parameters without norm.
unet = functools.partial(UNet, classes=2, norm=None)
