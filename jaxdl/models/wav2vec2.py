"""wav2vec 2.0: a transformer over what convolutions make of the waveform itself.

Baevski, Zhou, Mohamed and Auli, "wav2vec 2.0: A framework for self-supervised learning of speech
representations" (2020), with the affine output by which it is tuned to transcripts (CTC). A
convolution over time, with many taps and few groups, stands for positions.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.losses import ctc
from jaxdl.models import pretrained, tensor_layouts
from jaxdl.nn import dense, dropout, layer_norm, limits, transformer

_gelu = functools.partial(nn.gelu, approximate=False)


class Waves(NamedTuple):
    """Samples of mean 0 and variance 1, 16,000 a second, and how many of each example count."""

    samples: Float[Array, "b s"]
    lengths: Int[Array, "b"]


class Wav2Vec2(nn.Module):
    """The published model; the fields' defaults are the base size, 94 M parameters.

    outputs: symbols, the blank among them. features, kernels, strides: of the convolutions that
        make a frame of 320 samples.
    norm: "group" normalises the first convolution alone, each feature over all of the time, padding
        as well; "layer" every one, each frame by itself. bias: whether they have one.
    hidden: of the feed-forward layers, a multiple of width. first: whether blocks normalise first.
    position_kernel, position_groups: of the convolution that stands for positions.
    """

    outputs: int = 32
    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    features: tuple[int, ...] = (512,) * 7
    kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    norm: str = "group"
    bias: bool = False
    first: bool = False
    position_kernel: int = 128
    position_groups: int = 16
    dropout: float | Array = 0.1
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        sizes = ("outputs", "width", "depth", "heads", "hidden", "features", "kernels", "strides")
        for name in (*sizes, "position_kernel", "position_groups"):
            limits.at_least(1, f"Wav2Vec2's {name}", getattr(self, name))
        limits.rate("Wav2Vec2's dropout", self.dropout)
        if not len(self.features) == len(self.kernels) == len(self.strides):
            raise errors.InputError(
                "Wav2Vec2's features, kernels and strides must be equally many, got "
                f"{len(self.features)}, {len(self.kernels)} and {len(self.strides)}."
            )
        if self.norm not in ("group", "layer"):
            raise errors.InputError(f"Wav2Vec2's norm must be group or layer, got {self.norm!r}.")
        if self.hidden % self.width or self.width % self.position_groups:
            raise errors.InputError(
                "Wav2Vec2's width must divide hidden and be a multiple of position_groups, got "
                f"width {self.width}, hidden {self.hidden} and {self.position_groups} groups."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Waves, train: bool = False) -> ctc.Frames:
        features, lengths = self._frames(x)
        norm = functools.partial(layer_norm.LayerNorm, dtype=self.dtype)
        drop = dropout.Dropout(self.dropout, name="dropout")
        features = norm(name="norm_features")(features)
        features = dense.Dense(self.width, dtype=self.dtype, name="project")(features)
        inside = jnp.arange(features.shape[1])[None] < lengths[:, None]
        features = jnp.where(inside[..., None], features, 0)
        place = PositionConv(self.position_kernel, self.position_groups, self.dtype, name="places")
        features = features + _gelu(place(features))
        ends = norm(name="norm")
        features = drop(features if self.first else ends(features), train)
        for i in range(self.depth):
            block = transformer.Block(
                self.heads,
                expansion=self.hidden // self.width,
                dropout=self.dropout,
                act=_gelu,
                first=self.first,
                dtype=self.dtype,
                name=f"block_{i}",
            )
            features, _ = block(features, train, mask=inside[:, None])
        features = ends(features) if self.first else features
        logits = dense.Dense(self.outputs, dtype=self.dtype, name="output")(features)
        return ctc.Frames(logits.astype(jnp.float32), lengths)

    def _frames(self, x: Waves) -> tuple[Float[Array, "b t d"], Int[Array, "b"]]:
        features, lengths = x.samples[..., None], x.lengths
        shapes = zip(self.features, self.kernels, self.strides, strict=True)
        for i, (width, kernel, stride) in enumerate(shapes):
            features = nn.Conv(
                width,
                (kernel,),
                (stride,),
                padding="VALID",
                use_bias=self.bias,
                dtype=self.dtype,
                name=f"conv_{i}",
            )(features)
            lengths = jnp.maximum((lengths - kernel) // stride + 1, 0)
            if self.norm == "layer":
                norm = layer_norm.LayerNorm(dtype=self.dtype, name=f"conv_norm_{i}")
                features = norm(features)
            elif i == 0:
                features = nn.GroupNorm(
                    width,
                    epsilon=1e-5,
                    use_fast_variance=False,
                    dtype=self.dtype,
                    name="conv_norm_0",
                )(features)
            features = _gelu(features)
        return features, lengths


class PositionConv(nn.Module):
    """A convolution over time whose kernel is a direction and a length for each tap: weight norm
    (Salimans and Kingma 2016). Parameters: `direction`, `scale`, `bias`.
    """

    kernel: int
    groups: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        width = x.shape[-1]
        shape = (self.kernel, width // self.groups, width)
        direction = self.param("direction", nn.initializers.lecun_normal(), shape)
        scale = self.param("scale", nn.initializers.ones, (self.kernel,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        size = jnp.sqrt(jnp.square(direction).sum((1, 2), keepdims=True))
        kernel = (scale[:, None, None] * direction / size).astype(self.dtype)
        out = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel,
            (1,),
            [(self.kernel // 2, (self.kernel - 1) // 2)],
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=self.groups,
        )
        return out + bias.astype(self.dtype)[None, None]


# Table 9's sizes.
base = functools.partial(Wav2Vec2)  # 94 M parameters
large = functools.partial(  # 315 M, as trained on Libri-Light
    Wav2Vec2, width=1024, depth=24, heads=16, hidden=4096, norm="layer", bias=True, first=True
)

RULES = transformer.RULES  # of where parameters lie on a mesh, for Run.rules


def _from_config(config: pretrained.Config) -> Wav2Vec2:
    return Wav2Vec2(
        outputs=config["vocab_size"],
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        features=tuple(config["conv_dim"]),
        kernels=tuple(config["conv_kernel"]),
        strides=tuple(config["conv_stride"]),
        norm=config["feat_extract_norm"],
        bias=config["conv_bias"],
        first=config["do_stable_layer_norm"],
        position_kernel=config["num_conv_pos_embeddings"],
        position_groups=config["num_conv_pos_embedding_groups"],
        dropout=config.get("hidden_dropout", 0.1),
    )


def _to_config(model: Wav2Vec2) -> pretrained.Config:
    return {
        "vocab_size": model.outputs,
        "hidden_size": model.width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "intermediate_size": model.hidden,
        "conv_dim": list(model.features),
        "conv_kernel": list(model.kernels),
        "conv_stride": list(model.strides),
        "num_feat_extract_layers": len(model.features),
        "feat_extract_norm": model.norm,
        "conv_bias": model.bias,
        "do_stable_layer_norm": model.first,
        "num_conv_pos_embeddings": model.position_kernel,
        "num_conv_pos_embedding_groups": model.position_groups,
        "hidden_dropout": model.dropout,
        "mask_time_prob": 0.0,  # there is no vector of what is masked
        "mask_feature_prob": 0.0,
    }


def _shapes() -> Any:
    """Of two tenths of a second."""
    samples = jax.ShapeDtypeStruct((1, 3200), jnp.float32)
    return Waves._make((samples, jax.ShapeDtypeStruct((1,), jnp.int32)))


_Row = pretrained.Tensor
_TAPS = tensor_layouts.Layout(lambda x: (x[0, 0],), lambda x: x[None, None])
_CONV, _BLOCK = "wav2vec2.feature_extractor.conv_layers.{n}.", "wav2vec2.encoder.layers.{n}."
_PLACES = "wav2vec2.encoder.pos_conv_embed.conv."


def _affine(theirs: str, ours: str) -> tuple[pretrained.Tensor, ...]:
    return (
        _Row(f"{theirs}.weight", f"{ours}/kernel", tensor_layouts.TRANSPOSED),
        _Row(f"{theirs}.bias", f"{ours}/bias"),
    )


def _norm(theirs: str, ours: str) -> tuple[pretrained.Tensor, ...]:
    return _Row(f"{theirs}.weight", f"{ours}/scale"), _Row(f"{theirs}.bias", f"{ours}/bias")


PRETRAINED = (
    pretrained.Format(
        model=Wav2Vec2,
        model_type="wav2vec2",
        architectures=("Wav2Vec2ForCTC",),
        module=_from_config,
        config=_to_config,
        tensors=(
            _Row(_CONV + "conv.weight", "conv_{n}/kernel", tensor_layouts.CONV_1D),
            _Row(_CONV + "conv.bias", "conv_{n}/bias"),
            *_norm(_CONV + "layer_norm", "conv_norm_{n}"),
            *_norm("wav2vec2.feature_projection.layer_norm", "norm_features"),
            *_affine("wav2vec2.feature_projection.projection", "project"),
            _Row(_PLACES + "parametrizations.weight.original0", "places/scale", _TAPS),
            _Row(
                _PLACES + "parametrizations.weight.original1",
                "places/direction",
                tensor_layouts.CONV_1D,
            ),
            _Row(_PLACES + "bias", "places/bias"),
            *_norm("wav2vec2.encoder.layer_norm", "norm"),
            *_norm(_BLOCK + "layer_norm", "block_{n}/norm_1"),
            *_affine(_BLOCK + "attention.q_proj", "block_{n}/attention/query"),
            *_affine(_BLOCK + "attention.k_proj", "block_{n}/attention/key"),
            *_affine(_BLOCK + "attention.v_proj", "block_{n}/attention/value"),
            *_affine(_BLOCK + "attention.out_proj", "block_{n}/attention/output"),
            *_affine(_BLOCK + "feed_forward.intermediate_dense", "block_{n}/mlp/up"),
            *_affine(_BLOCK + "feed_forward.output_dense", "block_{n}/mlp/down"),
            *_norm(_BLOCK + "final_layer_norm", "block_{n}/norm_2"),
            *_affine("lm_head", "output"),
        ),
        supported={
            "hidden_act": ("gelu",),
            "feat_extract_activation": ("gelu",),
            "layer_norm_eps": (1e-5,),
            "add_adapter": (False,),
            "adapter_attn_dim": (None,),
            "pad_token_id": (0,),
        },
        prefix="wav2vec2.",
        # The vector of what is masked in training.
        ignored=(r"masked_spec_embed$",),
        inputs=lambda model: (_shapes(),),
    ),
)
