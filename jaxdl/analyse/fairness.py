"""Whether a run's decisions treat groups of people alike: rates, gaps, and thresholds that mend."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import special

from jaxdl import errors, learner, summary, trained
from jaxdl.analyse import predicted, report
from jaxdl.analysis import calibration
from jaxdl.analysis import fairness as mended
from jaxdl.losses import fairness

MOST = 20  # groups: more is no column of groups


@dataclasses.dataclass(frozen=True)
class Options:
    """How groups of examples are decided on, and what a threshold for each group would change."""

    group: str = "group"
    """The column of the test's examples that tells the group, a number for each example."""
    positive: int = 1
    """The class that people want; of more than two classes, against all others."""
    test: str | None = None
    """Which of the run's tests; the first by default."""
    examples: int | None = None
    """How many of its examples; all by default."""
    splits: int = 20
    """Into how many pairs of random halves: one sets the thresholds, the other is examined."""


def analyse(found: trained.Trained, options: Options) -> report.Report:
    """Of logits of classes."""
    batch, logits = predicted.examples(found, "Fairness", options.test, options.examples)
    if not predicted.classes(batch, logits):
        raise errors.InputError(
            "Fairness must be of logits (b, k) of classes with integer targets (b,), "
            f"got outputs {list(logits.shape)}."
        )
    if not 0 <= options.positive < logits.shape[1]:
        raise errors.InputError(
            f"--positive must be a class, 0 to {logits.shape[1] - 1}, got {options.positive}."
        )
    strange = ~np.isfinite(logits).all(1)
    if strange.any():
        raise errors.InputError(
            "Fairness must be of finite logits, "
            f"got {strange.sum():,} of {len(logits):,} examples with others."
        )
    names, group = _groups(batch, options.group)
    positive = (batch["target"] == options.positive).astype(np.int32)
    chosen = (logits.argmax(1) == options.positive).astype(np.int32)
    exact = logits.astype(np.float64)
    chance = special.softmax(exact, axis=1)[:, options.positive]
    counts = fairness.counted(chosen.astype(np.float64), positive, group, len(names))
    measured = fairness.Groups(counts)
    tables = [
        _rates(names, measured.rates(), options.group),
        _confidence(names, chance, positive, group, options.group),
        _gaps(measured.value()),
    ]
    others = special.logsumexp(np.delete(exact, options.positive, axis=1), axis=1)
    odds = exact[:, options.positive] - others
    tables.append(_thresholds(measured, odds, positive, group, options))
    return report.Report(tables, _diagrams(names, chance, positive, group))


def _groups(batch: learner.Batch, column: str) -> tuple[list[str], np.ndarray]:
    """The names of the groups, and the place of each example's among them."""
    own = ("input", "target", "mask")
    have = [name for name, x in batch.items() if name not in own and getattr(x, "ndim", 0) == 1]
    if column not in have:
        remedy = (
            f"The columns there are: {', '.join(have)}."
            if have
            else "There is none: give the test's examples one beside their input and target."
        )
        raise errors.InputError(
            "--group must be a column of the test with a number for each example, "
            f"got {column}. {remedy}"
        )
    values, place = np.unique(batch[column], return_inverse=True)
    if not 2 <= len(values) <= MOST:
        raise errors.InputError(
            f"--group must be a column of 2 to {MOST} different numbers, "
            f"got {column}, which has {len(values)}."
        )
    return [_name(value) for value in values], place


def _name(value: Any) -> str:
    """Of a number, as short as tells it from all others."""
    whole = isinstance(value, np.integer | np.bool_)
    return str(int(value)) if whole else np.format_float_positional(value, trim="-")


def _rates(names: list[str], rates: dict[str, np.ndarray], column: str) -> report.Table:
    shares = ("positive", "chosen", "error", "true_positive", "false_positive")
    rows = [
        (name, int(rates["examples"][i]), *(float(rates[share][i]) for share in shares))
        for i, name in enumerate(names)
    ]
    head = (column, "examples", "positive", "chosen", "error", "TPR", "FPR")
    note = "TPR, FPR: the share that is chosen of the positive, and of the others."
    return report.Table("Groups", head, rows, note)


def _confidence(
    names: list[str], chance: np.ndarray, positive: np.ndarray, group: np.ndarray, column: str
) -> report.Table:
    rows = []
    for i, name in enumerate(names):
        said, true = chance[group == i], positive[group == i]
        rows.append((name, float(true.mean()), float(said.mean()), _calibration_error(said, true)))
    head = (column, "positive", "said to be", "calibration error")
    return report.Table("Calibration by group", head, rows)


def _calibration_error(chance: np.ndarray, positive: np.ndarray) -> float:
    binned = calibration.binned(jnp.asarray(chance, jnp.float32), jnp.asarray(positive))
    return float(binned.expected_error)


def _gaps(value: dict[str, float]) -> report.Table:
    names = {
        "parity": "demographic parity: chosen",
        "opportunity": "equal opportunity: TPR",
        "odds": "equalised odds: TPR and FPR",
    }
    rows: list[tuple[Any, ...]] = [
        (text, value[f"{name}_difference"], value[f"{name}_ratio"]) for name, text in names.items()
    ]
    note = f"Between the groups furthest apart; errors differ by {value['error_difference']:.4g}."
    return report.Table("Gaps", ("alike in", "difference", "ratio"), rows, note)


def _thresholds(
    measured: fairness.Groups,
    scores: np.ndarray,
    positive: np.ndarray,
    group: np.ndarray,
    options: Options,
) -> report.Table:
    """What thresholds for each group would do; first, what is."""
    gaps = [f"{name}_difference" for name in ("parity", "opportunity", "odds")]
    right = np.trace(measured.counts.sum(0)) / measured.counts.sum()
    is_now = measured.value() | {"accuracy": float(right)}
    found = {"none": is_now} | {
        by: mended.halves(scores, positive, group, by=by, splits=options.splits)
        for by in ("parity", "opportunity", "odds")
    }
    rows = [(by, row["accuracy"], *(row[gap] for gap in gaps)) for by, row in found.items()]
    head = ("thresholds for", "accuracy", "parity", "opportunity", "odds")
    note = f"Differences; means over {options.splits} halvings, of the half that did not set them."
    if (measured.counts.sum(2) < 2).any():
        note = "None could be set: a group has fewer than 2 examples of a class."
    return report.Table("A threshold for each group", head, rows, note)


def _diagrams(
    names: list[str], chance: np.ndarray, positive: np.ndarray, group: np.ndarray
) -> dict[str, summary.Image]:
    """Of each group, how often those of a chance are positive."""
    return {
        f"reliability/group {name}": summary.Image(
            calibration.diagram(chance[group == i], positive[group == i])
        )
        for i, name in enumerate(names)
    }
