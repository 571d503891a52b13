"""Whether a two-class decision treats groups of people alike, and losses that make it do so.

parity: groups are chosen equally often (demographic parity): Dwork et al., "Fairness through
    awareness" (2012).
opportunity, odds: of those that should be chosen, groups are chosen equally often; and of those
    that should not, too: Hardt, Price and Srebro, "Equality of opportunity in supervised learning"
    (2016).

Differences and ratios of two or more groups are those of the two furthest apart; of odds, of the
worse of both rates: as fairlearn has them (Weerts et al., "Fairlearn: assessing and improving
fairness of AI systems", 2023).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdl import errors, metrics
from jaxdl.nn import limits

By = Literal["parity", "opportunity", "odds"]
Loss = Callable[[Any, Any], dict[str, Any]]  # (outputs, batch) -> metrics with a Mean "loss"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Groups:
    """How often each group's target (row) was decided so (column); `counts` is (groups, 2, 2).

    strangers: how many examples are of a group or a class beyond those; where there is one, no rate
        is a number.
    """

    counts: Any
    strangers: Any = 0

    @classmethod
    def of(cls, chosen: Any, target: Any, group: Any, groups: int) -> "Groups":
        """Of decisions and targets, 0 or 1, and groups in [0, groups), shape (b,); where one is
        negative, it is not known and the example is not counted.
        """
        group, target, chosen = (x.astype(jnp.int32) for x in (group, target, chosen))
        known = (group >= 0) & (target >= 0) & (chosen >= 0)
        beyond = (group >= groups) | (target > 1) | (chosen > 1)
        cells = jnp.where(known & ~beyond, 4 * group + 2 * target + chosen, 4 * groups)
        counts = jnp.zeros(4 * groups, jnp.uint32).at[cells].add(1, mode="drop")
        return cls(counts.reshape(groups, 2, 2), (known & beyond).sum(dtype=jnp.uint32))

    def rates(self) -> dict[str, np.ndarray]:
        """Of each group: how many `examples`; the shares that are `positive`, `chosen` and decided
        in `error`; of the positive ones and of the others those chosen, `true_positive` and
        `false_positive`. NaN where there is none.
        """
        counts = np.asarray(self.counts, np.float64) * (np.nan if self.strangers > 0 else 1)
        examples, of_target = counts.sum((1, 2)), counts.sum(2)
        with np.errstate(invalid="ignore"):
            return {
                "examples": examples,
                "positive": of_target[:, 1] / examples,
                "chosen": counts[:, :, 1].sum(1) / examples,
                "error": (counts[:, 0, 1] + counts[:, 1, 0]) / examples,
                "true_positive": counts[:, 1, 1] / of_target[:, 1],
                "false_positive": counts[:, 0, 1] / of_target[:, 0],
            }

    def value(self) -> dict[str, float]:
        """Difference and ratio of parity, opportunity and odds, and of the errors the difference;
        NaN where a group has nobody to compare.
        """
        rates = self.rates()
        chosen, hits, alarms = (rates[x] for x in ("chosen", "true_positive", "false_positive"))
        return {
            "parity_difference": float(np.ptp(chosen)),
            "parity_ratio": _ratio(chosen),
            "opportunity_difference": float(np.ptp(hits)),
            "opportunity_ratio": _ratio(hits),
            "odds_difference": float(np.maximum(np.ptp(hits), np.ptp(alarms))),
            "odds_ratio": float(np.minimum(_ratio(hits), _ratio(alarms))),
            "error_difference": float(np.ptp(rates["error"])),
        }


def counted(
    chance: Float[np.ndarray, "b"],
    target: Int[np.ndarray, "b"],
    group: Int[np.ndarray, "b"],
    groups: int,
) -> Float[np.ndarray, "groups 2 2"]:
    """What `Groups` counts, expected of decisions that are drawn with these chances."""
    counts = np.zeros((groups, 2, 2))
    np.add.at(counts, (group, target), np.stack([1 - chance, chance], axis=-1))
    return counts


def scores(logits: Float[Array, "b k"], batch: dict[str, Any], groups: int = 2) -> dict[str, Any]:
    """How the groups of `batch["group"]`, integers (b,), are treated ("groups"), by logits of two
    classes; those that are not finite decide nothing.
    """
    finite = jnp.isfinite(log_odds(logits))
    chosen = jnp.where(finite, jnp.argmax(logits, axis=-1), -1)
    return {"groups": Groups.of(chosen, batch["target"], group_of(batch), groups)}


def penalised(
    loss: Loss, weight: Any, *, by: By = "parity", sharpness: Any = 1.0, groups: int = 2
) -> Loss:
    """A loss of two classes' logits and, times `weight`, the penalty for treating groups of
    `batch["group"]` unlike: the sum over pairs of (mean chance of being chosen - the other's)^2.

    sharpness: of the chance, sigmoid(sharpness * log-odds); 1 is the model's own, and the larger it
        is, the nearer are chances to decisions, which may be unlike where chances are alike.
    by: among all; among the positive (opportunity); among the positive and among the others (odds).
    A group that a batch has nobody of is passed over; of one beyond `groups` the penalty is NaN.
    Cf. Kamishima, Akaho and Sakuma, "Fairness-aware learning through regularization approach"
    (2011), whose penalty is the mutual information.
    """

    limits.one_of("A penalty's by", by, get_args(By))

    def penal(logits: Any, batch: dict[str, Any]) -> dict[str, Any]:
        measured = loss(logits, batch)
        chance = jax.nn.sigmoid(sharpness * log_odds(logits))
        group = group_of(batch)
        member = jax.nn.one_hot(group, groups)
        positive = batch["target"].astype(jnp.float32)
        among = {
            "parity": [jnp.ones_like(positive)],
            "opportunity": [positive],
            "odds": [positive, 1 - positive],
        }[by]
        penalty = sum(_unlike(chance, member * who[:, None]) for who in among)
        penalty = jnp.where((group >= groups).any(), jnp.nan, penalty)
        mean = measured["loss"]
        total = mean.total + weight * penalty * mean.count
        return measured | {
            "loss": metrics.Mean(total, mean.count),
            "penalty": metrics.Mean.of(penalty),
        }

    return penal


def weights(target: Int[np.ndarray, "n"], group: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Of each example, P(group) P(target) / P(group, target): so weighted, targets do not depend
    on the group. As a batch's "mask" they weight `classification.cross_entropy`.

    Reweighing: Kamiran and Calders, "Data preprocessing techniques for classification without
    discrimination" (2012).
    """
    groups, classes = (np.unique(x, return_inverse=True)[1] for x in (group, target))
    joint = np.zeros((groups.max() + 1, classes.max() + 1))
    np.add.at(joint, (groups, classes), 1 / len(target))
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return (apart[groups, classes] / joint[groups, classes]).astype(np.float32)


def _unlike(chance: Float[Array, "b"], member: Float[Array, "b g"]) -> Float[Array, ""]:
    """The sum over pairs of groups of their means' squared difference."""
    count = member.sum(0)
    mean = (member * chance[:, None]).sum(0) / jnp.maximum(count, 1)
    there = (count > 0).astype(jnp.float32)
    apart = (mean[:, None] - mean[None]) ** 2 * there[:, None] * there[None]
    return apart.sum() / 2


def _ratio(rates: np.ndarray) -> float:
    """The smallest over the largest."""
    return float(rates.min() / rates.max()) if rates.max() > 0 else float("nan")


def log_odds(logits: Float[Array, "b k"]) -> Float[Array, "b"]:
    """Of the second of two classes."""
    if logits.shape[-1] != 2:
        raise errors.InputError(
            f"Fairness must be of logits of 2 classes, got {logits.shape[-1]}. "
            "Give logits of the class that people want, and of all others."
        )
    return logits[:, 1].astype(jnp.float32) - logits[:, 0].astype(jnp.float32)


def group_of(batch: dict[str, Any]) -> Any:
    """The group of each example, integers (b,)."""
    if "group" not in batch:
        raise errors.InputError(
            f'Examples must have a "group" beside {", ".join(sorted(batch))}, got none.'
        )
    return batch["group"]
