"""Losses over bits: cross-entropy of logits against 0 and 1."""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import errors, metrics


def cross_entropy(logits: Float[Array, "*b k"], batch: dict[str, Any]) -> dict[str, Any]:
    """Cross-entropy in nats a bit, and "error", the share of bits that are told wrong.

    `batch["target"]` holds 0 and 1 in the logits' shape. Where the batch has a "mask" of shape
    (*b), only bits where it is not 0 count.
    """
    target = batch["target"]
    if target.shape != logits.shape:
        raise errors.InputError(
            f"Logits must have the target's shape {target.shape}, got {logits.shape}."
        )
    mask = None if "mask" not in batch else batch["mask"][..., None]
    losses = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), target)
    wrong = (logits > 0) != (target > 0)
    return {"loss": metrics.Mean.of(losses, mask), "error": metrics.Mean.of(wrong, mask)}
