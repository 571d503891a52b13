"""Mixtral against transformers (fixture), its experts against a plain loop, its sizes."""

import functools

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import mixtral, pretrained

SMALL = functools.partial(
    mixtral.Mixtral, vocabulary=17, length=8, width=8, depth=2, heads=2, groups=1, hidden=8
)


def test_equals_transformers_whole_and_in_parts(tmp_path):
    model, variables, kept = hf.language_model_equals(
        "mixtral", tmp_path, lambda outputs: outputs.logits
    )
    assert (model.experts, model.chosen) == (4, 2)
    hf.parts_equal_the_whole(model, variables, kept["tokens"], kept["logits"])
    router = jax.jit(model.apply)(variables, kept["tokens"]).router
    hf.close(mixtral.balance(router, model.chosen), kept["balance"])


def test_published_size_and_rules(tmp_path):
    assert hf.parameters(mixtral.mixtral_8x7b) == 46_702_792_704
    axes = hf.axes(mixtral.RULES, pretrained.load(hf.folder("mixtral", tmp_path))[1])
    assert axes["params/block_0/experts/up"] == ("tensor", "fsdp", None)
    assert {name for name, found in axes.items() if not found} == {
        name for name in axes if "norm" in name or "router" in name
    }


def test_the_loss_of_even_and_of_uneven_experts():
    batch = {"target": jnp.arange(8, dtype=jnp.int32).reshape(2, 4)}
    even = jnp.log(jnp.full((2, 3, 2, 3), 1 / 3)).at[:, 0, :, 0].add(1e-6)
    even = even.at[:, 1, :, 1].add(1e-6).at[:, 2, :, 2].add(1e-6)
    np.testing.assert_allclose(mixtral.balance(even, 1), 1, rtol=1e-5)
    one = jnp.zeros((2, 4, 2, 3)).at[..., 2].set(50.0)
    np.testing.assert_allclose(mixtral.balance(one, 1), 3, rtol=1e-5)
    plain, more = (
        mixtral.loss(mixtral.Outputs(jnp.zeros((2, 4, 17)), one), batch, 1, weight)
        for weight in (0.0, 0.5)
    )
    np.testing.assert_allclose(more["loss"].value() - plain["loss"].value(), 1.5, rtol=1e-5)
    np.testing.assert_array_equal(more["bits"].value(), plain["bits"].value())
    assert more["busiest"].value() == 1


def test_rows_of_experts_equal_a_loop_over_tokens():
    layer = mixtral.Experts(5, 2, 6)
    x = jax.random.normal(jax.random.key(0), (2, 3, 4))
    variables = layer.init(jax.random.key(1), x)
    with jax.default_matmul_precision("highest"):
        found, logits = layer.apply(variables, x)
    params = jax.tree.map(np.asarray, variables["params"])
    rows, tokens, router = (np.asarray(a).reshape(6, -1) for a in (found, x, logits))
    for row, token, scores in zip(rows, tokens, router, strict=True):
        np.testing.assert_allclose(scores, token @ params["router"]["kernel"], rtol=1e-5, atol=1e-6)
        picked = np.argsort(-scores)[:2]
        parts = np.exp(scores[picked]) / np.exp(scores[picked]).sum()
        wanted = 0
        for part, e in zip(parts, picked, strict=True):
            gate = token @ params["gate"][e]
            inner = gate / (1 + np.exp(-gate)) * (token @ params["up"][e])
            wanted = wanted + part * (inner @ params["down"][e])
        np.testing.assert_allclose(row, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chosen": 9}, "chosen must be at most its experts, got 9 of 8"),
        ({"experts": 0}, "experts must be at least 1, got 0"),
        ({"width": 6}, "Mixtral's width must be an even multiple of its heads, got 6 and 2"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(errors.InputError, match=message):
        SMALL(**fields)
