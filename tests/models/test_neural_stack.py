"""The differentiable stack against the equations of its paper, written out number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import neural_stack


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Literal:
    """Equations 1 to 3 as they stand, i and j counted from 1, on lists that grow."""

    def __init__(self):
        self.V, self.s = {}, {}

    def step(self, v, d, u):
        t, V, s = len(self.s) + 1, dict(self.V), {}
        V[t] = v  # 1
        for i in range(1, t):  # 2
            higher = sum(self.s[j] for j in range(i + 1, t))
            s[i] = max(0, self.s[i] - max(0, u - higher))
        s[t] = d
        r = 0
        for i in range(1, t + 1):  # 3
            higher = sum(s[j] for j in range(i + 1, t + 1))
            r = r + min(s[i], max(0, 1 - higher)) * V[i]
        self.V, self.s = V, s
        return r


def run(values, pushes, pops):
    """What is read after every step, and the last strengths, of one sequence."""
    memory, strengths = jnp.zeros((1, *values.shape)), jnp.zeros((1, len(values)))
    found = []
    for t, (value, d, u) in enumerate(zip(values, pushes, pops, strict=True)):
        strengths = neural_stack.pop(strengths, jnp.full((1, 1), u))
        memory, strengths = neural_stack.push(
            memory, strengths, jnp.asarray(t), value[None], jnp.full((1, 1), d)
        )
        found.append(neural_stack.read(memory, strengths)[0])
    return jnp.stack(found), strengths[0]


def test_push_pop_and_read():
    random = np.random.default_rng(0)
    values = random.normal(size=(12, 3))
    pushes, pops = random.uniform(size=(2, 12))
    found, strengths = run(*(jnp.float32(a) for a in (values, pushes, pops)))
    stack = Literal()
    wanted = [stack.step(*step) for step in zip(values, pushes, pops, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(strengths, list(stack.s.values()), atol=1e-5)


@pytest.mark.parametrize(
    ("pushes", "pops", "weights"),
    [
        ([1, 1], [0, 0], [0, 1]),
        ([1, 1, 0], [0, 0, 1], [1, 0, 0]),  # one popped: the first one is on top again
        ([1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]),
        ([0, 1], [1, 0], [0, 1]),  # nothing to pop
        ([1, 1], [0, 1], [0, 1]),  # popped before it is pushed
        ([0.8, 0.5], [0, 0], [0.5, 0.5]),  # no more than 1 is read
        ([0.8, 0.5, 0.9], [0, 0.1, 0.9], [0.1, 0, 0.9]),  # what is left of a pop reaches down
    ],
)
def test_by_hand(pushes, pops, weights):
    found, _ = run(jnp.eye(len(pushes)), jnp.float32(pushes), jnp.float32(pops))
    np.testing.assert_allclose(found[-1], weights, atol=1e-6)


@pytest.mark.parametrize("u", [0.0, 1.0])
@pytest.mark.parametrize("d", [0.0, 1.0])
def test_gradients_are_finite_at_the_corners(d, u):
    def loss(values, pushes, pops):
        return (run(values, pushes, pops)[0] ** 2).sum()

    values = jnp.ones((4, 2)).at[1].set(0)
    gradients = jax.grad(loss, (0, 1, 2))(values, jnp.full(4, d), jnp.full(4, u))
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def literal(params, x):
    """The whole network, one sequence (t, d), in float64: section 3.3."""
    p = jax.tree.map(np.float64, params)
    hidden = cell = np.zeros(len(p["stack_kernel"]))
    stack, read, outputs = Literal(), np.zeros(len(p["read_kernel"])), []
    for step in x:
        a = step @ p["controller"]["kernel"] + p["controller"]["bias"]
        i, f, g, o = np.split(a + read @ p["read_kernel"] + hidden @ p["recurrent_kernel"], 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        d, u, *v = hidden @ p["stack_kernel"] + p["stack_bias"]
        read = stack.step(np.tanh(v), sigmoid(d), sigmoid(u))
        outputs.append(hidden @ p["output"]["kernel"] + p["output"]["bias"])
    return np.array(outputs), list(stack.s.values())


def test_the_network():
    model = neural_stack.NeuralStack(outputs=3, width=5, size=4)
    x = jax.random.normal(jax.random.key(0), (2, 7, 2))
    params = model.init(jax.random.key(1), x)["params"]
    assert params["stack_bias"].tolist() == [0, -1, 0, 0, 0, 0]
    # Larger than the first values, so that what is read has a say.
    params = jax.tree.map(lambda leaf: 2 * leaf + 0.1, params)
    with jax.default_matmul_precision("highest"):
        outputs, strengths = model.apply({"params": params}, x, method="traced")
    assert outputs.shape == (2, 7, 3) and strengths.shape == (2, 7, 7)
    np.testing.assert_array_equal(np.triu(strengths[0], 1), 0)  # rows that are yet to come
    for row in range(2):
        wanted, last = literal(params, np.asarray(x[row], np.float64))
        np.testing.assert_allclose(outputs[row], wanted, atol=1e-5)
        np.testing.assert_allclose(strengths[row, -1], last, atol=1e-5)


def test_parameters_are_learnt_and_do_not_grow_with_the_stack():
    model = neural_stack.NeuralStack(outputs=3, width=5, size=4)
    x = jax.random.normal(jax.random.key(0), (2, 7, 2))
    params = model.init(jax.random.key(1), x)["params"]
    longer = jax.eval_shape(model.init, jax.random.key(1), jnp.zeros((1, 50, 2)))["params"]
    gates = (2 + 4 + 5 + 1) * 20  # from the input, what was read and the hidden state; a bias
    told = (5 + 1) * (1 + 1 + 4)
    for some in (params, longer):
        assert sum(leaf.size for leaf in jax.tree.leaves(some)) == gates + told + (5 + 1) * 3

    def loss(params):
        return (model.apply({"params": params}, x) ** 2).sum()

    for gradient in jax.tree.leaves(jax.jit(jax.grad(loss))(params)):
        assert np.isfinite(gradient).all() and np.any(gradient != 0)


def test_refusals():
    for name in ("outputs", "width", "size"):
        with pytest.raises(errors.InputError, match=f"{name} must be at least 1, got 0"):
            neural_stack.NeuralStack(**({"outputs": 3} | {name: 0}))
