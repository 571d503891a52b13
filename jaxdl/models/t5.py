"""T5: an encoder that reads a text and a decoder that writes another (Raffel et al. 2019,
"Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer").

The transformer of Vaswani et al. (2017) with positions that are biases of the attention scores, by
the distance of two tokens alone (Shaw et al. 2018), norms and affine layers without biases, and
scores that are not scaled.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors
from jaxdl.models import pretrained
from jaxdl.nn import (
    attention,
    beam,
    decoding,
    dense,
    dropout,
    layer_norm,
    layout,
    limits,
    positions,
    transformer,
)


class Memory(NamedTuple):
    """What the decoder remembers: of its own tokens and of the text, in each block, how many tokens
    it has written, and which of the text's are read.
    """

    blocks: tuple[attention.Cache | None, ...]
    texts: tuple[attention.Cache | Float[Array, "b s d"], ...]
    length: Int[Array, ""]
    seen: Bool[Array, "b s"]


class Block(nn.Module):
    """x + attention(norm(x)), in a decoder x + attention(norm(x), text), then x + mlp(norm(x)).

    Parameters: `norm_1`, `attention`, in a decoder `norm_text` and `text`, `norm_2`, `mlp` or
    `gated_mlp`; none has a bias.
    """

    heads: int
    head_width: int
    hidden: int
    gated: bool
    dropout: float | Array
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        bias: Float[Array, "1 h t s"],
        mask: Bool[Array, "#b #t s"] | None,
        train: bool,
        text: attention.Cache | Float[Array, "b m d"] | None = None,
        seen: Bool[Array, "b m"] | None = None,
        cache: attention.Cache | None = None,
        start: Int[Array, ""] | int = 0,
    ) -> tuple[Float[Array, "b t d"], attention.Cache | None, attention.Cache | None]:
        """The output, and the caches of the block's own tokens and of the text."""
        width = x.shape[-1]
        norm = functools.partial(layer_norm.RMSNorm, self.epsilon, self.dtype)
        drop = functools.partial(dropout.Dropout, self.dropout)
        attend = functools.partial(
            attention.MultiHead,
            self.heads,
            head_width=self.head_width,
            use_bias=False,
            scale=1.0,
            dtype=self.dtype,
            # In the place of the scale.
            query_init=nn.initializers.normal((width * self.head_width) ** -0.5),
        )
        x = layout.constrain(x, "batch")
        y = norm(name="norm_1")(x)
        y, cache = attend(name="attention")(y, cache, start, mask, bias)
        x = x + drop(name="dropout_1")(y, train)
        if text is not None:
            y = norm(name="norm_text")(x)
            shown = None if seen is None else seen[:, None]
            y, text = attend(name="text")(y, mask=shown, memory=text)
            x = x + drop(name="dropout_text")(y, train)
        if self.gated:
            mlp = transformer.GatedMLP(self.hidden, jax.nn.gelu, self.dtype, name="gated_mlp")
        else:
            mlp = transformer.MLP(self.hidden, jax.nn.relu, False, self.dtype, name="mlp")
        x = x + drop(name="dropout_2")(mlp(norm(name="norm_2")(x)), train)
        return layout.constrain(x, "batch"), cache, text


