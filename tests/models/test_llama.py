"""Llama against transformers (fixture), its cache, its sizes, what it refuses."""

import functools

import hf
import jax
import jax.numpy as jnp
import pytest

from jaxdl import errors
from jaxdl.models import llama, pretrained

SMALL = functools.partial(llama.Llama, vocabulary=17, length=8, width=16, depth=1, heads=4)


def test_equals_transformers_whole_and_in_parts(tmp_path):
    model, variables, kept = hf.language_model_equals("llama", tmp_path)
    assert (model.groups, model.rotary, model.tied) == (2, 500.0, False)
    hf.parts_equal_the_whole(model, variables, kept["tokens"], kept["logits"])


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        (llama.llama2_7b, 6_738_415_616),
        (llama.llama2_13b, 13_015_864_320),
        (llama.llama2_70b, 68_976_648_192),
        (llama.llama3_8b, 8_030_261_248),
        (llama.llama3_70b, 70_553_706_496),
    ],
)
def test_published_sizes(variant, count):
    assert hf.parameters(variant) == count


def test_rules_and_a_tied_model():
    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    for tied in (False, True):
        shapes = jax.eval_shape(SMALL(tied=tied).init, jax.random.key(0), tokens)
        axes = hf.axes(llama.RULES, shapes)
        assert ("params/output/kernel" in axes) != tied
        assert {name for name, found in axes.items() if not found} == {
            name for name in axes if "norm" in name
        }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 10}, "even multiple of its heads, got 10 and 4"),
        ({"heads": 16}, "even multiple of its heads, got 16 and 16"),
        ({"groups": 3}, "multiple of its groups, got 4 and 3"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"epsilon": 0.0}, "epsilon must be positive, got 0.0"),
        ({"remat": "all"}, "remat must be none, block or dots, got 'all'"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(errors.InputError, match=message):
        SMALL(**fields)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rope_parameters": {"rope_type": "llama3"}}, "must not be scaled .* got .*llama3"),
        ({"head_dim": 8}, "must share the width .* got a head_dim of 8"),
        ({"attention_bias": True}, "(?s)settings of a LlamaForCausalLM .*attention_bias +True"),
    ],
)
def test_settings_that_are_not_here_are_refused(settings, message, tmp_path):
    with pytest.raises(errors.InputError, match=message):
        pretrained.load(hf.folder("llama", tmp_path, **settings))
