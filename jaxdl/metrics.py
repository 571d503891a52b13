"""Summable metrics: the sum of two is the metric of the two batches together.

Every metric is a pytree of sums, so accumulation over steps, microbatches, ragged last batches,
devices and hosts is tree-addition and exact by construction; `value()` finishes it on the host.
Counts of events are integers on the device, since float32 stops counting at 2**24; the sums of a
`Mean` are float32, each addition good to 6e-8 of the sum. The host adds in float64.
`Collected` is the exception for measures that need every prediction at once (BLEU, word error rate,
mean average precision): the host concatenates its arrays.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import summary

_LOOKED_AT = 100  # classes
Leaf = Any  # a scalar or array, a tracer, or whatever a JAX transformation puts in its place


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over examples: the sum of the values and how many they were."""

    total: Leaf
    count: Leaf

    @classmethod
    def of(cls, values: Leaf, mask: Leaf | None = None) -> "Mean":
        """The mean of `values` (any shape), of those only where `mask` (same shape) is not zero."""
        values = jnp.asarray(values, jnp.float32)
        if mask is None:
            return cls(values.sum(), jnp.float32(values.size))
        mask = jnp.broadcast_to(mask, values.shape).astype(jnp.float32)
        return cls(jnp.where(mask > 0, values * mask, 0).sum(), mask.sum())

    def value(self) -> float:
        """The mean, NaN where nothing was counted."""
        count = float(self.count)
        return float(self.total) / count if count else float("nan")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RootMean(Mean):
    """The root of the mean: of squared errors, in the targets' own unit."""

    def value(self) -> float:
        """NaN where nothing was counted."""
        return math.sqrt(super().value())


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Confusion:
    """How often class i (row) was taken for class j (column); `matrix` is (classes, classes)."""

    matrix: Leaf

    @classmethod
    def of(cls, predicted: Leaf, target: Leaf, classes: int) -> "Confusion":
        """Count integer predictions and targets of equal shape, each in [0, classes).

        A pair with a number outside is not counted: no cell is its own.
        """
        # Wide enough for the product, which would overflow labels kept as bytes.
        row, column = (jnp.ravel(labels).astype(jnp.int32) for labels in (target, predicted))
        inside = (row >= 0) & (row < classes) & (column >= 0) & (column < classes)
        cells = jnp.where(inside, row * classes + column, classes * classes)
        counts = jnp.zeros(classes * classes, jnp.uint32).at[cells].add(1, mode="drop")
        return cls(counts.reshape(classes, classes))

    def value(self) -> dict[str, float]:
        """Accuracy, balanced accuracy (mean recall of the classes present) and macro F1 (as
        scikit-learn's).
        """
        matrix = np.asarray(self.matrix, np.float64)
        right, actual, claimed = np.diag(matrix), matrix.sum(1), matrix.sum(0)
        present, seen = actual > 0, (actual + claimed) > 0
        return {
            "accuracy": _ratio(right.sum(), matrix.sum()),
            "balanced_accuracy": float(np.mean(right[present] / actual[present]))
            if present.any()
            else float("nan"),
            "f1": float(np.mean(2 * right[seen] / (actual + claimed)[seen]))
            if seen.any()
            else float("nan"),
        }

    def shown(self) -> summary.Confusion | None:
        """The matrix, where it is of so few classes that a person can look at it."""
        return summary.Confusion(self.matrix) if len(self.matrix) <= _LOOKED_AT else None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScoreHistogram:
    """Scores in [0, 1] of the positive and of the negative examples, each counted in equal bins.

    From it come the curves that need all scores (ROC, precision-recall, calibration), to the width
    of a bin.
    """

    positive: Leaf
    negative: Leaf

    @classmethod
    def of(cls, scores: Leaf, target: Leaf, bins: int = 1000) -> "ScoreHistogram":
        """Count scores in [0, 1] where the equally shaped `target` is 1 (positive) or 0
        (negative).
        """
        scaled = jnp.ravel(scores).astype(jnp.float32) * bins
        cells = jnp.clip(scaled.astype(jnp.int32), 0, bins - 1)
        positive = (jnp.ravel(target) > 0).astype(jnp.uint32)
        empty = jnp.zeros(bins, jnp.uint32)
        return cls(empty.at[cells].add(positive), empty.at[cells].add(1 - positive))

    def value(self) -> dict[str, float]:
        """Area under the ROC curve (ties count half), average precision, expected calibration
        error (15 bins).
        """
        positive = np.asarray(self.positive, np.float64)[::-1]  # from the highest score down
        negative = np.asarray(self.negative, np.float64)[::-1]
        hits, alarms = np.cumsum(positive), np.cumsum(negative)
        pairs = positive.sum() * negative.sum()
        above = np.sum(negative * (hits - positive / 2))
        precision = hits / np.maximum(hits + alarms, 1)
        return {
            "auroc": _ratio(above, pairs),
            "auprc": _ratio(np.sum(positive * precision), positive.sum()),
            "ece": self._calibration_error(15),
        }

    def shown(self) -> summary.Curve:
        """The curve of precision against recall."""
        return summary.Curve(self.positive, self.negative)

    def _calibration_error(self, groups: int) -> float:
        """Mean |confidence - frequency| over equal groups of score, weighted by their size (Guo
        et al. 2017).
        """
        positive, negative = (
            np.asarray(self.positive, np.float64),
            np.asarray(self.negative, np.float64),
        )
        bins = len(positive)
        centre = (np.arange(bins) + 0.5) / bins
        group = np.minimum((centre * groups).astype(int), groups - 1)
        gap = np.bincount(
            group, weights=(positive + negative) * centre - positive, minlength=groups
        )
        return _ratio(np.abs(gap).sum(), (positive + negative).sum())


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Determination:
    """The coefficient of determination, R²: the share of the target's variance that is explained.

    Sums of residual squares, targets, their squares, and how many, each of shape (groups, d). The
    variance is a difference of sums, so targets are best standardised; R² is the same then.
    """

    residual: Leaf
    total: Leaf
    square: Leaf
    count: Leaf

    @classmethod
    def of(
        cls, outputs: Leaf, target: Leaf, group: Leaf | None = None, groups: int = 1
    ) -> "Determination":
        """Of outputs (b, d) that stand for equally shaped targets; group: integers (b,)."""
        outputs, target = (jnp.asarray(x, jnp.float32) for x in (outputs, target))
        group = jnp.zeros(len(target), jnp.int32) if group is None else group
        squares = ((target - outputs) ** 2, target, target**2, jnp.ones_like(target))
        empty = jnp.zeros((groups, target.shape[1]), jnp.float32)
        return cls(*(empty.at[group].add(x) for x in squares))

    def value(self) -> float:
        """The mean of the columns' and groups' R², as scikit-learn's `cross_val_score` has it; NaN
        where a target is constant.
        """
        residual, total, square, count = (
            np.asarray(x, np.float64) for x in (self.residual, self.total, self.square, self.count)
        )
        seen = count[:, 0] > 0
        spread = square[seen] - total[seen] ** 2 / count[seen]
        if not spread.size or not (spread > 0).all():
            return float("nan")
        return float(np.mean(1 - residual[seen] / spread))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Collected:
    """Arrays with a leading example axis that the host concatenates; `finish` turns them into
    numbers.

    finish: (arrays) -> float or {name: float}, usually a call of the field's standard library.
    show: (arrays) -> a picture or a curve of them, where there is one.
    Evaluation only: what a training step returns is summed in the graph.
    """

    arrays: Leaf
    finish: Callable[[Any], Any] = dataclasses.field(metadata={"static": True})
    show: Callable[[Any], summary.Kind] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )

    def value(self) -> Any:
        """What `finish` makes of the arrays."""
        return self.finish(jax.tree.map(np.asarray, self.arrays))

    def shown(self) -> summary.Kind | None:
        """What `show` makes of the arrays."""
        return None if self.show is None else self.show(jax.tree.map(np.asarray, self.arrays))


