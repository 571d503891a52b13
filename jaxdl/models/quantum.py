"""Variational quantum circuits: a classifier that reads its data again and again, and ansätze for
ground states.

Pérez-Salinas, Cervera-Lierta, Gil-Fuster and Latorre, "Data re-uploading for a universal quantum
classifier" (2020). Peruzzo et al., "A variational eigenvalue solver on a photonic quantum
processor" (2014), with circuits of Wecker, Hastings and Troyer (2015) and of Kandala et al. (2017).
"""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import dense, limits, quantum


class Reuploading(nn.Module):
    """`layers` times: every qubit is turned by angles + weights * x, and neighbours are entangled.

    x: up to three numbers, in the places of the three Euler angles; more take further turns in the
    same layer (the paper's equation 7). Logits are an affine map of each qubit's mean Z.

    Parameters: `angles` and `weights` (layers, qubits, turns, 3), and `output`.
    """

    classes: int
    qubits: int = 2
    layers: int = 3

    def __post_init__(self) -> None:
        for name in ("classes", "qubits", "layers"):
            limits.at_least(1, f"Reuploading's {name}", getattr(self, name))
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], train: bool = False) -> Float[Array, "b k"]:
        turns = -(-x.shape[1] // 3)
        shape = (self.layers, self.qubits, turns, 3)
        angles = self.param("angles", nn.initializers.uniform(2 * math.pi), shape)
        weights = self.param("weights", nn.initializers.normal(1.0), shape)
        x = jnp.pad(x, ((0, 0), (0, 3 * turns - x.shape[1]))).reshape(-1, turns, 3)
        means = jax.vmap(reuploaded, (None, None, 0))(angles, weights, x)
        return dense.Dense(self.classes, name="output")(means)


def reuploaded(
    angles: Float[Array, "layers qubits turns 3"],
    weights: Float[Array, "layers qubits turns 3"],
    x: Float[Array, "turns 3"],
) -> Float[Array, "qubits"]:
    """The mean Z of each qubit after the circuit; CZ between neighbours, not after the last
    layer (the paper's figure 4).
    """
    layers, qubits, turns, _ = angles.shape
    state = quantum.zeros(qubits)
    turned = angles + weights * x[None, None]
    for layer in range(layers):
        for qubit in range(qubits):
            for turn in range(turns):
                state = quantum.apply(state, quantum.euler(turned[layer, qubit, turn]), qubit)
        if layer < layers - 1:
            for pair in neighbours(qubits):
                state = quantum.apply(state, quantum.CZ, *pair)
    marks = ["I" * qubit + "Z" + "I" * (qubits - qubit - 1) for qubit in range(qubits)]
    return jnp.stack([quantum.expectation(state, mark) for mark in marks])


class Eigensolver(nn.Module):
    """A state whose energy is to be made least; without inputs.

    ansatz: "hamiltonian" turns |+...+> about ZZ of neighbours and X of sites, as an Ising chain's
        time does (Wecker et al. 2015), each turn with its own angle; "hardware" turns each qubit
        about Y and Z and entangles neighbours by CZ (Kandala et al. 2017).

    Parameters: `angles` (depth, turns in a layer).
    """

    observable: quantum.Observable
    depth: int = 4
    ansatz: Literal["hamiltonian", "hardware"] = "hamiltonian"

    def __post_init__(self) -> None:
        limits.at_least(1, "Eigensolver's depth", self.depth)
        if self.ansatz not in ("hamiltonian", "hardware"):
            raise errors.InputError(
                f"Eigensolver's ansatz must be hamiltonian or hardware, got {self.ansatz!r}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self) -> Float[Array, ""]:
        """The energy."""
        qubits = len(self.observable[0][1])
        turns = 2 * qubits - 1 if self.ansatz == "hamiltonian" else 2 * qubits
        # Small, so that the circuit begins close to where it starts and the gradient is not lost
        # (barren plateaus: McClean et al. 2018).
        angles = self.param("angles", nn.initializers.normal(0.1), (self.depth, turns))
        circuit = _hamiltonian if self.ansatz == "hamiltonian" else _hardware
        return quantum.expectation(circuit(angles, qubits), self.observable)


def neighbours(qubits: int) -> list[tuple[int, int]]:
    """The bonds of an open chain."""
    return [(qubit, qubit + 1) for qubit in range(qubits - 1)]


def _hamiltonian(angles: Float[Array, "depth turns"], qubits: int) -> Any:
    state = quantum.zeros(qubits)
    for qubit in range(qubits):
        state = quantum.apply(state, quantum.H, qubit)
    bonds = neighbours(qubits)
    for layer in angles:
        for angle, bond in zip(layer, bonds, strict=False):
            state = quantum.apply(state, quantum.rzz(angle), *bond)
        for qubit in range(qubits):
            state = quantum.apply(state, quantum.rx(layer[len(bonds) + qubit]), qubit)
    return state


def _hardware(angles: Float[Array, "depth turns"], qubits: int) -> Any:
    state = quantum.zeros(qubits)
    for layer in angles:
        for qubit in range(qubits):
            gate = quantum.rz(layer[qubits + qubit]) @ quantum.ry(layer[qubit])
            state = quantum.apply(state, gate, qubit)
        for bond in neighbours(qubits):
            state = quantum.apply(state, quantum.CZ, *bond)
    return state
