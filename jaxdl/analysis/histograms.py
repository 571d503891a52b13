"""Distributions of weights, gradients and activations, counted on the device: the host fetches a
few numbers of each array. On request, as entries of `Run.summaries` or with `--histograms`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Num

from jaxdl import learner, summary
from jaxdl.analysis import curvature, layers

_BUCKETS = 30  # TensorBoard's default: tensorboard.plugins.histogram.summary_v2

Show = Callable[[Any, Any], Mapping[str, summary.Buckets]]
Arrays = Callable[[Any, Any, Any, Any], Any]


def of(taught: learner.Learner, examples: learner.Batch) -> dict[str, Show]:
    """All three, to be put into `Run.summaries` with | or **."""
    return {
        "weights": weights(),
        "gradients": gradients(taught, examples),
        "activations": activations(taught, examples),
    }


def weights() -> Show:
    """A summary: each parameter's, by its path; of a state without `params`, each array's."""
    return _shown(_weights, None, None)


def gradients(taught: learner.Learner, examples: learner.Batch) -> Show:
    """A summary: of the gradient of the evaluation's mean loss on the examples, each parameter's.

    As an evaluation computes it, so without dropout, and at the average of the parameters where it
    reads one. errors.InputError: the state has no `params`, or the evaluation no mean `loss`.
    """
    return _shown(_gradients, taught, examples)


def activations(taught: learner.Learner, examples: learner.Batch) -> Show:
    """A summary: of what each module of the model puts out, as `layers.outputs` names them."""
    return _shown(_activations, taught, examples)


def buckets(values: Num[Array, "..."]) -> summary.Buckets:
    """Counts in 30 equal buckets from the least value to the largest; what is not finite is left
    out, and without any value all is zero. Can be jitted.
    """
    x = jnp.ravel(values).astype(jnp.float32)
    known = jnp.isfinite(x)
    some = known.any()
    low = jnp.where(some, jnp.min(x, initial=jnp.inf, where=known), 0)
    high = jnp.where(some, jnp.max(x, initial=-jnp.inf, where=known), 0)
    width = jnp.where(high > low, high / _BUCKETS - low / _BUCKETS, 1)
    place = jnp.clip((x - low) / width, 0, _BUCKETS - 1)
    # A single value goes into the last bucket, as TensorBoard's own writer has it.
    place = jnp.where(high > low, place, _BUCKETS - 1)
    place = jnp.where(known, place, _BUCKETS).astype(jnp.int32)
    counts = jnp.zeros(_BUCKETS, jnp.uint32).at[place].add(1, mode="drop")
    part = jnp.arange(_BUCKETS + 1, dtype=jnp.float32) / _BUCKETS
    edges = jnp.clip(low * (1 - part) + high * part, low, high)
    return summary.Buckets(edges, counts)


def _weights(taught: Any, state: Any, examples: Any, key: Any) -> Any:
    return getattr(state, "params", state)


def _gradients(taught: learner.Learner, state: Any, examples: learner.Batch, key: Any) -> Any:
    def loss(params: Any) -> Array:
        measured = curvature.evaluated(taught, state, params, examples, key)
        return measured.total / measured.count

    return jax.grad(loss)(curvature.parameters(state))


def _activations(taught: learner.Learner, state: Any, examples: learner.Batch, key: Any) -> Any:
    return layers.outputs(taught, state, examples)


# By the name of the summary: (learner, state, examples, key) -> the arrays that it counts.
ARRAYS: dict[str, Arrays] = {
    "weights": _weights,
    "gradients": _gradients,
    "activations": _activations,
}


def _shown(arrays: Arrays, taught: Any, examples: learner.Batch) -> Show:
    @jax.jit
    def counted(state: Any, batch: learner.Batch, key: Any) -> dict[str, summary.Buckets]:
        found = jax.tree_util.tree_leaves_with_path(arrays(taught, state, batch, key))
        return {
            jax.tree_util.keystr(path, simple=True, separator="/"): buckets(leaf)
            for path, leaf in found
            if jnp.issubdtype(leaf.dtype, jnp.number)
        }

    return lambda state, key: jax.device_get(counted(state, examples, key))
