"""DETR against transformers', its matching against SciPy's, and its sizes."""

import functools

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from jaxdl import errors, metrics
from jaxdl.losses import detection, set_prediction
from jaxdl.models import detr, pretrained, resnet
from jaxdl.nn import trunk

SMALL = {"queries": 4, "width": 8, "heads": 2, "encoder_depth": 1, "decoder_depth": 2, "hidden": 8}


def test_what_is_found_the_loss_and_its_gradients_equal_transformers(tmp_path):
    path = hf.folder("detr", tmp_path)
    model, variables = pretrained.load(path)
    kept = hf.arrays("detr")
    height, width = kept["input"].shape[1:3]
    batch = {
        "input": kept["input"],
        "boxes": detection.corners(kept["target_boxes"])
        * jnp.array([width, height] * 2)[None, None],
        "classes": kept["target_classes"],
    }

    def loss(variables):
        found = jax.tree.map(lambda x: x[:, -1:], model.apply(variables, batch["input"]))
        mean = set_prediction.loss(found, batch)["loss"]
        return mean.total / mean.count, found

    with jax.default_matmul_precision("highest"):
        (value, found), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    hf.close(found.logits[:, -1], kept["logits"])
    hf.close(found.boxes[:, -1], kept["boxes"])
    hf.close(value, kept["loss"])
    ours = pretrained.exported(model, gradient)
    names = [name for name in kept if name.startswith("gradient/")]
    largest = max(float(np.abs(kept[name]).max()) for name in names)
    for name in names:
        wanted = kept[name]
        close = 1e-5 * largest
        ours_here = ours[name.removeprefix("gradient/")]
        np.testing.assert_allclose(ours_here, wanted, rtol=1e-4, atol=close, err_msg=name)
    hf.equal_after_saving(model, variables, path, tmp_path)


def test_what_is_not_of_the_form_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="must be of a resnet, not of the library timm"):
        pretrained.load(
            hf.folder("detr", tmp_path, backbone_config={"model_type": "timm_backbone"})
        )
    model = detr.DETR(trunk.Trunk((4,)), 2, **SMALL)
    with pytest.raises(errors.InputError, match=r"must have a trunk resnet\.ResNet without a head"):
        pretrained.save(tmp_path / "none", model, {"params": {}})
    plain = resnet.ResNet((1,), None, width=4, norm=resnet.group_norm)
    padded = functools.partial(resnet.BasicBlock, shortcut="pad")
    for odd in (plain, plain.clone(norm=detr.FROZEN, block=padded)):
        with pytest.raises(
            errors.InputError, match=r"must have batch norm \(detr\.FROZEN or .* got"
        ):
            pretrained.save(tmp_path / "none", detr.DETR(odd, 2, **SMALL), {"params": {}})


@pytest.mark.parametrize("name", ["attention_heads", "ffn_dim"])
def test_a_decoder_unlike_the_encoder_is_refused(tmp_path, name):
    with pytest.raises(errors.InputError, match=f"decoder_{name} must be its encoder's, .* got 1"):
        pretrained.load(hf.folder("detr", tmp_path, **{f"decoder_{name}": 1}))


@pytest.mark.parametrize("objects", [1, 3])
def test_the_matching_is_scipys(objects):
    random = np.random.default_rng(objects)
    for _ in range(5):
        logits = random.normal(size=(6, 4)).astype(np.float32)
        found, boxes = random.uniform(0.1, 0.6, (2, 6, 4)).astype(np.float32)
        boxes, classes = boxes[:3], np.where(np.arange(3) < objects, random.integers(0, 3, 3), -1)
        query = set_prediction.match(
            *map(jnp.asarray, (logits, found, boxes, classes.astype(np.int32)))
        )
        probability = np.asarray(jax.nn.softmax(logits))
        cost = np.zeros((6, objects))
        for i in range(6):
            for j in range(objects):
                shared = detection.generalized_overlap(
                    detection.corners(jnp.array(found[i])), detection.corners(jnp.array(boxes[j]))
                )
                apart = np.abs(found[i] - boxes[j]).sum()
                cost[i, j] = 5 * apart - probability[i, classes[j]] - 2 * float(shared)
        rows, columns = optimize.linear_sum_assignment(cost)
        assert [int(query[j]) for j in columns] == rows.tolist()
        assert len(set(query.tolist())) == 3


