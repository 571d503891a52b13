"""DETR: a transformer turns learnt queries into the boxes of an image, each object once.

Carion et al., "End-to-end object detection with transformers" (2020). A trunk's map of features is
read by an encoder and then by a decoder's queries, each of which says one box and its class, or
that it has none. The loss (losses/set_prediction.py) matches queries and objects one to one, after
every layer of the decoder: no peaks and no overlaps are sorted out.

With `refine`, what was found later to make it learn faster: a query is a box that each layer of the
decoder moves (Zhu et al., "Deformable DETR", 2020), and its positions are sines of that box (Liu et
al., "DAB-DETR", 2022).
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.losses import set_prediction
from jaxdl.models import pretrained, resnet, tensor_layouts
from jaxdl.nn import attention, dense, dropout, layer_norm, limits, normalization, transformer

# The paper's trunk has it.
FROZEN = functools.partial(normalization.batch_norm, use_running_average=True)


class DETR(nn.Module):
    """The published model, normalising last; 41 M parameters with a ResNet-50 trunk.

    trunk: images -> a map of features, such as trunk.Trunk. hidden: of the feed-forward layers.
    refine: see the top of the file.
    """

    trunk: nn.Module
    classes: int
    queries: int = 100
    width: int = 256
    heads: int = 8
    encoder_depth: int = 6
    decoder_depth: int = 6
    hidden: int = 2048
    dropout: float | Array = 0.1
    refine: bool = False
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for name in ("classes", "queries", "width", "heads", "decoder_depth", "hidden"):
            limits.at_least(1, f"DETR's {name}", getattr(self, name))
        limits.at_least(0, "DETR's encoder_depth", self.encoder_depth)
        limits.rate("DETR's dropout", self.dropout)
        if self.width % 4:
            raise errors.InputError(f"DETR's width must be a multiple of 4, got {self.width}.")
        if self.width % self.heads:
            raise errors.InputError(
                f"DETR's width must be a multiple of its heads, got {self.width} and {self.heads}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> set_prediction.Found:
        x = self.trunk(x, train)
        batch, rows, columns, _ = x.shape
        places = grid_sines(rows, columns, self.width)
        x = nn.Conv(self.width, (1, 1), dtype=self.dtype, name="reduce")(x)
        x = x.reshape(batch, rows * columns, self.width)
        for i in range(self.encoder_depth):
            x = self._layer(False, f"encoder_{i}")(x, places, None, None, train)
        return self._decode(x, places, train)

    def _layer(self, decoder: bool, name: str) -> "Layer":
        return Layer(self.heads, self.hidden, decoder, self.dropout, self.dtype, name=name)

    def _decode(
        self, x: Float[Array, "b n d"], places: Float[Array, "1 n d"], train: bool
    ) -> set_prediction.Found:
        norm = layer_norm.LayerNorm(dtype=self.dtype, name="decoder_norm")
        classify = dense.Dense(self.classes + 1, dtype=self.dtype, name="classes")
        last = nn.initializers.zeros if self.refine else nn.initializers.lecun_normal()
        locate = Perceptron(self.width, 4, 3, last, self.dtype, name="boxes")
        queries = jnp.zeros((x.shape[0], self.queries, self.width), self.dtype)
        if self.refine:
            box = self.param("anchors", anchors, (self.queries, 4))[None].repeat(len(x), 0)
            place = Perceptron(self.width, self.width, 2, dtype=self.dtype, name="places")
        else:
            first = nn.initializers.normal(1.0)
            own = self.param("queries", first, (self.queries, self.width))[None]
        logits, boxes = [], []
        for i in range(self.decoder_depth):
            if self.refine:
                own = place(sines(nn.sigmoid(box), self.width // 2))
            queries = self._layer(True, f"decoder_{i}")(queries, own, x, places, train)
            said = norm(queries)
            moved = locate(said) + (box if self.refine else 0)
            logits.append(classify(said))
            boxes.append(nn.sigmoid(moved))
            if self.refine:
                box = jax.lax.stop_gradient(moved)
        return set_prediction.Found(
            *(jnp.stack(one, axis=1).astype(jnp.float32) for one in (logits, boxes))
        )


class Layer(nn.Module):
    """A layer of the encoder or, reading a memory as well, of the decoder (the paper's figure 10).

    Positions are added to queries and keys of every attention, not to values.
    """

    heads: int
    hidden: int
    decoder: bool
    dropout: float | Array
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        own: Float[Array, "#b n d"],
        memory: Float[Array, "b m d"] | None,
        places: Float[Array, "#b m d"] | None,
        train: bool,
    ) -> Float[Array, "b n d"]:
        norm = functools.partial(layer_norm.LayerNorm, dtype=self.dtype)
        attend = functools.partial(Attention, self.heads, self.dtype)

        def drop(y: Array, name: str) -> Array:
            return dropout.Dropout(self.dropout, name=f"dropout_{name}")(y, train)

        y = attend(name="attention")(x + own, x + own, x)
        x = norm(name="norm_attention")(x + drop(y, "attention"))
        if memory is not None and places is not None:
            y = attend(name="cross")(x + own, memory + places, memory)
            x = norm(name="norm_cross")(x + drop(y, "cross"))
        y = transformer.MLP(self.hidden, nn.relu, dtype=self.dtype, name="mlp")(x)
        return norm(name="norm_mlp")(x + drop(y, "mlp"))


class Attention(nn.Module):
    """Attention whose queries, keys and values come from three inputs of one width."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, query: Float[Array, "b n d"], key: Float[Array, "b m d"], value: Float[Array, "b m d"]
    ) -> Float[Array, "b n d"]:
        width = value.shape[-1]
        parts = []
        for name, x in (("query", query), ("key", key), ("value", value)):
            x = dense.Dense(width, dtype=self.dtype, name=name)(x)
            parts.append(x.reshape(*x.shape[:2], self.heads, -1))
        out = attention.attend(*parts).reshape(query.shape)
        return dense.Dense(width, dtype=self.dtype, name="output")(out)


