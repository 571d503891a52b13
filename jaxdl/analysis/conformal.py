"""Sets of classes, and intervals, that hold the truth as often as promised, whatever the model.

Split conformal prediction: Vovk, Gammerman and Shafer, "Algorithmic learning in a random world"
(2005); Papadopoulos et al., "Inductive confidence machines for regression" (2002). How strange a
class would be as the truth:

lac: 1 - p(class), which has the smallest sets on average: Sadinle, Lei and Wasserman, "Least
    ambiguous set-valued classifiers with bounded error levels" (2019).
aps: the probability of all likelier classes, and a random share of its own; its sets grow where
    the model is unsure: Romano, Sesia and Candès, "Classification with valid and adaptive coverage"
    (2020).

The promise: where the examples that set the threshold and the new one could have come in any order,
as draws of one distribution can, the truth is in the set with a probability of at least `coverage`,
and of less than 1 / (n + 1) more where no two examples are equally strange.
"""

import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from jaxdl import errors
from jaxdl.data import checks
from jaxdl.nn import limits

Method = Literal["lac", "aps"]


def strangeness(
    logits: Float[Array, "b k"], method: Method = "lac", key: Key[Array, ""] | None = None
) -> Float[Array, "b k"]:
    """How strange each class would be as the truth, in [0, 1].

    key: of aps, draws the random shares; without one they are whole, and sets hold the truth more
    often than promised. Of lac, unused.
    """
    known(method)
    chances = jax.nn.softmax(logits.astype(jnp.float32))
    if method == "lac":
        return 1 - chances
    order = jnp.argsort(-chances, axis=-1)
    through = jnp.cumsum(jnp.take_along_axis(chances, order, axis=-1), axis=-1)
    total = jnp.take_along_axis(through, jnp.argsort(order, axis=-1), axis=-1)
    if key is None:
        return total
    share = jax.random.uniform(key, (len(logits), 1))
    return total - (1 - share) * chances


def known(method: str) -> None:
    """Raise where there is no such method."""
    limits.one_of("A conformal method", method, get_args(Method))


def threshold(scores: Float[Array, "n"], coverage: float) -> Float[Array, ""]:
    """The ceil((n + 1) coverage)-th smallest of the truths' strangenesses, of examples that the
    learner has not learnt from; infinite where they are too few for such a promise.
    """
    checks.fraction(coverage, "coverage")
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # 0.9 is a little less than nine tenths
    if rank > len(scores):
        return jnp.full((), jnp.inf, scores.dtype)
    return jnp.sort(scores)[rank - 1]


def sets(strangenesses: Float[Array, "b k"], threshold: Float[Array, ""]) -> Bool[Array, "b k"]:
    """Which classes are not too strange; there may be none."""
    return strangenesses <= threshold


def misses(
    lower: Float[Array, "*b"], upper: Float[Array, "*b"], target: Float[Array, "*b"]
) -> Float[Array, "*b"]:
    """By how much a number lies outside an interval, negative within.

    Of quantiles that a model predicts: Romano, Patterson and Candès, "Conformalized quantile
    regression" (2019). With the prediction as both borders, the absolute error.
    """
    return jnp.maximum(lower - target, target - upper)


def widened(
    lower: Float[Array, "*b"], upper: Float[Array, "*b"], threshold: Float[Array, ""]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """The interval that keeps the promise; threshold: of `misses`."""
    return lower - threshold, upper + threshold


def halves(
    outputs: Float[Array, "b *d"],
    target: Float[Array, "b *d"],
    *,
    coverage: float = 0.9,
    splits: int = 100,
) -> dict[str, Float[Array, "splits"]]:
    """Intervals around numbers, set by one random half of unseen examples and examined on the
    other, for each of many splits; every column of a target has a threshold of its own.

    coverage: the share of targets that lie within. width: of the intervals, from end to end.
    """
    if len(outputs) < 2:
        raise errors.InputError(f"Examples must be at least 2 to be halved, got {len(outputs)}.")
    limits.at_least(1, "splits", splits)
    outputs, target = outputs.astype(jnp.float32), target.astype(jnp.float32)
    strange = misses(outputs, outputs, target).reshape(len(target), -1)
    middle = len(strange) // 2

    def one(key: Array) -> dict[str, Array]:
        order = jax.random.permutation(key, len(strange))
        first, second = strange[order[:middle]], strange[order[middle:]]
        borders = jax.vmap(lambda column: threshold(column, coverage), in_axes=1)(first)
        return {"coverage": (second <= borders[None]).mean(), "width": 2 * borders.mean()}

    return jax.lax.map(one, jax.random.split(jax.random.key(0), splits))
