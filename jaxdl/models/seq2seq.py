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
from jaxtyping import Array, Bool, Float, Int, Integer

from jaxdl import errors
from jaxdl.nn import attention, dense, limits, recurrence

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


class Written(NamedTuple):
    """The best sequences of a beam, best first, and the log-probability of each, in nats.

    Each ends with END, and then padding, unless `length` cut it off.
    """

    tokens: Int[Array, "b beams t"]
    scores: Float[Array, "b beams"]


def greedy(
    model: Seq2Seq, variables: Any, source: Integer[Array, "b s"], length: int
) -> Int[Array, "b t"]:
    """What the model writes, at each place the likeliest word."""
    return beam(model, variables, source, length, beams=1).tokens[:, 0]


@functools.partial(jax.jit, static_argnames=("model", "length", "beams"))
def beam(
    model: Seq2Seq,
    variables: Any,
    source: Integer[Array, "b s"],
    length: int,
    beams: int = 4,
    exponent: float | Float[Array, ""] = 0.0,
) -> Written:
    """What the model writes at most `length` words long, by beam search (Graves 2012).

    exponent: of a sequence's length, END included, by which its log-probability is divided before
        it is compared; 0 compares log-probabilities, which favours short ones.
    """
    if length < 1 or beams < 1:
        raise errors.InputError(
            f"length and beams must be at least 1, got length={length} and beams={beams}."
        )
    memory, hidden = model.apply(variables, source, method="encode")
    batch = len(source)
    memory, hidden = jax.tree.map(lambda x: jnp.repeat(x, beams, axis=0), (memory, hidden))
    start = _Beam(
        tokens=jnp.full((batch, beams, length), PADDING, jnp.int32),
        last=jnp.full((batch, beams), START, jnp.int32),
        # All beams are the same at first: only one of them counts.
        scores=jnp.broadcast_to(jnp.where(jnp.arange(beams) == 0, 0, -jnp.inf), (batch, beams)),
        counts=jnp.zeros((batch, beams), jnp.int32),
        hidden=hidden.reshape(batch, beams, -1),
    )

    def write(now: _Beam, place: Array) -> tuple[_Beam, None]:
        flat = now.hidden.reshape(batch * beams, -1)
        advanced: Any = model.apply(
            variables, now.last.reshape(-1, 1), flat, memory, method="advance"
        )
        logits, hidden = (x.reshape(batch, beams, -1) for x in advanced)
        return _grown(
            now._replace(hidden=hidden), jax.nn.log_softmax(logits), place, exponent
        ), None

    last, _ = jax.lax.scan(write, start, jnp.arange(length))
    return Written(last.tokens, last.scores)


class _Beam(NamedTuple):
    tokens: Int[Array, "b beams t"]
    last: Int[Array, "b beams"]  # the word before, PADDING or END where a sequence has ended
    scores: Float[Array, "b beams"]
    counts: Int[Array, "b beams"]  # words so far
    hidden: Float[Array, "b beams width"]


def _grown(now: _Beam, words: Float[Array, "b beams v"], place: Array, exponent: Any) -> _Beam:
    """The best continuations by one word; a sequence that has ended goes on with padding alone."""
    batch, beams, size = words.shape
    ended = ((now.last == END) | (now.last == PADDING))[..., None]
    padding = jnp.where(jnp.arange(size) == PADDING, 0, -jnp.inf)[None, None]
    totals = now.scores[..., None] + jnp.where(ended, padding, words)
    counts = now.counts[..., None] + ~ended
    compared = (totals / counts.astype(jnp.float32) ** exponent).reshape(batch, beams * size)
    _, chosen = jax.lax.top_k(compared, beams)
    parent, token = chosen // size, chosen % size

    def of(x: Array) -> Array:
        """Each one's parent's."""
        return jnp.take_along_axis(x, parent.reshape(batch, beams, *[1] * (x.ndim - 2)), axis=1)

    return _Beam(
        of(now.tokens).at[:, :, place].set(token),
        token,
        jnp.take_along_axis(totals.reshape(batch, -1), chosen, axis=1),
        of(counts[..., 0]),
        of(now.hidden),
    )
