"""Of runs that go together: trees whose arrays have a leading axis of members."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def part(tree: Any, axes: Any, member: Any = 0) -> Any:
    """A member's part; axes as `jax.vmap` takes them, None or 0 for whole subtrees."""
    if axes is None:
        return tree
    if isinstance(axes, tuple):
        return tuple(part(branch, axis, member) for branch, axis in zip(tree, axes, strict=True))
    return jax.tree.map(lambda x: x[member], tree)


def one_by_one(function: Callable[..., Any], axes: tuple[Any, ...]) -> Callable[..., Any]:
    """As `jax.vmap`, but a loop over the members; the first axis is 0.

    For what runs once: it is traced and compiled as for one run, not as for a batch of runs. And
    batched decompositions, as of orthogonal initialisers, can hang on CPU.
    """

    def every(*trees: Any) -> Any:
        count = len(jax.tree.leaves(trees[0])[0])
        return jax.lax.map(lambda i: function(*part(trees, axes, i)), jnp.arange(count))

    return every


def copied(state: Any) -> Any:
    """The same, in buffers of its own."""
    return jax.tree.map(jnp.copy, state)


def chosen(better: Any, state: Any, best: Any) -> Any:
    """The state of those members that are better, and of the others what was best."""
    return jax.tree.map(lambda new, old: jnp.where(_along(better, new), new, old), state, best)


def sound(state: Any) -> Any:
    """Of each member, whether its state has no NaN."""
    found = [
        ~jnp.isnan(x).reshape(x.shape[0], -1).any(1)
        for x in jax.tree.leaves(state)
        if jnp.issubdtype(x.dtype, jnp.inexact)
    ]
    members = jax.tree.leaves(state)[0].shape[0]
    return functools.reduce(jnp.logical_and, found, jnp.ones(members, bool))


def cleared(sound: Any, tree: Any) -> Any:
    """With zeros in the place of the members that are not sound."""

    def clear(x: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return x
        return jnp.where(_along(sound, x), x, jnp.zeros_like(x))

    return jax.tree.map(clear, tree)


def _along(chosen: Any, x: Any) -> Any:
    """One truth a member, with x's number of axes."""
    return chosen.reshape(-1, *[1] * (x.ndim - 1))
