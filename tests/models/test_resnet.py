"""Residual networks: PyTorch's blocks (fixtures/make_convolution.py), published sizes."""

import functools
import pathlib
import re

import flax.linen as nn
import flax.traverse_util
import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import pretrained, resnet

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "convolution.npz")
SIZES = {
    resnet.resnet20: 269_722,  # with option A; 0.27M in the paper's table 6
    resnet.resnet32: 464_154,  # 0.46M
    resnet.resnet44: 658_586,  # 0.66M
    resnet.resnet56: 853_018,  # 0.85M
    resnet.resnet110: 1_727_962,  # 1.7M
    resnet.resnet18: 11_689_512,  # torchvision's, as the rest
    resnet.resnet34: 21_797_672,
    resnet.resnet50: 25_557_032,
    resnet.resnet101: 44_549_160,
    resnet.resnet152: 60_192_808,
}


@pytest.mark.parametrize("make", SIZES)
def test_number_of_parameters(make):
    shapes = jax.eval_shape(make().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == SIZES[make]
    for path in flax.traverse_util.flatten_dict(shapes, sep="/"):
        assert any(re.search(pattern, path) for pattern, _ in resnet.RULES), path


@pytest.mark.parametrize(
    "name, block",
    [("basic", resnet.BasicBlock(6, stride=2)), ("bottleneck", resnet.Bottleneck(3, stride=2))],
)
def test_block_agrees_with_pytorch(name, block):
    arrays = {
        key.removeprefix(f"block/{name}/"): value
        for key, value in FIXTURE.items()
        if key.startswith(f"block/{name}/")
    }
    params, gradient, statistics = (
        flax.traverse_util.unflatten_dict(
            {
                key.removeprefix(part + "/"): jnp.asarray(value)
                for key, value in arrays.items()
                if key.startswith(part + "/")
            },
            sep="/",
        )
        for part in ("params", "gradient", "statistics")
    )
    x = jnp.asarray(arrays["x"])
    begun = jax.tree.map(jnp.zeros_like, statistics)
    begun = {layer: {**begun[layer], "var": jnp.ones_like(begun[layer]["var"])} for layer in begun}

    @jax.jit
    def both(params, x):
        def output(params, x):
            return block.apply(
                {"params": params, "batch_stats": begun}, x, train=True, mutable="batch_stats"
            )

        y, vjp, after = jax.vjp(output, params, x, has_aux=True)
        return y, vjp(jnp.asarray(arrays["cotangent"])), after["batch_stats"]

    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=2e-5)
    with jax.default_matmul_precision("highest"):
        y, (ours, dx), after = both(params, x)
        evaluated = block.apply({"params": params, "batch_stats": statistics}, x)
    close(y, arrays["y"])
    close(dx, arrays["dx"])
    close(evaluated, arrays["evaluated"])
    jax.tree.map(close, ours, gradient)
    for layer, moved in after.items():
        close(moved["mean"], statistics[layer]["mean"])
        # Flax averages the biased variance, PyTorch the unbiased one: n / (n - 1) apart.
        n = _positions(layer, x.shape, name)
        grown = (moved["var"] - 0.9) * n / (n - 1) + 0.9
        close(grown, statistics[layer]["var"])


def _positions(layer, shape, name):
    """Values that a channel's statistics are taken over: the stride halves height and width."""
    batch, height, width, _ = shape
    full = name == "bottleneck" and layer == "norm_1"
    return batch * height * width if full else batch * height * width // 4


def test_equals_transformers_with_its_statistics(tmp_path):
    model, variables, path = hf.classifier_equals("resnet", tmp_path)
    assert (model.block, model.stages, model.width) == (resnet.Bottleneck, (1, 2), 4)
    pretrained.save(tmp_path / "again", model, variables)
    before, after = hf.tensors(path), hf.tensors(tmp_path / "again")
    for name, value in after.items():
        np.testing.assert_array_equal(before[name], value, err_msg=name)
    assert {name.split(".")[-1] for name in before.keys() - after} == {"num_batches_tracked"}
    loaded, same = pretrained.load(tmp_path / "again")
    assert loaded == model
    jax.tree.map(np.testing.assert_array_equal, same, variables)


def test_transformers_others_are_refused(tmp_path):
    for name, settings in {
        "hidden_sizes must double": {"hidden_sizes": [16, 48]},
        "downsample_in_bottleneck": {"downsample_in_bottleneck": True},
    }.items():
        where = tmp_path / name.split()[0]
        where.mkdir()
        with pytest.raises(errors.InputError, match=name):
            pretrained.load(hf.folder("resnet", where, **settings))
    with pytest.raises(errors.InputError, match="must have the stem for ImageNet"):
        pretrained.save(tmp_path, resnet.resnet20(), {})


@pytest.mark.parametrize("block", [resnet.BasicBlock(8), resnet.Bottleneck(2)])
def test_a_new_block_is_the_identity(block):
    x = jax.nn.relu(jax.random.normal(jax.random.key(1), (2, 4, 4, 8)))
    y, _ = block.init_with_output(jax.random.key(0), x)
    np.testing.assert_array_equal(y, x)


def test_padded_shortcut_takes_every_other_position():
    x = jax.nn.relu(jax.random.normal(jax.random.key(1), (2, 5, 4, 3)))
    y, _ = resnet.BasicBlock(6, stride=2, shortcut="pad").init_with_output(jax.random.key(0), x)
    np.testing.assert_array_equal(y[..., :3], x[:, ::2, ::2])
    assert not y[..., 3:].any()


def test_group_norm_and_bfloat16_are_fields():
    model = resnet.ResNet(
        stages=(1, 1),
        classes=3,
        width=4,
        stem="cifar",
        norm=functools.partial(nn.GroupNorm, num_groups=2),
        act=nn.gelu,
        dtype=jnp.bfloat16,
    )
    logits, variables = jax.jit(model.init_with_output)(jax.random.key(0), jnp.ones((2, 8, 8, 1)))
    assert logits.dtype == jnp.bfloat16
    assert set(variables) == {"params"}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"stages": (2, 0)}, r"ResNet's stages must each be at least 1, got \(2, 0\)."),
        ({"classes": 0}, "ResNet's classes must be at least 1, got 0."),
        ({"width": 0}, "ResNet's width must be at least 1, got 0."),
    ],
)
def test_refuses_at_construction(fields, rule):
    with pytest.raises(errors.InputError, match=rule):
        resnet.resnet20(**fields)
