"""Layer-wise relevance propagation: a score handed down through the layers, each of which shares
out what it gets among its inputs (Bach et al. 2015, "On pixel-wise explanations for non-linear
classifier decisions by layer-wise relevance propagation").

Rules as in Montavon et al. (2019), "Layer-wise relevance propagation: an overview". With relevance
= value times gradient the propagation is one backward pass, in which only the linear layers have
another derivative (section 10.4 there): relu and pooling hand relevance on as they do gradients.
"""

from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.analysis import attribution
from jaxdl.nn import convolution, dense, limits

_LINEAR = (nn.Dense, nn.Conv, dense.Dense, convolution.PooledConv)
_STABLE = 1e-9  # keeps divisors off zero where a rule has none of its own
# What no rule is known for: nonlinear, and not linear in pieces as relu and max are.
_CURVED = {"tanh", "logistic", "erf", "exp", "exp2", "log", "log1p", "rsqrt", "sqrt", "sin", "cos"}


def relevance(
    score: attribution.Score,
    x: Any,
    rule: str = "epsilon",
    *,
    epsilon: float = 1e-6,
    gamma: float = 0.25,
) -> Float[Array, "b *shape"]:
    """How much of the score comes from each value of the input: R_i = Σ_j x_i ρ(w_ij) R_j / z_j.

    rule: "epsilon": ρ(w) = w, z_j = Σ_i x_i w_ij + b_j + ε sign(z_j). "gamma": ρ(w) = w + γ max(0,
        w), biases as they are. "z+": ρ(w) = max(0, w), no biases.
    Of a network of dense layers, convolutions, relu and pools; what biases get is lost.
    errors.InputError: the network has something else, such as a tanh, a norm or attention.
    """
    if rule not in ("epsilon", "gamma", "z+"):
        raise errors.InputError(f"A rule of relevance must be epsilon, gamma or z+, got {rule!r}.")
    limits.positive("Relevance's epsilon", epsilon)
    limits.at_least(0, "Relevance's gamma", gamma)
    x = jnp.asarray(x)
    curved = set(_primitives(jax.make_jaxpr(score)(x).jaxpr)) & _CURVED
    if curved:
        raise errors.InputError(
            "Relevance must be of a network of dense layers, convolutions, relu and pools, "
            f"got {', '.join(sorted(curved))}. Use integrated gradients."
        )
    changed = {"epsilon": _same, "gamma": _more(gamma), "z+": _positive}[rule]
    least = epsilon if rule == "epsilon" else _STABLE
    return x * attribution.gradient(_sharing(score, changed, least), x)


def _sharing(
    score: attribution.Score, changed: Callable[[dict[str, Any]], dict[str, Any]], least: float
) -> attribution.Score:
    """The same score with another derivative of its linear layers."""
    busy = False
    met = 0

    def share(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal busy, met
        module = context.module
        if busy or not isinstance(module, _LINEAR) or context.method_name != "__call__":
            return call(*args, **kwargs)
        busy, met = True, met + 1
        pool = getattr(module, "pool", _same)  # of PooledConv: after the sharing, not within it
        pooled: Any = {"pool": _same} if isinstance(module, convolution.PooledConv) else {}
        alone: Any = module.clone(parent=None, name=None, **pooled)
        params = dict(module.variables["params"])
        y = alone.apply({"params": params}, *args)
        z = alone.apply({"params": changed(params)}, *args)
        busy = False
        divisor = z + jnp.where(z < 0, -least, least)
        shared = z * jax.lax.stop_gradient(y / divisor)
        # The value is y's to the last bit, so that pools above find the same maxima.
        return pool(jax.lax.stop_gradient(y) + (shared - jax.lax.stop_gradient(shared)))

    def scored(x: Any) -> Array:
        with nn.intercept_methods(share):
            said = score(x)
        if not met:
            raise errors.InputError(
                "Relevance must be of a network of Flax's dense layers or convolutions, got none "
                "(jax.jit hides them). Use integrated gradients."
            )
        return said

    return scored


def _same(x: Any) -> Any:
    return x


def _more(gamma: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda params: {
        **params,
        "kernel": params["kernel"] + gamma * jnp.maximum(params["kernel"], 0),
    }


def _positive(params: dict[str, Any]) -> dict[str, Any]:
    zero = {"bias": jnp.zeros_like(params["bias"])} if "bias" in params else {}
    return {**params, "kernel": jnp.maximum(params["kernel"], 0), **zero}


def _primitives(jaxpr: Any) -> Iterator[str]:
    """The names of all operations, those of inner functions too."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from _primitives(inner)
