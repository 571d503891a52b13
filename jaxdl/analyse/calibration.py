"""How far a run's confidence can be trusted: errors, a temperature, sets or intervals with a
promise.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors, summary, trained
from jaxdl.analyse import predicted, report
from jaxdl.analysis import calibration, conformal
from jaxdl.data import checks


@dataclasses.dataclass(frozen=True)
class Options:
    """A temperature and conformal sets, set by one random half of a test and examined on the other;
    of numbers, conformal intervals.
    """

    test: str | None = None
    """Which of the run's tests; the first by default."""
    examples: int | None = None
    """How many of its examples; all by default."""
    coverage: float = 0.9
    """How often a set or an interval is to hold the truth."""
    method: conformal.Method = "lac"
    """How sets are made: lac has the smallest, aps larger ones where the model is unsure."""
    splits: int = 100
    """Into how many pairs of random halves the examples are cut; numbers are means over them."""


def analyse(found: trained.Trained, options: Options) -> report.Report:
    """Of logits of classes or of numbers."""
    checks.fraction(options.coverage, "--coverage")
    batch, outputs = predicted.examples(found, "Calibration", options.test, options.examples)
    if predicted.classes(batch, outputs):
        return _of_classes(outputs, batch["target"], options)
    target = batch.get("target")
    if (
        target is None
        or target.shape != outputs.shape
        or not jnp.issubdtype(target.dtype, jnp.floating)
    ):
        had = "no target" if target is None else f"targets {target.dtype}{list(target.shape)}"
        raise errors.InputError(
            "Calibration must be of logits (b, k) of classes with integer targets (b,), or of "
            f"numbers with targets of their shape, got outputs {list(outputs.shape)} and {had}."
        )
    return _of_numbers(outputs, target, options)


def _of_classes(logits: np.ndarray, target: np.ndarray, options: Options) -> report.Report:
    halves = functools.partial(
        calibration.halves, coverage=options.coverage, method=options.method, splits=options.splits
    )
    made = calibration.means(jax.jit(halves)(logits, target))
    names = {"loss": "cross-entropy", "ece": "expected calibration error", "brier": "Brier score"}
    rows = [(text, made[name], made[f"scaled_{name}"]) for name, text in names.items()]
    rows.append(("temperature", 1.0, made["temperature"]))
    note = (
        f"Means over {options.splits} halvings of {len(logits):,} examples. Of so few, a "
        f"perfect confidence would have a calibration error of {made['floor_ece']:.2g}."
    )
    if faultless := round(made["faultless"] * options.splits):
        note += f" In {faultless} the half that sets the temperature has no mistake: it stays 1."
    tables = [
        report.Table("Confidence", ("measure", "as it is", "scaled"), rows, note),
        _coverage(made, options, ("classes in a set", made["set_size"])),
    ]
    return report.Report(tables, _diagrams(logits, target))


def _of_numbers(outputs: np.ndarray, target: np.ndarray, options: Options) -> report.Report:
    halves = functools.partial(conformal.halves, coverage=options.coverage, splits=options.splits)
    made = calibration.means(jax.jit(halves)(outputs, target))
    return report.Report([_coverage(made, options, ("width of an interval", made["width"]))], {})


def _coverage(made: dict[str, float], options: Options, size: tuple[str, float]) -> report.Table:
    rows = [
        ("promised", options.coverage),
        ("truths held", made["coverage"]),
        ("deviation between splits", made["coverage_deviation"]),
        size,
    ]
    head = ("measure", "value")
    if not size[0].startswith("classes"):
        return report.Table("Conformal intervals", head, rows)
    note = "A set may be empty: of a classifier that is right more often than promised, some are."
    return report.Table(f"Conformal sets by {options.method}", head, rows, note)


def _diagrams(logits: np.ndarray, target: np.ndarray) -> dict[str, summary.Image]:
    """Of one half of the examples, as they are, and by the temperature of the other half."""
    order = np.random.default_rng(0).permutation(len(logits))
    first, second = np.split(order, [len(order) // 2])
    warmth = calibration.temperature(jnp.asarray(logits[first]), jnp.asarray(target[first]))
    shown = {"as it is": logits[second], "scaled": logits[second] / np.float32(warmth)}
    return {
        f"reliability/{name}": calibration.pictured(part, target[second])
        for name, part in shown.items()
    }
