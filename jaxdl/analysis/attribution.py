"""How much each part of an input counts for what a network says, by the gradient of its score.

Saliency: Simonyan, Vedaldi and Zisserman (2013), "Deep inside convolutional networks". SmoothGrad:
Smilkov et al. (2017). Integrated gradients: Sundararajan, Taly and Yan (2017), "Axiomatic
attribution for deep networks". Gradient SHAP: Erion et al. (2019), "Improving performance of deep
learning models with axiomatic attribution priors", and Lundberg's `shap`.

Guided back-propagation (Springenberg et al. 2014) is left out, though its maps are the prettiest: a
map that explains a network must change with it, and its do not (Adebayo et al. 2018, "Sanity checks
for saliency maps"). In the network of experiments/digits_explain.py with the last layer drawn anew
they still have a rank correlation of 0.82 with those of the trained one, with all layers drawn anew
0.36; saliency has 0.50 and 0.06 (`pointing.alike`, 500 images).

Every method takes a score, a function of the inputs (b, ...) with a number for each of them, and
the inputs, and returns an attribution of their shape. `inside.embedded` makes tokens floats.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdl import errors, learner
from jaxdl.nn import limits

# Inputs (b, ...) -> the score of each (b,), which depends on that input alone.
Score = Callable[[Any], Float[Array, "b"]]
# (score, inputs, key) -> an attribution of the inputs' shape, as of the functions here.
Method = Callable[[Score, Any, Any], Any]

_TOGETHER = 64  # evaluations of a batch that run side by side; more go one after another


def scores(
    predict: Callable[[Any, learner.Batch], Any] | None,
    state: Any,
    batch: learner.Batch,
    target: Any = None,
) -> Score:
    """The score of a learner's predictions, of `batch["input"]` in the place of the batch's own.

    predict: of a `learner.Learner`; its outputs are (b, k), or a number for each example; of a
        sequence (b, t, k) the last step's count.
    target: which output is the score, one for all or (b,); None takes the largest, so for classes
        the one that is predicted.
    errors.InputError: no `predict`, no input, or outputs of another shape.
    """
    outputs = _reader(predict, state, batch)
    if target is None:
        chosen = jnp.argmax(outputs(batch["input"]), -1)
    else:
        shape = jax.eval_shape(outputs, batch["input"]).shape
        _check_target(target, shape)
        chosen = jnp.broadcast_to(jnp.asarray(target, jnp.int32), shape[:1])
    return lambda x: jnp.take_along_axis(outputs(x), chosen[:, None], axis=-1)[:, 0]


def predicted(
    predict: Callable[[Any, learner.Batch], Any] | None, state: Any, batch: learner.Batch
) -> Int[Array, "b"]:
    """Which output is the largest, of each example: what `scores` explains without a target."""
    return jnp.argmax(_reader(predict, state, batch)(batch["input"]), -1)


def saliency(score: Score, x: Any) -> Float[Array, "b *shape"]:
    """|∂ score / ∂ x|: how much the score moves with each value."""
    return jnp.abs(gradient(score, x))


def gradient(score: Score, x: Any) -> Float[Array, "b *shape"]:
    """∂ score / ∂ x, of every example's score to its own input."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise errors.InputError(
            f"An input whose gradient is taken must hold floats, got {x.dtype}. "
            "Of tokens take inside.embedded, or occlusion and Shapley values, which need none."
        )
    return jax.grad(lambda x: score(x).sum())(x)


def smooth_grad(
    score: Score, x: Any, key: Any, *, samples: int = 32, noise: float = 0.15
) -> Float[Array, "b *shape"]:
    """The mean of the gradients at inputs with normal noise added.

    noise: its standard deviation, in parts of each input's range (the paper's figure 3: 0.1 to
        0.2).
    """
    limits.at_least(1, "SmoothGrad's samples", samples)
    limits.positive("SmoothGrad's noise", noise)
    x = jnp.asarray(x)
    axes = tuple(range(1, x.ndim))
    width = noise * (x.max(axes, keepdims=True) - x.min(axes, keepdims=True))
    return _mean(
        lambda key: gradient(score, x + width * jax.random.normal(key, x.shape, x.dtype)),
        jax.random.split(key, samples),
    )


def integrated_gradients(
    score: Score, x: Any, baseline: Any = 0.0, *, steps: int = 32
) -> Float[Array, "b *shape"]:
    """(x - x') ∫₀¹ ∂ score(x' + α (x - x')) / ∂ x dα, by Gauss and Legendre's rule (equation 1).

    baseline: x', of x's shape or one that broadcasts: an input that says nothing.
    The sum over an input is score(x) - score(x'), but for the rule's error: see `incompleteness`.
    """
    limits.at_least(1, "Integrated gradients' steps", steps)
    x = jnp.asarray(x)
    way = x - _like(baseline, x)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    points = jnp.asarray((nodes + 1) / 2, x.dtype), jnp.asarray(weights / 2, x.dtype)

    def part(point: Any) -> Array:
        at, weight = point
        return weight * gradient(score, x - (1 - at) * way)

    return way * steps * _mean(part, points)


