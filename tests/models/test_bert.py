"""BERT against transformers (fixtures), its padding, its sizes."""

import functools
import re

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxdl import errors
from jaxdl.losses import classification
from jaxdl.models import bert, pretrained

SMALL = functools.partial(bert.BERT, vocabulary=11, length=8, width=8, depth=1, heads=2)
TOKENS = jnp.asarray([[3, 4, 5, 6, 7], [8, 9, 0, 0, 0]], jnp.int32)


def test_masked_logits_and_gradients_equal_transformers(tmp_path):
    model, variables = pretrained.load(hf.folder("bert", tmp_path))
    kept = hf.arrays("bert")
    labels = kept["labels"]
    batch = {"target": jnp.maximum(labels, 0), "mask": labels >= 0}

    def loss(variables):
        logits = model.apply(variables, kept["tokens"], types=kept["types"])
        mean = classification.in_bits(logits, batch)["loss"]
        return mean.total / mean.count, logits

    with jax.default_matmul_precision("highest"):
        (value, logits), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    hf.close(logits, kept["logits"])
    hf.close(value, kept["loss"])
    hf.gradients_close(model, gradient, kept)


def test_the_names_of_the_first_published_files_are_read(tmp_path):
    folder = hf.folder("bert", tmp_path)
    _, wanted = pretrained.load(folder)
    tensors = {
        re.sub(
            r"LayerNorm\.weight$", "LayerNorm.gamma", re.sub(r"Norm\.bias$", "Norm.beta", name)
        ): x
        for name, x in hf.tensors(folder).items()
    }
    assert "bert.embeddings.LayerNorm.beta" in tensors
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    _, found = pretrained.load(folder)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_classes_and_gradients_equal_transformers(tmp_path):
    model, variables = pretrained.load(hf.folder("bert_classifier", tmp_path))
    kept = hf.arrays("bert_classifier")

    def loss(variables):
        logits = model.apply(variables, kept["tokens"], True)
        mean = classification.cross_entropy(logits, {"target": kept["labels"]})["loss"]
        return mean.total / mean.count, logits

    with jax.default_matmul_precision("highest"):
        (value, logits), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
        encoder = {"params": variables["params"]["encoder"]}
        hidden = model.encoder.apply(encoder, kept["tokens"]).tokens
    hf.close(hidden, kept["hidden"])
    hf.close(logits, kept["logits"])
    hf.close(value, kept["loss"])
    hf.gradients_close(model, gradient, kept)


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        (bert.bert_tiny, 4_385_920),
        (bert.bert_mini, 11_170_560),
        (bert.bert_small, 28_763_648),
        (bert.bert_medium, 41_373_184),
        (bert.bert_base, 109_482_240),
        (bert.bert_large, 335_141_888),
    ],
)
def test_published_sizes(variant, count):
    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    shapes = jax.eval_shape(variant().init, jax.random.key(0), tokens)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_padding_changes_nothing_that_is_read(positions):
    model = SMALL(positions=positions)
    variables = jax.jit(model.init)(jax.random.key(0), TOKENS)
    variables = jax.tree.map(lambda p: 10 * p, variables)
    apply = jax.jit(model.apply)
    whole, short = apply(variables, TOKENS), apply(variables, TOKENS[1:, :2])
    np.testing.assert_allclose(whole.tokens[1, :2], short.tokens[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(whole.text[1], short.text[0], rtol=1e-5, atol=1e-6)
    read = model.apply(variables, TOKENS, mask=jnp.ones_like(TOKENS, bool))
    assert np.abs(read.text[1] - whole.text[1]).max() > 1e-4
    # Both directions: the first token knows of the last one, and of its place.
    swapped = apply(variables, TOKENS.at[0, 3:5].set(jnp.asarray([7, 6])))
    assert np.abs(swapped.text[0] - whole.text[0]).max() > 1e-6


def test_dropout_and_dtype():
    model = bert.Classifier(SMALL(dropout=0.5, dtype=jnp.bfloat16), classes=3, dropout=0.5)
    variables = jax.jit(model.init)(jax.random.key(0), TOKENS)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    key = {"dropout": jax.random.key(1)}
    trained, tested = model.apply(variables, TOKENS, True, rngs=key), model.apply(variables, TOKENS)
    assert tested.dtype == jnp.float32 and (np.asarray(trained) != np.asarray(tested)).any()


def test_rules_name_a_dimension_each():
    model = bert.MaskedLM(SMALL(pooler=False))
    shapes = jax.eval_shape(model.init, jax.random.key(0), TOKENS)["params"]
    named = {}
    for path, leaf in jax.tree.leaves_with_path(shapes):
        name = "/".join(part.key for part in path)
        axes = next((axes for pattern, axes in bert.RULES if re.search(pattern, name)), None)
        if axes is not None:
            assert len(axes) == leaf.ndim, name
            named[name] = axes
    assert named["encoder/block_0/mlp/up/kernel"] == ("fsdp", "tensor")
    assert named["encoder/tokens/embedding"] == ("tensor", "fsdp")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 3}, "multiple of its heads, got 8 and 3"),
        ({"positions": "alibi"}, 'must be "learned" or "rotary", got \'alibi\''),
        ({"types": -1}, "types must be at least 0, got -1"),
        ({"dropout": 1.0}, r"must lie in \[0, 1\), got 1.0"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(errors.InputError, match=message):
        SMALL(**fields)


def test_bad_inputs_and_files_are_refused(tmp_path):
    model = SMALL()
    with pytest.raises(errors.InputError, match="must have at most 8 tokens, got 9"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 9), jnp.int32))
    with pytest.raises(errors.InputError, match="must have a pooler"):
        bert.Classifier(SMALL(pooler=False), classes=2)
    with pytest.raises(errors.InputError, match="4 times its hidden_size, got 65 and 16"):
        pretrained.load(hf.folder("bert", tmp_path, intermediate_size=65))
    with pytest.raises(errors.InputError, match="learned positions and types, got 'rotary'"):
        pretrained.save(tmp_path / "new", SMALL(positions="rotary"), {"params": {}})
    for model in (SMALL(act=jax.nn.relu), bert.MaskedLM(SMALL(act=jax.nn.relu, pooler=False))):
        variables = model.init(jax.random.key(0), TOKENS)
        with pytest.raises(errors.InputError, match=r"A BERT .* the act transformer\.exact_gelu"):
            pretrained.save(tmp_path / "new", model, variables)
