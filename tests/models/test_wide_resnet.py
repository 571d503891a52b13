"""Residual networks that normalise first: PyTorch's blocks (fixtures/make_images.py), sizes."""

import pathlib
import re

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import wide_resnet
from jaxdl.nn import normalization

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "images.npz")
SIZES = {
    wide_resnet.wrn_16_8: 10_961_370,  # 11.0M in Zagoruyko and Komodakis, table 4
    wide_resnet.wrn_28_10: 36_479_194,  # 36.5M
    wide_resnet.wrn_40_4: 8_949_210,  # 8.9M
    wide_resnet.preresnet110: 1_730_522,  # 1.7M in He et al. 2016
    wide_resnet.preresnet164: 1_703_258,  # 1.7M
}


@pytest.mark.parametrize(
    ("name", "block", "width"),
    [("basic", wide_resnet.Block, 6), ("bottleneck", wide_resnet.Bottleneck, 3)],
)
def test_block_agrees_with_pytorch(name, block, width):
    before = f"{name}/variables/"
    variables = {"params": {}, "batch_stats": {}}
    for key, value in FIXTURE.items():
        if key.startswith(before):
            layer, leaf = key.removeprefix(before).split("/")
            kind = "batch_stats" if leaf in ("mean", "var") else "params"
            variables[kind].setdefault(layer, {})[leaf] = jnp.asarray(value)
    made = block(width, 2, normalization.batch_norm, nn.relu, 0.0, None)
    with jax.default_matmul_precision("highest"):
        found = made.apply(variables, jnp.asarray(FIXTURE[f"{name}/x"]), False)
    np.testing.assert_allclose(found, FIXTURE[f"{name}/y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", SIZES)
def test_number_of_parameters(make):
    shapes = jax.eval_shape(make().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == SIZES[make]
    for path in flax.traverse_util.flatten_dict(shapes, sep="/"):
        assert any(re.search(pattern, path) for pattern, _ in wide_resnet.RULES), path


def test_dropout_stands_within_the_branch():
    model = wide_resnet.WideResNet(stages=(1,), classes=2, width=4, dropout=0.5)
    x = jnp.ones((2, 4, 4, 3))
    variables = model.init(jax.random.key(0), x)
    outputs = [
        model.apply(
            variables, x, train=True, rngs={"dropout": jax.random.key(i)}, mutable="batch_stats"
        )[0]
        for i in (0, 1)
    ]
    assert not np.allclose(*outputs)
    with pytest.raises(errors.InputError, match=r"WideResNet's dropout must lie in \[0, 1\)"):
        wide_resnet.wrn_28_10(dropout=1.0)
