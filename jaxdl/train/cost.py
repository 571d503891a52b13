"""What a program costs, counted on its jaxpr: multiplications, equations, and whether it convolves;
and the memory that it takes once compiled.

XLA's own estimate counts the body of a loop once; this one knows how often a scan runs.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.extend.core

# What JAX calls the platforms of each backend.
PLATFORMS = {"gpu": ("gpu", "cuda", "rocm")}


class Cost(NamedTuple):
    """flops: floating-point operations of products and convolutions, loops counted as they run.

    operations: equations run, loops counted likewise: what fixed cost each kernel has is paid so
    often. A loop of unknown length counts as one turn; of branches the dearest counts, or where
    they are for different platforms (`jax.lax.platform_dependent`), this backend's.
    """

    flops: float
    operations: float
    convolves: bool


def of(jaxpr: Any) -> Cost:
    """The cost of running a (closed) jaxpr once."""
    flops, operations, convolves = 0.0, 0.0, False
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        inner = _branch(equation) if equation.primitive.name == "cond" else _inner(equation)
        flops += turns * sum(cost.flops for cost in inner) + _flops(equation)
        operations += turns * sum(cost.operations for cost in inner) if inner else 1
        convolves |= any(cost.convolves for cost in inner)
        convolves |= equation.primitive.name == "conv_general_dilated"
    return Cost(flops, operations, convolves)


def memory(compiled: Any) -> int:
    """The bytes that a compiled function takes, its arguments and results among them; 0 where the
    backend does not tell.
    """
    found = compiled.memory_analysis()
    if found is None:
        return 0
    needed = found.argument_size_in_bytes + found.temp_size_in_bytes
    return needed + found.output_size_in_bytes - found.alias_size_in_bytes


def _branch(equation: Any) -> list[Cost]:
    """The cost of the branch that runs, or the largest of any branch where data choose it."""
    branches = equation.params["branches"]
    platforms = equation.params.get("branches_platforms")
    if platforms:
        backend = jax.default_backend()
        names = PLATFORMS.get(backend, (backend,))
        for branch, those in zip(branches, platforms, strict=True):
            if those is None or any(name in those for name in names):
                return [of(branch)]
    costs = [of(branch) for branch in branches]
    return [Cost(*(max(values) for values in zip(*costs, strict=True)))]


def _inner(equation: Any) -> list[Cost]:
    """The costs of what an equation calls."""
    values = equation.params.values()
    parts = [p for v in values for p in (v if isinstance(v, tuple | list) else (v,))]
    kinds = jax.extend.core.ClosedJaxpr | jax.extend.core.Jaxpr
    return [of(part) for part in parts if isinstance(part, kinds)]


def _flops(equation: Any) -> float:
    """Two for each multiply and add of a product or a convolution."""
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2.0 * equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        outputs = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
        return 2.0 * equation.outvars[0].aval.size * kernel.size / outputs
    return 0.0