def merge(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """The metrics of two batches taken together: sums are added, collected arrays concatenated
    on the host.
    """
    return {name: _merge_one(a[name], b[name]) for name in a}


def _merge_one(a: Any, b: Any) -> Any:
    if isinstance(a, Collected):
        joined = jax.tree.map(
            lambda x, y: np.concatenate([np.asarray(x), np.asarray(y)]), a.arrays, b.arrays
        )
        return dataclasses.replace(a, arrays=joined)
    return jax.tree.map(_add, a, b)


def _add(x: Any, y: Any) -> Any:
    on_host = all(isinstance(value, np.ndarray | np.generic) for value in (x, y))
    return np.add(x, y, dtype=np.float64) if on_host else x + y


def values(metrics: dict[str, Any]) -> dict[str, float]:
    """Name to number; a metric of several numbers becomes `name/part`."""
    out: dict[str, float] = {}
    for name, metric in metrics.items():
        value = metric.value()
        parts = value if isinstance(value, dict) else {"": value}
        out |= {f"{name}/{part}" if part else name: float(number) for part, number in parts.items()}
    return out


def shown(metrics: dict[str, Any]) -> dict[str, summary.Kind]:
    """Name to picture or curve, of those metrics that have one."""
    found = {name: metric.shown() for name, metric in metrics.items() if hasattr(metric, "shown")}
    return {name: item for name, item in found.items() if item is not None}


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
