"""The Turing machine against the equations of its paper, written out number by number."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import ntm


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softplus(x):
    return math.log1p(math.exp(x))


def softmax(x):
    powers = [math.exp(v) for v in x]
    return [p / sum(powers) for p in powers]


def cosine(u, v):
    return np.dot(u, v) / (np.linalg.norm(u) * np.linalg.norm(v))


def addressed(memory, before, said):
    """Equations 5 to 9, from a head's numbers in the order in which the controller says them."""
    size, slots = memory.shape[1], len(memory)
    key, (strength, gate), shift, sharp = said[:size], said[size : size + 2], said[-4:-1], said[-1]
    key = np.tanh(key)
    found = softmax([softplus(strength) * cosine(key, row) for row in memory])  # 5, 6
    g = sigmoid(gate)
    gated = [g * found[i] + (1 - g) * before[i] for i in range(slots)]  # 7
    s = dict(zip((-1, 0, 1), softmax(shift), strict=True))
    shifted = [  # 8
        sum(gated[j] * s.get((i - j + 1) % slots - 1, 0.0) for j in range(slots))
        for i in range(slots)
    ]
    powers = [w ** (1 + softplus(sharp)) for w in shifted]
    return np.array([p / sum(powers) for p in powers])  # 9


def literal(params, x, size, reads):
    """The machine of either controller, one sequence (t, d), in float64."""
    p = {name: np.asarray(leaf, np.float64) for name, leaf in params.items() if name[0] not in "co"}
    dense = {name: jax.tree.map(np.float64, params[name]) for name in ("controller", "output")}
    memory, read = np.tile(p["memory"], (p["places"].shape[1], 1)), p["read"]
    places = [np.array(softmax(row)) for row in p["places"]]
    state = cell = np.zeros(len(p["heads_kernel"]))
    outputs, trace = [], []
    for step in x:
        hidden = step @ dense["controller"]["kernel"] + dense["controller"]["bias"]
        hidden = hidden + read @ p["read_kernel"]
        if "recurrent_kernel" in p:  # Graves 2013, "Generating sequences", without peepholes
            i, f, g, o = np.split(hidden + state @ p["recurrent_kernel"], 4)
            i, f, o = (np.array([sigmoid(v) for v in gate]) for gate in (i, f, o))
            cell = f * cell + i * np.tanh(g)
            hidden = state = o * np.tanh(cell)
        else:
            hidden = np.tanh(hidden)
        said = hidden @ p["heads_kernel"] + p["heads_bias"]
        told = said[: -2 * size].reshape(1 + reads, size + 6)
        erase, add = said[-2 * size : -size], np.tanh(said[-size:])
        places[0] = addressed(memory, places[0], told[0])
        written = np.empty_like(memory)
        for i, m in np.ndindex(memory.shape):  # 3, 4
            written[i, m] = memory[i, m] * (1 - places[0][i] * sigmoid(erase[m]))
            written[i, m] += places[0][i] * add[m]
        memory = written
        for n in range(1, 1 + reads):
            places[n] = addressed(memory, places[n], told[n])
        read = np.concatenate([places[n] @ memory for n in range(1, 1 + reads)])  # 2
        output = np.concatenate([hidden, read]) @ dense["output"]["kernel"]
        outputs.append(output + dense["output"]["bias"])
        trace.append(np.array(places))
    return np.array(outputs), np.array(trace)


@pytest.mark.parametrize("controller", ntm.CONTROLLERS)
def test_equations(controller):
    reads = 2
    model = ntm.NTM(outputs=3, controller=controller, width=5, slots=6, size=4, reads=reads)
    x = jax.random.normal(jax.random.key(0), (2, 7, 2))
    params = model.init(jax.random.key(1), x)["params"]
    # Away from the tidy first values, so that every gate is somewhere in between.
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    params = tree.unflatten(
        [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    )
    with jax.default_matmul_precision("highest"):
        traced = jax.jit(lambda x: model.apply({"params": params}, x, method="traced"))
        outputs, places = traced(x)
    for row in range(2):
        wanted, trace = literal(params, np.asarray(x[row], np.float64), 4, reads)
        np.testing.assert_allclose(places[row], trace, atol=2e-5)
        np.testing.assert_allclose(outputs[row], wanted, atol=2e-4)


def test_a_shift_moves_a_sharp_head_around_the_circle():
    memory, before = jnp.ones((1, 4, 2)), jnp.eye(4)[None, 3]
    one = jnp.ones((1, 1))
    for n, place in ((0, 2), (1, 3), (2, 0)):
        shift = jnp.eye(3)[None, n]
        head = ntm.Address(jnp.ones((1, 2)), one, 0 * one, shift, one)
        np.testing.assert_allclose(
            ntm.address(memory, before, head)[0], jnp.eye(4)[place], atol=1e-5
        )


def test_gradients_are_finite_and_reach_every_parameter():
    model = ntm.NTM(outputs=3, controller="lstm", width=5, slots=6, size=4)
    x = jax.random.normal(jax.random.key(0), (2, 7, 2))
    params = model.init(jax.random.key(1), x)["params"]

    def loss(params):
        return (model.apply({"params": params}, x) ** 2).sum()

    gradients = jax.jit(jax.grad(loss))(params)
    for gradient in jax.tree.leaves(gradients):
        assert np.isfinite(gradient).all() and np.any(gradient != 0)


def test_gradients_are_limited():
    gradient = jax.grad(lambda x: (jnp.array([2.0, -1e30, jnp.inf]) * ntm.limited(x)).sum())
    np.testing.assert_array_equal(gradient(jnp.zeros(3)), [2, -10, 10])


def test_refusals():
    with pytest.raises(errors.InputError, match="one of feedforward, lstm, got 'gru'"):
        ntm.NTM(3, controller="gru")
    with pytest.raises(errors.InputError, match="slots must be at least 3, got 2"):
        ntm.NTM(3, slots=2)
    with pytest.raises(errors.InputError, match="outputs must be at least 1, got 0"):
        ntm.NTM(0)