class T5(nn.Module):
    """A text to another: {"source": (b, s), "target": (b, t)}, integer tokens, to float32 logits
    (b, t, v).

    gated: MLPs gated by GELU (tanh form) instead of ReLU. tied: the output is the embedding, of
    vectors scaled by width^-0.5; else `output/kernel`. Version 1.1 is gated and not tied.
    decoder_depth: by default, `depth`. padding: a token of the text that is not read.
    length: tokens the decoder can write with a memory (`begin`, `advance`, `write`); reading whole
        targets has no limit.
    Dropout falls on embeddings, branches and the ends, not on attention weights or inside MLPs.

    Parameters: `tokens/embedding`, `encoder_bias/embedding` and `decoder_bias/embedding` (buckets,
    heads), `encoder_0`, ..., `encoder_norm`, `decoder_0`, ..., `decoder_norm`, and `output`.
    """

    vocabulary: int = 32128
    width: int = 512
    hidden: int = 2048
    depth: int = 6
    heads: int = 8
    head_width: int = 64
    decoder_depth: int | None = None
    gated: bool = False
    tied: bool = True
    buckets: int = 32
    farthest: int = 128
    padding: int = 0
    length: int = 512
    dropout: float | Array = 0.0
    epsilon: float = 1e-6
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        names = ("vocabulary", "width", "hidden", "depth", "heads", "head_width", "length")
        for name in (*names, "decoder_depth"):
            limits.at_least(1, f"T5's {name}", getattr(self, name))
        limits.at_least(4, "T5's buckets", self.buckets)
        if self.farthest <= self.buckets // 2:
            raise errors.InputError(
                "T5's farthest must exceed half of its buckets, "
                f"got {self.farthest} and {self.buckets}."
            )
        limits.rate("T5's dropout", self.dropout)
        super().__post_init__()

    def setup(self) -> None:
        self.tokens = nn.Embed(
            self.vocabulary, self.width, embedding_init=nn.initializers.normal(1.0)
        )
        bias = functools.partial(
            nn.Embed, self.buckets, self.heads, embedding_init=nn.initializers.normal(0.02)
        )
        self.encoder_bias, self.decoder_bias = bias(), bias()
        block = functools.partial(
            Block,
            self.heads,
            self.head_width,
            self.hidden,
            self.gated,
            self.dropout,
            self.epsilon,
            self.dtype,
        )
        self.encoder = [block(name=f"encoder_{n}") for n in range(self.depth)]
        depth = self.decoder_depth or self.depth
        self.decoder = [block(name=f"decoder_{n}") for n in range(depth)]
        norm = functools.partial(layer_norm.RMSNorm, self.epsilon, self.dtype)
        self.encoder_norm, self.decoder_norm = norm(), norm()
        self.drop = dropout.Dropout(self.dropout)
        if not self.tied:
            self.output = dense.Dense(self.vocabulary, False, self.dtype)

    def __call__(
        self,
        inputs: Mapping[str, Int[Array, "b _"]],
        train: bool = False,
        mask: Bool[Array, "b s"] | None = None,
    ) -> Float[Array, "b t v"]:
        """Logits of what follows each token of "target", when "source" is read; mask: of `encode`.

        A target begins with the padding's token: what comes out at each place is the next token.
        """
        memory = self.encode(inputs["source"], train, mask)
        return self._decode(inputs["target"], memory, train)[0]

    def encode(
        self,
        text: Int[Array, "b s"],
        train: bool = False,
        mask: Bool[Array, "b s"] | None = None,
    ) -> Memory:
        """The memory of a text, nothing written yet; mask: True where a token is to be read
        (default: where it is no padding).
        """
        decoding.check_tokens("T5", text)
        seen = text != self.padding if mask is None else mask
        bias = self._bias(self.encoder_bias, jnp.arange(text.shape[1]), text.shape[1], True)
        y = self._embedded(text, train)
        for block in self.encoder:
            y, _, _ = block(y, bias, seen[:, None], train)
        y = self.drop(self.encoder_norm(y), train)
        depth = len(self.decoder)
        return Memory((None,) * depth, (y,) * depth, jnp.zeros((), jnp.int32), seen)

    def begin(
        self, text: Int[Array, "b s"], first: Int[Array, "b t"]
    ) -> tuple[Float[Array, "b t v"], Memory]:
        """Logits after the first tokens, and the memory to go on from with `advance`."""
        memory = self.encode(text)
        blocks = decoding.empty_cache(
            len(text), self.length, len(self.decoder), self.heads, self.head_width, self.dtype
        ).blocks
        return self.advance(first, memory._replace(blocks=blocks))

    def advance(
        self, written: Int[Array, "b t"], memory: Memory
    ) -> tuple[Float[Array, "b t v"], Memory]:
        """Logits, and the memory with tokens read in that go on after what it holds."""
        return self._decode(written, memory, False)

    def _decode(
        self, written: Int[Array, "b t"], memory: Memory, train: bool
    ) -> tuple[Float[Array, "b t v"], Memory]:
        time, cache = written.shape[1], memory.blocks[0]
        decoding.check_tokens("T5", written, None if cache is None else self.length)
        steps = memory.length + jnp.arange(time)
        keys = time if cache is None else cache.key.shape[1]
        bias = self._bias(self.decoder_bias, steps, keys, False)
        mask = (jnp.arange(keys)[None] <= steps[:, None])[None]
        y, caches, texts = self._embedded(written, train), [], []
        for block, own, text in zip(self.decoder, memory.blocks, memory.texts, strict=True):
            y, own, text = block(y, bias, mask, train, text, memory.seen, own, memory.length)
            caches.append(own)
            texts.append(text)
        y = self.drop(self.decoder_norm(y), train)
        if self.tied:
            flat = dense.rows(y) * self.width**-0.5
            logits = (flat @ self._table().T).reshape(*written.shape, self.vocabulary)
        else:
            logits = self.output(y)
        logits = layout.constrain(logits.astype(jnp.float32), "batch", None, "tensor")
        return logits, Memory(tuple(caches), tuple(texts), memory.length + time, memory.seen)

    def _embedded(self, x: Int[Array, "b t"], train: bool) -> Float[Array, "b t d"]:
        y = layout.constrain(jnp.take(self._table(), x, axis=0), "batch")
        return self.drop(y, train)

    def _table(self) -> Float[Array, "v d"]:
        # Gathered over fsdp before it is used, as other parameters are without being told.
        return layout.constrain(self.tokens.embedding.astype(self.dtype), "tensor")

    def _bias(
        self, table: nn.Embed, steps: Int[Array, "t"], keys: int, both: bool
    ) -> Float[Array, "1 h t s"]:
        apart = jnp.arange(keys)[None] - steps[:, None]
        bucket = positions.buckets(apart, self.buckets, self.farthest, both)
        return jnp.moveaxis(table.embedding[bucket], -1, 0)[None]


