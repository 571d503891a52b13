"""Language models that read token by token: what they remember, and writing on after a prompt.

Such a model has `advance`, `(tokens, cache) -> (logits, cache)`, which gives for tokens in parts
what it gives for all of them at once; `empty_cache(batch)`, where it begins; and `length`, its
context, None where there is no end to it.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.nn import attention, dense, layout, sampling


class Cache(NamedTuple):
    """What a model remembers of the tokens it has read, in each block, and how many they were."""

    blocks: tuple[Any, ...]
    length: Int[Array, ""]


def empty_cache(
    batch: int, length: int, depth: int, heads: int, width: int, dtype: Any = jnp.float32
) -> Cache:
    """The cache of so many blocks of attention that have read nothing yet: `heads` keys and values
    of `width`, for `length` tokens.
    """
    shape = (batch, length, heads, width)
    blocks = tuple(
        attention.Cache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(depth)
    )
    return Cache(blocks, jnp.zeros((), jnp.int32))


def check_tokens(name: str, x: Array, length: int | None = None) -> None:
    """Refuse what are no tokens (b, n), or more of them than a model's context holds."""
    if not jnp.issubdtype(x.dtype, jnp.integer) or x.ndim != 2:
        raise errors.InputError(
            f"{name}'s input must be integer tokens (b, n), got {x.dtype}{list(x.shape)}."
        )
    if length is not None and x.shape[1] > length:
        raise errors.InputError(
            f"{name}'s input must have at most {length} tokens, its context, "
            f"got {x.shape[1]}. Cut the text or make a model with a greater length."
        )


def generate(
    model: Any,
    params: Any,
    prompt: Int[Array, "b n"],
    length: int,
    key: Any,
    temperature: sampling.Scalar = 1.0,
    top_k: int | None = None,
    top_p: sampling.Scalar | None = None,
) -> Int[Array, "b m"]:
    """`length` tokens that go on after the prompt, drawn as `sampling.sample` says; 0 is greedy.

    One compiled program for each model, size of prompt, length and top_k.
    """
    if length < 1:
        raise errors.InputError(
            f"The number of tokens to generate must be at least 1, got {length}."
        )
    if prompt.shape[1] < 1:
        raise errors.InputError("The prompt must have at least 1 token, got 0.")
    if model.length is not None and prompt.shape[1] + length > model.length:
        raise errors.InputError(
            f"Prompt and generated tokens must fit the model's context of {model.length}, "
            f"got {prompt.shape[1]} + {length}. Cut the prompt or generate fewer."
        )
    return _generate(model, params, prompt, length, key, temperature, top_k, top_p)


def read(model: Any, params: Any, tokens: Any, cache: Any) -> tuple[Float[Array, "b v"], Any]:
    """The logits of what comes after the tokens, and the cache with them read in."""
    logits, cache = model.apply({"params": params}, tokens, cache, method="advance")[:2]
    return logits[:, -1], cache


def write(
    model: Any,
    params: Any,
    logits: Float[Array, "b v"],
    cache: Any,
    keys: Any,
    temperature: Any,
    top_k: int | None,
    top_p: Any,
) -> tuple[tuple[Float[Array, "b v"], Any], Int[Array, "b m"]]:
    """What `read` returned, gone on by a drawn token for each of the keys, and those tokens."""

    def one(carry: tuple[Array, Any], key: Any) -> tuple[tuple[Array, Any], Array]:
        logits, cache = carry
        token = sampling.sample(key, logits, temperature, top_k, top_p)
        return read(model, params, token[:, None], cache), token

    carry, tokens = jax.lax.scan(one, (logits, cache), keys)
    return carry, tokens.T


@functools.partial(jax.jit, static_argnames=("model", "length", "top_k"))
def _generate(
    model: Any,
    params: Any,
    prompt: Array,
    length: int,
    key: Any,
    temperature: Any,
    top_k: int | None,
    top_p: Any,
) -> Array:
    carry = read(model, params, prompt, model.empty_cache(prompt.shape[0]))
    keys = jax.random.split(key, length)
    return write(model, params, *carry, keys, temperature, top_k, top_p)[1]


def decoded(
    model: Any,
    block: Callable[[int], nn.Module],
    norm: nn.Module,
    x: Int[Array, "b n"],
    cache: Cache | None,
    train: bool,
) -> tuple[Float[Array, "b n v"], Cache | None, list[Any]]:
    """Tokens through an embedding, blocks, a norm and the output: the logits, the cache, and what
    else each block returns. To be called in a compact method of `model`, which has the fields
    vocabulary, width, depth, tied and dtype; makes `tokens` and, if it is not tied, `output`.
    """
    start = jnp.zeros((), jnp.int32) if cache is None else cache.length
    small = nn.initializers.normal(0.02)
    embed = nn.Embed(model.vocabulary, model.width, embedding_init=small, name="tokens")
    # Gathered over fsdp before it is used, as other parameters are without being told.
    table = layout.constrain(embed.embedding.astype(model.dtype), "tensor")
    y = layout.constrain(jnp.take(table, x, axis=0), "batch")
    memories, rest = [], []
    for n in range(model.depth):
        y, memory, *more = block(n)(y, train, None if cache is None else cache.blocks[n], start)
        memories.append(memory)
        rest.append(more)
    y = norm(y)
    if model.tied:
        logits = (dense.rows(y) @ table.T).reshape(*x.shape, model.vocabulary)
    else:
        logits = dense.Dense(
            model.vocabulary, False, model.dtype, kernel_init=small, name="output"
        )(y)
    cache = None if cache is None else Cache(tuple(memories), start + x.shape[1])
    return layout.constrain(logits.astype(jnp.float32), "batch", None, "tensor"), cache, rest
