"""The contract: whatever learns is the same three pure functions over one state.

A learner is three pure functions (and an optional fourth) over one state pytree. It has no loop, no
data, no devices and no logging of its own, so it survives `jit`, `vmap` over states and keys,
donation and a mesh.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

State = Any  # any pytree of arrays: parameters, optimizer moments, replay buffers, counters
# any pytree of arrays with a leading batch axis; None where a learner makes its own experience
Batch = Any
Key = Any  # a typed JAX random key, `jax.random.key(...)`
Metrics = dict[str, Any]  # name -> summable metric, see jaxdl/metrics.py


class Learner(NamedTuple):
    """Three pure functions: how to begin, how to learn from one batch, how to be examined.

    init: (key, batch) -> state. The batch is a real one, so that a learner may start from the data.
    step: (state, batch, key) -> (state, metrics). The state keeps its structure, shapes and dtypes.
    evaluate: (state, batch, key) -> metrics.
    predict: (state, batch) -> outputs; what export, explanation and attacks need; optional.
    """

    init: Callable[[Key, Batch], State]
    step: Callable[[State, Batch, Key], tuple[State, Metrics]]
    evaluate: Callable[[State, Batch, Key], Metrics]
    predict: Callable[[State, Batch], Any] | None = None
