"""BERT: a transformer that reads a text in both directions (Devlin, Chang, Lee and Toutanova 2018,
"BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding"), and its heads:
the masked language model and the classifier. With rotary positions it is Su et al.'s RoFormer
(2021).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors
from jaxdl.models import pretrained
from jaxdl.nn import dense, dropout, layer_norm, layout, limits, transformer

SMALL = nn.initializers.normal(0.02)  # appendix A.2 and the published code


class Encoded(NamedTuple):
    """What BERT makes of a text: a vector for each token, and one for all, of the first token's."""

    tokens: Float[Array, "b n d"]
    text: Float[Array, "b d"] | None


class BERT(nn.Module):
    """The encoder: integer tokens (b, n), n up to `length`, to vectors.

    types: kinds of segments, such as a question and its answer; 0 for none.
    padding: the token that fills texts up and is not read, None where texts are of one length.
    pooler: whether to make `Encoded.text`: tanh of an affine layer of the first token's vector.
    remat: what the backward pass computes again, see `transformer.rematerialised`.
    Dropout falls on the embeddings and the branches of blocks, not on attention weights.

    Parameters: `tokens/embedding` (vocabulary, width), `positions/embedding` (length, width) if
    learned, `types/embedding`, `norm`, `block_0`, ... of `transformer.Block`, and `pooler`.
    """

    vocabulary: int = 30522
    length: int = 512
    types: int = 2
    width: int = 768
    depth: int = 12
    heads: int = 12
    positions: str = "learned"  # or "rotary"
    padding: int | None = 0
    pooler: bool = True
    dropout: float | Array = 0.0
    epsilon: float = 1e-12
    act: Callable[[Array], Array] = transformer.exact_gelu
    dtype: Any = jnp.float32
    remat: str = "none"

    def __post_init__(self) -> None:
        for name in ("vocabulary", "length", "width", "depth", "heads"):
            limits.at_least(1, f"BERT's {name}", getattr(self, name))
        limits.at_least(0, "BERT's types", self.types)
        if self.width % self.heads:
            raise errors.InputError(
                f"BERT's width must be a multiple of its heads, got {self.width} and {self.heads}."
            )
        if self.positions not in ("learned", "rotary"):
            raise errors.InputError(
                f'BERT\'s positions must be "learned" or "rotary", got {self.positions!r}.'
            )
        limits.rate("BERT's dropout", self.dropout)
        transformer.rematerialised(self.remat)
        super().__post_init__()

    def setup(self) -> None:
        embed = functools.partial(nn.Embed, features=self.width, embedding_init=SMALL)
        self.tokens = embed(self.vocabulary)
        if self.positions == "learned":
            self.places = embed(self.length, name="positions")
        if self.types:
            self.kinds = embed(self.types, name="types")
        norm = functools.partial(layer_norm.LayerNorm, epsilon=self.epsilon)
        self.norm = norm(dtype=self.dtype)
        self.drop = dropout.Dropout(self.dropout)
        make = transformer.rematerialised(self.remat)
        self.blocks = [
            make(
                self.heads,
                rotary=10_000.0 if self.positions == "rotary" else None,
                dropout=self.dropout,
                act=self.act,
                norm=norm,
                first=False,
                dtype=self.dtype,
                kernel_init=SMALL,
                output_init=SMALL,
                name=f"block_{n}",
            )
            for n in range(self.depth)
        ]
        if self.pooler:
            self.pool = dense.Dense(self.width, dtype=self.dtype, kernel_init=SMALL, name="pooler")

    def __call__(
        self,
        x: Int[Array, "b n"],
        train: bool = False,
        mask: Bool[Array, "b n"] | None = None,
        types: Int[Array, "b n"] | None = None,
    ) -> Encoded:
        """The vectors; mask: True where a token is to be read (default: where it is no padding)."""
        self._check_input(x)
        if mask is None and self.padding is not None:
            mask = x != self.padding
        y = jnp.take(self._table(), x, axis=0)
        if self.positions == "learned":
            y = y + self.places.embedding[None, : x.shape[1]].astype(self.dtype)
        if self.types:
            kind = jnp.zeros_like(x) if types is None else types
            y = y + jnp.take(self.kinds.embedding.astype(self.dtype), kind, axis=0)
        y = layout.constrain(self.drop(self.norm(y), train), "batch")
        for block in self.blocks:
            y, _ = block(y, train, None, 0, None if mask is None else mask[:, None])
        return Encoded(y, jnp.tanh(self.pool(y[:, 0])) if self.pooler else None)

    def likeness(self, y: Float[Array, "b n d"]) -> Float[Array, "b n v"]:
        """Products of vectors with the embedding of every token."""
        table = self._table()
        return jnp.dot(y.reshape(-1, self.width), table.T).reshape(*y.shape[:2], -1)

    def _table(self) -> Float[Array, "v d"]:
        # Gathered over fsdp before it is used, as other parameters are without being told.
        return layout.constrain(self.tokens.embedding.astype(self.dtype), "tensor")

    def _check_input(self, x: Array) -> None:
        if not jnp.issubdtype(x.dtype, jnp.integer) or x.ndim != 2:
            raise errors.InputError(
                f"BERT's input must be integer tokens (b, n), got {x.dtype}{list(x.shape)}."
            )
        if x.shape[1] > self.length:
            raise errors.InputError(
                f"BERT's input must have at most {self.length} tokens, got {x.shape[1]}. "
                "Cut the text or make a model with a greater length."
            )