# Table 14 of the paper has the sizes; parameters as in the published files.
t5_small = functools.partial(T5)  # 60,506,624
t5_base = functools.partial(T5, width=768, hidden=3072, depth=12, heads=12)  # 222,903,552
t5_large = functools.partial(T5, width=1024, hidden=4096, depth=24, heads=16)  # 737,668,096
# Version 1.1 (Shazeer 2020): gated, and the output has a kernel of its own.
_gated = functools.partial(T5, gated=True, tied=False)
t5_v1_1_small = functools.partial(_gated, hidden=1024, depth=8, heads=6)  # 76,961,152
t5_v1_1_base = functools.partial(_gated, width=768, hidden=2048, depth=12, heads=12)  # 247,577,856

# Where parameters lie on a mesh, for Run.rules: the vocabulary's rows share the axis `tensor` too.
RULES = (
    *transformer.RULES,
    (r"text/(query|key|value)/kernel$", ("fsdp", "tensor")),
    (r"text/output/kernel$", ("tensor", "fsdp")),
    (r"tokens/embedding$", ("tensor", "fsdp")),
    (r"output/kernel$", ("fsdp", "tensor")),
)


def write(
    model: T5,
    variables: Any,
    text: Int[Array, "b s"],
    length: int,
    *,
    beams: int = 1,
    exponent: float = 0.0,
    end: int = 1,
) -> beam.Written:
    """What the model writes, at most `length` tokens, see `beam.search`; end: T5's own is 1."""
    if length > model.length:
        raise errors.InputError(f"T5 must write at most its length {model.length}, got {length}.")
    first = jnp.full((len(text), 1), model.padding, jnp.int32)
    begun: Any = model.apply(variables, text, first, method="begin")

    def advance(tokens: Array, memory: Memory) -> Any:
        return model.apply(variables, tokens, memory, method="advance")

    return beam.search(
        advance,
        begun[0][:, -1],
        begun[1],
        length,
        end=end,
        padding=model.padding,
        beams=beams,
        exponent=exponent,
    )


