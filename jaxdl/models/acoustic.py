"""Acoustic models: from frames of speech to logits of symbols, for losses/ctc.py.

A recurrent one after Amodei et al., "Deep Speech 2" (2015), and the Conformer, Gulati et al.,
"Conformer: Convolution-augmented transformer for speech recognition" (2020). Both begin with
convolutions that each halve the number of frames. Nothing of what is padded reaches what counts.
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors
from jaxdl.losses import ctc
from jaxdl.models import rnn
from jaxdl.nn import attention, dense, dropout, layer_norm, limits, recurrence, transformer


class Halving(nn.Module):
    """Convolutions over time, of three frames and stride 2, each norm and relu after it."""

    width: int
    count: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: ctc.Utterances) -> ctc.Utterances:
        features, lengths = x
        for i in range(self.count):
            features = jnp.where(_inside(features, lengths)[..., None], features, 0)
            conv = nn.Conv(self.width, (3,), (2,), padding=1, dtype=self.dtype, name=f"conv_{i}")
            norm = layer_norm.LayerNorm(dtype=self.dtype, name=f"norm_{i}")
            features, lengths = nn.relu(norm(conv(features))), (lengths + 1) // 2
        return ctc.Utterances(features, lengths)


class Recurrent(nn.Module):
    """Convolutions, then recurrent layers in both directions.

    outputs: symbols, the blank among them. halvings: of the number of frames.
    """

    outputs: int
    width: int = 128
    depth: int = 2
    halvings: int = 1
    cell: str = "gru"
    dropout: float | Array = 0.0
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for name, least in (("outputs", 2), ("width", 1), ("depth", 1), ("halvings", 0)):
            limits.at_least(least, f"Recurrent's {name}", getattr(self, name))
        limits.rate("Recurrent's dropout", self.dropout)
        if self.cell not in recurrence.CELLS:
            known = ", ".join(recurrence.CELLS)
            raise errors.InputError(f"Recurrent's cell must be one of {known}, got {self.cell!r}.")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: ctc.Utterances, train: bool = False) -> ctc.Frames:
        features, lengths = Halving(self.width, self.halvings, self.dtype, name="halving")(x)
        layers = rnn.RNN(
            self.outputs,
            self.cell,
            self.width,
            self.depth,
            bidirectional=True,
            dropout=self.dropout,
            dtype=self.dtype,
            name="layers",
        )
        return ctc.Frames(layers(features, train, lengths), lengths)


class Conformer(nn.Module):
    """Convolutions, then blocks of attention and convolution, and an affine output.

    kernel: frames that a block's convolution sees, odd. Positions are rotary, where the paper's are
    relative sines; norms are of each frame, where the paper's convolution has batch norm, which
    would see padding.
    """

    outputs: int
    width: int = 144
    depth: int = 16
    heads: int = 4
    kernel: int = 31
    halvings: int = 2
    dropout: float | Array = 0.1
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for name, least in (("outputs", 2), ("width", 1), ("depth", 1), ("heads", 1)):
            limits.at_least(least, f"Conformer's {name}", getattr(self, name))
        limits.at_least(1, "Conformer's halvings", self.halvings)
        limits.at_least(1, "Conformer's kernel", self.kernel)
        limits.rate("Conformer's dropout", self.dropout)
        if self.width % (2 * self.heads):
            raise errors.InputError(
                "Conformer's width must be an even multiple of its heads, "
                f"got {self.width} and {self.heads}."
            )
        if self.kernel % 2 == 0:
            raise errors.InputError(f"Conformer's kernel must be odd, got {self.kernel}.")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: ctc.Utterances, train: bool = False) -> ctc.Frames:
        features, lengths = Halving(self.width, self.halvings, self.dtype, name="halving")(x)
        inside = _inside(features, lengths)
        for i in range(self.depth):
            block = ConformerBlock(
                self.heads, self.kernel, self.dropout, self.dtype, name=f"block_{i}"
            )
            features = block(features, inside, train)
        logits = dense.Dense(self.outputs, dtype=self.dtype, name="output")(features)
        return ctc.Frames(logits.astype(jnp.float32), lengths)


class ConformerBlock(nn.Module):
    """Half a feed-forward layer, attention, convolution, the other half, and a norm (figure 1).

    Parameters: `norm_first`, `first`, `norm_attention`, `attention`, `norm_conv`, `gate`,
    `depthwise`, `norm_depthwise`, `pointwise`, `norm_second`, `second`, `norm`.
    """

    heads: int
    kernel: int
    dropout: float | Array
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], inside: Bool[Array, "b t"], train: bool
    ) -> Float[Array, "b t d"]:
        width = x.shape[-1]
        norm = functools.partial(layer_norm.LayerNorm, dtype=self.dtype)
        mlp = functools.partial(transformer.MLP, 4 * width, nn.silu, dtype=self.dtype)
        attend = attention.MultiHead(self.heads, rotary=1e4, dtype=self.dtype, name="attention")

        def drop(y: Array, name: str) -> Array:
            return dropout.Dropout(self.dropout, name=f"dropout_{name}")(y, train)

        x = x + 0.5 * drop(mlp(name="first")(norm(name="norm_first")(x)), "first")
        y, _ = attend(norm(name="norm_attention")(x), mask=inside[:, None])
        x = x + drop(y, "attention")
        x = x + drop(self._convolved(norm(name="norm_conv")(x), inside), "conv")
        x = x + 0.5 * drop(mlp(name="second")(norm(name="norm_second")(x)), "second")
        return norm(name="norm")(x)

    def _convolved(self, x: Array, inside: Array) -> Array:
        """Figure 2: a gate, a convolution of each feature by itself, and all of them mixed."""
        width = x.shape[-1]
        x = nn.glu(dense.Dense(2 * width, dtype=self.dtype, name="gate")(x))
        x = jnp.where(inside[..., None], x, 0)
        x = nn.Conv(
            width,
            (self.kernel,),
            padding="SAME",
            feature_group_count=width,
            dtype=self.dtype,
            name="depthwise",
        )(x)
        x = nn.silu(layer_norm.LayerNorm(dtype=self.dtype, name="norm_depthwise")(x))
        return dense.Dense(width, dtype=self.dtype, name="pointwise")(x)


def _inside(x: Float[Array, "b t d"], lengths: Int[Array, "b"]) -> Bool[Array, "b t"]:
    return jnp.arange(x.shape[1])[None] < lengths[:, None]


# Table 1's encoders; the paper's decoder, an LSTM, is not here.
conformer_small = functools.partial(Conformer, width=144, depth=16, heads=4)
conformer_medium = functools.partial(Conformer, width=256, depth=16, heads=4)
conformer_large = functools.partial(Conformer, width=512, depth=17, heads=8)

# Where parameters lie on a mesh, for Run.rules.
RULES = (
    *transformer.RULES,
    (r"(first|second)/up/kernel$", ("fsdp", "tensor")),
    (r"(first|second)/up/bias$", ("tensor",)),
    (r"(first|second)/down/kernel$", ("tensor", "fsdp")),
)
