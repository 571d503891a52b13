"""How much each part of an input counts, by hiding parts of it: no gradient is needed, so it serves
tokens, trees and whatever has a score.

Occlusion: Zeiler and Fergus (2013), "Visualizing and understanding convolutional networks".
Shapley values: L. Shapley (1953). Kernel SHAP: Lundberg and Lee (2017), "A unified approach to
interpreting model predictions".
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdl import errors
from jaxdl.analysis import attribution
from jaxdl.nn import limits

# Which of n players take part (n,) -> the score of each example (b,).
Game = Callable[[Bool[Array, "n"]], Float[Array, "b"]]

_TOGETHER = 64  # coalitions that are evaluated side by side; more go one after another
_FEW = 16  # players up to which all 2^n coalitions are evaluated


def occlusion(
    score: attribution.Score,
    x: Any,
    window: Sequence[int],
    stride: Sequence[int] | None = None,
    baseline: Any = 0,
) -> Float[Array, "b *shape"]:
    """By how much the score falls as a window moves over the input: for every value, the mean over
    the windows that hid it.

    window, stride: for each axis but the first, such as (3, 3, 1); stride None moves by windows.
        The last window may end with the input.
    baseline: what the window shows, of the inputs' shape or one that broadcasts.
    """
    x = jnp.asarray(x)
    stride = window if stride is None else stride
    _check_window(x.shape[1:], window, stride)
    starts = [
        np.arange(math.ceil((size - side) / step) + 1) * step
        for size, side, step in zip(x.shape[1:], window, stride, strict=True)
    ]
    masks = jnp.asarray(
        [
            _box(x.shape[1:], corner, window)
            for corner in itertools.product(*map(np.ndarray.tolist, starts))
        ]
    )
    shown = jnp.broadcast_to(jnp.asarray(baseline, x.dtype), x.shape)
    whole = score(x)

    def fallen(mask: Array) -> Array:
        return whole - score(jnp.where(mask[None], shown, x))

    drops = jax.lax.map(fallen, masks, batch_size=min(len(masks), _TOGETHER))
    weights = masks.astype(drops.dtype)
    total = jnp.tensordot(drops, weights, axes=(0, 0))
    return total / weights.sum(0)[None]


def game(
    score: attribution.Score, x: Any, background: Any, groups: Any = None
) -> tuple[Game, Callable[[Float[Array, "b n"]], Float[Array, "b *shape"]]]:
    """The game whose players are parts of the input, and what lays their values out as the input.

    A part that does not take part is as in the background (m, ...), inputs over which the score is
    averaged; a single one is a baseline.
    groups: integers 0, 1, ... of an input's shape, the part that each value belongs to; None makes
        every value a player. A part's value is laid out in equal shares, so that sums are kept.
    """
    x, background = jnp.asarray(x), jnp.asarray(background)
    if background.shape[1:] != x.shape[1:] or not len(background):
        raise errors.InputError(
            f"A background must be inputs (m, {', '.join(map(str, x.shape[1:]))}), "
            f"got {list(background.shape)}."
        )
    size = math.prod(x.shape[1:])
    parts = np.arange(size).reshape(x.shape[1:]) if groups is None else np.asarray(groups)
    if parts.shape != x.shape[1:] or set(parts.flat) != set(range(int(parts.max()) + 1)):
        raise errors.InputError(
            f"Groups must be numbers 0, 1, ... for each of {list(x.shape[1:])}, none left out, "
            f"got {list(parts.shape)} with {len(set(parts.flat))} different ones."
        )

    def value(present: Array) -> Array:
        def beside(hidden: Array) -> Array:
            return score(jnp.where(present[parts][None], x, hidden[None].astype(x.dtype)))

        return jax.lax.map(beside, background, batch_size=min(len(background), _TOGETHER)).mean(0)

    share = jnp.asarray(1 / np.bincount(parts.ravel())[parts], jnp.float32)
    return value, lambda values: values[:, parts] * share[None]


def players(groups: Any, x: Any) -> int:
    """How many players the game of these inputs has."""
    return math.prod(np.shape(x)[1:]) if groups is None else int(np.max(groups)) + 1


def shapley(value: Game, count: int) -> Float[Array, "b n"]:
    """The exact Shapley values, from all 2^n coalitions of up to 16 players.

    φ_i = Σ_S |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)), over the coalitions S without i.
    """
    if not 1 <= count <= _FEW:
        raise errors.InputError(
            f"Exact Shapley values must be of 1 to {_FEW} players, got {count}. "
            "Use kernel SHAP, or put features into groups."
        )
    masks = (np.arange(2**count)[:, None] >> np.arange(count)[None]) & 1
    size = masks.sum(1, keepdims=True)
    share = np.array([1 / (count * math.comb(count - 1, s)) for s in range(count)])
    # v(T) counts for every i in T as T = S + i, and against every other as T = S.
    weights = np.where(masks, share[size - 1], -share[np.minimum(size, count - 1)])
    values = _values(value, jnp.asarray(masks.astype(bool)))
    return jnp.einsum("sb,sn->bn", values, jnp.asarray(weights, values.dtype))


def kernel_shap(value: Game, count: int, key: Any, *, samples: int = 512) -> Float[Array, "b n"]:
    """Shapley values by weighted least squares over coalitions (theorem 2 of the paper).

    With samples for all 2^n - 2 coalitions each is taken once, and the values are exact; otherwise
    single players and all but one, which have most of the weight, are taken once, and the others
    are drawn by the kernel's weights, each with its complement. Their sum is exact in any case: the
    score of the input less that of the background.
    """
    limits.at_least(2, "Kernel SHAP's players", count)
    if samples < 2 * count and samples < 2**count - 2:
        raise errors.InputError(
            f"Kernel SHAP's samples must be at least twice its {count} players, got {samples}."
        )
    if 2**count - 2 <= samples:
        masks = (np.arange(1, 2**count - 1)[:, None] >> np.arange(count)[None]) & 1
        size = masks.sum(1)
        kernel = [(count - 1) / (math.comb(count, s) * s * (count - s)) for s in size]
        masks, weights = jnp.asarray(masks.astype(bool)), jnp.asarray(kernel, jnp.float32)
    else:
        masks, weights = _drawn(key, count, samples // 2 - count)
    ends = _values(value, jnp.stack([jnp.zeros(count, bool), jnp.ones(count, bool)]))
    change = ends[1] - ends[0]
    return _solved(masks, weights / weights.sum(), _values(value, masks) - ends[:1], change)


def _solved(masks: Array, weights: Array, gains: Array, change: Array) -> Array:
    """The values φ that minimise Σ w (mask · φ - gain)² with Σ φ = change, of each example."""
    weighted = masks.astype(jnp.float32) * weights[:, None]
    square = jnp.matmul(weighted.T, masks.astype(jnp.float32), precision="highest")
    right = jnp.matmul(weighted.T, gains, precision="highest")
    free = jnp.linalg.solve(square, right)
    ones = jnp.linalg.solve(square, jnp.ones((len(square), 1)))
    excess = (free.sum(0) - change) / ones.sum()
    return (free - ones * excess[None]).T


def _drawn(key: Any, count: int, pairs: int) -> tuple[Array, Array]:
    """Each single player, coalitions of more by the kernel's weights, and their complements; and
    the weight of each. The single ones make the least squares solvable whatever is drawn.
    """
    sizes = np.arange(2, count - 1)
    mass = (count - 1) / (sizes * (count - sizes))  # of a size's coalitions together; 1 of size 1
    first, second = jax.random.split(key)
    size = jax.random.categorical(first, jnp.log(jnp.asarray(mass)), shape=(pairs,)) + 2
    rank = jax.random.uniform(second, (pairs, count)).argsort(1).argsort(1)
    half = jnp.concatenate([jnp.eye(count, dtype=bool), rank < size[:, None]])
    weights = np.repeat([1 / count, mass.sum() / max(1, 2 * pairs)], [count, pairs])
    return jnp.concatenate([half, ~half]), jnp.asarray(np.tile(weights, 2), jnp.float32)


def _values(value: Game, masks: Array) -> Array:
    return jax.lax.map(value, masks, batch_size=min(len(masks), _TOGETHER))


def _box(shape: Sequence[int], corner: Sequence[int], window: Sequence[int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(at, at + side) for at, side in zip(corner, window, strict=True))] = True
    return mask


def _check_window(shape: Sequence[int], window: Sequence[int], stride: Sequence[int]) -> None:
    fits = len(window) == len(stride) == len(shape) and all(
        1 <= side <= size and step >= 1 and (step <= side or side == size)
        for size, side, step in zip(shape, window, stride, strict=True)
    )
    if not fits:
        raise errors.InputError(
            f"Occlusion's window must be within {list(shape)}, an entry for each axis, and its "
            f"stride at most the window, got {list(window)} and {list(stride)}."
        )
