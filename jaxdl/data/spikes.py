"""Numbers as spikes over time: by how often (rate), by when (latency), or as they are (direct).

Rate coding: Adrian and Zotterman (1926), here Bernoulli spikes. Latency coding: Thorpe, Delorme and
Van Rullen, "Spike-based strategies for rapid processing" (2001).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import errors


def rate(x: Float[Array, "b *shape"], steps: int, key: Any) -> Float[Array, "b t *shape"]:
    """At each step a spike with the probability x, in [0, 1]."""
    shape = (x.shape[0], _checked(steps), *x.shape[1:])
    return jax.random.bernoulli(key, direct(x, steps), shape).astype(jnp.float32)


def latency(x: Float[Array, "b *shape"], steps: int) -> Float[Array, "b t *shape"]:
    """One spike: at once where x is 1, the later the less it is, never where it is 0."""
    when = jnp.round((1 - x) * (_checked(steps) - 1))
    at = jnp.arange(steps).reshape(1, steps, *[1] * (x.ndim - 1))
    return ((direct(when, steps) == at) & (direct(x, steps) > 0)).astype(jnp.float32)


def direct(x: Float[Array, "b *shape"], steps: int) -> Float[Array, "b t *shape"]:
    """x itself at every step, as a current into the first layer (Rueckauer et al. 2017)."""
    shape = (x.shape[0], _checked(steps), *x.shape[1:])
    return jnp.broadcast_to(x[:, None], shape)


def drawn(examples: dict[str, np.ndarray], steps: int, seed: int = 0) -> dict[str, np.ndarray]:
    """The examples with their "input" rate-coded once, for a test."""
    x = examples["input"]
    if x.min() < 0 or x.max() > 1:
        raise errors.InputError(f"Probabilities must lie in [0, 1], got {x.min()} to {x.max()}.")
    uniform = np.random.default_rng(seed).random((len(x), _checked(steps), *x.shape[1:]))
    return examples | {"input": (uniform < x[:, None]).astype(np.float32)}


def _checked(steps: int) -> int:
    if steps < 1:
        raise errors.InputError(f"A code's steps must be at least 1, got {steps}.")
    return steps
