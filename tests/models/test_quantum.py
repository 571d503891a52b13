"""Circuits against PennyLane's, matrices written out, and energies against diagonalisation."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import quantum as models
from jaxdl.nn import quantum

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "quantum.npz"
STRINGS = ("ZIII", "IXYI", "ZZZZ", "YIXZ")


@pytest.fixture(scope="module")
def arrays():
    with np.load(FIXTURE) as found:
        return dict(found)


def circuit(angles):
    """The gates of tests/fixtures/make_quantum.py."""
    gates = (
        (quantum.H, 0), (quantum.rx(angles[0]), 0), (quantum.ry(angles[1]), 2),
        (quantum.CNOT, 2, 0), (quantum.rz(angles[2]), 1), (quantum.rx(angles[3]), 1),
        (quantum.rzz(angles[4]), 3, 1), (quantum.CZ, 1, 2), (quantum.ry(angles[5]), 3),
        (quantum.rzz(angles[6]), 0, 1), (quantum.CNOT, 1, 3), (quantum.rx(angles[7]), 2),
    )  # fmt: skip
    return functools.reduce(
        lambda state, gate: quantum.apply(state, *gate), gates, quantum.zeros(4)
    )


@pytest.mark.parametrize(("wide", "tolerance"), [(True, 1e-12), (False, 1e-6)])
def test_pennylane(arrays, wide, tolerance):
    """Values, and `jax.grad` against parameter shifts."""
    with jax.enable_x64(wide), jax.default_matmul_precision("highest"):
        angles = jnp.asarray(arrays["angles"])
        state = jax.jit(circuit)(angles)
        wanted = arrays["state/real"] + 1j * arrays["state/imaginary"]
        np.testing.assert_allclose(state, wanted, atol=tolerance)

        def means(angles):
            state = circuit(angles)
            return jnp.stack([quantum.expectation(state, string) for string in STRINGS])

        np.testing.assert_allclose(jax.jit(means)(angles), arrays["means"], atol=tolerance)
        gradients = jax.jit(jax.jacrev(means))(angles)
        np.testing.assert_allclose(gradients, arrays["gradients"], atol=2 * tolerance)


@pytest.mark.parametrize(("wide", "tolerance"), [(True, 1e-12), (False, 2e-6)])
def test_pennylane_reuploading(arrays, wide, tolerance):
    names = ("angles", "weights", "x")
    with jax.enable_x64(wide), jax.default_matmul_precision("highest"):
        angles, weights, x = (jnp.asarray(arrays[f"reuploading/{name}"]) for name in names)
        means = jax.jit(models.reuploaded)(angles, weights, x[None])
        np.testing.assert_allclose(means, arrays["reuploading/means"], atol=tolerance)
        gradient = jax.grad(lambda *both: models.reuploaded(*both, x[None])[0], (0, 1))
        for name, found in zip(names[:2], jax.jit(gradient)(angles, weights), strict=True):
            wanted = arrays[f"reuploading/gradient/{name}"]
            np.testing.assert_allclose(found, wanted, atol=tolerance)


def test_a_gate_is_its_matrix_on_the_whole():
    """CNOT from the last qubit to the first, written out as a permutation of eight amplitudes."""
    random = np.random.default_rng(0)
    state = random.normal(size=8) + 1j * random.normal(size=8)
    wanted = state[[0, 5, 2, 7, 4, 1, 6, 3]]
    found = quantum.apply(jnp.asarray(state.reshape(2, 2, 2)), quantum.CNOT, 2, 0)
    np.testing.assert_allclose(found.reshape(-1), wanted, rtol=1e-6)


def test_an_expectation_is_that_of_the_matrix():
    observable = ((0.5, "XYZ"), (-1.0, "IZI"), (2.0, "YIY"))
    random = np.random.default_rng(1)
    state = random.normal(size=8) + 1j * random.normal(size=8)
    state /= np.linalg.norm(state)
    wanted = (state.conj() @ quantum.dense(observable) @ state).real
    found = quantum.expectation(jnp.asarray(state.reshape(2, 2, 2)), observable)
    assert float(found) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("sites", [2, 4, 5])
def test_the_critical_chain_has_its_known_energy(sites):
    """1 - 1 / sin(pi / (4 n + 2)), by free fermions (Pfeuty 1970)."""
    wanted = 1 - 1 / np.sin(np.pi / (4 * sites + 2))
    assert quantum.ground_energy(quantum.ising(sites)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("ansatz", ["hamiltonian", "hardware"])
def test_no_state_lies_below_the_ground(ansatz):
    observable = quantum.ising(3, field=0.7)
    model = models.Eigensolver(observable, depth=2, ansatz=ansatz)
    least, most = np.linalg.eigvalsh(quantum.dense(observable))[[0, -1]]
    shape = model.init(jax.random.key(0))["params"]["angles"].shape
    assert shape == (2, 5 if ansatz == "hamiltonian" else 6)
    angles = jax.random.uniform(jax.random.key(1), (50, *shape), maxval=2 * np.pi)
    energies = jax.jit(jax.vmap(lambda a: model.apply({"params": {"angles": a}})))(angles)
    assert least - 1e-5 <= energies.min() < energies.max() <= most + 1e-5
    start = model.apply({"params": {"angles": jnp.zeros(shape)}})
    # |+++> and |000>, which CZ leaves as it is.
    assert float(start) == pytest.approx(-2.1 if ansatz == "hamiltonian" else -2, abs=1e-5)


def test_more_numbers_take_more_turns():
    model = models.Reuploading(classes=3, qubits=2, layers=2)
    x = jax.random.normal(jax.random.key(0), (5, 4))
    variables = model.init(jax.random.key(1), x)
    shapes = jax.tree.map(jnp.shape, variables["params"])
    inner = (2, 2, 2, 3)
    assert shapes == {
        "angles": inner, "weights": inner, "output": {"kernel": (2, 3), "bias": (3,)}
    }  # fmt: skip
    call = jax.jit(model.apply)
    logits = call(variables, x)
    assert logits.shape == (5, 3) and logits.dtype == jnp.float32
    for i in range(4):  # each number is read
        assert np.any(call(variables, x.at[:, i].add(0.5)) != logits)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: quantum.zeros(0), "at least 1 qubit, got 0"),
        (lambda: quantum.apply(quantum.zeros(2), quantum.CZ, 1, 1), r"in 0..1, got \(1, 1\)"),
        (lambda: quantum.apply(quantum.zeros(2), quantum.H, 2), r"in 0..1, got \(2,\)"),
        (lambda: quantum.expectation(quantum.zeros(2), "Z"), "each of 2 qubits, got 'Z'"),
        (lambda: quantum.expectation(quantum.zeros(2), "ZA"), "letters IXYZ, got 'ZA'"),
        (lambda: quantum.ising(1), "at least 2 sites, got 1"),
        (lambda: models.Reuploading(2, qubits=0), "qubits must be at least 1, got 0"),
        (lambda: models.Eigensolver(quantum.ising(2), 0), "depth must be at least 1, got 0"),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(errors.InputError, match=message):
        make()