def gradient_shap(
    score: Score, x: Any, background: Any, key: Any, *, samples: int = 64
) -> Float[Array, "b *shape"]:
    """Integrated gradients in expectation over a background (m, ...) of inputs: each sample takes
    one of them and a point of the way by chance.
    """
    limits.at_least(1, "Gradient SHAP's samples", samples)
    x, background = jnp.asarray(x), jnp.asarray(background)
    if background.ndim != x.ndim or not len(background):
        raise errors.InputError(
            f"Gradient SHAP's background must be inputs (m, ...) like {list(x.shape)}, "
            f"got {list(background.shape)}."
        )

    def part(key: Any) -> Array:
        which, where = jax.random.split(key)
        way = x - background[jax.random.randint(which, (len(x),), 0, len(background))]
        at = jax.random.uniform(where, (len(x), *[1] * (x.ndim - 1)), x.dtype)
        return way * gradient(score, x - (1 - at) * way)

    return _mean(part, jax.random.split(key, samples))


def incompleteness(
    attribution: Float[Array, "b *shape"], score: Score, x: Any, baseline: Any = 0.0
) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
    """How far each attribution's sum is from score(x) - score(x'), and the size of that.

    The sum of the one over the sum of the other is the relative error of a batch.
    """
    x = jnp.asarray(x)
    change = score(x) - score(_like(baseline, x))
    return jnp.abs(attribution.reshape(len(x), -1).sum(-1) - change), jnp.abs(change)


def _like(baseline: Any, x: Array) -> Array:
    """A baseline in the shape of the inputs, a single example's for all of them."""
    given = jnp.asarray(baseline, x.dtype)
    given = given.reshape(*[1] * (x.ndim - given.ndim), *given.shape)
    if given.ndim > x.ndim or any(
        n not in (1, m) for n, m in zip(given.shape, x.shape, strict=True)
    ):
        raise errors.InputError(
            f"A baseline must broadcast to the inputs {list(x.shape)}, got {list(given.shape)}."
        )
    return jnp.broadcast_to(given, x.shape)


def _mean(part: Callable[[Any], Array], over: Any) -> Array:
    """The mean of part(o), as many at once as fit well."""
    count = len(jax.tree.leaves(over)[0])
    return jax.lax.map(part, over, batch_size=min(count, _TOGETHER)).mean(0)


def _reader(
    predict: Callable[[Any, Any], Any] | None, state: Any, batch: Any
) -> Callable[[Any], Array]:
    """Inputs -> predictions (b, k)."""
    if predict is None:
        raise errors.InputError("An explanation must be of a learner with `predict`.")
    if not isinstance(batch, dict) or "input" not in batch:
        raise errors.InputError(
            "An explanation's batch must be a dict with an input, got "
            f"{', '.join(batch) if isinstance(batch, dict) else type(batch).__name__}."
        )
    plain: Any = getattr(predict, "__wrapped__", predict)  # of jax.jit, which would hide the layers
    return functools.partial(_outputs, plain, state, batch)


def _outputs(predict: Callable[[Any, Any], Any], state: Any, batch: dict[str, Any], x: Any) -> Any:
    """Predictions (b, k) of the inputs."""
    found = predict(state, jax.tree.map(jnp.asarray, {**batch, "input": x}))
    shape = getattr(found, "shape", ())
    if len(shape) == 1:
        found = found[:, None]
    elif len(shape) == 3:
        found = found[:, -1]
    if getattr(found, "ndim", 0) != 2 or len(found) != len(x):
        said = list(shape) if hasattr(found, "shape") else type(found).__name__
        raise errors.InputError(
            "An explanation's outputs must be (b, k), one number or classes for each example, "
            f"got {said} of {len(x)} examples. Write a score of your own: inputs -> (b,)."
        )
    return found


def _check_target(target: Any, shape: tuple[int, ...]) -> None:
    try:
        given = np.asarray(target)
    except jax.errors.TracerArrayConversionError:
        return  # its value is not known yet
    if given.shape not in ((), shape[:1]) or given.dtype.kind not in "iu":
        raise errors.InputError(
            f"A target must be an integer or {shape[0]} of them, got {given.dtype}"
            f"{list(given.shape)}."
        )
    if given.min() < 0 or given.max() >= shape[1]:
        raise errors.InputError(
            f"A target must be in 0..{shape[1] - 1}, got {given.min()} to {given.max()}."
        )
