"""Explanations drawn as sheets, read back from their pixels."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.analysis import explain, heat, sheets

HEAD = 48  # pixels of the legend


def columns(pixels, colour):
    """Where a colour is, below the legend."""
    return np.flatnonzero((pixels[HEAD:] == colour).all(-1).any(0))


def test_words_stand_on_their_colours():
    pixels = sheets.texts([["aa", "bb", "cc"]], [[1.0, -1.0, 0.0]]).pixels
    red, blue = (columns(pixels, heat.tint(value)) for value in (1.0, -1.0))
    assert red.size and blue.size and red.max() < blue.min()
    long = sheets.texts([["word"] * 60], [[0.0] * 60]).pixels
    assert long.shape[0] > 3 * pixels.shape[0] and long.shape[1] == pixels.shape[1]
    endless = sheets.texts([["w" * 500]], [[1.0]]).pixels
    assert endless.shape == pixels.shape and columns(endless, heat.tint(1.0)).max() < 700


def test_a_legend_and_captions_stand_over_each():
    plain = sheets.texts([["aa"], ["bb"]], [[1.0], [1.0]]).pixels
    said = sheets.texts([["aa"], ["bb"]], [[1.0], [1.0]], ["the first", "the second"]).pixels
    assert len(said) == len(plain) + 2 * 40
    for value in (1, -1):
        assert (plain[:HEAD] == heat.colour(value)).all(-1).any()


def test_padding_that_counts_nothing_is_left_out():
    tokens, names = np.array([[5, 0, 0, 0], [1, 2, 2, 2], [3, 3, 3, 3]]), ["<padding>"]
    heats = np.array([[1.0, 0, 0, 0], [1, 0, 0, 0.5], [1, 0, 0, 0]])
    words = explain.read(tokens, heats, names)
    assert words == [["5", "<padding>"], ["1", "2", "2", "2"], ["3"]]


def test_bars_are_as_long_as_values():
    pixels = sheets.bars(["age", "income"], [1.0, -0.5]).pixels
    red, blue = (columns(pixels, heat.colour(sign)).size for sign in (1, -1))
    assert abs(red - 2 * blue) <= 3


def test_of_many_bars_the_largest_are_drawn():
    many = sheets.bars([f"{i:04}" for i in range(1000)], np.arange(1000.0)).pixels
    few = sheets.bars([f"{i:04}" for i in range(950, 1000)], np.arange(950.0, 1000)).pixels
    np.testing.assert_array_equal(many, few)


def test_a_series_stands_on_the_heat_of_its_steps():
    values = np.zeros((1, 4, 1))
    pixels = sheets.series(values, np.array([[0, 0, 3, -3]])[..., None], ["height"]).pixels
    row = pixels[HEAD + 40 + 10]  # near the upper edge of the panel, above the curve
    wide = len(row) // 4
    assert tuple(row[2 * wide + wide // 2]) == heat.tint(1.0)
    assert tuple(row[3 * wide + wide // 2]) == heat.tint(-1.0)
    assert (row[12 : 2 * wide - 12] == 255).all()
    two = sheets.series(np.zeros((2, 4, 1)), np.zeros((2, 4, 1)), ["height"], ["a", "b"]).pixels
    assert len(two) == 2 * len(pixels) - HEAD - 40 + 2 * 40


def test_of_many_variables_those_with_the_most_heat_are_drawn():
    values = np.random.default_rng(0).normal(size=(1, 6, 9))
    heats = np.zeros((1, 6, 9))
    heats[..., 2:7] = 1
    names = [f"variable {i}" for i in range(9)]
    all_nine = sheets.series(values, heats, names).pixels
    five = sheets.series(values[..., 2:7], heats[..., 2:7], names[2:7]).pixels
    np.testing.assert_array_equal(all_nine, five)


def test_bad_input_is_refused():
    with pytest.raises(errors.InputError, match="value for each of 1 names"):
        sheets.bars(["a"], [1.0, 2.0])
    with pytest.raises(errors.InputError, match="Pictures of series"):
        sheets.series(np.zeros((1, 2)), np.zeros((1, 2)), [])
