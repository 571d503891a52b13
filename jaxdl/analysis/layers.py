"""What the layers of a learner's model put out while it predicts: for embeddings and histograms."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import tracers
from jaxtyping import Array

from jaxdl import errors, learner


def outputs(taught: learner.Learner, state: Any, batch: learner.Batch) -> dict[str, Array]:
    """Path of a Linen module, such as "block_0/attention" -> the array it returns, in the order in
    which they finish; the whole model's own output is not among them.

    A module that is called again is "path/call_2", "path/call_3" and so on. What is called inside a
    loop, a scan or a vmap (an ensemble's members) has no single output and is left out.
    errors.InputError: there is no `predict`, or no module in it.
    """
    if taught.predict is None:
        raise errors.InputError("Layers must be those of a learner with `predict`, got none.")
    here, found = tracers.current_trace(), {}

    def keep(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        out = call(*args, **kwargs)
        path = "/".join(context.module.path)
        inside = tracers.current_trace() != here
        if context.method_name == "__call__" and path and not inside and isinstance(out, jax.Array):
            again = sum(name == path or name.startswith(f"{path}/call_") for name in found)
            found[f"{path}/call_{again + 1}" if again else path] = out
        return out

    with nn.intercept_methods(keep):
        taught.predict(state, batch)
    if not found:
        raise errors.InputError(
            "Layers must be Linen modules that `predict` calls once for a batch, got none."
        )
    return found


def vectors(output: Array) -> Array:
    """A layer's output as one vector for each example (b, d): what stands between the first axis
    and the last, such as places or tokens, is averaged.
    """
    if output.ndim < 2:
        return output[:, None]
    return jnp.mean(output, axis=tuple(range(1, output.ndim - 1)), dtype=jnp.float32)


def chosen(names: list[str], layer: str | None) -> str:
    """One of the layers by its path; without one the last but one, where there are several: what
    the output layer reads.
    """
    if layer is None:
        return names[-2] if len(names) > 1 else names[-1]
    if layer not in names:
        raise errors.InputError(f"The layer must be one of {', '.join(names)}, got {layer}.")
    return layer
