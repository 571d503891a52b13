"""The modern Hopfield network: a memory of real-valued patterns whose recall is attention.

H. Ramsauer et al., "Hopfield networks is all you need" (2020). A step stores a batch of patterns as
they are; how many can be told apart grows exponentially with their width, where Hebb's rule holds
0.138 for each unit. One update recalls: x = X^T softmax(b X q), attention with the probe q as query
and the patterns X as keys and values. It never raises the energy

    E(q) = -log(sum_i exp(b x_i q)) / b + q q / 2 + log(N) / b + max_i |x_i|^2 / 2.

Metrics of a step:
- stored: how many patterns the memory holds.
Metrics of an evaluation of probes `input` and the patterns `target` that they come from:
- error: the mean distance from what is recalled to the pattern, relative to the pattern's length.
- recovered: the share of probes with an error below 0.1.
- attention: the mean of the largest weight; 1 where one pattern is recalled, less where a mixture.
- energy: the mean of E after recall; log(N) / b at a pattern that is far from all others.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import learner, metrics
from jaxdl.nn import layout, limits

RECOVERED = 0.1  # of a pattern's length
Scalar = float | jax.Array  # traced in a sweep


class State(NamedTuple):
    """The patterns, zeros where there is none yet, and how many were stored."""

    patterns: Float[Array, "places d"]
    stored: Int[Array, ""]


def memory(places: int, beta: Scalar = 1.0, updates: int = 1) -> learner.Learner:
    """A memory that stores `batch["input"]`, whatever its shape; when it is full, over the oldest.

    beta: the inverse temperature; the larger, the closer patterns may lie.
    updates: of a recall.
    predict: probes `input` -> what is recalled, (b, d).
    """
    limits.at_least(1, "A memory's places", places)
    limits.at_least(1, "A memory's updates", updates)
    limits.positive("A memory's beta", beta)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        patterns = layout.rows(batch["input"])
        return State(jnp.zeros((places, patterns.shape[1]), patterns.dtype), jnp.int32(0))

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        rows = layout.rows(batch["input"])
        new, stored = rows[-places:], state.stored + len(rows)
        where = (stored - len(new) + jnp.arange(len(new))) % places
        after = State(state.patterns.at[where].set(new), stored)
        return after, {"stored": metrics.Mean.of(jnp.minimum(after.stored, places))}

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        probes, target = layout.rows(batch["input"]), layout.rows(batch["target"])
        found = predict(state, batch)
        error = jnp.linalg.norm(found - target, axis=1) / jnp.linalg.norm(target, axis=1)
        return {
            "error": metrics.Mean.of(error),
            "recovered": metrics.Mean.of(error < RECOVERED),
            "attention": metrics.Mean.of(attention(state, probes, beta).max(1)),
            "energy": metrics.Mean.of(energy(state, found, beta)),
        }

    def predict(state: State, batch: learner.Batch) -> Float[Array, "b d"]:
        found = layout.rows(batch["input"])
        for _ in range(updates):
            found = attention(state, found, beta) @ state.patterns
        return found

    return learner.Learner(init, step, evaluate, predict)


def attention(state: State, probes: Float[Array, "b d"], beta: Scalar) -> Float[Array, "b places"]:
    """How much of each stored pattern a recall takes; nothing of an empty place."""
    return jax.nn.softmax(_scores(state, probes, beta), axis=1)


def energy(state: State, probes: Float[Array, "b d"], beta: Scalar) -> Float[Array, "b"]:
    """The energy of the file's docstring, at least 0."""
    count = jnp.minimum(state.stored, len(state.patterns))
    longest = jnp.square(state.patterns).sum(1).max()
    free = jax.nn.logsumexp(_scores(state, probes, beta), axis=1)
    return (jnp.log(count) - free) / beta + (jnp.square(probes).sum(1) + longest) / 2


def _scores(state: State, probes: Any, beta: Scalar) -> Float[Array, "b places"]:
    filled = jnp.arange(len(state.patterns)) < state.stored
    return jnp.where(filled[None], beta * (probes @ state.patterns.T), -jnp.inf)
