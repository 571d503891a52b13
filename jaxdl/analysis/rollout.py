"""Attention rollout: how much of each input token reaches each output (Abnar and Zuidema 2020,
"Quantifying Attention Flow in Transformers").
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.analysis import inside


def captured(
    model: Any, variables: Any, *inputs: Any, blocks: str | None = None, **options: Any
) -> list[Array]:
    """The attention weights (b, h, t, t) of each block, in order, as the model reads the inputs.

    blocks: what their names begin with, such as "encoder", of a model that has several stacks.
    """
    _, kept = model.apply(variables, *inputs, **options, mutable=["intermediates"])
    found = {}
    for path, weights in jax.tree_util.tree_leaves_with_path(kept.get("intermediates", {})):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if block := re.fullmatch(r"(.*?)_?(\d+)/attention/weights/0", name):
            found[block[1], int(block[2])] = weights
    if not found:
        raise errors.InputError(
            "The model must have blocks with attention, numbered as those of transformer.Block, "
            "got none."
        )
    kinds = sorted({kind for kind, _ in found})
    if blocks not in (kinds if len(kinds) > 1 else (None, *kinds)):
        raise errors.InputError(f"blocks must be one of {', '.join(kinds)}, got {blocks}.")
    return [found[key] for key in sorted(found) if blocks in (None, key[0])]


def rollout(weights: list[Float[Array, "b h t t"]]) -> Float[Array, "b t t"]:
    """The product of the blocks' weights, the last first, each half attention and half its input.

    A = (mean over heads + 1) / 2, rows of sum 1; rollout_i = A_i rollout_{i-1} (equation 1). Row i
    is how much token i of the output has of each of the input.
    """
    if not weights:
        raise errors.InputError("Rollout must have the weights of at least one block, got none.")
    total = None
    for block in weights:
        mean = block.mean(1)
        mixed = (mean + jnp.eye(mean.shape[-1])[None]) / 2
        mixed = mixed / mixed.sum(-1, keepdims=True)
        total = mixed if total is None else mixed @ total
    assert total is not None
    return total


def attributed(
    function: Callable[[Any], Any], x: Any, reads: str | None = None
) -> Float[Array, "b *shape"]:
    """How much of each token (b, t), or of the patches that an image's (b, h, w, 1) pixels lie in,
    reaches what the output reads.

    function: runs the model on the inputs, whatever it returns.
    reads: the token that the output reads: "first", "last" or their "mean"; None takes the last of
        a causal model, whose first has seen nothing else, and the first of any other. Of images the
        first one where it is no patch, else the mean.
    """
    if reads not in ("first", "last", "mean", None):
        raise errors.InputError(f"Rollout reads the first, the last or the mean, got {reads!r}.")
    x = jnp.asarray(x)
    weights = [one for _, one in inside.attention_weights(function, x)]
    shapes = sorted({one.shape[2:] for one in weights})
    if len(shapes) > 1 or shapes[0][0] != shapes[0][1]:
        raise errors.InputError(
            "Rollout must be of one stack of self-attention, got attention of the shapes "
            f"{', '.join(f'{t} x {s}' for t, s in shapes)}. Use captured and rollout by themselves."
        )
    flow, count = rollout(weights), shapes[0][0]
    if x.ndim == 2 and count == x.shape[1]:
        first, last = flow[:, 0], flow[:, -1]
        causal = (jnp.triu(flow, 1) == 0).all()
        either = jnp.where(causal, last, first)
        return {"first": first, "last": last, "mean": flow.mean(1), None: either}[reads]
    for extra in (0, 1):
        side = round((count - extra) ** 0.5)
        if x.ndim == 4 and side * side + extra == count and x.shape[1] % side == 0:
            patches = flow[:, 0, 1:] if extra else flow.mean(1)
            grid = patches.reshape(len(x), side, side, 1)
            return jax.image.resize(grid, (*x.shape[:-1], 1), "nearest")
    raise errors.InputError(
        f"Rollout must be of tokens or of square patches of images, got {count} tokens of inputs "
        f"{list(x.shape)}."
    )
