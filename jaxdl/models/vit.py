"""The vision transformer: an encoder over the patches of an image (Dosovitskiy et al. 2020, "An
Image is Worth 16x16 Words").
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.models import pretrained, tensor_layouts
from jaxdl.nn import dense, dropout, layer_norm, layout, limits, patches, transformer


class ViT(nn.Module):
    """Images to classes: float32 logits (b, classes).

    size, channels: of the images, which are squares; patch: a patch's side, which divides theirs.
    pool: "token", a learnt first token, or "mean", the mean of the patches, is read by the output.
    remat: what the backward pass computes again, see `transformer.rematerialised`.
    Dropout falls on the embeddings and the branches of blocks, not on attention weights.

    Parameters: `embed` of `patches.Embed`, `token` (width) if there is one, `positions` (tokens,
    width), `block_0`, ... of `transformer.Block`, `norm`, `output`.
    """

    classes: int
    size: int = 224
    channels: int = 3
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    pool: str = "token"  # or "mean"
    dropout: float | Array = 0.0
    epsilon: float = 1e-12
    act: Callable[[Array], Array] = transformer.exact_gelu
    dtype: Any = jnp.float32
    remat: str = "none"

    def __post_init__(self) -> None:
        for name in ("classes", "size", "channels", "patch", "width", "depth", "heads"):
            limits.at_least(1, f"ViT's {name}", getattr(self, name))
        if self.size % self.patch:
            raise errors.InputError(
                f"ViT's size must be a multiple of its patch, got {self.size} and {self.patch}."
            )
        if self.width % self.heads:
            raise errors.InputError(
                f"ViT's width must be a multiple of its heads, got {self.width} and {self.heads}."
            )
        if self.pool not in ("token", "mean"):
            raise errors.InputError(f'ViT\'s pool must be "token" or "mean", got {self.pool!r}.')
        limits.rate("ViT's dropout", self.dropout)
        transformer.rematerialised(self.remat)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        wanted = (self.size, self.size, self.channels)
        if x.shape[1:] != wanted:
            raise errors.InputError(
                f"ViT's images must be (b, {', '.join(map(str, wanted))}), got {list(x.shape)}."
            )
        small = nn.initializers.normal(0.02)
        y = patches.Embed(self.patch, self.width, name="embed")(x.astype(self.dtype))
        if self.pool == "token":
            token = self.param("token", small, (self.width,)).astype(self.dtype)
            token = jnp.broadcast_to(token[None, None], (x.shape[0], 1, self.width))
            y = jnp.concatenate([token, y], axis=1)
        places = self.param("positions", small, y.shape[1:])
        y = y + places[None].astype(self.dtype)
        y = layout.constrain(dropout.Dropout(self.dropout, name="dropout")(y, train), "batch")
        norm = functools.partial(layer_norm.LayerNorm, epsilon=self.epsilon)
        make = transformer.rematerialised(self.remat)
        for n in range(self.depth):
            block = make(
                self.heads,
                dropout=self.dropout,
                act=self.act,
                norm=norm,
                dtype=self.dtype,
                name=f"block_{n}",
            )
            y, _ = block(y, train)
        y = norm(dtype=self.dtype, name="norm")(y)
        pooled = y[:, 0] if self.pool == "token" else y.mean(1)
        logits = dense.Dense(self.classes, dtype=self.dtype, name="output")(pooled)
        return logits.astype(jnp.float32)


# Table 1 of the paper, and Touvron et al. 2021 ("DeiT"), table 1; with 1000 classes and images of
# 224 pixels a side.
vit_tiny = functools.partial(ViT, width=192, depth=12, heads=3)  # 5,717,416
vit_small = functools.partial(ViT, width=384, depth=12, heads=6)  # 22,050,664
vit_base = functools.partial(ViT, width=768, depth=12, heads=12)  # 86,567,656
vit_large = functools.partial(ViT, width=1024, depth=24, heads=16)  # 304,326,632
vit_huge = functools.partial(ViT, patch=14, width=1280, depth=32, heads=16)  # 632,045,800

RULES = transformer.RULES  # of where parameters lie on a mesh, for Run.rules


def _from_config(config: pretrained.Config) -> ViT:
    pretrained.four_times("ViT", config)
    return ViT(
        classes=pretrained.classes(config),
        size=config["image_size"],
        channels=config["num_channels"],
        patch=config["patch_size"],
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        epsilon=config.get("layer_norm_eps", 1e-12),
    )


def _to_config(model: ViT) -> pretrained.Config:
    pretrained.exact_gelu(model)
    if model.pool != "token":
        raise errors.InputError(
            "A ViT in the form of ViTForImageClassification must have the pool token, "
            f"got {model.pool!r}."
        )
    return {
        "image_size": model.size,
        "num_channels": model.channels,
        "patch_size": model.patch,
        "hidden_size": model.width,
        "intermediate_size": 4 * model.width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "layer_norm_eps": model.epsilon,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": 0.0,
    } | pretrained.labels(model.classes)


def rows(theirs: str, ours: str) -> tuple[pretrained.Tensor, ...]:
    """The rows of blocks as transformers names them, with what names and paths begin with."""
    kernels = {
        theirs + "attention.attention.query": ours + "attention/query",
        theirs + "attention.attention.key": ours + "attention/key",
        theirs + "attention.attention.value": ours + "attention/value",
        theirs + "attention.output.dense": ours + "attention/output",
        theirs + "intermediate.dense": ours + "mlp/up",
        theirs + "output.dense": ours + "mlp/down",
    }
    norms = {
        theirs + "layernorm_before": ours + "norm_1",
        theirs + "layernorm_after": ours + "norm_2",
    }
    return pretrained.affine(kernels) + pretrained.normed(norms)


_EMBEDDINGS = "vit.embeddings."
PRETRAINED = (
    pretrained.Format(
        model=ViT,
        model_type="vit",
        architectures=("ViTForImageClassification",),
        module=_from_config,
        config=_to_config,
        tensors=(
            pretrained.Tensor(_EMBEDDINGS + "cls_token", "token", tensor_layouts.within(2)),
            pretrained.Tensor(
                _EMBEDDINGS + "position_embeddings", "positions", tensor_layouts.within(1)
            ),
            pretrained.Tensor(
                _EMBEDDINGS + "patch_embeddings.projection.weight",
                "embed/kernel",
                tensor_layouts.CONV_2D,
            ),
            pretrained.Tensor(_EMBEDDINGS + "patch_embeddings.projection.bias", "embed/bias"),
            *rows("vit.encoder.layer.{n}.", "block_{n}/"),
            *pretrained.normed({"vit.layernorm": "norm"}),
            *pretrained.affine({"classifier": "output"}),
        ),
        supported={"hidden_act": ("gelu",), "qkv_bias": (True,)},
        inputs=lambda model: (
            jax.ShapeDtypeStruct((1, model.size, model.size, model.channels), jnp.float32),
        ),
    ),
)
