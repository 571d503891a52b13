"""Acoustic models: padding changes nothing, sizes, and bad fields."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.losses import ctc
from jaxdl.models import acoustic

MODELS = {
    "recurrent": acoustic.Recurrent(5, width=8, depth=1),
    "conformer": acoustic.Conformer(5, width=8, depth=1, heads=2, kernel=3),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_padded_changes_nothing(name):
    model = MODELS[name]
    features = jax.random.normal(jax.random.key(0), (2, 16, 6))
    both = ctc.Utterances(features, jnp.array([16, 9]))
    variables = jax.jit(model.init)(jax.random.key(1), both)
    whole = jax.jit(model.apply)(variables, both)
    alone = jax.jit(model.apply)(variables, ctc.Utterances(features[1:, :9], jnp.array([9])))
    assert whole.lengths.tolist() == ([8, 5] if name == "recurrent" else [4, 3])
    assert whole.logits.dtype == jnp.float32
    n = int(whole.lengths[1])
    np.testing.assert_allclose(whole.logits[1, :n], alone.logits[0, :n], atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "least", "most"),
    [  # millions in table 1, from which its decoder and its attention's positions are missing here
        (acoustic.conformer_small, 7.8, 10.3),
        (acoustic.conformer_medium, 24.0, 30.7),
        (acoustic.conformer_large, 100.0, 118.8),
    ],
)
def test_sizes_are_near_the_papers(variant, least, most):
    x = ctc.Utterances(jnp.zeros((1, 16, 80)), jnp.array([16]))
    shapes = jax.eval_shape(variant(1000).init, jax.random.key(0), x)
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6
    assert least < count < most


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: acoustic.Recurrent(1), "Recurrent's outputs must be at least 2, got 1"),
        (lambda: acoustic.Recurrent(2, cell="x"), "Recurrent's cell must be one of .* got 'x'"),
        (lambda: acoustic.Recurrent(2, dropout=3.0), r"Recurrent's dropout must lie in \[0, 1\)"),
        (lambda: acoustic.Conformer(5, kernel=4), "Conformer's kernel must be odd, got 4"),
        (
            lambda: acoustic.Conformer(5, width=12, heads=4),
            "even multiple of its heads, got 12 and",
        ),
        (lambda: acoustic.Conformer(5, kernel=0), "Conformer's kernel must be at least 1, got 0"),
        (lambda: acoustic.Conformer(5, dropout=1.0), r"Conformer's dropout must lie in \[0, 1\)"),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(errors.InputError, match=message):
        make()
