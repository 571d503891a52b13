"""Overlaps against areas counted in pixels; the average precision of known detections."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import metrics
from jaxdl.losses import detection


def pixels(box):
    grid = np.zeros((12, 12), bool)
    left, top, right, bottom = box
    grid[top:bottom, left:right] = True
    return grid


def test_overlaps_are_what_pixels_count():
    random = np.random.default_rng(0)
    low = random.integers(0, 8, (2, 50, 2))
    boxes = np.concatenate([low, low + random.integers(1, 5, (2, 50, 2))], axis=-1)
    plain = detection.overlap(jnp.float32(boxes[0]), jnp.float32(boxes[1]))
    general = detection.generalized_overlap(jnp.float32(boxes[0]), jnp.float32(boxes[1]))
    for a, b, found, wide in zip(*boxes, plain, general, strict=True):
        union = (pixels(a) | pixels(b)).sum()
        share = (pixels(a) & pixels(b)).sum() / union
        around = np.prod(np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2]))
        assert found == pytest.approx(share, abs=1e-6)
        assert wide == pytest.approx(share - (around - union) / around, abs=1e-6)
    assert detection.overlap(jnp.zeros(4), jnp.zeros(4)) == 0


def test_corners_and_centres():
    box = jnp.array([[2.0, 1.0, 6.0, 4.0]])
    np.testing.assert_allclose(detection.centred(box), [[4, 2.5, 4, 3]])
    np.testing.assert_allclose(detection.corners(detection.centred(box)), box)


def scored(boxes, scores, classes, truth, labels):
    found = detection.Detections(*(jnp.array(x) for x in (boxes, scores, classes)))
    batch = {"boxes": jnp.array(truth), "classes": jnp.array(labels)}
    measure = detection.average_precision(lambda outputs: outputs)
    return metrics.values(measure(found, batch))


TRUTH = [[[0.0, 0, 10, 10], [20, 0, 30, 10]], [[5, 5, 15, 25], [0, 0, 0, 0]]]
LABELS = [[0, 1], [0, -1]]


def test_all_found_is_one():
    boxes = [[*TRUTH[0], [0.0, 0, 1, 1]], [*TRUTH[1], [0.0, 0, 1, 1]]]
    classes = [[0, 1, 0], [0, 0, 0]]
    scores = [[0.9, 0.8, 0.1], [0.7, 0.2, 0.1]]
    assert scored(boxes, scores, classes, TRUTH, LABELS) == {"ap": 1.0, "ap50": 1.0}


def test_the_threshold_of_overlap_counts():
    """Two objects of class 0, one found at an overlap of 0.6: half of the recall at 0.5 to 0.6."""
    boxes = [[[0.0, 0, 10, 6], TRUTH[0][1]], [TRUTH[0][0], TRUTH[0][0]]]
    scores, classes = [[0.9, 0.8], [0.1, 0.05]], [[0, 1], [1, 1]]
    found = scored(boxes, scores, classes, TRUTH, LABELS)
    half = 51 / 101  # the recalls 0, 0.01, ..., 1 of which precision is read
    assert found["ap50"] == pytest.approx((half + 1) / 2)
    assert found["ap"] == pytest.approx((0.3 * half + 1) / 2, abs=0.03)  # 0.6 itself: by rounding


def test_what_is_no_number_and_nothing_to_find():
    boxes = [[*TRUTH[0]], [*TRUTH[1]]]
    scores, classes = [[0.9, np.nan], [0.5, 0.5]], [[0, 1], [0, 0]]
    assert np.isnan(scored(boxes, scores, classes, TRUTH, LABELS)["ap"])
    none = np.full((2, 2), -1)
    assert np.isnan(scored(boxes, np.ones((2, 2)), classes, TRUTH, none)["ap50"])
