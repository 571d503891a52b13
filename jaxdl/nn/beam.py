"""Writing a sequence word by word: the likeliest at each place, or beam search (Graves 2012,
"Sequence Transduction with Recurrent Neural Networks").
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors


class Written(NamedTuple):
    """The best sequences of a beam, best first, and the log-probability of each, in nats.

    Each ends with the end's token, and then padding, unless the length cut it off.
    """

    tokens: Int[Array, "b beams t"]
    scores: Float[Array, "b beams"]


class _Beam(NamedTuple):
    tokens: Int[Array, "b beams t"]
    scores: Float[Array, "b beams"]
    counts: Int[Array, "b beams"]  # words so far, the end included


def search(
    advance: Callable[[Any, Any], tuple[Any, Any]],
    logits: Float[Array, "b v"],
    memory: Any,
    length: int,
    *,
    end: int,
    padding: int = 0,
    beams: int = 1,
    exponent: float | Float[Array, ""] = 0.0,
) -> Written:
    """What a model writes, at most `length` words; one beam takes the likeliest word at each place.

    advance: (words (n, 1), memory) -> (logits (n, 1, v) of what follows, memory): what reads on.
    logits, memory: what it gave for the beginning; of the memory's arrays those with a leading axis
        of b belong to the sequences, others to all of them.
    exponent: of a sequence's length, its end included, by which its log-probability is divided
        before it is compared; 0 compares log-probabilities, which favours short ones.
    """
    if length < 1 or beams < 1:
        raise errors.InputError(
            f"length and beams must be at least 1, got length={length} and beams={beams}."
        )
    batch = len(logits)
    own = jax.tree.map(lambda x: x.ndim > 0 and len(x) == batch, memory)

    def repeated(x: Array, mine: bool) -> Array:
        return jnp.repeat(x, beams, axis=0) if mine else x

    start = _Beam(
        tokens=jnp.full((batch, beams, length), padding, jnp.int32),
        # All beams are the same at first: only one of them counts.
        scores=jnp.broadcast_to(jnp.where(jnp.arange(beams) == 0, 0, -jnp.inf), (batch, beams)),
        counts=jnp.zeros((batch, beams), jnp.int32),
    )

    def grow(now: _Beam, ended: Array, logits: Array, place: Any) -> tuple[_Beam, Array, Any]:
        """The beam with a word more, which sequences have ended, and each one's parent and word."""
        words = jax.nn.log_softmax(logits.astype(jnp.float32)).reshape(batch, beams, -1)
        now, parent, token = _grown(now, ended, words, place, padding, exponent)
        ended = jnp.take_along_axis(ended, parent, axis=1) | (token == end)
        return now, ended, (parent, token)

    def write(carry: Any, place: Array) -> tuple[Any, None]:
        now, ended, (parent, token), memory = carry
        rows = (parent + beams * jnp.arange(batch)[:, None]).ravel()
        memory = jax.tree.map(lambda x, mine: x[rows] if mine else x, memory, own)
        logits, memory = advance(token.reshape(-1, 1), memory)
        return (*grow(now, ended, logits[:, -1], place), memory), None

    nobody = jnp.zeros((batch, beams), bool)
    first = grow(start, nobody, jnp.repeat(logits, beams, axis=0), 0)
    carry = *first, jax.tree.map(repeated, memory, own)
    (last, *_), _ = jax.lax.scan(write, carry, jnp.arange(1, length))
    return Written(last.tokens, last.scores)


def _grown(
    now: _Beam,
    ended: Array,
    words: Float[Array, "b beams v"],
    place: Any,
    padding: int,
    exponent: Any,
) -> tuple[_Beam, Array, Array]:
    """The best continuations by one word, whose each is, and the word; a sequence that has ended
    goes on with padding alone.
    """
    batch, beams, size = words.shape
    silence = jnp.where(jnp.arange(size) == padding, 0, -jnp.inf)[None, None]
    totals = now.scores[..., None] + jnp.where(ended[..., None], silence, words)
    counts = now.counts + ~ended
    compared = totals / (counts.astype(jnp.float32) ** exponent)[..., None]
    _, chosen = jax.lax.top_k(compared.reshape(batch, -1), beams)
    parent, token = chosen // size, chosen % size
    tokens = jnp.take_along_axis(now.tokens, parent[..., None], axis=1)
    scores = jnp.take_along_axis(totals.reshape(batch, -1), chosen, axis=1)
    counts = jnp.take_along_axis(counts, parent, axis=1)
    return _Beam(tokens.at[:, :, place].set(token), scores, counts), parent, token
