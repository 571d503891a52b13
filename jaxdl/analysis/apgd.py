"""Auto-PGD: an attack that chooses its step sizes itself.

F. Croce and M. Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks" (2020): algorithm 1, and the loss of equations 6 (untargeted) and 10
(targeted).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from jaxdl.nn import perturbation

_MOMENTUM = 0.75  # alpha of the paper: the share of the new move, the rest is of the last one
_RISES = 0.75  # rho: of the moves since the last checkpoint so many are to raise the loss

# inputs -> each example's loss, and whether it is deceived
Judge = Callable[[Any], tuple[Float[Array, "b"], Bool[Array, "b"]]]


class _Seen(NamedTuple):
    """A point, the loss there, and the loss's gradient."""

    point: Array
    loss: Array
    slope: Array


class _Search(NamedTuple):
    """What goes from move to move, for each example by itself.

    now, before: the point, and the last one. best: that of the largest loss. caught: one that
    deceives, where `deceived`. step: the size of a move. rises: how many moves raised the loss
    since the last checkpoint. halved, known: at that checkpoint, whether the step was halved, and
    the largest loss.
    """

    now: _Seen
    before: Array
    best: _Seen
    caught: Array
    deceived: Array
    step: Array
    rises: Array
    halved: Array
    known: Array


def ascended(
    judge: Judge,
    x: Float[Array, "b *shape"],
    start: Float[Array, "b *shape"],
    epsilon: perturbation.Scalar,
    steps: int,
    low: float = 0.0,
    high: float = 1.0,
    norm: perturbation.Norm = "linf",
) -> Float[Array, "b *shape"]:
    """Of the points visited in so many moves from `start`, one that deceives; of an example that
    none does, that of the largest loss. x, low, high: as of `perturbation.descended`.

    A checkpoint is after the move that has its number, as in the authors' program.
    """

    def look(point: Array) -> tuple[_Seen, Array]:
        def total(point: Array) -> tuple[Array, tuple[Array, Array]]:
            losses, deceived = judge(point)
            return losses.sum(), (losses, deceived)

        (_, (losses, deceived)), slope = jax.value_and_grad(total, has_aux=True)(point)
        return _Seen(point, losses, slope), deceived

    def move(search: _Search, plan: tuple[Array, Array]) -> tuple[_Search, None]:
        first, window = plan
        now, before = search.now, search.before
        into = (x, epsilon, low, high, norm)
        ahead = perturbation.along(search.step, x) * perturbation.steepest(now.slope, norm)
        ahead = perturbation.confined(now.point + ahead, *into)
        share = jnp.where(first, 1.0, _MOMENTUM).astype(x.dtype)
        mixed = now.point + share * (ahead - now.point) + (1 - share) * (now.point - before)
        seen, deceived = look(perturbation.confined(mixed, *into))
        return _checked(search, seen, deceived, window), None

    now, deceived = look(start)
    step = jnp.full(len(x), 2 * epsilon, x.dtype)
    none = jnp.zeros(len(x), jnp.int32)
    halved = jnp.ones(len(x), bool)  # so that the first checkpoint asks for rises alone
    search = _Search(now, start, now, start, deceived, step, none, halved, now.loss)
    windows = _windows(steps)
    plan = (jnp.arange(steps) == 0, jnp.asarray(windows))
    search = jax.lax.scan(move, search, plan)[0]
    return _picked(search.deceived, search.caught, search.best.point)


def ratio(
    logits: Float[Array, "b k"],
    target: Integer[Array, "b"],
    wanted: Integer[Array, "b"] | None = None,
) -> Float[Array, "b"]:
    """The difference of logits ratio: unlike the cross-entropy, it stays when logits are scaled.

        -(z_y - max of the others) / (z_1 - z_3), z_1 >= z_2 >= ... in order

    Above 0 where another class is found, and flat, 1, where the target is the third.

    wanted: classes that inputs are to be taken for: -(z_y - z_w) / (z_1 - (z_3 + z_4) / 2), of four
    classes or more.
    """
    own = jnp.take_along_axis(logits, target[:, None], 1)[:, 0]
    if wanted is None:
        first, _, third = jax.lax.top_k(logits, 3)[0].T
        rise, span = -margin(logits, target), first - third
    else:
        first, _, third, fourth = jax.lax.top_k(logits, 4)[0].T
        other = jnp.take_along_axis(logits, wanted[:, None], 1)[:, 0]
        rise, span = other - own, first - (third + fourth) / 2
    return rise / jnp.where(span > 0, span, 1)


def margin(logits: Float[Array, "b k"], classes: Integer[Array, "b"]) -> Float[Array, "b"]:
    """How far the class's logit is above the largest of the others; above 0, it is found."""
    own = jax.nn.one_hot(classes, logits.shape[-1], dtype=bool)
    others = jnp.where(own, -jnp.inf, logits).max(-1)
    return jnp.take_along_axis(logits, classes[:, None], 1)[:, 0] - others


def checkpoints(steps: int) -> list[int]:
    """After which moves the step sizes are looked at: the ceilings of p_j steps, where p_0 = 0,
    p_1 = 0.22, p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06).
    """
    shares = [0, 22]  # in hundredths, whose products have no rounding for a ceiling to raise
    while (after := shares[-1] + max(shares[-1] - shares[-2] - 3, 6)) <= 100:
        shares.append(after)
    return sorted({-(-share * steps // 100) for share in shares[1:]})


def _windows(steps: int) -> np.ndarray:
    """For each move, how many there were since the last checkpoint; 0 where it is none."""
    windows, places = np.zeros(steps, np.int32), checkpoints(steps)
    for last, place in zip([0, *places], places, strict=False):
        windows[place - 1] = place - last
    return windows


def _checked(search: _Search, seen: _Seen, deceived: Array, window: Array) -> _Search:
    """The search after a move; at a checkpoint, an example whose loss rises seldom, or has no new
    maximum, goes on from its best point with half the step.
    """
    rises = search.rises + (seen.loss > search.now.loss)
    best = _picked(seen.loss > search.best.loss, seen, search.best)
    checkpoint = window > 0
    stuck = ~search.halved & (best.loss <= search.known)
    halve = checkpoint & ((rises < _RISES * window) | stuck)
    return _Search(
        now=_picked(halve, best, seen),
        before=search.now.point,
        best=best,
        caught=_picked(deceived, seen.point, search.caught),
        deceived=search.deceived | deceived,
        step=jnp.where(halve, search.step / 2, search.step),
        rises=jnp.where(checkpoint, 0, rises),
        halved=jnp.where(checkpoint, halve, search.halved),
        known=jnp.where(checkpoint, best.loss, search.known),
    )


def _picked(which: Bool[Array, "b"], yes: Any, no: Any) -> Any:
    """For each example one of two trees of arrays."""
    return jax.tree.map(lambda a, b: jnp.where(perturbation.along(which, a), a, b), yes, no)
