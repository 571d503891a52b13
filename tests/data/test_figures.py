"""Made figures: who it is stays, how it is seen changes."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import digits, figures


def test_pictures_of_a_figure_are_alike_and_others_are_others():
    train, test = figures.load(seen=6, unseen=5, pictures=8)
    assert train["input"].shape == (48, 16, 16, 1) and test["input"].shape == (40, 16, 16, 1)
    np.testing.assert_array_equal(train["target"], np.repeat(np.arange(6), 8))
    again = figures.load(seen=6, unseen=5, pictures=8)
    np.testing.assert_array_equal(again.train["input"], train["input"])
    # What neither a turn nor a move changes: the brightness, over the light's own spread.
    total = train["input"].reshape(6, 8, -1).sum(-1)
    assert (total.max(1) / total.min(1) < 1.4 / 0.6 * 1.5).all()
    assert not np.allclose(train["input"][:40], test["input"])


def test_digits_by_class():
    train, test = digits.by_class((7, 8, 9))
    assert len(train["target"]) + len(test["target"]) == 1797
    assert set(train["target"]) == set(range(7)) and set(test["target"]) == {7, 8, 9}
    hidden, _ = digits.by_class((0, 1, 2))
    np.testing.assert_array_equal(
        np.bincount(hidden["target"])[-3:], np.bincount(test["target"])[-3:]
    )


def test_refusals():
    with pytest.raises(errors.InputError, match="must be at least 2, got 1, 40 and 20"):
        figures.load(seen=1)
    with pytest.raises(errors.InputError, match="The unseen digits must be at least two of 0 to 9"):
        digits.by_class((3,))
