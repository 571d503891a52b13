"""How well the pixels of classes are found: the overlap of what is claimed with what is there.

The intersection over union: Jaccard (1912); the Dice coefficient: Dice (1945), as a loss:
Milletari, Navab and Ahmadi, "V-Net" (2016). Cross-entropy of pixels is that of
losses/classification.py.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import metrics
from jaxdl.losses import classification


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Overlap(metrics.Confusion):
    """A confusion matrix of pixels, finished as overlaps."""

    def value(self) -> dict[str, float]:
        """Mean intersection over union and mean Dice coefficient of the classes that are there or
        are claimed anywhere.
        """
        matrix = np.asarray(self.matrix, np.float64)
        hits, actual, claimed = np.diag(matrix), matrix.sum(1), matrix.sum(0)
        seen = (actual + claimed) > 0
        if not seen.any():
            return {"iou": float("nan"), "dice": float("nan")}
        hits, both = hits[seen], (actual + claimed)[seen]
        return {
            "iou": float(np.mean(hits / (both - hits))),
            "dice": float(np.mean(2 * hits / both)),
        }


def overlap(logits: Float[Array, "b *space k"], batch: dict[str, Any]) -> dict[str, Any]:
    """The overlaps of the most likely classes with the target, integers (b, *space)."""
    found = jnp.argmax(logits, axis=-1)
    return {"overlap": Overlap.of(found, batch["target"], logits.shape[-1])}


def cross_entropy_and_dice(
    logits: Float[Array, "b *space k"], batch: dict[str, Any]
) -> dict[str, Any]:
    """Cross-entropy plus 1 - Dice of the probabilities: a rare class counts as a frequent one.

    The coefficient is each example's, a mean over the classes that its target has. Where the batch
    has a "mask", (b, *space), only pixels where it is not 0 count.
    """
    measured = classification.cross_entropy(logits, batch)
    counted = (batch.get("mask", jnp.ones(logits.shape[:-1])) > 0)[..., None]
    chance = jnp.where(counted, jax.nn.softmax(logits.astype(jnp.float32)), 0)
    there = jnp.where(counted, jax.nn.one_hot(batch["target"], logits.shape[-1]), 0)
    space = tuple(range(1, logits.ndim - 1))
    size = there.sum(space)
    overlaps = 2 * (chance * there).sum(space) / jnp.maximum(size + chance.sum(space), 1)
    present = size > 0
    dice = jnp.where(present, overlaps, 0).sum(-1) / jnp.maximum(present.sum(-1), 1)
    pixels, entropy = counted.sum((*space, -1)), measured["loss"]
    return measured | {
        "loss": metrics.Mean(entropy.total + ((1 - dice) * pixels).sum(), entropy.count),
        "dice": metrics.Mean.of(dice, pixels > 0),
    }
