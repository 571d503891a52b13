"""Spiking neurons in discrete time, and the surrogate gradients by which they learn.

A leaky integrate-and-fire (LIF) neuron: a membrane leaks towards zero, is driven by a current, and
fires where it exceeds a threshold, which resets it. An adaptive one (ALIF) raises its threshold
with every spike: Bellec, Salaj, Subramoney, Legenstein and Maass, "Long short-term memory and
learning-to-learn in networks of spiking neurons" (2018).

A spike is a step, whose derivative is zero almost everywhere; the backward pass puts a bump in its
place: Neftci, Mostafa and Zenke, "Surrogate gradient learning in spiking neural networks" (2019).
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import dense, initializers, limits

Scalar = float | int | Array  # traced in a sweep
Surrogate = Callable[[Array, Any], Array]  # (membrane - threshold, slope) -> derivative


def fast_sigmoid(x: Float[Array, "*b"], slope: Scalar) -> Float[Array, "*b"]:
    """The derivative of x / (1 + slope |x|): Zenke and Ganguli, "SuperSpike" (2018)."""
    return 1 / jnp.square(1 + slope * jnp.abs(x))


def arctan(x: Float[Array, "*b"], slope: Scalar) -> Float[Array, "*b"]:
    """The derivative of arctan(pi slope x / 2) / pi (Fang et al. 2021)."""
    return slope / 2 / (1 + jnp.square(math.pi / 2 * slope * x))


def sigmoid(x: Float[Array, "*b"], slope: Scalar) -> Float[Array, "*b"]:
    """The derivative of the logistic function of slope x."""
    return slope * jax.nn.sigmoid(slope * x) * jax.nn.sigmoid(-slope * x)


def triangle(x: Float[Array, "*b"], slope: Scalar) -> Float[Array, "*b"]:
    """0.3 max(0, 1 - slope |x|), dampened for long sequences (Bellec et al. 2018)."""
    return 0.3 * jnp.maximum(0, 1 - slope * jnp.abs(x))


# Each with the slope that its source takes.
SURROGATES: dict[str, tuple[Surrogate, float]] = {
    "fast_sigmoid": (fast_sigmoid, 25.0),
    "arctan": (arctan, 2.0),
    "sigmoid": (sigmoid, 25.0),
    "triangle": (triangle, 1.0),
}


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def spike(x: Float[Array, "*b"], slope: Scalar, surrogate: Surrogate) -> Float[Array, "*b"]:
    """1 where x > 0 and 0 elsewhere, with `surrogate(x, slope)` for its derivative by x."""
    return (x > 0).astype(x.dtype)


@spike.defjvp
def _spike_jvp(surrogate: Surrogate, primals: Any, tangents: Any) -> Any:
    x, slope = primals
    return spike(x, slope, surrogate), surrogate(x, slope) * tangents[0]


@dataclasses.dataclass(frozen=True)
class Neuron:
    """What a layer's neurons are like; numbers may be traced.

    decay: of the membrane in a step, exp(-dt / its time constant); 0 forgets at once.
    reset: what a spike does to the membrane a step later: takes the threshold away, or all of it.
    slope: of the surrogate; None takes that of its source.
    adaptation: by how much each spike raises the threshold; 0 is LIF.
    adaptation_decay: of what was raised, in a step.
    """

    decay: Scalar = 0.9
    threshold: Scalar = 1.0
    reset: str = "subtract"
    surrogate: str = "fast_sigmoid"
    slope: Scalar | None = None
    adaptation: Scalar = 0.0
    adaptation_decay: Scalar = 0.97

    def __post_init__(self) -> None:
        limits.share("A neuron's decay", self.decay)
        limits.positive("A neuron's threshold", self.threshold)
        limits.positive("A neuron's slope", self.slope)
        limits.at_least(0, "A neuron's adaptation", self.adaptation)
        limits.share("A neuron's adaptation_decay", self.adaptation_decay)
        if self.reset not in ("subtract", "zero"):
            raise errors.InputError(
                f"A neuron's reset must be subtract or zero, got {self.reset!r}."
            )
        if self.surrogate not in SURROGATES:
            raise errors.InputError(
                f"A neuron's surrogate must be one of {', '.join(SURROGATES)}, "
                f"got {self.surrogate!r}."
            )


class State(NamedTuple):
    """Of a layer's neurons after a step; `fatigue` is what they have fired of late."""

    membrane: Float[Array, "b width"]
    spikes: Float[Array, "b width"]
    fatigue: Float[Array, "b width"]


def rest(batch: int, width: int) -> State:
    """Neurons that nothing has happened to."""
    zeros = jnp.zeros((batch, width))
    return State(zeros, zeros, zeros)


def step(neuron: Neuron, state: State, current: Float[Array, "b width"]) -> State:
    """u' = decay u + current - threshold s, s' = u' > threshold + adaptation a, a' = rho a + s.

    No gradient goes through the reset, which would only blur it (Zenke and Ganguli 2018).
    """
    fired = lax.stop_gradient(state.spikes)
    fatigue = neuron.adaptation_decay * state.fatigue + state.spikes
    if neuron.reset == "subtract":
        membrane = neuron.decay * state.membrane + current - neuron.threshold * fired
    else:
        membrane = neuron.decay * state.membrane * (1 - fired) + current
    above = membrane - neuron.threshold - neuron.adaptation * fatigue
    surrogate, slope = SURROGATES[neuron.surrogate]
    slope = slope if neuron.slope is None else neuron.slope
    return State(membrane, spike(above, slope, surrogate), fatigue)


def run(
    neuron: Neuron,
    currents: Float[Array, "t b width"],
    kernel: Float[Array, "width width"] | None = None,
    state: State | None = None,
) -> tuple[State, State]:
    """Every step's state, stacked along time, and the last one.

    kernel: from the spikes of a step to the currents of the next; None where there are no
        recurrent connections.
    """
    if state is None:
        state = rest(*currents.shape[1:])

    def advance(state, current):
        if kernel is not None:
            current = current + dense.matmul(state.spikes.astype(kernel.dtype), kernel)
        after = step(neuron, state, current)
        return after, after

    last, states = lax.scan(advance, state, currents)
    return states, last


class Spiking(nn.Module):
    """A layer of spiking neurons: an affine map of the input drives them, step by step.

    Parameters, float32: `input/kernel`, `input/bias` and, if recurrent, `recurrent_kernel`.
    """

    width: int
    neuron: Neuron = Neuron()
    recurrent: bool = False
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        limits.at_least(1, "Spiking's width", self.width)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], state: State | None = None
    ) -> tuple[Float[Array, "b t width"], State]:
        """The spikes, and the state after the last step, begun from `state` or from rest."""
        currents = dense.Dense(self.width, dtype=self.dtype, name="input")(jnp.swapaxes(x, 0, 1))
        kernel = None
        if self.recurrent:
            shape = (self.width, self.width)
            kernel = self.param("recurrent_kernel", initializers.orthogonal(), shape)
            kernel = kernel.astype(self.dtype)
        states, last = run(self.neuron, currents.astype(jnp.float32), kernel, state)
        return jnp.swapaxes(states.spikes, 0, 1), last