def test_numbers_that_are_none_end():
    bad = set_prediction.Found(jnp.full((1, 1, 3, 3), jnp.nan), jnp.full((1, 1, 3, 4), 0.5))
    batch = {
        "input": jnp.zeros((1, 4, 4, 1)),
        "boxes": jnp.array([[[0.0, 0, 2, 2]]]),
        "classes": jnp.array([[1]]),
    }
    assert np.isnan(metrics.values(set_prediction.loss(bad, batch))["loss"])


def test_fewer_queries_than_objects_are_refused():
    found = set_prediction.Found(jnp.zeros((1, 1, 2, 3)), jnp.full((1, 1, 2, 4), 0.5))
    batch = {"input": jnp.zeros((1, 4, 4, 1)), "boxes": jnp.zeros((1, 3, 4))}
    with pytest.raises(errors.InputError, match="as many as an image's objects, got 2 and 3"):
        set_prediction.loss(found, batch | {"classes": jnp.zeros((1, 3), int)})


def test_the_right_answer_costs_nothing_and_is_decoded():
    batch = {
        "input": jnp.zeros((1, 10, 20, 1)),
        "boxes": jnp.array([[[2.0, 1, 8, 6], [0, 0, 0, 0], [10, 4, 20, 10]]]),
        "classes": jnp.array([[1, -1, 0]]),
    }
    logits = jnp.full((1, 1, 4, 3), -30.0).at[0, 0, [0, 1, 2, 3], [2, 0, 1, 2]].set(30.0)
    boxes = detection.centred(batch["boxes"][0, [0, 2, 0, 0]] / jnp.array([[20.0, 10, 20, 10]]))
    found = set_prediction.Found(logits, boxes[None, None].at[0, 0, 0].set(0.5))
    measured = metrics.values(set_prediction.loss(found, batch))
    assert all(abs(value) < 1e-5 for value in measured.values())
    seen = set_prediction.decode(found, height=10, width=20)
    sure = np.asarray(seen.scores[0]) > 0.5
    assert sure.tolist() == [False, True, True, False]
    np.testing.assert_allclose(seen.boxes[0, 1:3], batch["boxes"][0, jnp.array([2, 0])], atol=1e-5)
    assert seen.classes[0, 1:3].tolist() == [0, 1]


def test_refined_boxes_begin_at_the_anchors():
    model = detr.DETR(trunk.Trunk((4,), depth=0), 2, refine=True, dropout=0.0, **SMALL)
    image = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    variables = jax.jit(model.init)(jax.random.key(1), image)
    found = jax.jit(model.apply)(variables, image)
    assert found.logits.shape == (2, 2, 4, 3) and found.boxes.shape == (2, 2, 4, 4)
    wanted = jax.nn.sigmoid(variables["params"]["anchors"])
    np.testing.assert_allclose(found.boxes, jnp.broadcast_to(wanted, (2, 2, 4, 4)), atol=1e-6)


@pytest.mark.parametrize(("variant", "millions"), [(detr.detr_r50, 41), (detr.detr_r101, 60)])
def test_sizes_are_the_papers(variant, millions):
    image = jnp.zeros((1, 64, 64, 3))
    shapes = jax.eval_shape(variant().init, jax.random.key(0), image)["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6
    assert abs(count - millions) < 0.7


def test_bad_fields():
    with pytest.raises(errors.InputError, match="DETR's queries must be at least 1, got 0"):
        detr.DETR(trunk.Trunk(), 2, queries=0)
    with pytest.raises(errors.InputError, match="DETR's width must be a multiple of 4, got 6"):
        detr.DETR(trunk.Trunk(), 2, width=6)
    with pytest.raises(errors.InputError, match="multiple of its heads, got 8 and 3"):
        detr.DETR(trunk.Trunk(), 2, width=8, heads=3)
