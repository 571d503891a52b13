"""The recurrent network against PyTorch's, as a language model, as a classifier, and streamed."""

import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import rnn

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "rnn.npz"
CASES = list(itertools.product(("vanilla", "gru", "lstm"), (1, 2), (1, 2)))


def load(case):
    prefix = f"{case}/"
    with np.load(FIXTURE) as arrays:
        return {name.removeprefix(prefix): arrays[name] for name in arrays if prefix in name}


def parameters(arrays, cell, depth, directions, prefix=""):
    """PyTorch's weights in our layout; of gradients, PyTorch's two biases have the same one."""
    width = arrays["y"].shape[-1] // directions
    out = {}
    for layer, side in itertools.product(range(depth), range(directions)):
        end = f"l{layer}" + ("_reverse" if side else "")
        outer, inner = arrays[f"{prefix}bias_ih_{end}"], arrays[f"{prefix}bias_hh_{end}"]
        merged = np.r_[inner[:-width], np.zeros(width)] if cell == "gru" else inner
        layer_parameters = {
            "input_kernel": arrays[f"{prefix}weight_ih_{end}"].T,
            "recurrent_kernel": arrays[f"{prefix}weight_hh_{end}"].T,
            "bias": outer if prefix else (outer + merged).astype(np.float32),
        }
        if cell == "gru":
            layer_parameters["recurrent_bias"] = inner[-width:]
        out[("forward", "backward")[side] + f"_{layer}"] = layer_parameters
    return out


def difference(a, b):
    return np.max(np.abs(a - b)) / np.max(np.abs(b))


@pytest.mark.parametrize(("cell", "depth", "directions"), CASES)
def test_torch(cell, depth, directions):
    compare(load(f"{cell}_{depth}_{directions}"), cell, depth, directions)


@pytest.mark.parametrize("cell", ["vanilla", "gru", "lstm"])
def test_torch_packed(cell):
    arrays = load(f"{cell}_packed")
    compare(arrays, cell, 1, 2, jnp.array(arrays["lengths"]))


def compare(arrays, cell, depth, directions, lengths=None):
    size, steps = arrays["y"].shape[-1], arrays["y"].shape[1]
    inside = np.ones((1, steps, 1), bool)  # beyond its length, a sequence's outputs are any
    if lengths is not None:
        inside = (np.arange(steps)[None, :] < arrays["lengths"][:, None])[..., None]
    model = rnn.RNN(size, cell, size // directions, depth, bidirectional=directions == 2)
    output = {"kernel": jnp.eye(size), "bias": jnp.zeros(size)}
    weights = parameters(arrays, cell, depth, directions)
    start = np.stack([arrays[f"start/{n}"] for n in range(2 if cell == "lstm" else 1)], 1)

    def run(weights, x, start):
        carries = tuple(tuple(states) for states in start)
        variables = {"params": weights | {"output": output}}
        y, last = model.apply(variables, x, carries, lengths=lengths, method="advance")
        y = jnp.where(inside, y, 0)
        last = jnp.stack([jnp.stack(states) for states in last])
        return (y**2).sum() + (last**2).sum(), (y, last)

    with jax.default_matmul_precision("highest"):
        program = jax.jit(jax.value_and_grad(run, (0, 1, 2), has_aux=True))
        (_, (y, last)), gradients = program(weights, arrays["x"], start)
    assert difference(y, arrays["y"]) <= 1e-5
    wanted = parameters(arrays, cell, depth, directions, "gradient/")
    jax.tree.map(lambda a, b: np.testing.assert_array_less(difference(a, b), 1e-5),
                 gradients[0], wanted)  # fmt: skip
    assert difference(gradients[1], arrays["gradient/x"]) <= 1e-5
    for n in range(start.shape[1]):
        assert difference(last[:, n], arrays[f"last/{n}"]) <= 1e-5
        assert difference(gradients[2][:, n], arrays[f"gradient/start/{n}"]) <= 1e-5


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_streaming_equals_the_whole(cell):
    model = rnn.RNN(11, cell, 8, depth=2, vocabulary=11)
    tokens = jax.random.randint(jax.random.key(0), (2, 7), 0, 11)
    variables = model.init(jax.random.key(1), tokens)
    whole = model.apply(variables, tokens)  # 14 tokens, 11 rows: the projected table is looked up
    assert whole.shape == (2, 7, 11)
    step = jax.jit(lambda piece, carries: model.apply(variables, piece, carries, method="advance"))
    carries, pieces = None, []
    for t in range(7):  # 2 tokens: the rows are looked up and then projected
        output, carries = step(tokens[:, t : t + 1], carries)
        pieces.append(output)
    np.testing.assert_allclose(jnp.concatenate(pieces, 1), whole, atol=1e-6)


def test_a_token_outside_the_vocabulary_gives_nan():
    model = rnn.RNN(3, "vanilla", 4, vocabulary=5)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
    for tokens in ([[0, 5]], [[0, -1]], [[0, 0, 0, 0, 0, 5]]):
        output = model.apply(variables, jnp.array(tokens))
        assert np.isnan(output[0, -1]).all() and np.isfinite(output[0, 0]).all()


def test_one_output_per_sequence_and_lengths():
    model = rnn.RNN(3, "gru", 5, bidirectional=True, last=True)
    x = jax.random.normal(jax.random.key(0), (2, 6, 4))
    variables = model.init(jax.random.key(1), x)
    padded = model.apply(variables, x, lengths=jnp.array([4, 6]))
    assert padded.shape == (2, 3)
    np.testing.assert_allclose(padded[:1], model.apply(variables, x[:1, :4]), atol=1e-6)
    np.testing.assert_allclose(padded[1:], model.apply(variables, x[1:]), atol=1e-6)


def test_parameters_are_named_and_float32():
    model = rnn.RNN(
        7, "gru", 4, 2, bidirectional=True, dropout=0.5, vocabulary=9, dtype=jnp.bfloat16
    )
    tokens = jnp.zeros((2, 3), jnp.int32)
    variables = model.init(jax.random.key(0), tokens)
    shapes = jax.tree.map(jnp.shape, variables["params"])
    layer = {"recurrent_kernel": (4, 12), "bias": (12,), "recurrent_bias": (4,)}
    first, second = layer | {"input_kernel": (4, 12)}, layer | {"input_kernel": (8, 12)}
    assert shapes == {
        "embedding": {"embedding": (9, 4)},
        "forward_0": first, "backward_0": first, "forward_1": second, "backward_1": second,
        "output": {"kernel": (8, 7), "bias": (7,)},
    }  # fmt: skip
    assert {a.dtype for a in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    key = {"dropout": jax.random.key(1)}
    dropped = model.apply(variables, tokens, train=True, rngs=key)
    still = model.apply(variables, tokens)
    assert dropped.dtype == still.dtype == jnp.float32
    assert np.any(dropped != still)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell": "lsmt"}, "cell must be one of vanilla, gru, lstm, got 'lsmt'"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"vocabulary": 0}, "vocabulary must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must lie in"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(errors.InputError, match=message):
        rnn.RNN(3, **fields)


def test_bad_input():
    with pytest.raises(errors.InputError, match="Set vocabulary to read tokens"):
        rnn.RNN(3).init(jax.random.key(0), jnp.zeros((2, 3), jnp.int32))
    with pytest.raises(errors.InputError, match="must be integer tokens"):
        rnn.RNN(3, vocabulary=5).init(jax.random.key(0), jnp.zeros((2, 3, 4)))
