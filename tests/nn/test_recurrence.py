"""The hand-differentiated scan against autodiff of the cells' textbook equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.nn import recurrence

BATCH, TIME, FEATURES, WIDTH = 3, 5, 4, 6
sigmoid = jax.nn.sigmoid


def textbook(cell, p, x, states, lengths, reverse):
    """The layer as its papers write it, in a Python loop, one gate at a time."""
    width, outputs = WIDTH, [None] * TIME
    W, U, b = (
        [p[name][..., n * width : (n + 1) * width] for n in range(p["bias"].size // width)]
        for name in ("input_kernel", "recurrent_kernel", "bias")
    )
    for t in reversed(range(TIME)) if reverse else range(TIME):
        h = states[0]
        a = [x[:, t] @ W[n] + b[n][None] for n in range(len(W))]
        q = [h @ U[n] for n in range(len(W))]
        if cell == "vanilla":
            new = (jnp.tanh(a[0] + q[0]),)
        elif cell == "gru":
            r, z = sigmoid(a[0] + q[0]), sigmoid(a[1] + q[1])
            n = jnp.tanh(a[2] + r * (q[2] + p["recurrent_bias"][None]))
            new = ((1 - z) * n + z * h,)
        else:
            i, f, o = (sigmoid(a[n] + q[n]) for n in (0, 1, 3))
            c = f * states[1] + i * jnp.tanh(a[2] + q[2])
            new = (o * jnp.tanh(c), c)
        inside = (t < lengths)[:, None]
        states = tuple(jnp.where(inside, n, s) for n, s in zip(new, states, strict=True))
        outputs[t] = states[0]
    return jnp.stack(outputs, 1), states


def example(cell, reverse=False, **fields):
    layer = recurrence.Recurrent(cell, WIDTH, reverse, **fields)
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (BATCH, TIME, FEATURES))
    variables = layer.init(keys[1], x)
    noise = jax.random.normal(keys[2], (4 * WIDTH,))
    variables = jax.tree.map(
        lambda a: a + noise[: a.size] if a.ndim == 1 else a, variables
    )  # biases that are not zero
    states = tuple(jax.random.normal(keys[3], (2, BATCH, WIDTH)))
    return layer, variables, x, states[: recurrence.CELLS[cell].states]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", recurrence.CELLS)
def test_gradients_against_autodiff(cell, reverse):
    layer, variables, x, states = example(cell, reverse)

    def ours(p, x, states, lengths):
        return layer.apply({"params": p}, x, None, states, lengths)

    def theirs(p, x, states, lengths):
        return textbook(cell, p, x, states, lengths, reverse)

    def gradient(run):
        def loss(*arguments):
            y, last = run(*arguments)
            return (y**3).sum() + sum((s**2).sum() for s in last), (y, last)

        return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))

    found, wanted = gradient(ours), gradient(theirs)
    with jax.default_matmul_precision("highest"):
        for lengths in (None, jnp.array([5, 2, 3])):
            a = found(variables["params"], x, states, lengths)
            full = jnp.full(BATCH, TIME) if lengths is None else lengths
            b = wanted(variables["params"], x, states, full)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 2e-5, 1e-5), a, b)


def test_a_table_looked_up_is_the_rows_read():
    layer, variables, _, _ = example("lstm")
    table = jax.random.normal(jax.random.key(3), (7, FEATURES))
    index = jax.random.randint(jax.random.key(4), (BATCH, TIME), 0, 7)

    def loss(looked_up):
        def of(table, variables):
            args = (table, index) if looked_up else (table[index],)
            return (layer.apply(variables, *args)[0] ** 2).sum()

        return jax.jit(jax.value_and_grad(of, (0, 1)))(table, variables)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), loss(True), loss(False))


@pytest.mark.parametrize("cell", recurrence.CELLS)
def test_training_vmaps_over_seeds_and_repeats_its_bits(cell):
    layer, _, x, _ = example(cell)

    def train(key):
        variables = layer.init(key, x)
        gradient = jax.grad(lambda v: (layer.apply(v, x)[0] ** 2).sum())
        return jax.tree.map(lambda p, g: p - 0.1 * g, variables, gradient(variables))

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(train))(keys)
    alone = jax.jit(train)
    first, again = alone(keys[1]), alone(keys[1])
    jax.tree.map(np.testing.assert_array_equal, first, again)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, atol=1e-5), together, first)


@pytest.mark.parametrize("cell", recurrence.CELLS)
def test_bfloat16(cell):
    exact, variables, x, states = example(cell)
    rough = recurrence.Recurrent(cell, WIDTH, dtype=jnp.bfloat16)
    y, last = rough.apply(variables, x, None, states)
    assert y.dtype == jnp.bfloat16
    assert {s.dtype for s in last} == {jnp.dtype("float32")}
    np.testing.assert_allclose(
        y.astype(jnp.float32), exact.apply(variables, x, None, states)[0], atol=0.05
    )

    def loss(layer):
        return lambda v: (layer.apply(v, x, None, states)[0].astype(jnp.float32) ** 2).sum()

    gradient, wanted = jax.grad(loss(rough))(variables), jax.grad(loss(exact))(variables)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == jnp.float32
        assert np.linalg.norm(a - b) <= 0.05 * np.linalg.norm(b)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("cell", recurrence.CELLS)
def test_scan_against_autodiff_of_a_loop(cell, bias):
    """The public scan, with the GRU's inner bias and without: autodiff of the forward step."""
    step = recurrence.CELLS[cell]
    size = step.gates * WIDTH
    keys = jax.random.split(jax.random.key(5), 4)
    projected = jax.random.normal(keys[0], (TIME, BATCH, size))
    kernel = jax.random.normal(keys[1], (WIDTH, size)) / 2
    inner = jax.random.normal(keys[2], (size,)) if bias else None
    states = tuple(jax.random.normal(keys[3], (step.states, BATCH, WIDTH)))

    def ours(projected, kernel, inner, states):
        hidden, last = recurrence.scan(step, False, projected, kernel, inner, states, None)
        return (hidden**3).sum() + sum((s**2).sum() for s in last)

    def loop(projected, kernel, inner, states):
        total = 0.0
        for row in projected:
            recurrent = states[0] @ kernel
            recurrent = recurrent if inner is None else recurrent + inner[None]
            states, _ = step.forward(row, recurrent, states)
            total += (states[0] ** 3).sum()
        return total + sum((s**2).sum() for s in states)

    arguments, of = (projected, kernel, inner, states), (0, 1, 2, 3) if bias else (0, 1, 3)
    with jax.default_matmul_precision("highest"):
        a, b = (jax.jit(jax.value_and_grad(f, of))(*arguments) for f in (ours, loop))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 2e-5, 1e-5), a, b)


def test_bad_fields():
    with pytest.raises(errors.InputError, match="must be one of vanilla, gru, lstm, got 'lsmt'"):
        recurrence.Recurrent("lsmt", 3)
    with pytest.raises(errors.InputError, match="at least 1, got 0"):
        recurrence.Recurrent("gru", 0)
