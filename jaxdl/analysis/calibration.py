"""How far a classifier's confidence can be trusted, and how it is put right.

The reliability diagram: Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised
learning" (2005). Expected and largest calibration error: Naeini, Cooper and Hauskrecht, "Obtaining
well calibrated probabilities using Bayesian binning" (2015). Brier, "Verification of forecasts
expressed in terms of probability" (1950). Temperature scaling: Guo, Pleiss, Sun and Weinberger, "On
calibration of modern neural networks" (2017).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from jaxdl import errors, learner, metrics, summary
from jaxdl.analysis import conformal
from jaxdl.data import checks
from jaxdl.nn import limits

_BINS, _WIDTH = 15, 16  # of the calibration error's bins; pixels of a bin
_COLDEST, _HOTTEST = 1e-2, 1e2  # of temperatures that are looked for
_TURNS = 40  # halvings of that range's logarithm, were Newton's steps all refused: to 1e-11
_PAPER, _INK, _LINE, _BAR = (255, 255, 255), (60, 60, 60), (200, 30, 30), (90, 140, 200)


def reliability(
    taught: learner.Learner, examples: learner.Batch
) -> Callable[[Any, Any], summary.Image]:
    """A summary of a learner whose `predict` gives logits of classes: its reliability diagram.

    Left to right the confidence, from 0 to 1 in 15 bins; a bar is as high as the share of the bin
    that was right, and a calibrated classifier's bars end on the diagonal. Below, downwards, the
    share of all examples that a bin holds. Logits that are not finite leave the diagram empty.
    """
    if taught.predict is None:
        raise errors.InputError(
            "A reliability diagram must be of a learner with `predict`, got one without."
        )
    predict = jax.jit(taught.predict)
    return lambda state, key: pictured(predict(state, examples), examples["target"])


def pictured(logits: Float[Any, "b k"], target: Int[Any, "b"]) -> summary.Image:
    """The reliability diagram of logits of classes."""
    chances = np.asarray(jax.nn.softmax(jnp.asarray(logits, jnp.float32)), np.float64)
    right = chances.argmax(-1) == np.asarray(target)
    return summary.Image(diagram(chances.max(-1), right))


def diagram(confidence: Float[np.ndarray, "b"], right: Any) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels: a square of bars, and a quarter of its height of counts below; of a confidence
    that is no number, nothing.
    """
    known = np.isfinite(confidence)
    confidence, right = confidence[known], np.asarray(right)[known]
    side, foot = _BINS * _WIDTH, _BINS * _WIDTH // 4
    group = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(group, minlength=_BINS)
    hits = np.bincount(group, weights=right, minlength=_BINS)
    pixels = np.full((side + foot, side, 3), _PAPER, np.uint8)
    for i in np.flatnonzero(counts):
        columns = slice(i * _WIDTH + 1, (i + 1) * _WIDTH - 1)
        pixels[side - round(side * hits[i] / counts[i]) : side, columns] = _BAR
        pixels[side + 1 : side + 1 + round((foot - 1) * counts[i] / len(right)), columns] = _INK
    diagonal = np.arange(side)
    pixels[side - 1 - diagonal, diagonal] = _LINE
    pixels[side] = _INK
    return pixels


class Bins(NamedTuple):
    """Of the examples in each of equal bins of confidence: how many, the sum of their confidences,
    and how many are right.
    """

    count: Float[Array, "bins"]
    confidence: Float[Array, "bins"]
    right: Float[Array, "bins"]

    @property
    def expected_error(self) -> Float[Array, ""]:
        """The mean over examples of |confidence - share that is right| of their bin."""
        return jnp.abs(self.confidence - self.right).sum() / self.count.sum()

    @property
    def largest_error(self) -> Float[Array, ""]:
        """|confidence - share that is right| of the worst bin."""
        return (jnp.abs(self.confidence - self.right) / jnp.maximum(self.count, 1)).max()


def binned(
    confidence: Float[Array, "b"], right: Bool[Array, "b"] | Int[Array, "b"], bins: int = _BINS
) -> Bins:
    """Of confidences in [0, 1]; a bin has its lower border, and the last one both."""
    group = jnp.clip((confidence * bins).astype(jnp.int32), 0, bins - 1)
    empty = jnp.zeros(bins, jnp.float32)
    return Bins(empty.at[group].add(1), empty.at[group].add(confidence), empty.at[group].add(right))


def expected_error(
    logits: Float[Array, "b k"], target: Int[Array, "b"], bins: int = _BINS
) -> Float[Array, ""]:
    """The expected calibration error (ECE) of the most likely class."""
    chances = jax.nn.softmax(logits.astype(jnp.float32))
    return binned(chances.max(-1), chances.argmax(-1) == target, bins).expected_error


def brier(logits: Float[Array, "b k"], target: Int[Array, "b"]) -> Float[Array, ""]:
    """The mean over examples of sum_k (p_k - [target = k])^2, in [0, 2]."""
    wrong = jax.nn.softmax(logits.astype(jnp.float32)) - jax.nn.one_hot(target, logits.shape[-1])
    return (wrong**2).sum(-1).mean()


