"""Looks into the layers of a Linen model through any function that runs it, such as a learner's
`predict`: nothing of the model or of how it was taught needs to be known. Layers are met as Python
calls them, so the function must not have been compiled by `jax.jit` (`attribution.scores` unwraps
one that has).

Grad-CAM: Selvaraju et al. (2017), "Grad-CAM: visual explanations from deep networks via
gradient-based localization".
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.analysis import attribution
from jaxdl.nn import attention, convolution

CONVOLUTIONS = (nn.Conv, convolution.PooledConv)


class Layer(NamedTuple):
    """A module that a model calls: its path, "encoder/norm", its kind, and what it takes and gives.

    given, made: shape and dtype of the first argument and of the output; None of what is no array.
    """

    path: str
    kind: type
    given: Any
    made: Any


def layers(function: Callable[[Any], Any], x: Any) -> list[Layer]:
    """The modules that are called as the function runs on inputs, in the order of their beginnings,
    at the cost of tracing it.
    """
    found: list[Layer] = []

    def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if not _called(context):
            return call(*args, **kwargs)
        at = len(found)
        module = context.module
        found.append(Layer("/".join(module.path), type(module), _aval(args and args[0]), None))
        out = call(*args, **kwargs)
        found[at] = found[at]._replace(made=_aval(out))
        return out

    with nn.intercept_methods(watch):
        jax.eval_shape(lambda x: function(x), x)  # a new function: JAX keeps what it has traced
    return found


def split(
    score: attribution.Score, x: Any, path: str, *, before: bool = False
) -> tuple[Array, attribution.Score]:
    """What a layer makes of the inputs, and the score as a function of that: the network above it.

    path: as of `layers`; before: whether what the layer is given is meant in place of its output.
    errors.InputError: the layer is not there, or called more than once.
    """
    known = [layer.path for layer in layers(score, x)]
    if known.count(path) != 1:
        raise errors.InputError(
            f"A layer must be called once, got {path!r}, called {known.count(path)} times. "
            f"The layers are {', '.join(dict.fromkeys(filter(None, known))) or 'none'}."
        )

    through = functools.partial(_through, score, x, path, before)
    return _one_network(lambda: through(None)[0]), lambda value: through(value)[1]


def unit(function: Callable[[Any], Any], path: str, channel: int) -> attribution.Score:
    """The mean of one channel of a layer's output, as a score: what a unit's picture climbs.

    function: runs the model on inputs, whatever it returns.
    """

    def score(x: Any) -> Array:
        maps = _through(function, x, path, False, None)[0]
        return maps[..., channel].reshape(len(maps), -1).mean(-1)

    return score


def embedded(score: attribution.Score, x: Any) -> tuple[Array, attribution.Score]:
    """Tokens (b, t) as the vectors (b, t, d) that the first layer reads, and the score of those.

    A baseline is the vectors of other tokens, such as padding, from another call: zeros are nothing
    that a network has seen, and a layer norm reads them like any other length of the same vector.
    """
    x = jnp.asarray(x)
    for layer in layers(score, x):
        if layer.given is not None and layer.given.ndim == 3 and layer.given.shape[:2] == x.shape:
            return split(score, x, layer.path, before=True)
    raise errors.InputError(
        f"A model of tokens must have a layer that reads vectors ({len(x)}, {x.shape[-1]}, d), got "
        "none. Use occlusion or kernel SHAP, which need no gradient."
    )


def grad_cam(
    score: attribution.Score, x: Any, path: str | None = None
) -> Float[Array, "b *space 1"]:
    """relu(Σ_c α_c A_c) of a convolution's maps A, α_c the mean of ∂ score / ∂ A_c over space
    (equations 1 and 2), enlarged to the images by linear interpolation.

    path: of the layer; None takes the last convolution whose output has space.
    """
    x = jnp.asarray(x)
    if path is None:
        path = _last_convolution(score, x)
    maps, above = split(score, x, path)
    if maps.ndim != x.ndim or x.ndim < 3:
        raise errors.InputError(
            f"Grad-CAM's layer must give maps like the inputs {list(x.shape)}, "
            f"got {list(maps.shape)} of {path}."
        )
    space = tuple(range(1, x.ndim - 1))
    weights = attribution.gradient(above, maps).mean(space, keepdims=True)
    heat = jax.nn.relu((weights * maps).sum(-1, keepdims=True))
    return jax.image.resize(heat, (*x.shape[:-1], 1), "linear")


def attention_weights(
    function: Callable[[Any], Any], x: Any
) -> list[tuple[str, Float[Array, "b h t s"]]]:
    """The path and the weights of every layer of attention, in the order in which they are read.

    errors.InputError: the model has none.
    """
    found: list[tuple[str, Array]] = []
    busy = False

    def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal busy
        module = context.module
        if busy or not isinstance(module, attention.MultiHead) or not _called(context):
            return call(*args, **kwargs)
        busy = True
        variables = {"params": module.variables["params"]}
        alone: Any = module.clone(parent=None, name=None)
        _, kept = alone.apply(variables, *args, **kwargs, mutable=["intermediates"])
        busy = False
        found.append(("/".join(module.path), kept["intermediates"]["weights"][0]))
        return call(*args, **kwargs)

    def run() -> list[Array]:
        with nn.intercept_methods(watch):
            function(x)
        return [weights for _, weights in found]

    weights = _one_network(run)
    if not weights:
        raise errors.InputError(
            "The model must have attention for a rollout of it, got none. "
            "Use a method that reads gradients or hides parts of the input."
        )
    return [(path, one) for (path, _), one in zip(found, weights, strict=True)]


def _through(
    function: Callable[[Any], Any], x: Any, path: str, before: bool, put: Array | None
) -> tuple[Array, Any]:
    """The value at a layer, and what the function says with `put` in its place if given."""
    kept: list[Array] = []

    def stop(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if not _called(context) or "/".join(context.module.path) != path:
            return call(*args, **kwargs)
        if before:
            kept.append(args[0])
            return call(args[0] if put is None else put, *args[1:], **kwargs)
        kept.append(call(*args, **kwargs))
        return kept[0] if put is None else put

    with nn.intercept_methods(stop):
        said = function(x)
    return kept[0], said


def _called(context: Any) -> bool:
    """Whether a module is called, and not one of its other methods."""
    return context.method_name == "__call__"


def _last_convolution(score: attribution.Score, x: Array) -> str:
    for layer in reversed(layers(score, x)):
        maps = layer.made
        if issubclass(layer.kind, CONVOLUTIONS) and maps is not None and max(maps.shape[1:-1]) > 1:
            return layer.path
    raise errors.InputError(
        "Grad-CAM must be of a model with convolutions whose outputs have space, got none. "
        "Use saliency or integrated gradients."
    )


def _one_network(make: Callable[[], Any]) -> Any:
    """What was taken out of a model, which must not have run under vmap or nn.remat, where it has
    no meaning outside.
    """
    try:
        return jax.tree.map(lambda x: x + jnp.zeros_like(x), make())
    except jax.errors.UnexpectedTracerError as error:
        raise errors.InputError(
            "A look inside must be of one network that keeps what it computes, got several side by "
            "side, as of an ensemble or a cross-validation, or one with remat. Make the model with "
            'remat="none", or use saliency, integrated gradients or occlusion.'
        ) from error


def _aval(value: Any) -> Any:
    if isinstance(value, jax.Array):
        return jax.ShapeDtypeStruct(value.shape, value.dtype)
    return None
