"""A residual perceptron that is told how far a path from noise to data is gone, and a class.

The network of diffusion models (Ho et al. 2020) and of flow matching (Lipman et al. 2022) for data
without structure in space, or as small as an 8×8 image. Time and class enter as in Peebles and Xie,
"Scalable Diffusion Models with Transformers" (2023): they scale and shift each normalised layer.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.nn import limits

_TOLD = 64  # numbers that carry time and class into the blocks


class Denoiser(nn.Module):
    """`depth` residual blocks of `width` units; the output has the shape of the input.

    Called with x (b, ...), time (b,) in [0, 1] and label (b,), integers of which -1 means no class;
    a label of None is -1 for all.

    classes: how many there are; None takes no label.
    waves: if not 0, x is also given as sines and cosines of so many octaves, from one turn over 8
        units on: without them a perceptron is slow to learn sharp edges (Tancik et al. 2020).
    """

    width: int = 256
    depth: int = 3
    classes: int | None = None
    waves: int = 0
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(2, "Denoiser's width", self.width)
        limits.at_least(1, "Denoiser's depth", self.depth)
        limits.at_least(1, "Denoiser's classes", self.classes)
        limits.at_least(0, "Denoiser's waves", self.waves)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *shape"],
        time: Float[Array, "b"],
        label: Int[Array, "b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b *shape"]:
        if self.classes is None and label is not None:
            raise errors.InputError(
                "Denoiser must have `classes` to take a label, got classes=None and a label."
            )
        flat = x.reshape(x.shape[0], -1)
        told = nn.Dense(_TOLD, dtype=self.dtype, name="time")(sinusoids(time, _TOLD))
        if self.classes is not None:
            label = jnp.full(len(x), -1) if label is None else label
            chosen = jax.nn.one_hot(label, self.classes, dtype=flat.dtype)  # of -1 it is zero
            told += nn.Dense(_TOLD, use_bias=False, dtype=self.dtype, name="label")(chosen)
        told = nn.silu(told)
        h = nn.Dense(self.width, dtype=self.dtype, name="input")(octaves(flat, self.waves))
        for i in range(self.depth):
            h += Block(dtype=self.dtype, name=f"block_{i}")(h, told)
        h = nn.silu(nn.LayerNorm(dtype=self.dtype, name="norm")(h))
        # Zero at first: the outputs to learn have mean 0 (Ho et al.'s code).
        zeros = nn.initializers.zeros
        out = nn.Dense(flat.shape[1], dtype=self.dtype, kernel_init=zeros, name="output")(h)
        return out.reshape(x.shape).astype(x.dtype)


class Block(nn.Module):
    """What a residual block adds to x: two dense layers after a norm that `told` modulates."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], told: Float[Array, "b e"]) -> Float[Array, "b d"]:
        width = x.shape[1]
        modulation = nn.Dense(2 * width, dtype=self.dtype, name="modulation")(told)
        scale, shift = jnp.split(modulation, 2, axis=-1)
        norm = nn.LayerNorm(use_bias=False, use_scale=False, dtype=self.dtype, name="norm")
        x = nn.silu(norm(x) * (1 + scale) + shift)
        x = nn.silu(nn.Dense(width, dtype=self.dtype, name="hidden")(x))
        return nn.Dense(width, dtype=self.dtype, name="output")(x)


def sinusoids(time: Float[Array, "b"], width: int) -> Float[Array, "b d"]:
    """Sines and cosines of 1000·time at `width // 2` rates from 1 down to 1/10,000, as Ho et al.
    number 1,000 steps with the positions of Vaswani et al. (2017).
    """
    half = width // 2
    rates = jnp.exp(-math.log(10_000) * jnp.arange(half) / max(half - 1, 1))
    angles = 1000 * time[:, None] * rates[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def octaves(x: Float[Array, "b d"], count: int) -> Float[Array, "b e"]:
    """x beside its sines and cosines with periods of 8, 4, ... 8/2^(count-1)."""
    angles = x[:, None] * (2 * jnp.pi / 8 * 2.0 ** jnp.arange(count))[None, :, None]
    angles = angles.reshape(len(x), count * x.shape[1])
    return jnp.concatenate([x, jnp.sin(angles), jnp.cos(angles)], axis=-1)
