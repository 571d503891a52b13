"""The detector's targets and what it decodes, against loops over cells and boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.losses import detection
from jaxdl.models import detector
from jaxdl.nn import trunk

STRIDE = 4
BOXES = np.array(
    [
        [[2.0, 3, 13, 12], [20, 18, 30, 31], [0, 0, 0, 0]],
        [[1, 1, 9, 8], [9, 9, 20, 20], [16, 2, 28, 9]],
    ],
    np.float32,
)
CLASSES = np.array([[0, 1, -1], [1, 1, 1]], np.int32)
BATCH = {"boxes": jnp.array(BOXES), "classes": jnp.array(CLASSES)}


def perfect(sure=20.0):
    """Maps that say the truth, by a loop."""
    heat = np.full((2, 8, 8, 2), -sure, np.float32)
    size, offset = np.zeros((2, 2, 8, 8, 2), np.float32)
    for i, j in np.argwhere(CLASSES >= 0):
        left, top, right, bottom = BOXES[i, j] / STRIDE
        x, y = (left + right) / 2, (top + bottom) / 2
        row, column = int(y), int(x)
        heat[i, row, column, CLASSES[i, j]] = sure
        size[i, row, column] = right - left, bottom - top
        offset[i, row, column] = x - column, y - row
    return detector.Maps(*map(jnp.array, (heat, size, offset)))


def test_the_truth_costs_nothing_and_is_decoded():
    measured = metrics.values(detector.loss(perfect(), BATCH, STRIDE))
    assert all(abs(value) < 1e-5 for value in measured.values())
    found = detector.decode(perfect(), STRIDE, count=6)
    for i in range(2):
        there = CLASSES[i] >= 0
        order = np.lexsort(BOXES[i][there].T)
        sure = np.asarray(found.scores[i]) > 0.5
        mine = np.lexsort(np.asarray(found.boxes[i])[sure].T)
        np.testing.assert_allclose(found.boxes[i][sure][mine], BOXES[i][there][order], atol=1e-4)
        np.testing.assert_array_equal(found.classes[i][sure][mine], CLASSES[i][there][order])


def test_the_loss_is_the_papers():
    """Equation 1 and the two absolute errors, cell by cell in float64."""
    random = np.random.default_rng(0)
    maps = detector.Maps(
        *(jnp.array(random.normal(size=(2, 8, 8, 2)), jnp.float32) for _ in range(3))
    )
    true = perfect()
    heat = 1 / (1 + np.exp(-np.float64(maps.heat)))
    total, size, offset, count = 0.0, 0.0, 0.0, (CLASSES >= 0).sum()
    for i in range(2):
        for row in range(8):
            for column in range(8):
                for label in range(2):
                    p, y = heat[i, row, column, label], 0.0
                    for box, own in zip(BOXES[i] / STRIDE, CLASSES[i], strict=True):
                        if own != label:
                            continue
                        x0, y0 = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
                        far = (row - y0) ** 2 + (column - x0) ** 2
                        spread = (2 * float(detector.radius(jnp.array(box[2:] - box[:2]))) + 1) / 6
                        y = max(y, np.exp(-far / (2 * spread**2)))
                    if y == 1:
                        total -= (1 - p) ** 2 * np.log(p)
                    else:
                        total -= (1 - y) ** 4 * p**2 * np.log(1 - p)
    centres = np.asarray(true.heat).max(-1) > 0
    size = np.abs(maps.size - true.size)[centres].sum()
    offset = np.abs(maps.offset - true.offset)[centres].sum()
    found = metrics.values(detector.loss(maps, BATCH, STRIDE, 0.1, 2.0))
    assert found["heat"] == pytest.approx(total / count, rel=1e-5)
    assert found["size"] == pytest.approx(size / count, rel=1e-5)
    assert found["loss"] == pytest.approx((total + 0.1 * size + 2 * offset) / count, rel=1e-5)


def test_within_the_radius_boxes_overlap_enough():
    random = np.random.default_rng(0)
    for size in random.uniform(2, 30, (20, 2)).astype(np.float32):
        r = float(detector.radius(jnp.array(size)))
        true = np.array([0, 0, *size])
        for moved in ([r, r, r, r], [r, r, -r, -r], [-r, -r, r, r]):
            shared = detection.overlap(jnp.array(true), jnp.array(true + np.array(moved)))
            assert shared >= detector.OVERLAP - 1e-3
    assert r > 0


def test_a_map_for_each_and_bad_fields():
    model = detector.Detector(trunk.Trunk((4, 8), depth=1, norm=trunk.group_norm), 3, width=4)
    image = jnp.zeros((1, 18, 16, 1))
    shapes = jax.eval_shape(model.init_with_output, jax.random.key(0), image)[0]
    assert jax.tree.map(jnp.shape, shapes) == ((1, 5, 4, 3), (1, 5, 4, 2), (1, 5, 4, 2))
    with pytest.raises(errors.InputError, match="Detector's classes must be at least 1, got 0"):
        detector.Detector(trunk.Trunk(), 0)
    with pytest.raises(errors.InputError, match="Trunk's features must each be at least 1"):
        trunk.Trunk((4, 0))
    with pytest.raises(errors.InputError, match=r"must be multiples of 4, .* got \(6,\)"):
        trunk.Trunk((6,))
