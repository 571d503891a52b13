"""Mamba against transformers (fixture), its state against the full forward, its sizes, its scan."""

import functools

import hf
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import mamba, pretrained
from jaxdl.nn import state_space

SMALL = functools.partial(mamba.Mamba, vocabulary=17, width=8, depth=1, states=3)


def test_equals_transformers_whole_and_in_parts(tmp_path):
    model, variables, kept = hf.language_model_equals("mamba", tmp_path)
    assert kept["tokens"].shape[1] > 16  # more than a chunk
    hf.parts_equal_the_whole(model, variables, kept["tokens"], kept["logits"], first=18)


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        (mamba.mamba_130m, 129_135_360),
        (mamba.mamba_370m, 371_516_416),
        (mamba.mamba_790m, 793_204_224),
        (mamba.mamba_1_4b, 1_372_178_432),
        (mamba.mamba_2_8b, 2_768_345_600),
    ],
)
def test_published_sizes(variant, count):
    assert hf.parameters(variant) == count


@pytest.mark.parametrize("parallel", [False, True])
def test_the_scan_is_the_recurrence(parallel):
    random = np.random.default_rng(0)
    batch, time, channels, states = 2, 7, 3, 2
    x, step = random.normal(size=(2, batch, time, channels))
    into, out = random.normal(size=(2, batch, time, states))
    rate, state = -random.random((states, channels)), random.normal(size=(batch, states, channels))
    step, skip = np.abs(step), random.normal(size=channels)
    arrays = [jnp.asarray(a, jnp.float32) for a in (x, step, rate, into, out, skip, state)]
    found, last = state_space.scan(*arrays, chunk=3, parallel=parallel)
    for t in range(time):
        driven = (step * x)[:, t, None] * into[:, t, :, None]
        state = np.exp(step[:, t, None] * rate) * state + driven
        wanted = (state * out[:, t, :, None]).sum(1) + skip * x[:, t]
        np.testing.assert_allclose(found[:, t], wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(last, state, rtol=1e-5, atol=1e-5)


def test_rules(tmp_path):
    axes = hf.axes(mamba.RULES, pretrained.load(hf.folder("mamba", tmp_path))[1])
    assert {name for name, found in axes.items() if not found} == {
        name for name in axes if "norm" in name
    }


@pytest.mark.parametrize("field", ["width", "channels", "states", "rank", "kernel"])
def test_bad_fields_are_refused(field):
    with pytest.raises(errors.InputError, match=f"Mamba's {field} must be at least 1, got 0"):
        SMALL(**{field: 0})
