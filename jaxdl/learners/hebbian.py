"""Hebb's rule: units that are active together are wired together; the Hopfield network recalls.

D. Hebb, "The Organization of Behavior" (1949); J. Hopfield, "Neural networks and physical systems
with emergent collective computational abilities" (1982). The pseudo-inverse rule: L. Personnaz, I.
Guyon and G. Dreyfus (1985). Patterns have elements +1 and -1, one for each of n units; a step
stores a batch of them, and an evaluation recalls them from probes.

Metrics of a step:
- load: stored patterns for each unit. Hebb's rule holds out to 0.138, where recall breaks down at
  once (Amit, Gutfreund and Sompolinsky 1985), the pseudo-inverse rule to 1.
- unstable: the share of units of the batch's patterns that an update would flip.
Metrics of an evaluation of probes `input` and the patterns `target` that they come from:
- overlap: the mean of target * state over units, when no unit flips any more; 1 is perfect recall.
- probe_overlap: the same before recall.
- recovered: the share of probes that end with an overlap of at least 0.9.
- energy: per unit, of the states reached; an update never raises it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors, learner, metrics
from jaxdl.nn import layout, limits

RECOVERED = 0.9  # between the overlaps on either side of the breakdown, 0.97 and 0.35
STORED = 1e-6  # of a pattern's square: what rounding leaves of one that is already stored


class State(NamedTuple):
    """The weights, with a diagonal that recall leaves out, and how many patterns they hold."""

    weights: Float[Array, "n n"]
    stored: Int[Array, ""]


def hopfield(rule: str = "hebb", *, sweeps: int = 100) -> learner.Learner:
    """A Hopfield network that stores `batch["input"]`, whatever its shape.

    rule: "hebb", W += x x^T / n; or "pseudo-inverse", W += e e^T / e^T e with e = x - W x: the
        projection on the patterns, whatever their number, built up one after another.
    sweeps: recall ends after so many updates of every unit, if not before at a fixed point.
    predict: probes `input` -> the states recall ends in, (b, n).
    """
    if rule not in ("hebb", "pseudo-inverse"):
        raise errors.InputError(f"A rule must be hebb or pseudo-inverse, got {rule!r}.")
    limits.at_least(1, "Hopfield's sweeps", sweeps)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        units = layout.rows(batch["input"]).shape[1]
        return State(jnp.zeros((units, units)), jnp.int32(0))

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        patterns = layout.rows(batch["input"])
        count, units = patterns.shape
        if rule == "hebb":
            weights = state.weights + patterns.T @ patterns / units
        else:
            weights = jax.lax.scan(_project, state.weights, patterns)[0]
        stored = state.stored + count
        flipped = patterns * (patterns @ couplings(weights)) < 0
        return State(weights, stored), {
            "load": metrics.Mean.of(stored / units),
            "unstable": metrics.Mean.of(flipped),
        }

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        probes, target = layout.rows(batch["input"]), layout.rows(batch["target"])
        wired = couplings(state.weights)
        found = recall(wired, probes, sweeps)
        overlap = (target * found).mean(1)
        return {
            "overlap": metrics.Mean.of(overlap),
            "probe_overlap": metrics.Mean.of((target * probes).mean(1)),
            "recovered": metrics.Mean.of(overlap >= RECOVERED),
            "energy": metrics.Mean.of(energy(wired, found) / probes.shape[1]),
        }

    def predict(state: State, batch: learner.Batch) -> Float[Array, "b n"]:
        return recall(couplings(state.weights), layout.rows(batch["input"]), sweeps)

    return learner.Learner(init, step, evaluate, predict)


def couplings(weights: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The weights between different units: a unit that drives itself would cling to its state."""
    return jnp.where(jnp.eye(len(weights), dtype=bool), 0, weights)


def recall(
    wired: Float[Array, "n n"], probes: Float[Array, "b n"], sweeps: int
) -> Float[Array, "b n"]:
    """The states to which probes fall when units are updated one at a time, in their order.

    s_i = sign(sum_j W_ij s_j), and s_i stays where the sum is 0; until a sweep over all units flips
    none, or there were so many sweeps.
    """

    def update(i: Any, states: Any) -> Any:
        field = wired[i] @ states
        return states.at[i].set(jnp.where(field == 0, states[i], jnp.sign(field)))

    def sweep(carry: Any) -> Any:
        before, _, done = carry
        after = jax.lax.fori_loop(0, len(wired), update, before)
        return after, (after != before).any(), done + 1

    start = (probes.T, jnp.bool_(True), jnp.int32(0))  # units first: an update writes one row
    states, _, _ = jax.lax.while_loop(lambda c: c[1] & (c[2] < sweeps), sweep, start)
    return states.T


def energy(wired: Float[Array, "n n"], states: Float[Array, "b n"]) -> Float[Array, "b"]:
    """Hopfield's E = -1/2 sum_ij W_ij s_i s_j."""
    return -((states @ wired) * states).sum(1) / 2


def _project(weights: Any, pattern: Any) -> tuple[Any, None]:
    """The projection on the patterns so far and this one; nothing new adds nothing."""
    rest = pattern - weights @ pattern
    square = rest @ rest
    new = square > STORED * len(pattern)
    return weights + jnp.where(new, jnp.outer(rest, rest) / jnp.where(new, square, 1), 0), None
