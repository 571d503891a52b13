"""Losses over classes: cross-entropy of logits against integer targets, or against soft ones.

A loss is a function `(outputs, batch) -> metrics` whose metrics hold a `Mean` called "loss";
learners differentiate its total and divide by its count, so microbatches and devices add up
exactly.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer
from scipy import special
from sklearn import metrics as curves

from jaxdl import metrics, summary


def cross_entropy(logits: Float[Array, "*b k"], batch: dict[str, Any]) -> dict[str, Any]:
    """Cross-entropy in nats and accuracy; `batch["target"]` holds integers in [0, k), shape (*b).

    A target outside makes the loss NaN.
    A prediction counts as right where the target's logit is strictly the largest.
    Floats of shape (*b, k) are soft labels, probabilities of sum 1, such as of mixtures; right is
    then the share that the label gives to the class whose logit is strictly the largest.
    Where the batch has a "mask", of shape (*b), only predictions where it is not 0 count.
    """
    target, mask = batch["target"], batch.get("mask")
    whole = jnp.issubdtype(target.dtype, jnp.integer)
    losses, right = _log_loss(logits, target) if whole else _soft_loss(logits, target)
    return {"loss": metrics.Mean.of(losses, mask), "accuracy": metrics.Mean.of(right, mask)}


def in_bits(logits: Float[Array, "b n v"], batch: dict[str, Any]) -> dict[str, Any]:
    """`cross_entropy` of tokens, the next ones or hidden ones, and the same in bits ("bits")."""
    measured = cross_entropy(logits, batch)
    loss = measured["loss"]
    return measured | {"bits": metrics.Mean(loss.total / math.log(2), loss.count)}


def binary_scores(logits: Float[Array, "b 2"], batch: dict[str, Any]) -> dict[str, Any]:
    """What a two-class test is judged by: AUROC, AUPRC, calibration error, and the confusion."""
    probability = jax.nn.softmax(logits.astype(jnp.float32))[:, 1]
    return {
        "scores": metrics.ScoreHistogram.of(probability, batch["target"]),
        "confusion": confusion(logits, batch)["confusion"],
    }


def ranking(logits: Float[Array, "b 2"], batch: dict[str, Any]) -> dict[str, Any]:
    """How well two classes are told apart where one is rare: exact AUROC and average precision.

    Of the logits' difference, in which the probabilities that round to 0 and 1 still differ.
    """
    scores = logits[:, 1].astype(jnp.float32) - logits[:, 0].astype(jnp.float32)
    return {"ranking": metrics.Collected((scores, batch["target"]), _ranking, _curve)}


def _ranking(arrays: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    scores, target = arrays
    if len(np.unique(target)) < 2 or not np.isfinite(scores).all():
        return {"auroc": math.nan, "average_precision": math.nan}
    return {
        "auroc": float(curves.roc_auc_score(target, scores)),
        "average_precision": float(curves.average_precision_score(target, scores)),
    }


def _curve(arrays: tuple[np.ndarray, np.ndarray]) -> summary.Curve:
    """Precision against recall, with thresholds on the probability."""
    chances, target = special.expit(arrays[0].astype(np.float64)), arrays[1] > 0
    parts = (np.histogram(chances[where], 1000, (0, 1))[0] for where in (target, ~target))
    return summary.Curve(*parts)


def confusion(logits: Float[Array, "b k"], batch: dict[str, Any]) -> dict[str, Any]:
    """The confusion matrix of the most likely class against the target."""
    predicted = jnp.argmax(logits, axis=-1)
    return {"confusion": metrics.Confusion.of(predicted, batch["target"], logits.shape[-1])}


def whole(logits: Float[Array, "b n v"], batch: dict[str, Any]) -> dict[str, Any]:
    """The share of sequences of which every prediction that counts is right ("whole").

    Of a model that is told the target's tokens so far, it is that of the sequences which greedy
    decoding would write to the last token: up to the first mistake both are told the same.
    """
    _, right = _log_loss(logits, batch["target"])
    if "mask" in batch:
        right = jnp.where(batch["mask"] > 0, right, 1)
    return {"whole": metrics.Mean.of(right.min(-1))}


def one_hot(target: Integer[Array, "*b"], classes: int) -> Float[Array, "*b k"]:
    """1 at the target's class and 0 elsewhere; NaN where the target is outside [0, classes), which
    stops a run with a diagnosis as in `cross_entropy`.
    """
    inside = (target >= 0) & (target < classes)
    return jnp.where(inside[..., None], jax.nn.one_hot(target, classes), jnp.nan)


def divergence(before: Float[Array, "b k"], after: Float[Array, "b k"]) -> Float[Array, "b"]:
    """Kullback and Leibler's divergence, in nats, of one prediction from another; of logits."""
    wanted, found = (jax.nn.log_softmax(x.astype(jnp.float32)) for x in (before, after))
    return (jnp.exp(wanted) * (wanted - found)).sum(-1)


def _log_loss(
    logits: Float[Array, "*b k"], target: Integer[Array, "*b"]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """Minus the log-probability of the target, and 1 where it is the most likely class.

    A target outside [0, k) has no probability: its loss is NaN, which stops a run with a diagnosis.
    Comparing with an iota instead of gathering keeps the gradient free of scatters, and counting
    the logits not below the target's is one cheap reduction where argmax is a slow one on CPU.
    """
    logits = logits.astype(jnp.float32)
    classes = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    target = target.astype(jnp.int32)
    picked = jnp.where(classes == target[..., None], logits, 0).sum(-1)
    picked = jnp.where((target >= 0) & (target < logits.shape[-1]), picked, jnp.nan)
    losses = jax.nn.logsumexp(logits, axis=-1) - picked
    fixed = jax.lax.stop_gradient(logits)
    rank = (fixed >= jax.lax.stop_gradient(picked)[..., None]).sum(-1)
    return losses, (rank == 1).astype(jnp.float32)


def _soft_loss(
    logits: Float[Array, "*b k"], target: Float[Array, "*b k"]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """The mean of minus the log-probability under the label, and what it gives to the likeliest."""
    logits = logits.astype(jnp.float32)
    probable = jnp.where(target > 0, jax.nn.log_softmax(logits), 0)  # a class ruled out: 0 · -inf
    fixed = jax.lax.stop_gradient(logits)
    largest = fixed == fixed.max(-1, keepdims=True)
    right = jnp.where(largest.sum(-1) == 1, jnp.where(largest, target, 0).sum(-1), 0)
    return -(target * probable).sum(-1), right.astype(jnp.float32)
