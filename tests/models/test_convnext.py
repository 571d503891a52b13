"""ConvNeXt against transformers (fixture), published sizes, stochastic depth."""

import re

import flax.traverse_util
import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import convnext
from jaxdl.nn import dropout

SIZES = {
    convnext.convnext_tiny: 28_589_128,  # torchvision's, as the rest
    convnext.convnext_small: 50_223_688,
    convnext.convnext_base: 88_591_464,
    convnext.convnext_large: 197_767_336,
}


def test_equals_transformers(tmp_path):
    model, variables, path = hf.classifier_equals("convnext", tmp_path)
    assert (model.depths, model.widths, model.epsilon) == ((1, 2), (4, 6), 1e-12)
    hf.equal_after_saving(model, variables, path, tmp_path)


@pytest.mark.parametrize("make", SIZES)
def test_number_of_parameters_and_their_places(make):
    shapes = jax.eval_shape(make().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == SIZES[make]
    for path, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items():
        found = [axes for pattern, axes in convnext.RULES if re.search(pattern, path)]
        assert found and len(found[0]) == leaf.ndim, path


def test_a_branch_is_dropped_whole_and_the_others_grow():
    x = jnp.ones((200, 3, 2))
    layer = dropout.StochasticDepth(0.25)
    kept = layer.apply({}, x, True, rngs={"dropout": jax.random.key(0)})
    values = np.unique(kept.reshape(200, -1), axis=1)
    assert values.shape == (200, 1)
    np.testing.assert_allclose(np.unique(values), [0, 4 / 3], rtol=1e-6)
    assert 0.15 < (values == 0).mean() < 0.35
    np.testing.assert_array_equal(layer.apply({}, x, False), x)


def test_refusals():
    with pytest.raises(errors.InputError, match="must be of as many stages"):
        convnext.ConvNeXt((1, 2), (4,))
    with pytest.raises(errors.InputError, match=r"ConvNeXt's drop must lie in \[0, 1\), got 1.0"):
        convnext.convnext_tiny(drop=1.0)
