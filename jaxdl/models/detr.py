"""DETR: a transformer turns learnt queries into the boxes of an image, each object once.

Carion et al., "End-to-end object detection with transformers" (2020). A trunk's map of features is
read by an encoder and then by a decoder's queries, each of which says one box and its class, or
that it has none. The loss matches queries and objects one to one, at the least cost (Kuhn 1955;
Hungarian algorithm), after every layer of the decoder: no peaks and no overlaps are sorted out.

With `refine`, what was found later to make it learn faster: a query is a box that each layer of the
decoder moves (Zhu et al., "Deformable DETR", 2020), and its positions are sines of that box (Liu et
al., "DAB-DETR", 2022).
"""

import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxdl import errors, metrics
from jaxdl.losses import detection
from jaxdl.nn import attention, dense, dropout, layer_norm, limits, transformer

CLASS_COST, BOX_COST, OVERLAP_COST = 1.0, 5.0, 2.0  # of a match, and of the loss (appendix A.4)
NOTHING = 0.1  # the weight of queries without an object
FAR = 1e4  # a cost above all others


class Found(NamedTuple):
    """What each query says after each layer of the decoder, the last one last: logits, the last of
    them of no object, and boxes (x, y, width, height) as shares of the image.
    """

    logits: Float[Array, "l b q k"]
    boxes: Float[Array, "l b q 4"]


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
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Found:
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
    ) -> Found:
        norm = layer_norm.LayerNorm(dtype=self.dtype, name="decoder_norm")
        classify = dense.Dense(self.classes + 1, dtype=self.dtype, name="classes")
        last = nn.initializers.zeros if self.refine else nn.initializers.lecun_normal()
        locate = Perceptron(self.width, 4, 3, last, self.dtype, name="boxes")
        queries = jnp.zeros((len(x), self.queries, self.width), self.dtype)
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
        return Found(*(jnp.stack(one).astype(jnp.float32) for one in (logits, boxes)))


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
        if memory is not None:
            y = attend(name="cross")(x + own, memory + places, memory)
            x = norm(name="norm_cross")(x + drop(y, "cross"))
        y = transformer.MLP(self.hidden, nn.relu, self.dtype, name="mlp")(x)
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


def loss(found: Found, batch: dict[str, Any]) -> dict[str, Any]:
    """The published loss, a mean over the batch's objects for every layer of the decoder.

    batch: `boxes` and `classes`, see losses/detection.py, and the images they lie in as `input`.
    Logged beside the sum: the last layer's `class`, `box` and `overlap`, without their weights.
    """
    height, width = batch["input"].shape[1:3]
    boxes = detection.centred(batch["boxes"]) / jnp.array([width, height] * 2)[None, None]
    classes = batch["classes"]
    count = (classes >= 0).sum().astype(jnp.float32)
    layers = jax.vmap(_layer_loss, in_axes=(0, 0, None, None))(*found, boxes, classes)
    weights = {"class": CLASS_COST, "box": BOX_COST, "overlap": OVERLAP_COST}
    whole = sum(weights[name] * layers[name].sum() for name in weights)
    parts = {"loss": whole} | {name: sums[-1] for name, sums in layers.items()}
    return {name: metrics.Mean(total, count) for name, total in parts.items()}


def decode(found: Found, height: int, width: int) -> detection.Detections:
    """Every query's box in pixels of such an image, its likeliest class and how likely that is."""
    probability = jax.nn.softmax(found.logits[-1], axis=-1)[..., :-1]
    boxes = detection.corners(found.boxes[-1]) * jnp.array([width, height] * 2)[None, None]
    return detection.Detections(boxes, probability.max(-1), jnp.argmax(probability, axis=-1))


def match(
    logits: Float[Array, "q k"],
    found: Float[Array, "q 4"],
    boxes: Float[Array, "m 4"],
    classes: Int[Array, "m"],
) -> Int[Array, "m"]:
    """The query of each object, so that the sum of costs is least (equation 1); m <= q.

    Objects that are not there (class -1) cost the same everywhere, and take what is left.
    """
    probability = jax.nn.softmax(logits, axis=-1)[:, classes]
    apart = jnp.abs(found[:, None] - boxes[None]).sum(-1)
    shared = detection.generalized_overlap(
        detection.corners(found)[:, None], detection.corners(boxes)[None]
    )
    cost = BOX_COST * apart - CLASS_COST * probability - OVERLAP_COST * shared
    cost = jnp.where((classes >= 0)[None], cost, 0)
    cost = jnp.nan_to_num(cost, nan=FAR)  # the search for a NaN's place would not end
    query, item = optax.assignment.hungarian_algorithm(cost)
    return jnp.zeros_like(classes).at[item].set(query.astype(classes.dtype))


def _layer_loss(logits: Array, found: Array, boxes: Array, classes: Array) -> dict[str, Array]:
    """Sums over the objects of a batch."""
    held = jax.lax.stop_gradient((logits, found))
    query = jax.vmap(match)(*held, boxes, classes)
    there = classes >= 0
    count = there.sum()
    nothing = logits.shape[-1] - 1
    target = jax.vmap(lambda at, label: jnp.full(logits.shape[1], nothing).at[at].set(label))(
        query, jnp.where(there, classes, nothing)
    )
    weight = jnp.where(target == nothing, NOTHING, 1.0)
    wrong = optax.softmax_cross_entropy_with_integer_labels(logits, target)
    matched = jnp.take_along_axis(found, query[..., None], axis=1)
    apart = jnp.abs(matched - boxes).sum(-1)
    shared = detection.generalized_overlap(detection.corners(matched), detection.corners(boxes))
    return {
        "class": count * (weight * wrong).sum() / weight.sum(),
        "box": jnp.where(there, apart, 0).sum(),
        "overlap": jnp.where(there, 1 - shared, 0).sum(),
    }


# Where parameters lie on a mesh, for Run.rules.
RULES = (
    *transformer.RULES,
    (r"cross/(query|key|value)/kernel$", ("fsdp", "tensor")),
    (r"cross/(query|key|value)/bias$", ("tensor",)),
    (r"cross/output/kernel$", ("tensor", "fsdp")),
)
