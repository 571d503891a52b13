"""Spiking networks: layers of neurons that fire or do not, learnt by surrogate gradients.

Neftci, Mostafa and Zenke, "Surrogate gradient learning in spiking neural networks" (2019);
recurrent ones of adaptive neurons: Bellec et al., "Long short-term memory and learning-to-learn in
networks of spiking neurons" (2018).
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors, metrics
from jaxdl.losses import classification
from jaxdl.nn import dense, limits, spiking

States = tuple[spiking.State, ...]  # of each layer


class Output(NamedTuple):
    """Logits of classes, and how often each example made each layer fire.

    rates: the share of (neuron, step) that fired.
    """

    logits: Float[Array, "b k"]
    rates: Float[Array, "b layers"]


class Spiking(nn.Module):
    """Layers of spiking neurons over time; classes are read from how often the last layer fires.

    x: spikes or currents, (b, t, ...), each step of any shape.
    recurrent: a layer's spikes drive the layer itself a step later.

    Parameters: `layer_0`, `layer_1`, ... as `nn/spiking.py` documents, and `output`.
    """

    classes: int
    features: tuple[int, ...] = (128,)
    neuron: spiking.Neuron = spiking.Neuron()
    recurrent: bool = False
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        limits.at_least(1, "Spiking's classes", self.classes)
        limits.at_least(1, "Spiking's features", self.features)
        if not self.features:
            raise errors.InputError("Spiking's features must name a layer, got ().")
        super().__post_init__()

    def __call__(self, x: Float[Array, "b t *shape"], train: bool = False) -> Output:
        """Of whole sequences, begun from rest."""
        return self.advance(x, None)[0]

    @nn.compact
    def advance(
        self, x: Float[Array, "b t *shape"], states: States | None = None
    ) -> tuple[Output, States]:
        """Of a piece of the sequences, and the states after it, going on from `states`."""
        spikes = x.reshape(*x.shape[:2], -1)
        last, rates = [], []
        for i, width in enumerate(self.features):
            layer = spiking.Spiking(
                width, self.neuron, self.recurrent, self.dtype, name=f"layer_{i}"
            )
            spikes, state = layer(spikes, None if states is None else states[i])
            last.append(state)
            rates.append(spikes.mean(axis=(1, 2)))
        logits = dense.Dense(self.classes, dtype=self.dtype, name="output")(spikes.mean(axis=1))
        return Output(logits.astype(jnp.float32), jnp.stack(rates, axis=-1)), tuple(last)


def cross_entropy(outputs: Output, batch: dict[str, Any]) -> dict[str, Any]:
    """Of the logits, with accuracy; and each layer's firing rate, which is what energy goes by."""
    rates = {
        f"firing_rate/layer_{i}": metrics.Mean.of(outputs.rates[:, i])
        for i in range(outputs.rates.shape[1])
    }
    return classification.cross_entropy(outputs.logits, batch) | rates


# Bellec et al.'s recurrent network of adaptive neurons: the threshold rises with every spike and
# falls over hundreds of steps, a memory that outlasts the membrane's.
adaptive = functools.partial(
    Spiking,
    recurrent=True,
    neuron=spiking.Neuron(surrogate="triangle", adaptation=0.1, adaptation_decay=0.97),
)
