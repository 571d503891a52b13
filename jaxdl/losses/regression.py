"""Losses over real numbers."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float

from jaxdl import errors, metrics


def squared_error(outputs: Float[Array, "b *d"], batch: dict[str, Any]) -> dict[str, Any]:
    """Mean squared error over all elements; `batch["target"]` has the shape of the outputs."""
    target = batch["target"]
    if outputs.shape != target.shape:
        raise errors.InputError(
            f"Outputs must have the target's shape {target.shape}, got {outputs.shape}."
        )
    return {"loss": metrics.Mean.of((outputs - target) ** 2)}


def determination(folds: int = 1) -> Callable[[Any, Any], dict[str, Any]]:
    """Scores of an evaluation: R² ("r2"); of a cross-validation the mean over the folds."""

    def scores(outputs: Float[Array, "b d"], batch: dict[str, Any]) -> dict[str, Any]:
        fold = batch["fold"] if folds > 1 else None
        return {"r2": metrics.Determination.of(outputs, batch["target"], fold, folds)}

    return scores
