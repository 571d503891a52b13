"""Losses over real numbers."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float

from jaxdl import errors, metrics


def squared_error(outputs: Float[Array, "b *d"], batch: dict[str, Any]) -> dict[str, Any]:
    """Mean squared error over all elements; `batch["target"]` has the shape of the outputs.

    Where the batch has a "mask", of that shape too, only elements where it is not 0 count.
    """
    target = batch["target"]
    if outputs.shape != target.shape:
        raise errors.InputError(
            f"Outputs must have the target's shape {target.shape}, got {outputs.shape}."
        )
    return {"loss": metrics.Mean.of((outputs - target) ** 2, batch.get("mask"))}


def root_mean_square(outputs: Float[Array, "b *d"], batch: dict[str, Any]) -> dict[str, Any]:
    """The root of the squared error ("rmse"), in the target's units; arguments as above."""
    error = squared_error(outputs, batch)["loss"]
    return {"rmse": metrics.RootMean(error.total, error.count)}


def determination(folds: int = 1) -> Callable[[Any, Any], dict[str, Any]]:
    """Scores of an evaluation: R² ("r2"); of a cross-validation the mean over the folds."""

    def scores(outputs: Float[Array, "b d"], batch: dict[str, Any]) -> dict[str, Any]:
        fold, target = batch["fold"] if folds > 1 else None, batch["target"]
        if outputs.ndim != 2 or outputs.shape != target.shape:
            raise errors.InputError(
                "Outputs and target must be of one shape (b, d), "
                f"got {outputs.shape} and {target.shape}."
            )
        return {"r2": metrics.Determination.of(outputs, target, fold, folds)}

    return scores