def _from_config(config: pretrained.Config) -> T5:
    act = config.get("feed_forward_proj", "relu")
    return T5(
        vocabulary=config["vocab_size"],
        width=config["d_model"],
        hidden=config["d_ff"],
        depth=config["num_layers"],
        heads=config["num_heads"],
        head_width=config["d_kv"],
        decoder_depth=config.get("num_decoder_layers") or config["num_layers"],
        gated=act == "gated-gelu",
        # Of late transformers writes the two apart; older files say by one whether it is so.
        tied=config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True)),
        buckets=config.get("relative_attention_num_buckets", 32),
        farthest=config.get("relative_attention_max_distance", 128),
        padding=config.get("pad_token_id", 0),
        epsilon=config.get("layer_norm_epsilon", 1e-6),
    )


def _to_config(model: T5) -> pretrained.Config:
    return {
        "vocab_size": model.vocabulary,
        "d_model": model.width,
        "d_ff": model.hidden,
        "d_kv": model.head_width,
        "num_layers": model.depth,
        "num_decoder_layers": model.decoder_depth or model.depth,
        "num_heads": model.heads,
        "feed_forward_proj": "gated-gelu" if model.gated else "relu",
        "scale_decoder_outputs": model.tied,
        "tie_word_embeddings": model.tied,
        "relative_attention_num_buckets": model.buckets,
        "relative_attention_max_distance": model.farthest,
        "pad_token_id": model.padding,
        "decoder_start_token_id": model.padding,
        "layer_norm_epsilon": model.epsilon,
        "dropout_rate": model.dropout,
    }


_PARTS = {"q": "query", "k": "key", "v": "value", "o": "output"}


def _rows(side: str, mlp: int) -> tuple[pretrained.Tensor, ...]:
    """The rows of a side, of which no layer has a bias; mlp: which layer of a block is its MLP."""
    theirs, ours = side + ".block.{n}.layer.", side + "_{n}/"
    wide = f"{theirs}{mlp}.DenseReluDense."
    kernels = {f"{theirs}0.SelfAttention.{a}": f"{ours}attention/{b}" for a, b in _PARTS.items()}
    plain = {wide + "wi": ours + "mlp/up", wide + "wo": ours + "mlp/down"}
    gated = {"wi_0": "gate", "wi_1": "up", "wo": "down"}
    norms = {
        theirs + "0.layer_norm": ours + "norm_1",
        f"{theirs}{mlp}.layer_norm": ours + "norm_2",
        f"{side}.final_layer_norm": f"{side}_norm",
    }
    bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias"
    return (
        *pretrained.affine(kernels | plain),
        *pretrained.affine({wide + a: f"{ours}gated_mlp/{b}" for a, b in gated.items()}),
        *pretrained.normed(norms),
        *pretrained.embedded({bias: f"{side}_bias"}),
    )


_TEXT = "decoder.block.{n}.layer.1."
_READ = {f"{_TEXT}EncDecAttention.{a}": f"decoder_{{n}}/text/{b}" for a, b in _PARTS.items()}
PRETRAINED = (
    pretrained.Format(
        model=T5,
        model_type="t5",
        architectures=("T5ForConditionalGeneration",),
        module=_from_config,
        config=_to_config,
        tensors=(
            *pretrained.embedded({"shared": "tokens"}),
            *_rows("encoder", 1),
            *_rows("decoder", 2),
            *pretrained.affine({**_READ, "lm_head": "output"}),
            *pretrained.normed({_TEXT + "layer_norm": "decoder_{n}/norm_text"}),
        ),
        supported={"feed_forward_proj": ("relu", "gated-gelu")},
        # Copies of the embedding, and a table that the first files have and nothing reads.
        ignored=(r"embed_tokens\.weight$", r"^lm_head\.weight$", r"EncDecAttention\.relative"),
        inputs=lambda model: (dict.fromkeys(("source", "target"), pretrained.tokens(model)[0]),),
    ),
)
