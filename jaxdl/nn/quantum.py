"""Quantum circuits, simulated by their state vector: gates, expectations, Hamiltonians.

The state of n qubits is a complex array of n axes of length 2, qubit 0 first; a gate contracts the
axes of the qubits that it acts on. Exact, noiseless, and differentiable like any other array, so
`jax.grad` gives what the parameter-shift rule gives on hardware (Mitarai et al. 2018, Schuld et al.
2019). One state at a time: `jax.vmap` makes batches. Rotations: exp(-i angle P / 2).
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from jaxdl import errors

State = Complex[Array, "..."]
Gate = Complex[Array, "m m"]
# A sum of Pauli strings, each with its weight: ((0.5, "ZZI"), (1.0, "IXI")), qubit 0 first.
Observable = Sequence[tuple[Any, str]]

PAULIS = {
    "I": np.eye(2, dtype=np.complex64),
    "X": np.array([[0, 1], [1, 0]], np.complex64),
    "Y": np.array([[0, -1j], [1j, 0]], np.complex64),
    "Z": np.diag([1, -1]).astype(np.complex64),
}
H = np.array([[1, 1], [1, -1]]) / np.sqrt(2)  # Hadamard
CNOT = np.eye(4)[[0, 1, 3, 2]]  # the first qubit controls
CZ = np.diag([1.0, 1, 1, -1])


def zeros(qubits: int) -> State:
    """All qubits in |0>."""
    if qubits < 1:
        raise errors.InputError(f"A state must have at least 1 qubit, got {qubits}.")
    state = jnp.zeros((2,) * qubits, jnp.result_type(complex))
    return state.at[(0,) * qubits].set(1)


def apply(state: State, gate: Any, *qubits: int) -> State:
    """The state after a gate, a matrix over the given qubits in this order."""
    axes = range(len(qubits))
    if len(set(qubits)) < len(qubits) or not all(0 <= qubit < state.ndim for qubit in qubits):
        raise errors.InputError(
            f"A gate's qubits must be different ones in 0..{state.ndim - 1}, got {qubits}."
        )
    gate = jnp.asarray(gate, state.dtype).reshape((2,) * (2 * len(qubits)))
    after = jnp.tensordot(gate, state, ([axis + len(qubits) for axis in axes], qubits))
    return jnp.moveaxis(after, axes, qubits)


def rx(angle: Float[Array, ""]) -> Gate:
    """A turn about X."""
    return _rotation("X", angle)


def ry(angle: Float[Array, ""]) -> Gate:
    """A turn about Y."""
    return _rotation("Y", angle)


def rz(angle: Float[Array, ""]) -> Gate:
    """A turn about Z."""
    return _rotation("Z", angle)


def rzz(angle: Float[Array, ""]) -> Gate:
    """exp(-i angle Z Z / 2), over two qubits."""
    return _rotation("ZZ", angle)


def euler(angles: Float[Array, "3"]) -> Gate:
    """Any turn of one qubit: about Z, then Y, then Z, by the angles in this order."""
    return rz(angles[2]) @ ry(angles[1]) @ rz(angles[0])


def expectation(state: State, observable: Observable | str) -> Float[Array, ""]:
    """The mean of an observable, or of one Pauli string, in a state."""
    terms = ((1.0, observable),) if isinstance(observable, str) else observable
    found = [weight * _string(state, string) for weight, string in terms]
    return functools.reduce(operator.add, found)


def dense(observable: Observable) -> np.ndarray:
    """The matrix of an observable, complex128 (2**n, 2**n); its weights must be plain numbers."""
    matrices = [
        weight
        * functools.reduce(np.kron, [PAULIS[letter].astype(complex) for letter in _checked(string)])
        for weight, string in observable
    ]
    return np.sum(matrices, axis=0).astype(np.complex128)


def ising(sites: int, field: Any = 1.0, coupling: Any = 1.0) -> Observable:
    """The transverse-field Ising chain with open ends: -coupling sum Z Z - field sum X."""
    if sites < 2:
        raise errors.InputError(f"An Ising chain must have at least 2 sites, got {sites}.")
    bonds = [(-coupling, _placed("ZZ", site, sites)) for site in range(sites - 1)]
    return (*bonds, *((-field, _placed("X", site, sites)) for site in range(sites)))


def ground_energy(observable: Observable) -> float:
    """The least eigenvalue, by dense diagonalisation: exact, for up to a dozen qubits."""
    return float(np.linalg.eigvalsh(dense(observable))[0])


def _rotation(string: str, angle: Array) -> Gate:
    """cos(angle / 2) - i sin(angle / 2) P; P squared is 1."""
    pauli = functools.reduce(np.kron, [PAULIS[letter] for letter in string])
    same = np.eye(len(pauli), dtype=pauli.dtype)
    return jnp.cos(angle / 2) * same - 1j * jnp.sin(angle / 2) * pauli


def _string(state: State, string: str) -> Float[Array, ""]:
    if len(_checked(string)) != state.ndim:
        raise errors.InputError(
            f"A Pauli string must have a letter for each of {state.ndim} qubits, got {string!r}."
        )
    after = state
    for qubit, letter in enumerate(string):
        if letter != "I":
            after = apply(after, PAULIS[letter], qubit)
    return jnp.vdot(state, after).real


def _checked(string: str) -> str:
    if not string or set(string) - PAULIS.keys():
        raise errors.InputError(f"A Pauli string must be of the letters IXYZ, got {string!r}.")
    return string


def _placed(letters: str, site: int, sites: int) -> str:
    return "I" * site + letters + "I" * (sites - site - len(letters))
