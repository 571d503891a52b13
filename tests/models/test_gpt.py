"""GPT against PyTorch's modules (fixture), its cache against the full forward, its sizes."""

import functools
import pathlib
import re

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.losses import classification
from jaxdl.models import gpt
from jaxdl.nn import decoding

FIXTURE = np.load(pathlib.Path(__file__).parent.parent / "fixtures" / "gpt.npz")
SMALL = functools.partial(gpt.GPT, vocabulary=17, length=12, width=16, depth=2, heads=4)


def tree(kind):
    out = {}
    for name in FIXTURE.files:
        if name.startswith(kind + "/"):
            *path, leaf = name.split("/")[1:]
            node = functools.reduce(lambda node, part: node.setdefault(part, {}), path, out)
            node[leaf] = jnp.asarray(FIXTURE[name], jnp.float32)
    return out


@functools.cache
def made(positions="learned", groups=None, tied=True):
    model = SMALL(positions=positions, groups=groups, tied=tied)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 3), jnp.int32))["params"]
    larger = jax.tree.map(lambda p: p + 0.3 * jnp.sin(jnp.arange(p.size).reshape(p.shape)), params)
    return model, larger


def test_logits_loss_and_gradients_equal_torch():
    tokens, targets = (jnp.asarray(FIXTURE[name]) for name in ("tokens", "targets"))

    def loss(params):
        logits = SMALL().apply({"params": params}, tokens, train=True)
        mean = classification.in_bits(logits, {"target": targets})["loss"]
        return mean.total / mean.count, logits

    with jax.default_matmul_precision("highest"):
        (value, logits), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(tree("weight"))
    scale = np.abs(FIXTURE["logits"]).max()
    np.testing.assert_allclose(logits, FIXTURE["logits"], rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(value, FIXTURE["loss"], rtol=1e-5)
    expected = tree("gradient")
    assert jax.tree.structure(gradient) == jax.tree.structure(expected)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    for (path, ours), theirs in zip(
        jax.tree.leaves_with_path(gradient), jax.tree.leaves(expected), strict=True
    ):
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * largest, err_msg=name)


def test_logits_and_gradients_equal_transformers(tmp_path):
    model, variables, kept = hf.language_model_equals("gpt", tmp_path)
    hf.parts_equal_the_whole(model, variables, kept["tokens"], kept["logits"])


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        (gpt.gpt2, 124_439_808),
        (gpt.gpt2_medium, 354_823_168),
        (gpt.gpt2_large, 774_030_080),
        (gpt.gpt2_xl, 1_557_611_200),
    ],
)
def test_published_sizes(variant, count):
    assert hf.parameters(variant) == count


@pytest.mark.parametrize(
    ("positions", "groups", "tied"), [("learned", None, True), ("rotary", 2, False)]
)
def test_cache_gives_what_the_whole_sequence_gives(positions, groups, tied):
    model, params = made(positions, groups, tied)
    tokens = jax.random.randint(jax.random.key(1), (2, 12), 0, 17)
    whole = jax.jit(model.apply)({"params": params}, tokens)
    advance = jax.jit(
        lambda tokens, cache: model.apply({"params": params}, tokens, cache, method="advance")
    )
    logits, cache = advance(tokens[:, :5], model.empty_cache(2))
    parts = [logits]
    for n in range(5, 12):
        logits, cache = advance(tokens[:, n : n + 1], cache)
        parts.append(logits)
    assert int(cache.length) == 12
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_no_token_sees_a_later_one(positions):
    model, params = made(positions)
    tokens = jnp.arange(10, dtype=jnp.int32)[None]
    changed = tokens.at[0, 6].set(16)
    apply = jax.jit(model.apply)
    before, after = (apply({"params": params}, t) for t in (tokens, changed))
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert (np.abs(before[:, 6:] - after[:, 6:]).max(-1) > 1e-5).all()


def test_greedy_generation_equals_argmax_of_the_full_forward():
    model, params = made()
    prompt = jnp.asarray([[1, 2, 3], [4, 5, 6]], jnp.int32)
    out = decoding.generate(model, params, prompt, 6, jax.random.key(0), temperature=0.0)
    apply, tokens = jax.jit(model.apply), np.asarray(prompt)
    for _ in range(6):
        padded = np.zeros((2, 12), np.int32)
        padded[:, : tokens.shape[1]] = tokens
        logits = apply({"params": params}, jnp.asarray(padded))[:, tokens.shape[1] - 1]
        tokens = np.concatenate([tokens, np.argmax(logits, -1)[:, None]], axis=1)
    np.testing.assert_array_equal(out, tokens[:, 3:])


def test_generation_depends_on_its_key_and_stays_in_the_vocabulary():
    model, params = made()
    prompt = jnp.zeros((1, 2), jnp.int32)
    draw = functools.partial(decoding.generate, model, params, prompt, 10, top_k=8, top_p=0.95)
    one, again, other = (draw(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (np.asarray(one) != np.asarray(other)).any()
    assert one.shape == (1, 10) and one.min() >= 0 and one.max() < 17


def test_dropout_and_dtype():
    model = SMALL(dropout=0.5, dtype=jnp.bfloat16)
    tokens = jnp.arange(8, dtype=jnp.int32)[None]
    variables = jax.jit(model.init)(jax.random.key(0), tokens)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    key = {"dropout": jax.random.key(1)}
    apply = jax.jit(model.apply, static_argnames="train")
    trained, same = (apply(variables, tokens, train=True, rngs=key) for _ in range(2))
    np.testing.assert_array_equal(trained, same)
    tested = apply(variables, tokens)
    assert tested.dtype == jnp.float32 and (np.asarray(trained) != np.asarray(tested)).any()


def test_rules_name_a_dimension_each():
    params = made(tied=False)[1]
    ranks = {}
    for path, leaf in jax.tree.leaves_with_path(params):
        name = "/".join(part.key for part in path)
        axes = next((axes for pattern, axes in gpt.RULES if re.search(pattern, name)), None)
        if axes is not None:
            assert len(axes) == leaf.ndim, name
            ranks[name] = axes
    assert ranks["block_0/attention/output/kernel"] == ("tensor", "fsdp")
    assert ranks["output/kernel"] == ("fsdp", "tensor")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 10}, "multiple of its heads, got 10 and 4"),
        ({"groups": 3}, "multiple of its groups, got 4 and 3"),
        ({"positions": "alibi"}, 'must be "learned" or "rotary", got \'alibi\''),
        ({"positions": "rotary", "heads": 16}, "must be even for rotary positions, got 1"),
        ({"dropout": 1.0}, r"must lie in \[0, 1\), got 1.0"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(errors.InputError, match=message):
        SMALL(**fields)


def test_bad_inputs_are_refused():
    model, params = made()
    key = jax.random.key(0)
    with pytest.raises(errors.InputError, match="at most 12 tokens, its context, got 13"):
        model.apply({"params": params}, jnp.zeros((1, 13), jnp.int32))
    with pytest.raises(errors.InputError, match=r"context of 12, got 10 \+ 3"):
        decoding.generate(model, params, jnp.zeros((1, 10), jnp.int32), 3, key)
    with pytest.raises(errors.InputError, match="at least 1 token, got 0"):
        decoding.generate(model, params, jnp.zeros((1, 0), jnp.int32), 3, key)
    with pytest.raises(errors.InputError, match="generate must be at least 1, got 0"):
        decoding.generate(model, params, jnp.zeros((1, 2), jnp.int32), 0, key)
