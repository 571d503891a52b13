"""Layer-wise relevance propagation: a score handed down through the layers, each of which shares
out what it gets among its inputs (Bach et al. 2015, "On pixel-wise explanations for non-linear
classifier decisions by layer-wise relevance propagation").

Rules as in Montavon et al. (2019), "Layer-wise relevance propagation: an overview". With relevance
= value times gradient the propagation is one backward pass, in which only the linear layers have
another derivative (section 10.4 there): relu and pooling hand relevance on as they do gradients.
"""

from collections.abc import Callable, Sequence
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
# What is linear in its floats, or linear in pieces as relu and max are; of any other no rule is
# known.
_PIECEWISE = {
    "abs", "add", "add_any", "broadcast_in_dim", "clamp", "concatenate", "convert_element_type",
    "copy", "cumsum", "div", "dynamic_slice", "expand_dims", "gather", "max", "min", "name",
    "neg", "pad", "reduce_max", "reduce_min", "reduce_sum", "reduce_window_max",
    "reduce_window_min", "reduce_window_sum", "reshape", "rev", "select_n",
    "sharding_constraint", "slice", "split", "squeeze", "stack", "sub", "transpose", "unstack",
}  # fmt: skip
_BILINEAR = {"mul", "dot_general", "conv_general_dilated"}  # linear if one of two is a constant
_CALLS = {
    "jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2", "custom_jvp_call",
    "custom_vjp_call", "custom_vjp_call_jaxpr", "cond",
}  # fmt: skip


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
    errors.InputError: the network has something else, such as a tanh, a layer norm or attention.
    """
    if rule not in ("epsilon", "gamma", "z+"):
        raise errors.InputError(f"A rule of relevance must be epsilon, gamma or z+, got {rule!r}.")
    limits.positive("Relevance's epsilon", epsilon)
    limits.at_least(0, "Relevance's gamma", gamma)
    x = jnp.asarray(x)
    curved = _unruled(jax.make_jaxpr(score)(x).jaxpr, [True])
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


def _unruled(jaxpr: Any, reads: Sequence[bool]) -> set[str]:
    """What of the operations on the input no rule is known for, those of inner functions too.

    reads: which of the arguments depend on it. What holds no floats, such as where a relu is open,
    has no derivative and hands nothing on.
    """
    found: set[str] = set()
    alive = {v for v, read in zip(jaxpr.invars, reads, strict=True) if read}
    for equation in jaxpr.eqns:
        # A literal, which cannot be hashed, is a constant.
        given = [not hasattr(v, "val") and v in alive for v in equation.invars]
        floats = [jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in equation.outvars]
        if not any(given) or not any(floats):
            continue
        name = equation.primitive.name
        if name in _CALLS:
            # One function, or the branches of a cond, whose first argument chooses among them.
            for inner in filter(None, map(_function, jax.tree.leaves([*equation.params.values()]))):
                found |= _unruled(inner, given[len(given) - len(inner.invars) :])
        elif name in _BILINEAR and sum(given) > 1:
            found.add(f"{name} of two activations")
        elif (name == "div" and given[1]) or name not in _PIECEWISE | _BILINEAR:
            found.add(name)
        alive |= {v for v, holds in zip(equation.outvars, floats, strict=True) if holds}
    return found


def _function(value: Any) -> Any:
    """The jaxpr that a parameter of an operation is, None of anything else."""
    value = getattr(value, "jaxpr", value)
    return value if hasattr(value, "eqns") else None
