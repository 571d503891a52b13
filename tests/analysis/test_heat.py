"""Explanations as people see them, read back from pixels and from TensorBoard's own Markdown."""

import re
import warnings

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.analysis import heat

with warnings.catch_warnings():  # of the html5lib within TensorBoard, about itself
    warnings.simplefilter("ignore", DeprecationWarning)
    from tensorboard import plugin_util


def test_red_speaks_for_and_blue_against():
    images = np.full((1, 4, 4, 1), 0.5, np.float32)
    values = np.zeros((1, 4, 4, 1), np.float32)
    values[0, 0, 0], values[0, 1, 1] = 2, -2
    pixels = heat.overlay(images, values).pixels[0]
    assert pixels.shape == (4, 8, 3)
    np.testing.assert_allclose(pixels[:, :4], 0.5)
    red, blue, rest = pixels[0, 4], pixels[1, 5], pixels[3, 7]
    assert red.argmax() == 0 and blue.argmax() == 2
    np.testing.assert_allclose(rest, 0.25)


def test_tensorboard_shows_the_words_and_their_squares():
    words = ["the", "plot", "was", "*not*", "<b>", "1.", "unread"]
    shown = heat.text([words, ["fine"]], [[0.0, 0.3, -0.3, 1.0, -0.9, 0.1], [0.0] * 6])
    made = plugin_util.markdown_to_safe_html(shown.markdown)
    lines = re.findall("<p>(.*?)</p>", made, re.DOTALL)
    assert lines == [
        heat.LEGEND,
        "the 🟧plot 🟪was 🟥<strong>*not*</strong> 🟦<strong>&lt;b&gt;</strong> 1.",
        "fine",
    ]


def test_bad_input_is_refused():
    with pytest.raises(errors.InputError, match="An overlay must be of images"):
        heat.overlay(np.zeros((1, 2, 2, 1)), np.zeros((1, 3, 2, 1)))