class MaskedLM(nn.Module):
    """The masked language model: float32 logits (b, n, v) of every token, hidden or not.

    Parameters: `encoder` as `BERT` documents, `transform`, `norm`, and `bias` (v); the output's
    kernel is the embedding.
    """

    encoder: BERT

    @nn.compact
    def __call__(
        self,
        x: Int[Array, "b n"],
        train: bool = False,
        mask: Bool[Array, "b n"] | None = None,
        types: Int[Array, "b n"] | None = None,
    ) -> Float[Array, "b n v"]:
        of = self.encoder
        y = of(x, train, mask, types).tokens
        y = dense.Dense(of.width, dtype=of.dtype, kernel_init=SMALL, name="transform")(y)
        y = layer_norm.LayerNorm(of.epsilon, dtype=of.dtype, name="norm")(of.act(y))
        bias = self.param("bias", nn.initializers.zeros, (of.vocabulary,))
        logits = of.likeness(y).astype(jnp.float32) + bias[None, None]
        return layout.constrain(logits, "batch", None, "tensor")


class Classifier(nn.Module):
    """Texts to classes: float32 logits (b, classes) of the pooled vector, behind dropout.

    Parameters: `encoder` as `BERT` documents, and `output`.
    """

    encoder: BERT
    classes: int
    dropout: float | Array = 0.0

    def __post_init__(self) -> None:
        limits.at_least(1, "Classifier's classes", self.classes)
        limits.rate("Classifier's dropout", self.dropout)
        if isinstance(self.encoder, BERT) and not self.encoder.pooler:
            raise errors.InputError("Classifier's encoder must have a pooler, got pooler=False.")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Int[Array, "b n"],
        train: bool = False,
        mask: Bool[Array, "b n"] | None = None,
        types: Int[Array, "b n"] | None = None,
    ) -> Float[Array, "b k"]:
        text: Any = self.encoder(x, train, mask, types).text
        text = dropout.Dropout(self.dropout, name="dropout")(text, train)
        output = dense.Dense(
            self.classes, dtype=self.encoder.dtype, kernel_init=SMALL, name="output"
        )
        return output(text).astype(jnp.float32)


# Section 3 of the paper, and the smaller ones of Turc et al. 2019, "Well-Read Students Learn
# Better"; the parameters with the vocabulary of the published uncased files, heads aside.
bert_tiny = functools.partial(BERT, width=128, depth=2, heads=2)  # 4,385,920
bert_mini = functools.partial(BERT, width=256, depth=4, heads=4)  # 11,170,560
bert_small = functools.partial(BERT, width=512, depth=4, heads=8)  # 28,763,648
bert_medium = functools.partial(BERT, width=512, depth=8, heads=8)  # 41,373,184
bert_base = functools.partial(BERT, width=768, depth=12, heads=12)  # 109,482,240
bert_large = functools.partial(BERT, width=1024, depth=24, heads=16)  # 335,141,888

