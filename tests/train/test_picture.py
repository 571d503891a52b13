"""Pictures against arithmetic, decoded by pillow from TensorBoard's EventAccumulator."""

import io
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

from jaxdl import errors, summary
from jaxdl.train import tensorboard


def shown(tmp_path: pathlib.Path, pixels) -> np.ndarray:
    with tensorboard.Writer(tmp_path) as writer:
        writer.show(0, {"image": summary.Image(pixels)})
    reader = event_accumulator.EventAccumulator(str(tmp_path))
    reader.Reload()
    [event] = reader.Images("image")
    picture = Image.open(io.BytesIO(event.encoded_image_string))
    assert picture.size == (event.width, event.height)
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[-1.0, 0.5], [np.nan, 9.0]]), [[0, 128], [0, 255]]),
        (np.array([[True, False]]), [[255, 0]]),
        (np.array([[-5, 3], [200, 999]]), [[0, 3], [200, 255]]),
        (jnp.array([[0.0, 1.0]], jnp.bfloat16), [[0, 255]]),
        (jnp.array([[[0, 7]]], jnp.uint8)[..., None], [[0, 7]]),
        (np.array([[[1, 2, 3, 4]]]), [[[1, 2, 3, 4]]]),
    ],
    ids=["float", "bool", "integer", "bfloat16", "batch-of-one", "rgba"],
)
def test_pixels(tmp_path, pixels, expected):
    picture = shown(tmp_path, pixels)
    expected = np.asarray(expected)
    factor = 256 // max(expected.shape[:2])
    enlarged = expected.repeat(factor, axis=0).repeat(factor, axis=1)
    np.testing.assert_array_equal(picture, enlarged)


def test_large_picture_is_left_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    np.testing.assert_array_equal(shown(tmp_path, pixels), pixels)


@pytest.mark.parametrize("shape", [(4,), (4, 8, 8), (4, 4, 2), (0, 8, 8, 1), (1, 1, 1, 1, 1)])
def test_wrong_pixels_are_refused(tmp_path, shape):
    with (
        tensorboard.Writer(tmp_path) as writer,
        pytest.raises(errors.InputError, match="Image 'digits' must have shape"),
    ):
        writer.show(0, {"digits": summary.Image(np.zeros(shape))})
