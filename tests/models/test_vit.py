"""Vision transformers against transformers (fixture), their sizes and poolings."""

import functools

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.losses import classification
from jaxdl.models import pretrained, vit

SMALL = functools.partial(
    vit.ViT, classes=3, size=4, channels=1, patch=2, width=8, depth=1, heads=2
)


def test_logits_and_gradients_equal_transformers(tmp_path):
    model, variables = pretrained.load(hf.folder("vit", tmp_path))
    kept = hf.arrays("vit")

    def loss(variables):
        logits = model.apply(variables, kept["images"], True)
        mean = classification.cross_entropy(logits, {"target": kept["labels"]})["loss"]
        return mean.total / mean.count, logits

    with jax.default_matmul_precision("highest"):
        (value, logits), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    hf.close(logits, kept["logits"])
    hf.close(value, kept["loss"])
    hf.gradients_close(model, gradient, kept)


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        (vit.vit_tiny, 5_717_416),
        (vit.vit_small, 22_050_664),
        (vit.vit_base, 86_567_656),
        (vit.vit_large, 304_326_632),
        (vit.vit_huge, 632_045_800),
    ],
)
def test_published_sizes(variant, count):
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    shapes = jax.eval_shape(variant(classes=1000).init, jax.random.key(0), image)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_patches_are_told_apart_by_their_positions(pool):
    model = SMALL(pool=pool)
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    variables = model.init(jax.random.key(1), x)
    extra = int(pool == "token")
    assert variables["params"]["positions"].shape == (4 + extra, 8)
    swapped = jnp.concatenate([x[:, 2:], x[:, :2]], axis=1)
    one, other = (np.asarray(model.apply(variables, y)) for y in (x, swapped))
    assert np.abs(one - other).max() > 1e-6
    variables["params"]["positions"] = jnp.zeros((4 + extra, 8))
    one, other = (np.asarray(model.apply(variables, y)) for y in (x, swapped))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_bfloat16_dropout_and_rematerialisation():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    model = SMALL(dropout=0.5, dtype=jnp.bfloat16, remat="block")
    variables = model.init(jax.random.key(1), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    tested = model.apply(variables, x)
    trained = model.apply(variables, x, True, rngs={"dropout": jax.random.key(2)})
    assert tested.dtype == jnp.float32 and (np.asarray(trained) != np.asarray(tested)).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 3}, "multiple of its heads, got 8 and 3"),
        ({"patch": 3}, "multiple of its patch, got 4 and 3"),
        ({"pool": "max"}, 'must be "token" or "mean", got \'max\''),
        ({"classes": 0}, "classes must be at least 1, got 0"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(errors.InputError, match=message):
        SMALL(**fields)


def test_bad_inputs_and_files_are_refused(tmp_path):
    with pytest.raises(errors.InputError, match=r"must be \(b, 4, 4, 1\), got \[1, 4, 4, 3\]"):
        jax.eval_shape(SMALL().init, jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
    with pytest.raises(errors.InputError, match="must have the pool token, got 'mean'"):
        pretrained.save(tmp_path / "new", SMALL(pool="mean"), {"params": {}})
    with pytest.raises(errors.InputError, match=r"A ViT .* the act transformer\.exact_gelu, got"):
        pretrained.save(tmp_path / "new", SMALL(act=jax.nn.relu), {"params": {}})
