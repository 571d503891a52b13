"""What learners that lead noise to data share: labels left out, guidance, scores of samples.

Classifier-free guidance: Ho and Salimans (2022). The learners: denoising.py, flow_matching.py.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors, learner, metrics, summary
from jaxdl.learners import gradient

Scalar = gradient.Scalar
# (data, key) -> a point of a path between noise and the data, its time in [0, 1] for each example,
# and what the network is to say there
Path = Callable[[Any, Any], tuple[Any, Any, Any]]
# (variables, key, shape, label) -> samples of this shape; label is integers (b,) or None
Generate = Callable[[gradient.Variables, Any, tuple[int, ...], Any], Any]
Network = Callable[[Any, Any], Any]  # (points, time) -> what is learnt of them; time is a scalar
Scores = Callable[[Any, Any], learner.Metrics]  # (samples, batch) -> metrics

_QUARTERS = 4


def regression(
    model: Any,
    path: Path,
    optimizer: optax.GradientTransformation,
    *,
    forget: Scalar | None = None,
    generate: Generate | None = None,
    scores: Scores | None = None,
    **options: Any,
) -> learner.Learner:
    """A learner of what to say at random points of the paths of `batch["input"]`.

    model: called as `model(points, time, label, train=...)`; a label of -1 means no class.
    forget: the share of labels `batch["target"]` that training leaves out, so that the model learns
        both with and without; Ho and Salimans take 0.1 to 0.2. None never shows the model a label.
    generate, scores: an evaluation draws as many samples as its batch has examples, for their
        labels, and `scores(samples, batch)` joins its metrics. Both or neither.
    options: clip, microbatches, average and freeze, see `gradient.minimise`.

    Metrics: "loss" is the mean square error over examples and elements; "loss_0" to "loss_3" are
    that of the points in each quarter of time: some times are harder, and their sizes differ by
    far, so that the loss alone hides which part still learns.
    """
    _check(forget, generate, scores)

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        x = batch["input"]
        label = None if forget is None else batch["target"]
        return gradient.initial(model, key, x, jnp.zeros(len(x)), label, train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        path_key, label_key, model_key = jax.random.split(key, 3)
        points, time, target = path(batch["input"], path_key)
        label = None if forget is None else forgotten(batch["target"], label_key, forget)
        outputs, after = gradient.applied(
            model, variables, model_key, points, time, label, train=True
        )
        return _losses(outputs, target, time), after

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        path_key, sample_key = jax.random.split(key)
        points, time, target = path(batch["input"], path_key)
        label = None if forget is None else batch["target"]
        measured = _losses(model.apply(variables, points, time, label, train=False), target, time)
        if generate is None or scores is None:
            return measured
        samples = generate(variables, sample_key, batch["input"].shape, label)
        return measured | scores(samples, batch)

    return gradient.minimise(begin, objective, optimizer, evaluate=evaluate, **options)


def network(
    model: Any, variables: gradient.Variables, label: Any, guidance: Scalar | None
) -> Network:
    """The trained model as a function of points and time, for these labels.

    guidance: how far to go from what the model says without the label to what it says with it: 1 is
    with it, and as None; more than 1 exaggerates the class (Ho and Salimans' w is one less).
    errors.InputError: there is guidance, but no label.
    """
    if guidance is not None and label is None:
        raise errors.InputError("guidance must come with labels, got a label of None.")

    def predict(x: Any, time: Any) -> Any:
        times = jnp.full(len(x), time)
        if guidance is None:
            return model.apply(variables, x, times, label, train=False)
        labels = jnp.concatenate([label, jnp.full_like(label, -1)])
        both = model.apply(
            variables,
            jnp.tile(x, (2, *[1] * (x.ndim - 1))),
            jnp.tile(times, 2),
            labels,
            train=False,
        )
        informed, plain = jnp.split(both, 2)
        return plain + guidance * (informed - plain)

    return predict


def forgotten(label: Int[Array, "b"], key: Any, rate: Scalar) -> Int[Array, "b"]:
    """The labels with a random share of them -1."""
    return jnp.where(jax.random.uniform(key, label.shape) < rate, -1, label)


def pictures(
    generate: Generate,
    shape: tuple[int, ...],
    label: Any = None,
    show: Callable[[Any], Any] = lambda samples: (samples + 1) / 2,
) -> Callable[[gradient.State, learner.Key], summary.Image]:
    """A summary: samples of this shape and these labels as an image.

    show: samples -> pixels; as it is, for images in [-1, 1].
    """
    shown = jax.jit(lambda variables, key: show(generate(variables, key, shape, label)))
    return lambda state, key: summary.Image(shown(gradient.variables(state), key))


def _losses(
    outputs: Float[Array, "b *d"], target: Float[Array, "b *d"], time: Float[Array, "b"]
) -> learner.Metrics:
    squares = (outputs - target) ** 2
    part = jnp.minimum((_QUARTERS * time).astype(jnp.int32), _QUARTERS - 1)
    return {"loss": metrics.Mean.of(squares)} | {
        f"loss_{i}": metrics.Mean.of(squares, over(part == i, squares)) for i in range(_QUARTERS)
    }


def over(values: Float[Array, "b"] | Bool[Array, "b"], x: Any) -> Any:
    """One value for each example, with axes of length 1 where x has others."""
    return values.reshape(-1, *[1] * (x.ndim - 1))


def _check(forget: Scalar | None, generate: Generate | None, scores: Scores | None) -> None:
    if isinstance(forget, float | int) and not 0 <= forget < 1:
        raise errors.InputError(f"forget must be a share of labels in [0, 1), got {forget}.")
    if (generate is None) != (scores is None):
        given, missing = ("scores", "generate") if generate is None else ("generate", "scores")
        raise errors.InputError(f"{given} must come with {missing}, got one alone.")
