"""MLP-Mixer: perceptrons over the patches of an image, and over the channels of each patch.

Tolstikhin et al., "MLP-Mixer: an all-MLP architecture for vision" (2021).
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.nn import dense, layer_norm, limits, patches, transformer

# Where parameters lie on a mesh, for Run.rules.
RULES = (
    (r"up/kernel$", ("fsdp", "tensor")),
    (r"up/bias$", ("tensor",)),
    (r"down/kernel$", ("tensor", "fsdp")),
    (r"(stem|output)/kernel$", ("fsdp", "tensor")),
    (r"(scale|bias)$", (None,)),
)


class Block(nn.Module):
    """x + tokens(norm(x)ᵀ)ᵀ, then x + channels(norm(x)) (equation 1)."""

    tokens: int
    channels: int
    act: Callable[[Array], Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        norm = functools.partial(layer_norm.LayerNorm, 1e-6, dtype=self.dtype)
        y = norm(name="norm_1")(x).swapaxes(1, 2)
        y = transformer.MLP(self.tokens, self.act, dtype=self.dtype, name="tokens")(y)
        x = x + y.swapaxes(1, 2)
        y = norm(name="norm_2")(x)
        return x + transformer.MLP(self.channels, self.act, dtype=self.dtype, name="channels")(y)


class Mixer(nn.Module):
    """Patches of an image, blocks, a norm, the mean over patches, a linear head.

    patch: height and width of a patch, which must divide the image's.
    tokens, channels: hidden units of the two perceptrons. act: the authors' is gelu's tanh form.
    """

    classes: int
    patch: int
    width: int
    depth: int
    tokens: int
    channels: int
    act: Callable[[Array], Array] = nn.gelu
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for name in ("classes", "patch", "width", "depth", "tokens", "channels"):
            limits.at_least(1, f"Mixer's {name}", getattr(self, name))
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        pieces = patches.cut(x, self.patch)
        x = dense.Dense(self.width, dtype=self.dtype, name="stem")(pieces)
        for i in range(self.depth):
            fields = (self.tokens, self.channels, self.act, self.dtype)
            x = Block(*fields, name=f"block_{i}")(x)
        x = layer_norm.LayerNorm(1e-6, dtype=self.dtype, name="norm")(x).mean(1)
        # The head begins at zero, as the authors'.
        zeros = nn.initializers.zeros
        return dense.Dense(self.classes, dtype=self.dtype, kernel_init=zeros, name="output")(x)


# Table 1, with ImageNet's classes and images of 224 x 224 pixels: 18,528,264, 59,880,472 and
# 208,196,168 parameters.
mixer_s16 = functools.partial(
    Mixer, classes=1000, patch=16, width=512, depth=8, tokens=256, channels=2048
)
mixer_b16 = functools.partial(
    Mixer, classes=1000, patch=16, width=768, depth=12, tokens=384, channels=3072
)
mixer_l16 = functools.partial(
    Mixer, classes=1000, patch=16, width=1024, depth=24, tokens=512, channels=4096
)
