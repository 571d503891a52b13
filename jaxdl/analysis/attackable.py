"""What can be attacked: a classifier of floats within a range; told in one line where it is not."""

from collections.abc import Mapping
from typing import Any

import jax.core
import jax.numpy as jnp

import jaxdl.learner
from jaxdl import errors


def learner(taught: Any) -> None:
    """It has a `predict`, if it is a learner."""
    if isinstance(taught, jaxdl.learner.Learner) and taught.predict is None:
        raise errors.InputError("An attack must be on a learner with `predict`, got one without.")


def batch(given: Any, low: float, high: float) -> None:
    """Its "input" is an array of floats within low to high, its "target" an integer for each."""
    x: Any = given.get("input") if isinstance(given, Mapping) else None
    if not hasattr(x, "dtype") or not jnp.issubdtype(x.dtype, jnp.floating):
        raise errors.InputError(
            f'An attack must be on a batch whose "input" is an array of floats, got {shape(x)}. '
            "What is whole, such as tokens, cannot be moved a little: attack what embeds it."
        )
    if not low < high:
        raise errors.InputError(f"An attack's low must be below its high, got {low}, {high}.")
    classes("target", given.get("target"), len(x))
    if isinstance(x, jax.core.Tracer):
        return  # its values are not known yet
    least, most = float(x.min()), float(x.max())
    if not (low <= least and most <= high):
        raise errors.InputError(
            f"An attack's inputs must lie in [{low:g}, {high:g}], got {least:g} to {most:g}. "
            "Let low and high be the range that an input may have."
        )


def classes(name: str, given: Any, count: int) -> None:
    """An integer for each example."""
    whole = hasattr(given, "dtype") and jnp.issubdtype(given.dtype, jnp.integer)
    if not whole or given.shape != (count,):
        raise errors.InputError(
            f"An attack must have an integer {name} for each of {count} examples, "
            f"got {shape(given)}."
        )


def logits(given: Any, loss: str = "ce", targeted: bool = False) -> None:
    """They are of classes (b, k), of as many as the loss compares."""
    if not hasattr(given, "dtype") or len(given.shape) != 2:
        raise errors.InputError(
            f"An attack must be on logits of classes (b, k), got {shape(given)}."
        )
    least = 2 if loss == "ce" else 4 if targeted else 3
    if given.shape[-1] < least:
        raise errors.InputError(
            f"An attack by the loss {loss} must have at least {least} classes, "
            f"got {given.shape[-1]}."
        )


def shape(x: Any) -> str:
    """As a message shows it."""
    if x is None:
        return "none"
    return f"{x.dtype}{list(x.shape)}" if hasattr(x, "dtype") else type(x).__name__
