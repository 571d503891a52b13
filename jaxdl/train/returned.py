"""What a learner's functions must return, told before anything is compiled."""

from collections.abc import Iterable
from typing import Any

import jax

from jaxdl import errors, learner, metrics


def state(before: Any, after: Any) -> None:
    """The state's structure, shapes and dtypes must outlive a step."""
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise errors.InputError(
            "Learner.step must return a state of the structure that init returns, got "
            f"{jax.tree.structure(after)} instead of {jax.tree.structure(before)}."
        )
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, x), y in pairs:
        if (x.shape, x.dtype) != (y.shape, y.dtype):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise errors.InputError(
                "Learner.step must keep the state's shapes and dtypes; "
                f"{name} went from {x.dtype}{list(x.shape)} to {y.dtype}{list(y.shape)}."
            )


def logged(tag: str, found: Iterable[str]) -> None:
    """A monitored metric must be among those of the evaluation."""
    if tag not in found:
        raise errors.InputError(
            f"The monitored metric must be one that is logged, got {tag!r}; "
            f"an evaluation logs {', '.join(found)}."
        )


def named(measured: Any, function: str) -> None:
    """What a learner reports must be named metrics."""
    if not isinstance(measured, dict):
        raise errors.InputError(
            f"{function} must return metrics as a dict, got {type(measured).__name__}."
        )
    for name, metric in measured.items():
        if not callable(getattr(metric, "value", None)):
            raise errors.InputError(
                f"{function} must return metrics such as metrics.Mean.of(x), "
                f"got {metric} for {name!r}."
            )


def summable(measured: learner.Metrics) -> None:
    """Training metrics are added up on the device."""
    for name, metric in measured.items():
        if isinstance(metric, metrics.Collected):
            raise errors.InputError(
                f"A training metric must be summable, got Collected for {name!r}; "
                "return it from Learner.evaluate."
            )
