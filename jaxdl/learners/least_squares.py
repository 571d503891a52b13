"""A linear read-out of fixed features by ridge regression, exact and in one pass over the data.

Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems" (1970). The
state sums what the normal equations need, so after one epoch, in whatever batches, the solution is
that of all of the data; further epochs count every example as often and change nothing.

Logged: loss, the mean squared error; accuracy, where there are classes. In training both are of the
solution with the batch taken in.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import learner, metrics
from jaxdl.learners import gradient
from jaxdl.losses import classification, regression
from jaxdl.nn import limits

SHARP = jax.lax.Precision.HIGHEST  # squares of what is nearly dependent


class State(NamedTuple):
    """The features' variables, and sums over examples of φφᵀ, of φyᵀ, and how many they were."""

    features: gradient.Variables
    gram: Float[Array, "p p"]
    moment: Float[Array, "p k"]
    count: Float[Array, ""]


def ridge(
    features: nn.Module, penalty: gradient.Scalar, *, classes: int | None = None
) -> learner.Learner:
    """A learner of W that minimises mean |y - Wᵀφ(x)|² + penalty |W|², φ(x) followed by a one.

    features: a module called as `features(input)`, with outputs (b, p); it stays as initialised.
    penalty: not negative; the intercept is free. scikit-learn's `alpha` is penalty · examples.
    classes: how many, where the targets are integers; y is then one of so many unit vectors.
    """
    limits.at_least(0, "A ridge's penalty", penalty)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        variables = gradient.initial(features, key, batch["input"])
        size, width = _design(variables, batch).shape[1], _targets(batch).shape[1]
        gram, moment = jnp.zeros((size, size)), jnp.zeros((size, width))
        return State(variables, gram, moment, jnp.zeros(()))

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        design, wanted = _design(state.features, batch), _targets(batch)
        state = State(
            state.features,
            state.gram + jnp.matmul(design.T, design, precision=SHARP),
            state.moment + jnp.matmul(design.T, wanted, precision=SHARP),
            state.count + len(design),
        )
        return state, evaluate(state, batch, key)

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        return scores(predict(state, batch), batch)

    def predict(state: State, batch: learner.Batch) -> Float[Array, "b k"]:
        design = _design(state.features, batch)
        return jnp.matmul(design, weights(state, penalty), precision=SHARP)  # large ones cancel

    def _design(variables: gradient.Variables, batch: learner.Batch) -> Float[Array, "b p"]:
        outputs: Any = features.apply(variables, batch["input"])
        return jnp.concatenate([outputs, jnp.ones((len(outputs), 1), outputs.dtype)], axis=1)

    def _targets(batch: learner.Batch) -> Float[Array, "b k"]:
        target = batch["target"]
        return target if classes is None else jax.nn.one_hot(target, classes)

    return learner.Learner(init, step, evaluate, predict)


def scores(outputs: Float[Array, "b k"], batch: learner.Batch) -> learner.Metrics:
    """The squared error, of classes that of their unit vectors, and then the accuracy."""
    target = batch["target"]
    if jnp.issubdtype(target.dtype, jnp.floating):
        return regression.squared_error(outputs, batch)
    return {
        "loss": metrics.Mean.of((outputs - jax.nn.one_hot(target, outputs.shape[1])) ** 2),
        "accuracy": classification.cross_entropy(outputs, batch)["accuracy"],
    }


def weights(state: State, penalty: gradient.Scalar) -> Float[Array, "p k"]:
    """The solution for what has been seen, of each feature and last the intercept; 0 of nothing."""
    count = jnp.maximum(state.count, 1)
    free = jnp.arange(len(state.gram)) == len(state.gram) - 1
    held = jnp.where(free, 0, penalty) + jnp.where(state.count > 0, 0.0, 1.0)
    return jax.scipy.linalg.solve(
        state.gram / count + jnp.diag(held), state.moment / count, assume_a="pos"
    )