class Perceptron(nn.Module):
    """`depth` affine layers with relu between them, `layer_0` and on."""

    width: int
    outputs: int
    depth: int
    last: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b k"]:
        for i in range(self.depth - 1):
            x = nn.relu(dense.Dense(self.width, dtype=self.dtype, name=f"layer_{i}")(x))
        name = f"layer_{self.depth - 1}"
        return dense.Dense(self.outputs, dtype=self.dtype, kernel_init=self.last, name=name)(x)


def grid_sines(rows: int, columns: int, width: int) -> Float[Array, "1 n d"]:
    """Positions of a map's cells in reading order: half of the features tell the row, half the
    column, as shares of the whole that end at 1.
    """
    row, column = jnp.mgrid[1 : rows + 1, 1 : columns + 1].reshape(2, -1)
    places = jnp.stack([row / (rows + 1e-6), column / (columns + 1e-6)], axis=-1)
    return sines(places.astype(jnp.float32), width // 2)[None]


def sines(shares: Float[Array, "*b n"], width: int) -> Float[Array, "*b d"]:
    """Sines and cosines in turn, `width` for each number, of it as a share of a full turn and of
    slower and slower ones, as Vaswani's (2017).
    """
    rate = 10_000.0 ** -(jnp.arange(width // 2) / (width // 2))
    angle = 2 * math.pi * shares[..., None] * rate.reshape((1,) * shares.ndim + (-1,))
    both = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    return both.reshape(*shares.shape[:-1], -1)


def anchors(key: Array, shape: tuple[int, int], dtype: Any = jnp.float32) -> Float[Array, "q 4"]:
    """First boxes before the sigmoid: centres anywhere, each side a quarter of the image's."""
    centre = jax.random.uniform(key, (shape[0], 2), dtype, 0.05, 0.95)
    shares = jnp.concatenate([centre, jnp.full_like(centre, 0.25)], axis=1)
    return jnp.log(shares / (1 - shares))


# The paper's table 1: classes are COCO's category ids, up to 90, and one more of no meaning.
_paper = functools.partial(DETR, classes=91)
_deep = functools.partial(resnet.ResNet, classes=None, block=resnet.Bottleneck, norm=FROZEN)
detr_r50 = functools.partial(_paper, trunk=_deep(stages=(3, 4, 6, 3)))  # 41 M parameters
detr_r101 = functools.partial(_paper, trunk=_deep(stages=(3, 4, 23, 3)))  # 60 M

# Where parameters lie on a mesh, for Run.rules.
RULES = (
    *transformer.RULES,
    (r"cross/(query|key|value)/kernel$", ("fsdp", "tensor")),
    (r"cross/(query|key|value)/bias$", ("tensor",)),
    (r"cross/output/kernel$", ("tensor", "fsdp")),
)


def _from_config(config: pretrained.Config) -> DETR:
    for name in ("attention_heads", "ffn_dim"):
        encoder, decoder = config[f"encoder_{name}"], config.get(f"decoder_{name}")
        if decoder not in (None, encoder):
            raise errors.InputError(
                f"A DETR's decoder_{name} must be its encoder's, {encoder}, got {decoder}."
            )
    return DETR(
        trunk=_trunk(config["backbone_config"] or {}),
        classes=len(config["id2label"]),
        queries=config["num_queries"],
        width=config["d_model"],
        heads=config["encoder_attention_heads"],
        encoder_depth=config["encoder_layers"],
        decoder_depth=config["decoder_layers"],
        hidden=config["encoder_ffn_dim"],
        dropout=config.get("dropout", 0.1),
    )


def _trunk(config: pretrained.Config) -> resnet.ResNet:
    """A residual network, its batch norm's statistics fixed, as the paper's."""
    if config.get("model_type") != "resnet":
        raise errors.InputError(
            "A DETR's backbone_config must be of a resnet, not of the library timm, got model_type "
            f"{config.get('model_type')!r}. Save it with transformers' own ResNet as its backbone."
        )
    deep = config.get("layer_type", "bottleneck") == "bottleneck"
    trunk = resnet.ResNet(
        stages=tuple(config["depths"]),
        classes=None,
        block=resnet.Bottleneck if deep else resnet.BasicBlock,
        width=config["embedding_size"],
        norm=FROZEN,
    )
    wanted = _trunk_config(trunk)
    for name, value in wanted.items():
        if config.get(name, value) != value:
            raise errors.InputError(
                f"A DETR's backbone_config must have {name} {value!r}, got {config[name]!r}."
            )
    return trunk


def _trunk_config(trunk: resnet.ResNet) -> pretrained.Config:
    deep = trunk.block is resnet.Bottleneck
    stages = len(trunk.stages)
    return {
        "model_type": "resnet",
        "num_channels": 3,
        "embedding_size": trunk.width,
        "hidden_sizes": [trunk.width * 2**i * (4 if deep else 1) for i in range(stages)],
        "depths": list(trunk.stages),
        "layer_type": "bottleneck" if deep else "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
        "out_features": [f"stage{stages}"],
    }


def _to_config(model: DETR) -> pretrained.Config:
    trunk = model.trunk
    known = isinstance(trunk, resnet.ResNet) and trunk.stem == "imagenet" and trunk.classes is None
    if not isinstance(trunk, resnet.ResNet) or not known or model.refine:
        raise errors.InputError(
            "A DETR in the form of DetrForObjectDetection must have a trunk resnet.ResNet without "
            f"a head and no refinement, got {type(trunk).__name__} and refine={model.refine}."
        )
    norm = trunk.norm in (FROZEN, normalization.batch_norm)
    whole = norm and trunk.act in resnet.RELU
    if not whole or trunk.block not in (resnet.BasicBlock, resnet.Bottleneck):
        raise errors.InputError(
            "The trunk of a DETR in the form of DetrForObjectDetection must have batch norm "
            "(detr.FROZEN or normalization.batch_norm), relu, and BasicBlock or Bottleneck as they "
            "are, got others."
        )
    return {
        "backbone_config": _trunk_config(trunk),
        "use_timm_backbone": False,
        "id2label": {str(i): f"LABEL_{i}" for i in range(model.classes)},
        "label2id": {f"LABEL_{i}": i for i in range(model.classes)},
        "num_queries": model.queries,
        "d_model": model.width,
        "encoder_attention_heads": model.heads,
        "decoder_attention_heads": model.heads,
        "encoder_layers": model.encoder_depth,
        "decoder_layers": model.decoder_depth,
        "encoder_ffn_dim": model.hidden,
        "decoder_ffn_dim": model.hidden,
        "dropout": model.dropout,
    }


def _affine(theirs: str, ours: str) -> tuple[pretrained.Tensor, ...]:
    return (
        pretrained.Tensor(f"{theirs}.weight", f"{ours}/kernel", tensor_layouts.TRANSPOSED),
        pretrained.Tensor(f"{theirs}.bias", f"{ours}/bias"),
    )


def _norm(theirs: str, ours: str) -> tuple[pretrained.Tensor, ...]:
    return (
        pretrained.Tensor(f"{theirs}.weight", f"{ours}/scale"),
        pretrained.Tensor(f"{theirs}.bias", f"{ours}/bias"),
    )


def _conv(theirs: str, conv: str, norm: str) -> tuple[pretrained.Tensor, ...]:
    """A convolution of the trunk and the norm behind it."""
    return (
        pretrained.Tensor(
            f"{theirs}.convolution.weight", f"trunk/{conv}/kernel", tensor_layouts.CONV_2D
        ),
        *_norm(f"{theirs}.normalization", f"trunk/{norm}"),
        pretrained.Tensor(f"{theirs}.normalization.running_mean", f"batch_stats/trunk/{norm}/mean"),
        pretrained.Tensor(f"{theirs}.normalization.running_var", f"batch_stats/trunk/{norm}/var"),
    )


def _attention(theirs: str, ours: str) -> tuple[pretrained.Tensor, ...]:
    pairs = (("q", "query"), ("k", "key"), ("v", "value"), ("out", "output"))
    return tuple(row for a, b in pairs for row in _affine(f"{theirs}.{a}_proj", f"{ours}/{b}"))


def _layers(theirs: str, ours: str) -> tuple[pretrained.Tensor, ...]:
    return (
        *_attention(f"{theirs}.self_attn", f"{ours}/attention"),
        *_norm(f"{theirs}.self_attn_layer_norm", f"{ours}/norm_attention"),
        *_attention(f"{theirs}.encoder_attn", f"{ours}/cross"),
        *_norm(f"{theirs}.encoder_attn_layer_norm", f"{ours}/norm_cross"),
        *_affine(f"{theirs}.fc1", f"{ours}/mlp/up"),
        *_affine(f"{theirs}.fc2", f"{ours}/mlp/down"),
        *_norm(f"{theirs}.final_layer_norm", f"{ours}/norm_mlp"),
    )


_TRUNK = "model.backbone.conv_encoder.model."
_STAGE, _BLOCK = _TRUNK + "encoder.stages.{s}.layers.{b}.", "stage_{s+1}_block_{b+1}/"
PRETRAINED = (
    pretrained.Format(
        model=DETR,
        model_type="detr",
        architectures=("DetrForObjectDetection",),
        module=_from_config,
        config=_to_config,
        tensors=(
            *_conv(_TRUNK + "embedder.embedder", "conv_stem", "norm_stem"),
            *_conv(_STAGE + "shortcut", _BLOCK + "conv_shortcut", _BLOCK + "norm_shortcut"),
            *_conv(_STAGE + "layer.{k}", _BLOCK + "conv_{k+1}", _BLOCK + "norm_{k+1}"),
            pretrained.Tensor("model.query_position_embeddings.weight", "queries"),
            pretrained.Tensor(
                "model.input_projection.weight", "reduce/kernel", tensor_layouts.CONV_2D
            ),
            pretrained.Tensor("model.input_projection.bias", "reduce/bias"),
            *_layers("model.encoder.layers.{n}", "encoder_{n}"),
            *_layers("model.decoder.layers.{n}", "decoder_{n}"),
            *_norm("model.decoder.layernorm", "decoder_norm"),
            *_affine("class_labels_classifier", "classes"),
            *_affine("bbox_predictor.layers.{n}", "boxes/layer_{n}"),
        ),
        supported={
            "activation_function": ("relu",),
            "position_embedding_type": ("sine",),
            "dilation": (False,),
            "attention_dropout": (0.0, 0),
            "activation_dropout": (0.0, 0),
            "encoder_layerdrop": (0.0, 0),
            "decoder_layerdrop": (0.0, 0),
            "num_channels": (3,),
        },
        inputs=lambda model: (jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32),),
    ),
)
