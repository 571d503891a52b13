"""The encoder and decoder against PyTorch's parts, and beam search against all there is to find."""

import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxdl import errors
from jaxdl.losses import classification
from jaxdl.models import seq2seq

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "seq2seq.npz"
SOURCE = jnp.array([[3, 1, 4, 1], [2, 4, 0, 0], [4, 0, 0, 0]])


def small(**fields):
    model = seq2seq.Seq2Seq(symbols=5, words=5, width=4, **fields)
    inputs = {"source": SOURCE, "target": jnp.ones((3, 2), jnp.int32)}
    variables = model.init(jax.random.key(0), inputs)
    return model, jax.tree.map(lambda x: 3 * x, variables)  # far from equal probabilities


def test_torch():
    with np.load(FIXTURE) as arrays:
        kept = {name: arrays[name] for name in arrays}
    model = seq2seq.Seq2Seq(symbols=5, words=6, width=4)
    inputs = {name: jnp.asarray(kept.pop(name)) for name in ("source", "target")}
    wanted = kept.pop("logits")[..., 1:]
    gradients = {n[9:]: kept.pop(n) for n in [*kept] if n.startswith("gradient/")}

    def run(weights):
        logits = model.apply({"params": traverse_util.unflatten_dict(weights, "/")}, inputs)
        return (logits[..., 1:] ** 2).sum(), logits

    with jax.default_matmul_precision("highest"):
        (_, logits), found = jax.jit(jax.value_and_grad(run, has_aux=True))(kept)
    np.testing.assert_allclose(logits[..., 1:], wanted, atol=1e-6)
    assert (logits[..., 0] < -1e29).all()
    assert found.keys() == gradients.keys()
    for name, value in gradients.items():
        # A source's padding and a target's are embedded, and looked up, without any effect.
        np.testing.assert_allclose(
            found[name], value, atol=2e-5 * np.abs(value).max(), err_msg=name
        )


def test_padding_of_the_source_has_no_effect_without_attention():
    model, variables = small(attention=False)  # with it, PyTorch's has padding too
    target = jnp.array([[1, 3, 4]])
    apply = jax.jit(model.apply)
    longer = apply(variables, {"source": SOURCE[1:2], "target": target})
    shorter = apply(variables, {"source": SOURCE[1:2, :2], "target": target})
    np.testing.assert_allclose(longer, shorter, atol=1e-6)


def all_of(model, variables, row, length):
    """Every sequence that can be written and its log-probability, best first."""
    found = {}
    for tokens in itertools.product(range(1, model.words), repeat=length):
        end = tokens.index(seq2seq.END) + 1 if seq2seq.END in tokens else length
        found[tokens[:end] + (0,) * (length - end)] = end
    tokens = jnp.array([*found])
    before = jnp.concatenate([jnp.full((len(tokens), 1), seq2seq.START), tokens[:, :-1]], axis=1)
    source = jnp.broadcast_to(SOURCE[row], (len(tokens), 4))
    words = jax.nn.log_softmax(model.apply(variables, {"source": source, "target": before}))
    picked = jnp.take_along_axis(words, tokens[..., None], axis=-1)[..., 0]
    totals = np.where(tokens > 0, picked, 0).sum(1)
    return np.asarray(tokens), totals, np.array([*found.values()])


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_a_wide_beam_finds_what_is_likeliest_of_all(exponent):
    model, variables = small()
    found = seq2seq.write(model, variables, SOURCE, 3, beams=100, exponent=exponent)
    for row in range(3):
        tokens, totals, lengths = all_of(model, variables, row, 3)
        order = np.argsort(-totals / lengths**exponent)
        assert len(order) < 100
        np.testing.assert_array_equal(found.tokens[row, :9], tokens[order[:9]])
        np.testing.assert_allclose(found.scores[row, : len(order)], totals[order], atol=1e-4)
        assert (found.scores[row, len(order) :] < -1e29).all()


def test_a_beam_of_one_is_greedy_and_what_it_writes_is_whole():
    model, variables = small()
    written = seq2seq.write(model, variables, SOURCE, 5).tokens[:, 0]
    before = jnp.concatenate([jnp.full((3, 1), seq2seq.START), written[:, :-1]], axis=1)
    logits = model.apply(variables, {"source": SOURCE, "target": before})
    inside = written > 0
    np.testing.assert_array_equal(jnp.where(inside, logits.argmax(-1), 0), written)
    batch = {"target": written, "mask": inside}
    assert classification.whole(logits, batch)["whole"].value() == 1
    wrong = batch | {"target": written.at[0, 0].set(written[0, 0] % 4 + 1)}
    assert classification.whole(logits, wrong)["whole"].value() == pytest.approx(2 / 3)


def test_refusals():
    with pytest.raises(errors.InputError, match="width must be at least 1, got 0"):
        seq2seq.Seq2Seq(5, 5, 0)
    with pytest.raises(errors.InputError, match="words must be at least 3, got 2"):
        seq2seq.Seq2Seq(5, 2)
    model, variables = small()
    with pytest.raises(errors.InputError, match="must be at least 1, got length=0 and beams=1"):
        seq2seq.write(model, variables, SOURCE, 0)
