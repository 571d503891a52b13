"""Thresholds for each group of people, so that a score decides alike.

Hardt, Price and Srebro, "Equality of opportunity in supervised learning" (2016): what is derived
from a score alone, with a threshold for each group, or two of which one is drawn, so that groups
are alike in what they are to be alike in, and as many decisions as can be are right. What groups
may be alike in: jaxdl/losses/fairness.py.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int

from jaxdl import errors, metrics
from jaxdl.losses import fairness
from jaxdl.nn import limits

_GRID = 1000  # equal steps of the rate that groups share, in [0, 1], of which the best is taken


class Rule(NamedTuple):
    """How a score decides: whoever's is above one of the group's two thresholds is chosen with the
    chance that goes with it; a share `ignored` of the group with the chance `constant` instead.

    thresholds, chances: (groups, 2). ignored: (groups,).
    """

    thresholds: np.ndarray
    chances: np.ndarray
    ignored: np.ndarray
    constant: float

    def chance(self, scores: Any, group: Any) -> Any:
        """The chance of being chosen, shape (b,)."""
        above = scores[:, None] > self.thresholds[group]
        by_score = (above * self.chances[group]).sum(-1)
        return (1 - self.ignored[group]) * by_score + self.ignored[group] * self.constant


class _Curve(NamedTuple):
    """The upper hull of what thresholds reach: y by x, from left to right."""

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray


def thresholds(
    scores: Float[np.ndarray, "n"],
    target: Int[np.ndarray, "n"],
    group: Int[np.ndarray, "n"],
    by: fairness.By = "parity",
) -> Rule:
    """The rule that has most decisions right among those by which groups are alike.

    Of examples that the learner has not learnt from. group: 0, 1, ... up to the number of groups.
    errors.InputError: a group has nobody who is positive, or nobody who is not.
    """
    _known(by)
    sizes = np.bincount(group)
    curves = [_curve(scores[group == i], target[group == i], by, i) for i in range(len(sizes))]
    grid = np.linspace(0, 1, _GRID + 1)
    left, share, reached = zip(*(_between(curve, grid) for curve in curves), strict=True)
    if by == "odds":
        together = np.min(reached, axis=0)
        positive = target.mean()
        best = int(np.argmax(np.round((1 - positive) * (1 - grid) + positive * together, 15)))
    else:
        together = np.average(reached, axis=0, weights=sizes)
        best = int(np.argmax(together))
    low = [int(index[best]) for index in left]
    chances = np.array([[mix[best], 1 - mix[best]] for mix in share])
    borders = [curve.thresholds[i : i + 2] for curve, i in zip(curves, low, strict=True)]
    ignored = np.zeros(len(sizes))
    if by == "odds":  # the better curves come down to the worst, towards deciding by a coin
        over = np.array([y[best] for y in reached])
        above = over - grid[best]
        ignored = np.where(above > 0, (over - together[best]) / np.where(above > 0, above, 1), 0)
    return Rule(np.array(borders), chances, ignored, float(grid[best]))


def halves(
    scores: Float[np.ndarray, "n"],
    target: Int[np.ndarray, "n"],
    group: Int[np.ndarray, "n"],
    *,
    by: fairness.By = "parity",
    splits: int = 20,
) -> dict[str, float]:
    """What thresholds that one random half of unseen examples sets do to the other, on average over
    the splits: the accuracy, and the gaps of `fairness.Groups`. Chances are counted, not drawn.

    Each half has its part of each group's classes. NaN where a group has fewer than two examples of
    one, or a score is not finite; where the target or the group is negative, it is not known.
    """
    limits.at_least(1, "splits", splits)
    _known(by)
    scores, target, group = (x[(target >= 0) & (group >= 0)] for x in (scores, target, group))
    groups, cell = int(group.max(initial=0)) + 1, 2 * group + target
    few = np.bincount(cell, minlength=2 * groups).min() < 2
    if few or target.max() > 1 or not np.isfinite(scores).all():
        return {"accuracy": math.nan} | fairness.Groups(np.full((2, 2, 2), math.nan)).value()
    random, found = np.random.default_rng(0), []
    for _ in range(splits):
        order = random.permutation(len(scores))
        order = order[np.argsort(cell[order], kind="stable")]
        first, second = order[::2], order[1::2]
        rule = thresholds(scores[first], target[first], group[first], by)
        chance = rule.chance(scores[second], group[second])
        right = np.where(target[second] == 1, chance, 1 - chance)
        counts = fairness.counted(chance, target[second], group[second], groups)
        found.append({"accuracy": float(right.mean())} | fairness.Groups(counts).value())
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def scores(
    *, by: fairness.By = "parity", splits: int = 20
) -> Callable[[Any, Any], dict[str, metrics.Collected]]:
    """A function (logits, batch) -> metrics, for the `scores` of a learner of two classes: what
    `halves` finds of all examples of an evaluation ("thresholds").
    """
    _known(by)
    finish = _Halves(by, splits)

    def collect(logits: Any, batch: dict[str, Any]) -> dict[str, metrics.Collected]:
        arrays = fairness.log_odds(logits), batch["target"], fairness.group_of(batch)
        return {"thresholds": metrics.Collected(arrays, finish)}

    return collect


@dataclasses.dataclass(frozen=True)
class _Halves:
    """Equal to another of the same choices: it is part of what a compiled program is known by."""

    by: fairness.By
    splits: int

    def __call__(self, arrays: tuple[np.ndarray, ...]) -> dict[str, float]:
        return halves(*arrays, by=self.by, splits=self.splits)


def _known(by: str) -> None:
    limits.one_of("What groups are alike in", by, get_args(fairness.By))


def _curve(scores: np.ndarray, target: np.ndarray, by: fairness.By, name: int) -> _Curve:
    """Of one group, by every threshold that tells its scores apart.

    x: what groups are to share; y: of odds the true positives, else the share that is right.
    """
    size, positive = len(target), int(target.sum())
    if not 0 < positive < size:
        raise errors.InputError(
            f"Group {name} must have examples of both classes, got {positive} positive of {size}."
        )
    order = np.argsort(-scores, kind="stable")
    scores = scores[order].astype(np.float64)
    last = np.append(scores[:-1] != scores[1:], True)  # of those with an equal score
    hits = np.append(0, np.cumsum(target[order])[last])
    alarms = np.append(0, np.cumsum(1 - target[order])[last])
    levels = scores[last]
    borders = np.concatenate([[np.inf], (levels[:-1] + levels[1:]) / 2, [-np.inf]])
    right = (hits + (size - positive) - alarms) / size
    x, y = {
        "parity": ((hits + alarms) / size, right),
        "opportunity": (hits / positive, right),
        "odds": (alarms / (size - positive), hits / positive),
    }[by]
    kept = _hull(x, y)
    return _Curve(x[kept], y[kept], borders[kept])


def _hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the upper convex hull, from left to right (Andrew 1979)."""
    kept: list[int] = []
    for i in np.lexsort((y, x)):
        while len(kept) > 1:
            first, middle = kept[-2:]
            rise = (y[middle] - y[first]) * (x[i] - x[first])
            if rise > (y[i] - y[first]) * (x[middle] - x[first]):
                break
            kept.pop()
        kept.append(int(i))
    return np.array(kept)


def _between(curve: _Curve, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At each x of the grid: the index of the point to the left, its weight beside the point to
    the right, and the y of both together.
    """
    left = np.searchsorted(curve.x, grid, side="left") - 1
    left[0] = np.searchsorted(curve.x, 0.0, side="right") - 1
    share = (curve.x[left + 1] - grid) / (curve.x[left + 1] - curve.x[left])
    return left, share, share * curve.y[left] + (1 - share) * curve.y[left + 1]
