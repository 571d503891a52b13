"""A sequence into another one: a recurrent encoder, and a decoder that attends to what it read.

Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate"
(2014), with a gated unit in PyTorch's form and the new state, not the last one, in the maxout
before the words. Without attention, every word is told from the encoder's last states (Cho et al.,
"Learning phrase representations using RNN encoder-decoder", 2014).

Padding is token 0 on both sides; what is written begins with START and stops with END.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxdl.nn import attention, beam, dense, limits, recurrence

PADDING, START, END = 0, 1, 2


class Memory(NamedTuple):
    """What the encoder hands over.

    values: both directions' states at each token (the paper's annotations). keys: their projection
    that a query is compared with. mask: where there is a token. last: both directions' last states.
    """

    values: Float[Array, "b s d"]
    keys: Float[Array, "b s width"]
    mask: Bool[Array, "b s"]
    last: Float[Array, "b d"]


class Seq2Seq(nn.Module):
    """Reads a source and, word by word, tells the next word of a target.

    Called with {"source": (b, s), "target": (b, t)}, integer tokens padded with 0; the target
    begins with START. Returns logits (b, t, words), those of padding -1e30: it is never said.

    Parameters: `source/embedding`, `forward`, `backward` (see `recurrence.Recurrent`), `keys`,
    `start`, and under `decoder`: `words/embedding`, `input`, `context_kernel`, `recurrent_kernel`,
    `recurrent_bias` of the gated unit; `query`, `energy` of the attention; `maxout`, `output`.
    """

    symbols: int
    words: int
    width: int = 128
    attention: bool = True

    def __post_init__(self) -> None:
        limits.at_least(1, "Seq2Seq's width", self.width)
        limits.at_least(2, "Seq2Seq's symbols", self.symbols)
        limits.at_least(END + 1, "Seq2Seq's words", self.words)
        super().__post_init__()

    def setup(self) -> None:
        self.source = nn.Embed(self.symbols, self.width)
        self.forward = recurrence.Recurrent("gru", self.width)
        self.backward = recurrence.Recurrent("gru", self.width, reverse=True)
        self.keys = dense.Dense(self.width, use_bias=False)
        self.start = dense.Dense(self.width)
        self.decoder = Decoder(self.words, self.width, self.attention)

    def __call__(
        self, inputs: dict[str, Integer[Array, "b _"]], train: bool = False
    ) -> Float[Array, "b t v"]:
        """The logits of every next word, the words before it given."""
        memory, hidden = self.encode(inputs["source"])
        return self.decoder(inputs["target"], hidden, memory)[0]

    def encode(self, source: Integer[Array, "b s"]) -> tuple[Memory, Float[Array, "b width"]]:
        """What is read, and the state in which the decoder begins."""
        source = source.astype(jnp.int32)
        mask = source != PADDING
        lengths, x = mask.sum(1), self.source.embedding
        forward, (end,) = self.forward(x, source, lengths=lengths)
        backward, (first,) = self.backward(x, source, lengths=lengths)
        values = jnp.concatenate([forward, backward], axis=-1)
        last = jnp.concatenate([end, first], axis=-1)
        return Memory(values, self.keys(values), mask, last), nn.tanh(self.start(first))

    def advance(
        self, tokens: Integer[Array, "b t"], hidden: Float[Array, "b width"], memory: Memory
    ) -> tuple[Float[Array, "b t v"], Float[Array, "b width"]]:
        """The logits after each of the words, and the state after the last; to decode with."""
        return self.decoder(tokens, hidden, memory)


class Decoder(nn.Module):
    """A gated unit that reads the last word and a context, which is what attention finds."""

    words: int
    width: int
    attention: bool

    @nn.compact
    def __call__(
        self, tokens: Integer[Array, "b t"], hidden: Float[Array, "b width"], memory: Memory
    ) -> tuple[Float[Array, "b t v"], Float[Array, "b width"]]:
        words = nn.Embed(self.words, self.width, name="words")(tokens)
        projected = dense.Dense(3 * self.width, name="input")(words)
        kernel = self.param(
            "context_kernel",
            nn.initializers.lecun_normal(),
            (memory.last.shape[-1], 3 * self.width),
        )
        recurrent = self.param(
            "recurrent_kernel", recurrence.orthogonal_gates, (self.width, 3 * self.width)
        )
        bias = self.param("recurrent_bias", nn.initializers.zeros, (self.width,))
        bias = jnp.pad(bias, (2 * self.width, 0))[None]
        look = self._looker(memory)

        def step(hidden: Array, projected: Array) -> tuple[Array, tuple[Array, Array]]:
            context = look(hidden)
            projected = projected + context @ kernel
            (hidden,), _ = recurrence.CELLS["gru"].forward(
                projected, hidden @ recurrent + bias, (hidden,)
            )
            return hidden, (hidden, context)

        hidden, said = jax.lax.scan(step, hidden, jnp.swapaxes(projected, 0, 1))
        states, contexts = (jnp.swapaxes(x, 0, 1) for x in said)
        pairs = dense.Dense(2 * self.width, name="maxout")(
            jnp.concatenate([states, words, contexts], axis=-1)
        )
        best = pairs.reshape(*pairs.shape[:-1], self.width, 2).max(-1)
        logits = dense.Dense(self.words, name="output")(best)
        return logits.at[..., PADDING].set(attention.HIDDEN), hidden

    def _looker(self, memory: Memory) -> Any:
        """hidden (b, width) -> context (b, d): sum of αⱼ hⱼ, α = softmax of vᵀ tanh(W s + U hⱼ)."""
        if not self.attention:
            return lambda hidden: memory.last
        init = nn.initializers.lecun_normal()
        query = self.param("query", init, (self.width, self.width))
        energy = self.param("energy", init, (self.width, 1))
        hide = jnp.where(memory.mask, 0, attention.HIDDEN)

        def look(hidden: Array) -> Array:
            compared = jnp.tanh((hidden @ query)[:, None] + memory.keys)
            weights = jax.nn.softmax((compared @ energy)[..., 0] + hide)
            return jnp.einsum("bs,bsd->bd", weights, memory.values)

        return look


@functools.partial(jax.jit, static_argnames=("model", "length", "beams"))
def write(
    model: Seq2Seq,
    variables: Any,
    source: Integer[Array, "b s"],
    length: int,
    *,
    beams: int = 1,
    exponent: float | Float[Array, ""] = 0.0,
) -> beam.Written:
    """What the model writes, at most `length` words, see `beam.search`."""
    begun: Any = model.apply(variables, source, method="encode")
    memory, hidden = begun

    def advance(words: Array, now: tuple[Array, Memory]) -> Any:
        said: Any = model.apply(variables, words, *now, method="advance")
        return said[0], (said[1], now[1])

    logits, now = advance(jnp.full((len(source), 1), START, jnp.int32), (hidden, memory))
    return beam.search(
        advance,
        logits[:, -1],
        now,
        length,
        end=END,
        padding=PADDING,
        beams=beams,
        exponent=exponent,
    )
