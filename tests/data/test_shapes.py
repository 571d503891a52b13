"""Made shapes: their boxes are where the pixels are, before and after a turn."""

import jax
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import shapes

TRAIN, TEST = shapes.load(40, 200)


def test_a_box_holds_a_shape_and_nothing_lies_outside():
    for image, boxes, classes in zip(
        *(TEST[k] for k in ("input", "boxes", "classes")), strict=True
    ):
        there = boxes[classes >= 0]
        assert 1 <= len(there) <= shapes.MOST
        y, x = np.mgrid[: shapes.SIDE, : shapes.SIDE] + 0.5
        outside = np.ones((shapes.SIDE, shapes.SIDE), bool)
        for left, top, right, bottom in there:
            near = (x > left - 1) & (x < right + 1) & (y > top - 1) & (y < bottom + 1)
            outside &= ~near
        ground = np.median(image[outside])
        assert np.abs(image[outside] - ground).max() < 6 * shapes.NOISE
        for left, top, right, bottom in there:
            middle = image[int((top + bottom) / 2), int((left + right) / 2), 0]
            assert middle > ground + 0.2 - 5 * shapes.NOISE
            assert min(right - left, bottom - top) >= shapes.SMALLEST - 1e-3


def test_an_ellipse_leaves_its_corners_and_a_rectangle_does_not():
    found = [[], []]
    for image, boxes, classes in zip(
        *(TEST[k] for k in ("input", "boxes", "classes")), strict=True
    ):
        for (left, top, right, bottom), label in zip(boxes, classes, strict=True):
            if label >= 0:
                middle = image[int((top + bottom) / 2), int((left + right) / 2), 0]
                corner = image[int(np.ceil(top)), int(np.ceil(left)), 0]
                found[label].append(middle - corner)
    assert abs(np.mean(found[0])) < 0.02 and np.mean(found[1]) > 0.3


def test_mirrored_boxes_are_around_mirrored_shapes():
    """A picture of the boxes themselves is mirrored as the boxes are."""
    drawn = np.zeros((40, shapes.SIDE, shapes.SIDE, 1), np.float32)
    boxes = np.round(TRAIN["boxes"])

    def paint(canvas, box):
        left, top, right, bottom = np.asarray(box, int)
        canvas[top:bottom, left:right] = 1

    for canvas, some in zip(drawn, boxes, strict=True):
        for box in some:
            paint(canvas, box)
    batch = {"input": drawn, "boxes": boxes, "classes": TRAIN["classes"]}
    turned = jax.jit(shapes.mirrored)(batch, jax.random.key(0))
    assert len({tuple(np.ravel(x)) for x in np.asarray(turned["input"] == drawn)}) > 4
    for canvas, some in zip(np.asarray(turned["input"]), np.asarray(turned["boxes"]), strict=True):
        again = np.zeros_like(canvas)
        for box in some:
            if box[2] - box[0] < shapes.SIDE and (box[2:] > box[:2]).all():
                paint(again, box)
        np.testing.assert_array_equal(again, canvas)


def test_the_same_seed_gives_the_same_and_none_is_refused():
    again = shapes.load.__wrapped__(40, 200)
    np.testing.assert_array_equal(again.test["input"], TEST["input"])
    with pytest.raises(errors.InputError, match="must be at least 1, got 0 and 500"):
        shapes.load(0)
