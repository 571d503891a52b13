"""Masked autoencoders against transformers (fixture), their sizes, and where their parameters lie;
what the smaller ones compute: tests/learners.
"""

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, experiment, metrics
from jaxdl.models import masked_autoencoder, pretrained
from jaxdl.nn import patches, positions, transformer
from jaxdl.train import mesh


def test_features_drawings_and_gradients_equal_transformers(tmp_path):
    model, variables = pretrained.load(hf.folder("masked_autoencoder", tmp_path))
    kept = hf.arrays("masked_autoencoder")
    images = kept["images"]

    def loss(params):
        given = variables | {"params": params}
        drawn, features = model.apply(given, images, kept["kept"], True)
        wrong = (drawn - patches.cut(images, model.patch)) ** 2
        mean = metrics.Mean.of(wrong.mean(-1), kept["hidden"])
        return mean.total / mean.count, (drawn, features)

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    with jax.default_matmul_precision("highest"):
        (value, (drawn, features)), gradient = run(variables["params"])
    hf.close(features, kept["features"])
    hf.close(drawn, kept["drawn"])
    hf.close(value, kept["loss"])
    still = jax.tree.map(jnp.zeros_like, variables)  # the positions stay
    hf.gradients_close(model, still | {"params": gradient}, kept)


def test_positions_are_the_published_ones():
    found = positions.square_sines(16, 16)
    np.testing.assert_allclose(found, hf.arrays("masked_autoencoder")["sines"], atol=1e-6)
    with pytest.raises(errors.InputError, match="must form a square grid, got 8 of them"):
        positions.square_sines(8, 16)
    with pytest.raises(errors.InputError, match="a width that 4 divides, got 6"):
        positions.square_sines(16, 6)


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        (masked_autoencoder.mae_base, 111_655_680),
        (masked_autoencoder.mae_large, 329_239_296),
        (masked_autoencoder.mae_huge, 656_613_964),
    ],
)
def test_published_sizes(variant, count):
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    kept = jax.ShapeDtypeStruct((1, 49), jnp.int32)
    shapes = jax.eval_shape(variant().init, jax.random.key(0), image, kept)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count


def test_a_class_token_may_have_learnt_positions():
    model = masked_autoencoder.MaskedAutoencoder(width=8, depth=1, heads=2, token=True)
    image, kept = jnp.ones((2, 4, 4, 1)), jnp.asarray([[0, 3], [1, 2]])
    (drawn, features), variables = model.init_with_output(jax.random.key(0), image, kept)
    assert drawn.shape == (2, 4, 4) and features.shape == (2, 3, 8)
    assert variables["params"]["positions"].shape == (5, 8)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match='must be "learned" or "sines", got \'none\''):
        masked_autoencoder.MaskedAutoencoder(positions="none")
    with pytest.raises(errors.InputError, match=r"the act transformer\.exact_gelu, got another"):
        pretrained.save(tmp_path / "new", masked_autoencoder.mae_base(act=jax.nn.relu), {})
    act = transformer.exact_gelu
    model = masked_autoencoder.MaskedAutoencoder(token=True, act=act)
    with pytest.raises(errors.InputError, match="a class token, positions of sines, a size"):
        pretrained.save(tmp_path / "new", model, {"params": {}})


def test_each_block_is_cut_over_tensor_as_a_gpts():
    model = masked_autoencoder.MaskedAutoencoder(width=8, heads=2, depth=1, decoder_width=8)
    image, kept = jnp.zeros((2, 4, 4, 1)), jnp.zeros((2, 2), jnp.int32)
    params = jax.eval_shape(model.init, jax.random.key(0), image, kept)["params"]
    devices = jax.sharding.AbstractMesh((2, 2), ("fsdp", "tensor"))
    run = experiment.find("digits_mae").function(steps=2)
    for part in ("encoder_0", "decoder_0"):
        found = mesh.shardings(params, devices, run.rules)[part]
        assert tuple(found["attention"]["query"]["kernel"].spec) == ("fsdp", "tensor")
        assert tuple(found["attention"]["output"]["kernel"].spec) == ("tensor", "fsdp")
        assert tuple(found["mlp"]["up"]["kernel"].spec) == ("fsdp", "tensor")
        assert tuple(found["mlp"]["down"]["kernel"].spec) == ("tensor", "fsdp")
