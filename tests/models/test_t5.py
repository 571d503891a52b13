"""T5 against transformers (fixture), its memory against the full forward, its sizes."""

import functools
import itertools
import re

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.losses import classification
from jaxdl.models import pretrained, t5
from jaxdl.nn import beam, positions

SMALL = functools.partial(
    t5.T5, vocabulary=7, width=8, hidden=12, depth=1, heads=2, head_width=3, buckets=8, length=6
)
TEXT = jnp.asarray([[2, 3, 4, 5], [6, 2, 0, 0]], jnp.int32)


@functools.cache
def made(**fields):
    model = SMALL(**fields)
    inputs = {"source": TEXT, "target": TEXT}
    variables = jax.jit(model.init)(jax.random.key(0), inputs)
    return model, jax.tree.map(lambda p: 3 * p, variables)


def test_logits_and_gradients_equal_transformers(tmp_path):
    model, variables = pretrained.load(hf.folder("t5", tmp_path))
    kept = hf.arrays("t5")
    inputs = {"source": kept["text"], "target": kept["written"]}

    def loss(variables):
        logits = model.apply(variables, inputs, True)
        mean = classification.cross_entropy(logits, {"target": kept["labels"]})["loss"]
        return mean.total / mean.count, logits

    with jax.default_matmul_precision("highest"):
        (value, logits), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
        written = t5.write(model, variables, kept["text"], 8, end=-1).tokens[:, 0]
    hf.close(logits, kept["logits"])
    hf.close(value, kept["loss"])
    hf.gradients_close(model, gradient, kept)
    np.testing.assert_array_equal(written, kept["greedy"])


def test_buckets_equal_those_of_transformers():
    kept, apart = hf.arrays("t5"), jnp.arange(-200, 201)
    np.testing.assert_array_equal(positions.buckets(apart), kept["bucket_both"])
    np.testing.assert_array_equal(positions.buckets(apart, both=False), kept["bucket_before"])


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        (t5.t5_small, 60_506_624),
        (t5.t5_base, 222_903_552),
        (t5.t5_large, 737_668_096),
        (t5.t5_v1_1_small, 76_961_152),
        (t5.t5_v1_1_base, 247_577_856),
    ],
)
def test_published_sizes(variant, count):
    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    inputs = {"source": tokens, "target": tokens}
    shapes = jax.eval_shape(variant().init, jax.random.key(0), inputs)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize(("gated", "tied"), [(False, True), (True, False)])
def test_the_memory_gives_what_the_whole_sequence_gives(gated, tied):
    model, variables = made(gated=gated, tied=tied)
    written = jnp.asarray([[0, 3, 4, 2, 6, 5], [0, 5, 5, 1, 2, 3]], jnp.int32)
    whole = jax.jit(model.apply)(variables, {"source": TEXT, "target": written})
    logits, memory = model.apply(variables, TEXT, written[:, :2], method="begin")
    parts = [logits]
    advance = jax.jit(lambda tokens, m: model.apply(variables, tokens, m, method="advance"))
    for n in range(2, 6):
        logits, memory = advance(written[:, n : n + 1], memory)
        parts.append(logits)
    assert int(memory.length) == 6
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, rtol=1e-4, atol=1e-5)


def after_end(sequences):
    ends = sequences == 1
    return np.cumsum(ends, axis=1) - ends > 0


def scores(model, variables, sequences):
    """The log-probability of each sequence, after the first text, by the whole forward."""
    begun = np.pad(sequences[:, :-1], ((0, 0), (1, 0)))
    source = jnp.broadcast_to(TEXT[:1], (len(sequences), 4))
    logits = model.apply(variables, {"source": source, "target": jnp.asarray(begun)})
    words = np.asarray(jax.nn.log_softmax(logits))
    picked = np.take_along_axis(words, sequences[..., None], -1)[..., 0]
    return np.where(after_end(sequences), 0, picked).sum(1)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(exponent):
    model, variables = made()
    sequences = np.asarray(list(itertools.product(range(7), repeat=3)), np.int32)
    silent = ~(after_end(sequences) & (sequences != 0)).any(1)  # after the end there is padding
    sequences = sequences[silent]
    total, lengths = scores(model, variables, sequences), 3 - after_end(sequences).sum(1)
    best = np.argsort(-total / lengths**exponent)[:4]
    found = t5.write(model, variables, TEXT[:1], 3, beams=60, exponent=exponent)
    np.testing.assert_array_equal(found.tokens[0, :4], sequences[best])
    np.testing.assert_allclose(found.scores[0, :4], total[best], rtol=1e-4)


def test_one_beam_takes_the_likeliest_word_at_each_place():
    model, variables = made()
    found = t5.write(model, variables, TEXT, 5, end=1)
    for row, text in zip(np.asarray(found.tokens[:, 0]), TEXT, strict=True):
        written = [0]
        for token in row:
            inputs = {"source": text[None], "target": jnp.asarray([written], jnp.int32)}
            wanted = int(jnp.argmax(model.apply(variables, inputs)[0, -1]))
            assert token == (0 if 1 in written else wanted)
            written.append(int(token))


def test_padding_is_not_read_and_later_words_are_not_seen():
    model, variables = made()
    apply = jax.jit(model.apply)
    written = jnp.asarray([[0, 3, 4], [0, 5, 5]], jnp.int32)
    whole = apply(variables, {"source": TEXT, "target": written})
    short = apply(variables, {"source": TEXT[1:, :2], "target": written[1:]})
    np.testing.assert_allclose(whole[1], short[0], rtol=1e-4, atol=1e-5)
    changed = apply(variables, {"source": TEXT, "target": written.at[0, 2].set(6)})
    np.testing.assert_allclose(whole[:, :2], changed[:, :2], rtol=1e-6)
    assert np.abs(whole[0, 2] - changed[0, 2]).max() > 1e-4


def test_rules_name_a_dimension_each():
    params = made(gated=True, tied=False)[1]["params"]
    named = {}
    for path, leaf in jax.tree.leaves_with_path(params):
        name = "/".join(part.key for part in path)
        axes = next((axes for pattern, axes in t5.RULES if re.search(pattern, name)), None)
        if axes is not None:
            assert len(axes) == leaf.ndim, name
            named[name] = axes
    assert named["decoder_0/text/output/kernel"] == ("tensor", "fsdp")
    assert named["encoder_0/gated_mlp/up/kernel"] == ("fsdp", "tensor")
    assert named["output/kernel"] == ("fsdp", "tensor")


def test_bad_fields_and_inputs_are_refused():
    with pytest.raises(errors.InputError, match="decoder_depth must be at least 1, got 0"):
        SMALL(decoder_depth=0)
    with pytest.raises(errors.InputError, match="must exceed half of its buckets, got 4 and 8"):
        SMALL(farthest=4)
    model, variables = made()
    long = {"source": TEXT, "target": jnp.zeros((2, 7), jnp.int32)}
    assert jax.eval_shape(model.apply, variables, long).shape == (2, 7, 7)
    with pytest.raises(errors.InputError, match="must have at most 6 tokens, its context, got 7"):
        model.apply(variables, TEXT, long["target"], method="begin")
    with pytest.raises(errors.InputError, match="at most its length 6, got 7"):
        t5.write(model, variables, TEXT, 7)
    with pytest.raises(errors.InputError, match="at least 1, got length=0 and beams=1"):
        beam.search(lambda *_: (None, None), jnp.zeros((1, 3)), None, 0, end=1)
