"""Initializers that are safe under vmap.

Orthogonal matrices: Saxe et al. (2013) "Exact solutions to the nonlinear dynamics of learning in
deep linear neural networks".
"""

from collections.abc import Callable
from typing import Any

import jax


def orthogonal(scale: float = 1.0, column_axis: int = -1) -> Callable[..., Any]:
    """JAX's orthogonal initializer, whose linear algebra is never batched.

    Under `vmap` over keys (a run over many seeds) the matrices are drawn one after the other:
    jaxlib's batched QR waits for its own threads on a CPU and can hang a program for good.
    """
    plain = jax.nn.initializers.orthogonal(scale, column_axis)

    def init(key: Any, shape: Any, dtype: Any = None) -> Any:
        one = jax.custom_batching.sequential_vmap(lambda key: plain(key, shape, dtype))
        return one(key)

    return init