def temperature(logits: Float[Array, "b k"], target: Int[Array, "b"]) -> Float[Array, ""]:
    """What the logits are to be divided by: argmin_T of the cross-entropy of logits / T.

    Of examples that the learner has not learnt from, or the training's overconfidence stays. In
    1 / T the cross-entropy is convex: Newton's steps, and halvings where one would leave the range
    that holds the minimum. Within [0.01, 100]. Of logits that are never wrong no temperature is the
    best, the colder the better: 1, for that says nothing of those that will be.
    """
    logits = logits.astype(jnp.float32)
    truth = jnp.take_along_axis(logits, target[:, None], axis=-1)[:, 0]

    def derivatives(inverse: Array) -> tuple[Array, Array]:
        chances = jax.nn.softmax(inverse * logits)
        mean = (chances * logits).sum(-1)
        spread = (chances * (logits - mean[:, None]) ** 2).sum(-1)
        return (mean - truth).mean(), spread.mean()

    def turn(_: Any, at: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, inverse, high = at
        slope, curvature = derivatives(inverse)
        low, high = jnp.where(slope > 0, low, inverse), jnp.where(slope > 0, inverse, high)
        step = inverse - slope / curvature
        return low, jnp.where((step > low) & (step < high), step, jnp.sqrt(low * high)), high

    start = jnp.float32(1 / _HOTTEST), jnp.float32(1), jnp.float32(1 / _COLDEST)
    _, inverse, _ = jax.lax.fori_loop(0, _TURNS, turn, start)
    found = jnp.where(jnp.isfinite(derivatives(inverse)[0]), 1 / inverse, jnp.nan)
    return jnp.where((truth >= logits.max(-1)).all(), 1, found)


def halves(
    logits: Float[Array, "b k"],
    target: Int[Array, "b"],
    *,
    coverage: float = 0.9,
    method: conformal.Method = "lac",
    splits: int = 100,
) -> dict[str, Float[Array, "splits"]]:
    """What one random half of unseen examples says about the other, for each of many splits.

    The first half sets the temperature and the threshold of conformal sets; the second is examined:

    loss, ece, brier: as the logits are; scaled_loss, scaled_ece, scaled_brier: by the temperature.
    floor_ece: what the latter would be by chance alone, were each scaled confidence the very
        probability of being right: of few examples no calibration error is 0.
    faultless: 1 where the first half has no mistake, and so no temperature but 1.
    coverage: the share of sets that hold the truth; set_size: how many classes they have. The sets
        are of the logits as they are: their threshold alone may know the first half.
    """
    if len(logits) < 2:
        raise errors.InputError(f"Examples must be at least 2 to be halved, got {len(logits)}.")
    limits.at_least(1, "splits", splits)
    logits = logits.astype(jnp.float32)
    middle, orders = len(logits) // 2, jax.random.split(jax.random.key(0), splits)

    def one(key: Array) -> dict[str, Array]:
        order_key, set_key, floor_key = jax.random.split(key, 3)
        order = jax.random.permutation(order_key, len(logits))
        first, second = order[:middle], order[middle:]
        warmth = temperature(logits[first], target[first])
        strange = conformal.strangeness(logits, method, set_key)
        truth = jnp.take_along_axis(strange, target[:, None], axis=-1)[:, 0]
        sets = conformal.sets(strange[second], conformal.threshold(truth[first], coverage))
        held = jnp.take_along_axis(sets, target[second][:, None], axis=-1)
        plain = _judged(logits[second], target[second])
        scaled = _judged(logits[second] / warmth, target[second])
        confidence = jax.nn.softmax(logits[second] / warmth).max(-1)
        by_chance = binned(confidence, jax.random.bernoulli(floor_key, confidence))
        return {
            **plain,
            **{f"scaled_{name}": value for name, value in scaled.items()},
            "floor_ece": by_chance.expected_error,
            "temperature": warmth,
            "faultless": (logits[first].argmax(-1) == target[first]).all().astype(jnp.float32),
            "coverage": held.mean(),
            "set_size": sets.sum(-1).mean(),
        }

    return jax.lax.map(one, orders)


def means(found: dict[str, Array]) -> dict[str, float]:
    """Of `halves`, over the splits; and `coverage_deviation`, the standard deviation of one."""
    averages = {name: float(values.mean()) for name, values in found.items()}
    return averages | {"coverage_deviation": float(found["coverage"].std())}


def scores(
    *, coverage: float = 0.9, method: conformal.Method = "lac", splits: int = 100
) -> Callable[[Any, Any], learner.Metrics]:
    """A function (logits, batch) -> metrics, for the `scores` of a learner: the means of `halves`
    of all examples of an evaluation.
    """
    checks.fraction(coverage, "coverage")
    conformal.known(method)
    finish = _Halves(coverage, method, splits)
    return lambda logits, batch: {
        "calibration": metrics.Collected((logits, batch["target"]), finish)
    }


def _judged(logits: Array, target: Array) -> dict[str, Array]:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), target[:, None], axis=-1)
    return {
        "loss": -chosen.mean(),
        "ece": expected_error(logits, target),
        "brier": brier(logits, target),
    }


@dataclasses.dataclass(frozen=True)
class _Halves:
    """Equal to another of the same choices: it is part of what a compiled program is known by."""

    coverage: float
    method: conformal.Method
    splits: int

    def __call__(self, arrays: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
        return means(self._compiled(*arrays))

    @functools.cached_property
    def _compiled(self) -> Callable[..., dict[str, Array]]:
        return jax.jit(functools.partial(halves, **dataclasses.asdict(self)))
