"""wav2vec 2.0 against transformers', in both forms; sizes, and bad fields."""

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxdl import errors
from jaxdl.losses import ctc
from jaxdl.models import pretrained, wav2vec2


@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2_group"])
def test_logits_loss_and_gradients_equal_transformers(name, tmp_path):
    path = hf.folder(name, tmp_path)
    model, variables = pretrained.load(path)
    kept = hf.arrays(name)
    waves = wav2vec2.Waves(kept["samples"], kept["lengths"])

    def loss(variables):
        frames = model.apply(variables, waves)
        return ctc.loss(frames, {"target": kept["target"]})["loss"].total, frames

    with jax.default_matmul_precision("highest"):
        (value, frames), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    for found, wanted, length in zip(frames.logits, kept["logits"], frames.lengths, strict=True):
        hf.close(found[:length], wanted[:length])
    hf.close(value, kept["loss"])
    hf.gradients_close(model, gradient, kept)
    hf.equal_after_saving(model, variables, path, tmp_path)


def test_a_vector_of_what_is_masked_is_passed_over(tmp_path):
    path = hf.folder("wav2vec2", tmp_path, mask_time_prob=0.05)
    _, variables = pretrained.load(path)
    again = hf.tensors(path) | {"wav2vec2.masked_spec_embed": np.zeros(8, np.float32)}
    safetensors.numpy.save_file(again, path / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, pretrained.load(path)[1], variables)


@pytest.mark.parametrize(("variant", "millions"), [(wav2vec2.base, 94.4), (wav2vec2.large, 315.5)])
def test_sizes_are_the_papers(variant, millions):
    waves = wav2vec2.Waves(jnp.zeros((1, 3200)), jnp.array([3200]))
    shapes = jax.eval_shape(variant().init, jax.random.key(0), waves)
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6
    assert count == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 0}, "Wav2Vec2's heads must be at least 1, got 0"),
        ({"strides": (2,)}, "must be equally many, got 7, 7 and 1"),
        ({"norm": "batch"}, "norm must be group or layer, got 'batch'"),
        ({"hidden": 1000}, "width must divide hidden and be a multiple of position_groups"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(errors.InputError, match=message):
        wav2vec2.Wav2Vec2(**fields)
