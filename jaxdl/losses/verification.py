"""Whether two things are the same one: margins between embeddings, and the error rate of a test.

ArcFace: Deng, Guo, Xue and Zafeiriou (2019). Triplets: Schroff, Kalenichenko and Philbin, "FaceNet"
(2015), the hardest of a batch as Hermans, Beyer and Leibe, "In defense of the triplet loss" (2017).
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdl import metrics
from jaxdl.losses import classification


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pairs(metrics.ScoreHistogram):
    """Similarities of pairs of one class (positive) and of two (negative), counted in bins."""

    def value(self) -> dict[str, float]:
        """The equal error rate: that of the threshold at which as large a share of the same pairs
        is refused as of the others is let pass; and the area under the ROC curve.
        """
        positive, negative = (np.asarray(x, np.float64) for x in (self.positive, self.negative))
        if not positive.sum() or not negative.sum():
            return {"eer": float("nan"), "auroc": float("nan")}
        refused = np.concatenate([[0], np.cumsum(positive)]) / positive.sum()
        passed = 1 - np.concatenate([[0], np.cumsum(negative)]) / negative.sum()
        gap = refused - passed  # rises from -1 to 1
        above = int(np.argmax(gap >= 0))
        way = gap[above] / (gap[above] - gap[above - 1])
        error = refused[above] + way * (refused[above - 1] - refused[above])
        return {"eer": float(error), "auroc": super().value()["auroc"]}


def pairs(embeddings: Float[Array, "b d"], target: Int[Array, "b"]) -> metrics.ScoreHistogram:
    """`Pairs` of a batch, all there are, by the cosine of their embeddings."""
    units = embeddings / jnp.maximum(jnp.linalg.norm(embeddings, axis=-1, keepdims=True), 1e-12)
    first, second = jnp.triu_indices(len(units), 1)
    cosine = (units @ units.T)[first, second]
    return Pairs.of((cosine + 1) / 2, target[first] == target[second], 2000)


def arcface(
    cosines: Float[Array, "b k"],
    target: Int[Array, "b"],
    scale: float | Array = 64.0,
    margin: float | Array = 0.5,
) -> dict[str, Any]:
    """Cross-entropy of scale · cos(angle + margin), the margin only on the target's angle
    (equation 3).

    Beyond π - margin, where the cosine would rise again, the authors have the plain cosine less
    margin · sin(margin), which falls on after a small jump. Accuracy is without a margin.
    """
    sine = jnp.sqrt(jnp.maximum(1 - cosines**2, 1e-9))
    moved = cosines * jnp.cos(margin) - sine * jnp.sin(margin)
    moved = jnp.where(
        cosines > jnp.cos(math.pi - margin), moved, cosines - margin * jnp.sin(margin)
    )
    there = jax.nn.one_hot(target, cosines.shape[-1], dtype=bool)
    logits = scale * jnp.where(there, moved, cosines)
    plain = classification.cross_entropy(cosines, {"target": target})
    return classification.cross_entropy(logits, {"target": target}) | {
        "accuracy": plain["accuracy"]
    }


def triplet(
    embeddings: Float[Array, "b d"], target: Int[Array, "b"], margin: float | Array = 0.2
) -> dict[str, Any]:
    """max(0, margin + distance to the farthest of its own class - to the nearest of another), of
    each example that has both in the batch.
    """
    square = ((embeddings[:, None] - embeddings[None]) ** 2).sum(-1)
    distance = jnp.sqrt(jnp.maximum(square, 1e-12))  # a gradient at 0 too
    same = target[:, None] == target[None]
    own = same & ~jnp.eye(len(target), dtype=bool)
    farthest = jnp.where(own, distance, -jnp.inf).max(1)
    nearest = jnp.where(same, jnp.inf, distance).min(1)
    whole = own.any(1) & ~same.all(1)
    apart = jnp.where(whole, farthest - nearest, 0)
    return {"loss": metrics.Mean.of(jnp.maximum(0, margin + apart), whole)}
