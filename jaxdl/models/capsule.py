"""Capsules: groups of units whose direction tells how a thing is and whose length that it is there.

Sabour, Frosst and Hinton, "Dynamic routing between capsules" (2017). That the iterations of routing
help is disputed: Paik, Kwak and Kim, "Capsule networks need an improved routing algorithm" (2019).
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors, metrics
from jaxdl.losses import classification
from jaxdl.nn import convolution, dense, limits

# Where parameters lie on a mesh: what a layer puts out is cut, or, of votes, what goes in.
RULES = (
    (r"conv\w*/kernel$", (None, None, None, "fsdp")),
    (r"votes$", ("fsdp", None, None, None)),
    (r"(hidden_\d|drawing)/kernel$", ("fsdp", "tensor")),
)


class CapsNet(nn.Module):
    """A convolution, capsules of convolutions, and a capsule for each class (figures 1 and 2).

    features: channels of the first convolution. kernel: side of both; the second has a stride of 2.
    primary: kinds of capsules that the second makes at each place, of `primary_width` units.
    width: units of a class's capsule. iterations: of routing; 1 gives each vote the same weight.
    decoder: widths of the layers that draw the image from the capsule of its class; () draws none.

    As it stands it is the paper's: 8,215,568 parameters of 28x28 images, 1,411,344 of them the
    decoder's.
    """

    classes: int = 10
    features: int = 256
    kernel: int = 9
    primary: int = 32
    primary_width: int = 8
    width: int = 16
    iterations: int = 3
    decoder: tuple[int, ...] = (512, 1024)
    dtype: Any = None

    def __post_init__(self) -> None:
        for name in (
            "classes",
            "features",
            "kernel",
            "primary",
            "primary_width",
            "width",
            "iterations",
            "decoder",
        ):
            limits.at_least(1, f"CapsNet's {name}", getattr(self, name))
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], label: Int[Array, "b"] | None = None, train: bool = False
    ) -> tuple[Float[Array, "b k"], Float[Array, "b h w c"] | None]:
        """The lengths of the classes' capsules, and the image as drawn from the one of `label`, or
        of the longest where there is no label.
        """
        capsules = routed(self._votes(self._primaries(x)), self.iterations)
        lengths = length(capsules)
        if not self.decoder:
            return lengths, None
        shown = jnp.argmax(lengths, axis=-1) if label is None else label
        return lengths, self._drawn(capsules, shown, x.shape)

    def _primaries(self, x: Float[Array, "b h w c"]) -> Float[Array, "b n p"]:
        """Capsules of every place and kind."""
        if min(x.shape[1:3]) < 2 * self.kernel - 1:
            raise errors.InputError(
                f"CapsNet's images must be at least {2 * self.kernel - 1} pixels high and wide for "
                f"its kernel of {self.kernel}, got {x.shape[1]} x {x.shape[2]}."
            )
        conv = functools.partial(
            nn.Conv,
            kernel_size=(self.kernel, self.kernel),
            padding="VALID",
            conv_general_dilated=convolution.convolve,
            dtype=self.dtype,
        )
        x = nn.relu(conv(self.features, name="conv_1")(x))
        x = conv(self.primary * self.primary_width, strides=2, name="conv_primary")(x)
        return squash(x.reshape(x.shape[0], -1, self.primary_width))

    def _votes(self, capsules: Float[Array, "b n p"]) -> Float[Array, "b n k d"]:
        """What each capsule says of each class: u_hat, by a matrix of its own (equation 2)."""
        count, width = capsules.shape[1:]
        # The variance of a vote is about that of a primary capsule's squared length.
        matrices = self.param(
            "votes", nn.initializers.normal(0.1), (count, width, self.classes, self.width)
        )
        return jnp.einsum("bnp,npkd->bnkd", capsules, matrices.astype(capsules.dtype))

    def _drawn(
        self, capsules: Float[Array, "b k d"], label: Int[Array, "b"], shape: tuple[int, ...]
    ) -> Float[Array, "b h w c"]:
        kept = jax.nn.one_hot(label, self.classes, dtype=capsules.dtype)
        x = (capsules * kept[..., None]).reshape(capsules.shape[0], -1)
        for i, width in enumerate(self.decoder):
            x = nn.relu(dense.Dense(width, dtype=x.dtype, name=f"hidden_{i}")(x))
        pixels = shape[1] * shape[2] * shape[3]
        return nn.sigmoid(dense.Dense(pixels, dtype=x.dtype, name="drawing")(x)).reshape(shape)


def squash(s: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """|s|² / (1 + |s|²) s / |s|: the same direction, a length below 1 (equation 1)."""
    square = (s**2).sum(-1, keepdims=True)
    return s * jnp.sqrt(square + _TINY) / (1 + square)


def length(s: Float[Array, "*b d"]) -> Float[Array, "*b"]:
    """|s|, whose gradient is finite at 0 too."""
    return jnp.sqrt((s**2).sum(-1) + _TINY)


_TINY = 1e-9  # keeps gradients of roots finite


def routed(votes: Float[Array, "b n k d"], iterations: int) -> Float[Array, "b k d"]:
    """The classes' capsules by dynamic routing (procedure 1): each vote counts the more for a
    class, the more it agrees with what the others say of it.

    Only the last iteration is differentiated through the votes; the agreements are weights.
    """
    fixed = jax.lax.stop_gradient(votes)
    agreement = jnp.zeros(votes.shape[:-1], votes.dtype)
    weights = jnp.full(votes.shape[:-1], 1 / votes.shape[2], votes.dtype)
    for _ in range(iterations - 1):
        capsules = squash(jnp.einsum("bnk,bnkd->bkd", weights, fixed))
        agreement = agreement + jnp.einsum("bnkd,bkd->bnk", fixed, capsules)
        weights = jax.nn.softmax(agreement)
    return squash(jnp.einsum("bnk,bnkd->bkd", weights, votes))


def margin_loss(
    lengths: Float[Array, "b k"],
    target: Int[Array, "b"],
    most: float = 0.9,
    least: float = 0.1,
    absent: float = 0.5,
) -> Float[Array, "b"]:
    """T max(0, most - |v|)² + absent (1 - T) max(0, |v| - least)², summed over the classes
    (equation 4); NaN where the target is none of them.
    """
    there = classification.one_hot(target, lengths.shape[-1])
    missed = jnp.maximum(0, most - lengths) ** 2
    claimed = jnp.maximum(0, lengths - least) ** 2
    return (there * missed + absent * (1 - there) * claimed).sum(-1)


def loss(
    outputs: tuple[Float[Array, "b k"], Float[Array, "b h w c"] | None],
    batch: dict[str, Any],
    weight: float | Array = 0.0005,
) -> dict[str, Any]:
    """The margin loss plus `weight` times the drawing's sum of squared errors; accuracy."""
    lengths, drawn = outputs
    losses = margin_loss(lengths, batch["target"])
    right = jnp.argmax(lengths, axis=-1) == batch["target"]
    measured = {"accuracy": metrics.Mean.of(right)}
    if drawn is not None:
        wrong = ((drawn - batch["input"]) ** 2).sum((1, 2, 3))
        losses = losses + weight * wrong
        measured["error"] = metrics.Mean.of(wrong / (drawn.size // len(drawn)))
    return {"loss": metrics.Mean.of(losses), **measured}
