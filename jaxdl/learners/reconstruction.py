"""Learning to rebuild the input from a code, from a noisy copy, or from a part of it.

Autoencoder: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks"
(2006). Denoising and masking: Vincent et al., "Extracting and composing robust features with
denoising autoencoders" (2008). Sparse: the penalty on the code's size of Olshausen and Field,
"Emergence of simple-cell receptive field properties" (1996); codes of k units come with the model.

What is logged:
- loss: what is minimised: the mean squared error over the elements that count, all of them or, of
  masked inputs, the hidden ones; and the penalty where there is one.
- error: the squared error alone, where there is a penalty.
- input_error: that of the corrupted input itself, where there is a corruption: what doing nothing
  costs.
- explained: the part of the elements' variance over the examples that the outputs explain; 0 is
  that of the mean example, 1 is all.
- code/active: how many units of a code differ from zero, in the mean.
- code/dead: the part of the units that are zero in every code.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdl import errors, learner, metrics, summary
from jaxdl.learners import gradient

# (inputs, key) -> what the model is given, and which elements count: 1 or 0 in the inputs' shape
Corruption = Callable[[Any, Any], tuple[Any, Any]]
Scores = Callable[[gradient.Variables, Any, Any], learner.Metrics]  # (variables, batch, key)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Explained:
    """The explained part of the variance, from sums over the examples; all but `error` have the
    shape of an example.
    """

    error: Any
    total: Any
    squares: Any
    count: Any

    @classmethod
    def of(cls, x: Array, outputs: Array, counted: Array) -> "Explained":
        """Sums over a batch, of the elements that count."""
        error = (counted * (outputs - x) ** 2).sum()
        return cls(error, (counted * x).sum(0), (counted * x**2).sum(0), counted.sum(0))

    def value(self) -> float:
        """1 - squared errors / squared deviations from the mean example."""
        total, count = (np.asarray(x, np.float64) for x in (self.total, self.count))
        deviation = (self.squares - total**2 / np.maximum(count, 1)).sum()
        return float(1 - self.error / deviation) if deviation > 0 else float("nan")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Use:
    """In how many codes each unit differs from zero, (units,), and how many codes there were."""

    codes: Any
    count: Any

    @classmethod
    def of(cls, code: Array) -> "Use":
        """Counted over a batch."""
        return cls((code != 0).sum(0).astype(jnp.uint32), jnp.uint32(len(code)))

    def value(self) -> dict[str, float]:
        """How many units a code uses, and the part that no code does."""
        codes = np.asarray(self.codes, np.float64)
        active = codes.sum() / self.count if self.count else float("nan")
        return {"active": float(active), "dead": float((codes == 0).mean())}


def autoencoder(
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    corrupt: Corruption | None = None,
    penalty: gradient.Scalar | None = None,
    scores: Scores | None = None,
    **options: Any,
) -> learner.Learner:
    """A learner that rebuilds `batch["input"]`.

    model: called as `model(x, train=...)` it gives a code and the outputs, as those of
        models/autoencoder.py do.
    corrupt: what is done to the input before the model is given it: `noise`, `mask`, or your own.
    penalty: weight of a code's sum of absolute values, a mean over the examples.
    scores: further metrics of an evaluation.
    options: clip, microbatches, average and freeze, see `gradient.minimise`.
    """
    if isinstance(penalty, float | int) and penalty < 0:
        raise errors.InputError(f"penalty must be at least 0, got {penalty}.")

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        return gradient.initial(model, key, batch["input"], train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        x, (corrupt_key, key) = batch["input"], jax.random.split(key)
        seen, counted = _corrupted(corrupt, x, corrupt_key)
        (code, outputs), statistics = gradient.applied(model, variables, key, seen, train=True)
        return _measured(x, seen, counted, code, outputs, penalty), statistics

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        x, (corrupt_key, scores_key) = batch["input"], jax.random.split(key)
        seen, counted = _corrupted(corrupt, x, corrupt_key)
        code, outputs = model.apply(variables, seen, train=False)
        measured = _measured(x, seen, counted, code, outputs, penalty)
        return measured | (scores(variables, batch, scores_key) if scores else {})

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Array:
        return model.apply(variables, batch["input"], train=False)[1]

    return gradient.minimise(
        begin, objective, optimizer, evaluate=evaluate, predict=predict, **options
    )


def noise(deviation: gradient.Scalar) -> Corruption:
    """Normal noise of this standard deviation on every element; all count."""
    if isinstance(deviation, float | int) and deviation < 0:
        raise errors.InputError(f"The noise's deviation must be at least 0, got {deviation}.")

    def corrupt(x: Array, key: learner.Key) -> tuple[Array, Array]:
        return x + deviation * jax.random.normal(key, x.shape, x.dtype), jnp.ones_like(x)

    return corrupt


def mask(rate: gradient.Scalar) -> Corruption:
    """Each element is hidden, that is zero, with this probability; the hidden ones count."""
    if isinstance(rate, float | int) and not 0 < rate < 1:
        raise errors.InputError(f"The mask's rate must lie in (0, 1), got {rate}.")

    def corrupt(x: Array, key: learner.Key) -> tuple[Array, Array]:
        hidden = jax.random.bernoulli(key, rate, x.shape)
        return jnp.where(hidden, 0, x), hidden.astype(x.dtype)

    return corrupt


def pictures(
    taught: learner.Learner, batch: learner.Batch, corrupt: Corruption | None = None
) -> Callable[[gradient.State, learner.Key], summary.Image]:
    """A summary: from top to bottom each input, its corrupted copy if any, and what it is rebuilt
    as. Of any learner that predicts outputs in the shape of `batch["input"]`, images.
    """
    predict = taught.predict
    if predict is None:
        raise errors.InputError("pictures must be of a learner that predicts.")

    @jax.jit
    def pixels(state: gradient.State, key: learner.Key) -> Array:
        shown = jax.tree.map(jnp.asarray, batch)
        x = shown["input"]
        rows = [x] if corrupt is None else [x, corrupt(x, key)[0]]
        outputs = predict(state, shown | {"input": rows[-1]})
        return jnp.concatenate([*rows, outputs], axis=1)

    return lambda state, key: summary.Image(pixels(state, key))


def _corrupted(corrupt: Corruption | None, x: Array, key: Any) -> tuple[Array, Array]:
    return (x, jnp.ones_like(x)) if corrupt is None else corrupt(x, key)


def _measured(
    x: Array,
    seen: Array,
    counted: Array,
    code: Float[Array, "b n"],
    outputs: Array,
    penalty: gradient.Scalar | None,
) -> learner.Metrics:
    """What is logged; see the top of the file."""
    loss = error = metrics.Mean.of((outputs - x) ** 2, counted)
    measured = {
        "explained": Explained.of(x, jax.lax.stop_gradient(outputs), counted),
        "code": Use.of(code),
    }
    if seen is not x:  # corrupted
        measured["input_error"] = metrics.Mean.of((seen - x) ** 2, counted)
    if penalty is not None:
        size = jnp.abs(code).sum() / len(code)
        loss = metrics.Mean(error.total + penalty * size * error.count, error.count)
        measured["error"] = error
    return {"loss": loss, **measured}
