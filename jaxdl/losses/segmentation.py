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

    The coefficient is each example's, a mean over the classes.
    """
    measured = classification.cross_entropy(logits, batch)
    chance = jax.nn.softmax(logits.astype(jnp.float32))
    there = jax.nn.one_hot(batch["target"], logits.shape[-1])
    space = tuple(range(1, logits.ndim - 1))
    both = (chance + there).sum(space)
    dice = (2 * (chance * there).sum(space) + 1e-6) / (both + 1e-6)  # 1 where there is none
    lost, pixels = metrics.Mean.of(1 - dice), measured["loss"]
    return measured | {
        "loss": metrics.Mean(pixels.total + lost.total * pixels.count / lost.count, pixels.count),
        "dice": metrics.Mean.of(dice),
    }
