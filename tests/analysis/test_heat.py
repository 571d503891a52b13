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


def test_words_stand_on_their_colours():
    pixels = heat.text_picture([["aa", "bb", "cc"]], [[1.0, -1.0, 0.0]]).pixels
    colours = {tuple(c) for c in pixels.reshape(-1, 3)}
    assert heat._tint(1.0) in colours and heat._tint(-1.0) in colours
    columns = [
        np.flatnonzero((pixels == heat._tint(value)).all(-1).any(0)).min() for value in (1.0, -1.0)
    ]
    assert columns[0] < columns[1]
    long = heat.text_picture([["word"] * 60], [[0.0] * 60]).pixels
    assert long.shape[0] > 3 * pixels.shape[0] and long.shape[1] == pixels.shape[1]


def test_bars_are_as_long_as_values():
    pixels = heat.bars(["age", "income"], [1.0, -0.5]).pixels
    red, blue = ((pixels == colour).all(-1).any(0).sum() for colour in (heat._FOR, heat._AGAINST))
    assert abs(red - 2 * blue) <= 3


def test_of_many_bars_the_largest_are_drawn():
    many = heat.bars([f"{i:04}" for i in range(1000)], np.arange(1000.0)).pixels
    few = heat.bars([f"{i:04}" for i in range(950, 1000)], np.arange(950.0, 1000)).pixels
    np.testing.assert_array_equal(many, few)


def test_a_series_stands_on_the_heat_of_its_steps():
    values = np.zeros((2, 4, 1))
    pixels = heat.series(values, np.array([[0, 0, 3, -3], [0, 0, 0, 0]])[..., None]).pixels
    assert pixels.shape[0] == 2
    row = pixels[0, 4]
    wide = len(row) // 4
    assert tuple(row[2 * wide + wide // 2]) == heat._tint(1.0)
    assert tuple(row[3 * wide + wide // 2]) == heat._tint(-1.0)
    assert (row[: 2 * wide - 1] == 255).all() and (pixels[1, 4] == 255).all()


def test_bad_input_is_refused():
    with pytest.raises(errors.InputError, match="An overlay must be of images"):
        heat.overlay(np.zeros((1, 2, 2, 1)), np.zeros((1, 3, 2, 1)))
    with pytest.raises(errors.InputError, match="value for each of 1 names"):
        heat.bars(["a"], [1.0, 2.0])
    with pytest.raises(errors.InputError, match="Pictures of series"):
        heat.series(np.zeros((1, 2)), np.zeros((1, 2)))
