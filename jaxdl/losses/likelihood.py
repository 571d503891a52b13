"""How likely targets are, by one model or by many: draws of a posterior, members of an ensemble.

Many outputs of one input are a mixture, each as probable as the others; its likelihood is the mean
of theirs, which is never below the likelihood of a typical one (Jensen's inequality).

What is logged of many, beside the mixture's own numbers:

single/loss, single/accuracy: what one of them has alone, on average.
disagreement: of classes, the share of examples on which two of them choose differently, over all
    pairs; of numbers, the standard deviation of their outputs around the mean.
confidence (classes): the largest probability, against whether its class is right: `ece` is the
    calibration error (15 bins), `auroc` and `auprc` how well it tells right from wrong.
coverage (numbers): the share of targets inside the central 90 % of the mixture; 0.9 is calibrated.
auroc, single/auroc (examples with an "outsider" in place of a target): how well the entropy of the
    mixture, or of one of them on average, tells inputs of unknown kinds, marked 1, from others.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer
from sklearn import metrics as curves

from jaxdl import errors, metrics
from jaxdl.losses import classification

Loss = Callable[[Any, Any], dict[str, Any]]  # (outputs, batch) -> metrics


class Likelihood(NamedTuple):
    """What outputs say of targets.

    loss: (outputs (b ...), batch) -> metrics with a Mean "loss", minus the log-likelihood in nats.
    mixture: outputs (m b ...) of many -> outputs (b ...) of the mixture.
    scores: (outputs (m b ...) of many, batch) -> metrics of the mixture, see above.
    """

    loss: Loss
    mixture: Callable[[Any], Any]
    scores: Loss


def categorical() -> Likelihood:
    """Outputs are logits of classes, targets integers."""
    return Likelihood(classification.cross_entropy, _mixed_classes, _class_scores)


def gaussian(deviation: float | int | jax.Array) -> Likelihood:
    """Outputs are means, targets lie around them with this standard deviation, both (b d)."""
    if isinstance(deviation, float | int) and deviation <= 0:
        raise errors.InputError(f"A standard deviation must be positive, got {deviation}.")
    return Likelihood(
        functools.partial(_number_loss, deviation=deviation),
        lambda outputs: outputs.mean(0),
        functools.partial(_number_scores, deviation=deviation),
    )


def _mixed_classes(logits: Float[Array, "m b k"]) -> Float[Array, "b k"]:
    """The logarithms of the mean probabilities."""
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    return jax.nn.logsumexp(logs, axis=0) - math.log(len(logits))


def _class_scores(logits: Float[Array, "m b k"], batch: dict[str, Any]) -> dict[str, Any]:
    mixed = _mixed_classes(logits)
    if "outsider" in batch:
        alone = _entropy(jax.nn.log_softmax(logits.astype(jnp.float32)))
        scores = jnp.concatenate([_entropy(mixed)[None], alone]).T
        return {
            name: metrics.Collected((scores[:, columns], batch["outsider"]), _auroc)
            for name, columns in (("auroc", slice(0, 1)), ("single/auroc", slice(1, None)))
        }
    single = jax.vmap(classification.cross_entropy, in_axes=(0, None))(logits, batch)
    chosen = jnp.argmax(mixed, axis=-1)
    right = chosen == batch["target"]
    return {
        **classification.cross_entropy(mixed, batch),
        **{f"single/{name}": jax.tree.map(jnp.sum, mean) for name, mean in single.items()},
        "disagreement": metrics.Mean.of(_disagreement(jnp.argmax(logits, -1), logits.shape[-1])),
        "confidence": metrics.ScoreHistogram.of(jnp.exp(mixed.max(-1)), right),
    }


def _entropy(logs: Float[Array, "*b k"]) -> Float[Array, "*b"]:
    return -(jnp.exp(logs) * logs).sum(-1)


def _disagreement(chosen: Integer[Array, "m b"], classes: int) -> Float[Array, "b"]:
    """Of all pairs, the share that chooses differently."""
    counts = jax.nn.one_hot(chosen, classes).sum(0)
    pairs = len(chosen) * (len(chosen) - 1)
    return 1 - (counts * (counts - 1)).sum(-1) / pairs if pairs else jnp.zeros(chosen.shape[1])


def _auroc(arrays: tuple[np.ndarray, np.ndarray]) -> float:
    """The area under the ROC curve, of each column of scores, on average; NaN where a score is no
    number.
    """
    scores, positive = arrays
    if len(np.unique(positive)) < 2 or not np.isfinite(scores).all():
        return float("nan")
    return float(np.mean([curves.roc_auc_score(positive, column) for column in scores.T]))


def _log_density(
    outputs: Float[Array, "*m b d"], batch: dict[str, Any], deviation: Any
) -> Float[Array, "*m b"]:
    """Of each example's target, in nats."""
    target = batch["target"]
    if outputs.shape[-2:] != target.shape:
        raise errors.InputError(
            f"Outputs must have the target's shape {target.shape}, got {outputs.shape[-2:]}."
        )
    target = target.reshape((1,) * (outputs.ndim - 2) + target.shape)
    squares = ((outputs - target) / deviation) ** 2
    return -0.5 * (squares + math.log(2 * math.pi)).sum(-1) - outputs.shape[-1] * jnp.log(deviation)


def _number_loss(
    outputs: Float[Array, "b d"], batch: dict[str, Any], *, deviation: Any
) -> dict[str, Any]:
    return {
        "loss": metrics.Mean.of(-_log_density(outputs, batch, deviation)),
        "squared_error": metrics.Mean.of((outputs - batch["target"]) ** 2),
    }


def _number_scores(
    outputs: Float[Array, "m b d"], batch: dict[str, Any], *, deviation: Any
) -> dict[str, Any]:
    density = _log_density(outputs, batch, deviation)
    mixed = jax.nn.logsumexp(density, axis=0) - math.log(len(outputs))
    below = jax.scipy.stats.norm.cdf((batch["target"][None] - outputs) / deviation).mean(0)
    return {
        "loss": metrics.Mean.of(-mixed),
        "squared_error": metrics.Mean.of((outputs.mean(0) - batch["target"]) ** 2),
        "single/loss": metrics.Mean.of(-density),
        "disagreement": metrics.Mean.of(outputs.std(0)),
        "coverage": metrics.Mean.of(jnp.abs(below - 0.5) < 0.45),
    }