# Where parameters lie on a mesh, for Run.rules: the vocabulary's rows share the axis `tensor` too.
RULES = (
    *transformer.RULES,
    (r"tokens/embedding$", ("tensor", "fsdp")),
    (r"positions/embedding$", (None, "fsdp")),
)


def _from_config(config: pretrained.Config, pooler: bool) -> BERT:
    pretrained.four_times("BERT", config)
    return BERT(
        vocabulary=config["vocab_size"],
        length=config["max_position_embeddings"],
        types=config["type_vocab_size"],
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        padding=config.get("pad_token_id", 0),
        pooler=pooler,
        epsilon=config.get("layer_norm_eps", 1e-12),
    )


def _to_config(model: BERT) -> pretrained.Config:
    pretrained.exact_gelu(model)
    if model.positions != "learned" or not model.types:
        raise errors.InputError(
            "A BERT in the form of transformers must have learned positions and types, got "
            f"{model.positions!r} and {model.types} types."
        )
    return {
        "vocab_size": model.vocabulary,
        "max_position_embeddings": model.length,
        "type_vocab_size": model.types,
        "hidden_size": model.width,
        "intermediate_size": 4 * model.width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "pad_token_id": model.padding,
        "layer_norm_eps": model.epsilon,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": 0.0,
    }


def _rows(theirs: str, ours: str) -> tuple[pretrained.Tensor, ...]:
    """The encoder's rows, with what the file's names and the paths begin with."""
    layer, block = theirs + "encoder.layer.{n}.", ours + "block_{n}/"
    kernels = {
        layer + "attention.self.query": block + "attention/query",
        layer + "attention.self.key": block + "attention/key",
        layer + "attention.self.value": block + "attention/value",
        layer + "attention.output.dense": block + "attention/output",
        layer + "intermediate.dense": block + "mlp/up",
        layer + "output.dense": block + "mlp/down",
        theirs + "pooler.dense": ours + "pooler",
    }
    norms = {
        theirs + "embeddings.LayerNorm": ours + "norm",
        layer + "attention.output.LayerNorm": block + "norm_1",
        layer + "output.LayerNorm": block + "norm_2",
    }
    tables = {
        theirs + "embeddings.word_embeddings": ours + "tokens",
        theirs + "embeddings.position_embeddings": ours + "positions",
        theirs + "embeddings.token_type_embeddings": ours + "types",
    }
    return pretrained.affine(kernels) + pretrained.normed(norms) + pretrained.embedded(tables)


_SUPPORTED = {
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}
# The names of TensorFlow, in the files that were published first.
_OLDER = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
PRETRAINED = (
    pretrained.Format(
        model=BERT,
        model_type="bert",
        architectures=("BertModel",),
        module=lambda config: _from_config(config, pooler=True),
        config=_to_config,
        tensors=_rows("", ""),
        supported=_SUPPORTED,
        older=_OLDER,
        ignored=(r"position_ids$",),
    ),
    pretrained.Format(
        model=MaskedLM,
        model_type="bert",
        architectures=("BertForMaskedLM", "BertForPreTraining"),
        module=lambda config: MaskedLM(_from_config(config, pooler=False)),
        config=lambda model: _to_config(model.encoder),
        tensors=_rows("bert.", "encoder/")
        + pretrained.affine({"cls.predictions.transform.dense": "transform"})
        + pretrained.normed({"cls.predictions.transform.LayerNorm": "norm"})
        + (pretrained.Tensor("cls.predictions.bias", "bias"),),
        supported=_SUPPORTED,
        older=_OLDER,
        # The output's kernel is the embedding; of a pretraining's file its other task is left.
        ignored=(r"position_ids$", r"predictions\.decoder", r"seq_relationship", r"bert\.pooler"),
    ),
    pretrained.Format(
        model=Classifier,
        model_type="bert",
        architectures=("BertForSequenceClassification",),
        module=lambda config: Classifier(
            _from_config(config, pooler=True), pretrained.classes(config)
        ),
        config=lambda model: _to_config(model.encoder) | pretrained.labels(model.classes),
        tensors=_rows("bert.", "encoder/") + pretrained.affine({"classifier": "output"}),
        supported=_SUPPORTED,
        older=_OLDER,
        ignored=(r"position_ids$",),
    ),
)
