"""MLP-Mixer against PyTorch (fixtures/make_images.py), published sizes."""

import pathlib
import re

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import mixer

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "images.npz")
SIZES = {mixer.mixer_s16: 18_528_264, mixer.mixer_b16: 59_880_472, mixer.mixer_l16: 208_196_168}


def test_agrees_with_pytorch():
    before = "mixer/params/"
    params = {
        key.removeprefix(before): jnp.asarray(value)
        for key, value in FIXTURE.items()
        if key.startswith(before)
    }
    model = mixer.Mixer(classes=3, patch=2, width=5, depth=2, tokens=4, channels=7)
    variables = {"params": flax.traverse_util.unflatten_dict(params, sep="/")}
    with jax.default_matmul_precision("highest"):
        found = jax.jit(model.apply)(variables, jnp.asarray(FIXTURE["mixer/x"]))
    np.testing.assert_allclose(found, FIXTURE["mixer/y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", SIZES)
def test_number_of_parameters_and_their_places(make):
    shapes = jax.eval_shape(make().init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == SIZES[make]
    for path, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items():
        found = [axes for pattern, axes in mixer.RULES if re.search(pattern, path)]
        assert found and len(found[0]) == leaf.ndim, path


def test_bfloat16_is_computed_in_it():
    model = mixer.Mixer(
        classes=3, patch=2, width=5, depth=1, tokens=4, channels=7, dtype=jnp.bfloat16
    )
    x = jnp.ones((1, 4, 4, 3))
    variables = model.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    said = jax.eval_shape(
        lambda: model.apply(variables, x, capture_intermediates=True, mutable="intermediates")
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(said)} == {jnp.dtype(jnp.bfloat16)}


def test_refusals():
    with pytest.raises(errors.InputError, match="Mixer's tokens must be at least 1, got 0"):
        mixer.mixer_b16(tokens=0)
    with pytest.raises(errors.InputError, match="must divide into patches of 16, got 20 x 32"):
        jax.eval_shape(mixer.mixer_b16().init, jax.random.key(0), jnp.zeros((1, 20, 32, 3)))
