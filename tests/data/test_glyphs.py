"""Planted digits are where their boxes say, and nothing else tells the class."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import glyphs


def test_a_box_holds_the_digit_of_the_target():
    train, test = glyphs.load(40, 20, side=9, clutter=0.3, noise=0.0)
    assert train["input"].shape == (40, 9, 9, 1) and len(test["target"]) == 20
    for image, target, (top, left, height, width) in zip(*train.values(), strict=True):
        found = image[top : top + height, left : left + width, 0]
        rows = glyphs.DIGITS[target].split()
        np.testing.assert_array_equal(found, [[float(c) for c in row] for row in rows])
    assert len({tuple(box) for box in train["box"]}) > 10
    np.testing.assert_array_equal(np.bincount(np.r_[train["target"], test["target"]]), 6)
    assert len({tuple(d.split()) for d in glyphs.DIGITS}) == 10


def test_clutter_and_noise_are_what_was_asked():
    images = glyphs.load(300, 1, side=40, clutter=0.2, noise=0.0).train["input"]
    assert images.mean() == pytest.approx(0.2, abs=0.02) and set(np.unique(images)) == {0, 1}
    noise = glyphs.load(300, 1, clutter=0.0, noise=0.25).train["input"]
    assert noise[noise < 0.5].std() == pytest.approx(0.25, rel=0.1)


def test_bad_input_is_refused():
    with pytest.raises(errors.InputError, match="side of at least 5, got 4"):
        glyphs.load(10, 10, side=4)
    with pytest.raises(errors.InputError, match="share of clutter must lie in"):
        glyphs.load(10, 10, clutter=2.0)
