"""Networks of clips: published sizes, a factored block by hand, time that is seen and not seen."""

import pathlib
import re

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import conv3d
from jaxdl.nn import normalization

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "images.npz")
KEY = jax.random.key(0)
# C3D of UCF101's classes; R(2+1)D-18 of Kinetics-400's, torchvision's r2plus1d_18
SIZES = {
    conv3d.c3d: ((16, 112, 112, 3), 78_409_573),
    conv3d.r2plus1d_18: ((4, 16, 16, 3), 31_505_325),
}


@pytest.mark.parametrize("make", SIZES)
def test_number_of_parameters_and_their_places(make):
    clip, size = SIZES[make]
    shapes = jax.eval_shape(make().init, KEY, jnp.zeros((1, *clip)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == size
    for path, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items():
        found = [axes for pattern, axes in conv3d.RULES if re.search(pattern, path)]
        assert found and len(found[0]) == leaf.ndim, path


def small(**fields):
    return conv3d.C3D(classes=3, stages=((4,),), pools=((1, 2, 2),), hidden=(), **fields)


def test_a_kernel_of_one_frame_knows_no_order():
    clip = jax.random.normal(KEY, (2, 5, 8, 8, 1))
    for time, same in ((1, True), (3, False)):
        model = small(time=time)
        variables = model.init(KEY, clip)
        forward, back = (model.apply(variables, x) for x in (clip, clip[:, ::-1]))
        assert np.allclose(forward, back, atol=1e-5) == same


def test_a_factored_convolution_is_space_then_time():
    # Norm left out: a convolution of space and one of time are one whose kernel is their product.
    x = jax.random.normal(KEY, (1, 4, 5, 5, 2))
    model = conv3d.Factored(3, 6, 1, lambda **_: lambda y: y, lambda y: y, None)
    variables = model.init(KEY, x, False)
    space, time = (variables["params"][name]["kernel"] for name in ("space", "time"))
    whole = jnp.einsum("hwcm,tmd->thwcd", space[0], time[:, 0, 0])
    wanted = jax.lax.conv_general_dilated(
        x, whole, (1, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )
    np.testing.assert_allclose(model.apply(variables, x, False), wanted, atol=1e-4)


def test_a_block_agrees_with_pytorch():
    before = "clips/variables/"
    named = {key[len(before) :]: x for key, x in FIXTURE.items() if key.startswith(before)}
    parts = {"params": {}, "batch_stats": {}}
    for key, value in named.items():
        kind = "batch_stats" if key.endswith(("mean", "var")) else "params"
        parts[kind][key] = jnp.asarray(value)
    variables = {k: flax.traverse_util.unflatten_dict(v, sep="/") for k, v in parts.items()}
    block = conv3d.Block(4, 2, normalization.batch_norm, jax.nn.relu, None)
    with jax.default_matmul_precision("highest"):
        found = block.apply(variables, jnp.asarray(FIXTURE["clips/x"]), False)
    np.testing.assert_allclose(found, FIXTURE["clips/y"], rtol=1e-4, atol=1e-5)


def test_stages_halve_time_and_space():
    model = conv3d.R2Plus1D(classes=3, stages=(1, 1), width=4)
    clip = jnp.zeros((2, 4, 8, 8, 1))
    shapes = jax.eval_shape(
        lambda key: model.init_with_output(key, clip, capture_intermediates=True), KEY
    )[1]["intermediates"]
    first, second = (shapes[f"stage_{i}_block_1"]["__call__"][0].shape for i in (1, 2))
    assert (first, second) == ((2, 4, 4, 4, 4), (2, 2, 2, 2, 8))


def test_refusals():
    with pytest.raises(errors.InputError, match="C3D's time must be odd, got 2"):
        small(time=2)
    with pytest.raises(errors.InputError, match="C3D's time must be at least 1, got -1"):
        small(time=-1)
    with pytest.raises(errors.InputError, match="got 5 x 1 x 8, of which pool 1 finds 5 x 1 x 8"):
        jax.eval_shape(small().init, KEY, jnp.zeros((1, 5, 1, 8, 1)))
    with pytest.raises(errors.InputError, match="pools must be one for each of its 2 stages"):
        conv3d.C3D(classes=3, stages=((4,), (4,)), pools=((1, 2, 2),))
    with pytest.raises(errors.InputError, match="R2Plus1D's stages must each be at least 1"):
        conv3d.R2Plus1D(classes=3, stages=(0,))
