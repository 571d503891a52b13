"""Where the masked autoencoder's parameters lie; what it computes: tests/learners."""

import jax
import jax.numpy as jnp

from jaxdl import experiment
from jaxdl.models import masked_autoencoder
from jaxdl.train import mesh


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
