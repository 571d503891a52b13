"""The convolutional generator and critic of DCGAN, for images of any size, of a class or of none.

Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative
adversarial networks" (2015). The critic weighs its features by class as in Miyato and Koyama,
"cGANs with projection discriminator" (2018).
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxdl import errors
from jaxdl.nn import limits, normalization

# Each layer halves or doubles height and width; all weights begin at a deviation of 0.02 (§4).
_LAYER: dict[str, Any] = {
    "kernel_size": (4, 4),
    "strides": (2, 2),
    "padding": "SAME",
    "kernel_init": nn.initializers.normal(0.02),
}


class Generator(nn.Module):
    """From latents to images in [-1, 1]: dense, then transposed convolutions with relu.

    start: height and width of the first maps; each of the layers doubles both.
    features: channels of the maps before each transposed convolution; with (64, 32) there are two,
        and images are four times as large as `start`.
    classes: how many there are to be told of; None: the generator is called without.
    norm: before each relu.
    """

    start: tuple[int, int] = (2, 2)
    features: tuple[int, ...] = (64, 32)
    channels: int = 1
    classes: int | None = None
    norm: normalization.Norm = nn.BatchNorm
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "Generator's start", self.start)
        limits.at_least(1, "Generator's features", self.features)
        limits.at_least(1, "Generator's channels", self.channels)
        limits.at_least(1, "Generator's classes", self.classes)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        latents: Float[Array, "b z"],
        labels: Integer[Array, "b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b h w c"]:
        _check_labels(self, labels)
        if self.classes is not None:
            told = jax.nn.one_hot(labels, self.classes, dtype=latents.dtype)
            latents = jnp.concatenate([latents, told], axis=-1)
        size = self.start[0] * self.start[1] * self.features[0]
        project = nn.Dense(
            size, kernel_init=_LAYER["kernel_init"], dtype=self.dtype, name="project"
        )
        x = project(latents).reshape(-1, *self.start, self.features[0])
        for i, width in enumerate((*self.features[1:], self.channels)):
            x = normalization.normalize(self.norm, x, train, dtype=self.dtype, name=f"norm_{i}")
            up = functools.partial(nn.ConvTranspose, transpose_kernel=True, dtype=self.dtype)
            x = up(width, **_LAYER, name=f"up_{i}")(nn.relu(x))
        return jnp.tanh(x)


class Critic(nn.Module):
    """From images to one score: convolutions with leaky relu, each halving height and width.

    features: channels after each convolution.
    classes: as the generator's; the score gains the product of the features with the class's own
        weights.
    norm: before each activation but the first, such as nn.BatchNorm; None for a gradient penalty.
    """

    features: tuple[int, ...] = (32, 64)
    classes: int | None = None
    norm: normalization.Norm | None = nn.BatchNorm
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "Critic's features", self.features)
        limits.at_least(1, "Critic's classes", self.classes)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        labels: Integer[Array, "b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b 1"]:
        _check_labels(self, labels)
        for i, width in enumerate(self.features):
            x = nn.Conv(width, **_LAYER, dtype=self.dtype, name=f"down_{i}")(x)
            if self.norm is not None and i:
                x = normalization.normalize(self.norm, x, train, dtype=self.dtype, name=f"norm_{i}")
            x = nn.leaky_relu(x, 0.2)
        x = x.reshape(x.shape[0], -1)
        init = _LAYER["kernel_init"]
        score = nn.Dense(1, kernel_init=init, dtype=self.dtype, name="output")(x)
        if self.classes is not None:
            weights = nn.Embed(
                self.classes, x.shape[-1], embedding_init=init, dtype=self.dtype, name="classes"
            )
            score = score + (x * weights(labels)).sum(-1, keepdims=True)
        return score


def _check_labels(model: Generator | Critic, labels: Any) -> None:
    if (model.classes is None) != (labels is None):
        given = "none" if labels is None else "labels"
        raise errors.InputError(
            f"{type(model).__name__} must be called with labels just where it has classes, "
            f"got {given} for classes={model.classes}."
        )
