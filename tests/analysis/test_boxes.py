"""Pictures of boxes: lines where they belong."""

import jax.numpy as jnp
import numpy as np

from jaxdl import learner
from jaxdl.analysis import boxes
from jaxdl.losses import detection


def test_outlines_are_drawn_and_cut_off():
    image = np.zeros((6, 8, 3))
    out = boxes.drawn(image, np.array([[1.2, 1.0, 4.0, 3.0], [6, 4, 99, 99]]), boxes.RED)
    wanted = np.zeros((6, 8))
    wanted[[1, 3], 1:5] = 1
    wanted[1:4, [1, 4]] = 1
    wanted[4:, 6:] = 1
    np.testing.assert_array_equal(out[..., 0], wanted)
    assert not out[..., 1:].any() and not image.any()


def test_true_boxes_are_green_and_found_ones_red():
    taught = learner.Learner(None, None, None, lambda state, batch: state)
    found = detection.Detections(
        jnp.array([[[0.0, 0, 2, 2], [0, 0, 4, 4]]]), jnp.array([[0.9, 0.1]]), jnp.zeros((1, 2), int)
    )
    batch = {
        "input": np.zeros((1, 6, 6, 1)),
        "boxes": np.array([[[3.0, 3, 5, 5]]]),
        "classes": np.array([[0]]),
    }
    batch["input"] = np.full((1, 6, 6, 3), 51, np.uint8)  # bytes, a fifth of white
    grey = boxes.pictures(taught, lambda outputs: outputs, batch)(found, None).pixels
    assert (grey[0, 10, 10] == 0.2).all()
    batch["input"] = np.zeros((1, 6, 6, 1))
    show = boxes.pictures(taught, lambda outputs: outputs, batch, scale=2)
    pixels = show(found, None).pixels
    assert pixels.shape == (1, 12, 12, 3)
    red, green = pixels[0, ..., 0] > 0, pixels[0, ..., 1] > 0
    assert red[0, :5].all() and red.sum() == 16 and green[6, 6:11].all() and green.sum() == 16
