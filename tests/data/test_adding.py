"""The adding problem's sequences."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import adding


def test_the_target_is_the_sum_of_the_marked_numbers():
    train, test = adding.load(length=9, train=2000, test=500)
    numbers, marks = np.moveaxis(train["input"], -1, 0)
    assert train["input"].shape == (2000, 9, 2) and test["target"].shape == (500, 1)
    np.testing.assert_array_equal(marks[:, :4].sum(1), 1)
    np.testing.assert_array_equal(marks[:, 4:].sum(1), 1)
    np.testing.assert_array_equal(np.unique(marks.argmax(1)), np.arange(4))
    np.testing.assert_allclose((numbers * marks).sum(1), train["target"][:, 0], rtol=1e-6)
    assert np.mean((train["target"] - 1) ** 2) == pytest.approx(adding.CONSTANT, rel=0.1)
    again = adding.load(length=9, train=2000, test=500)
    np.testing.assert_array_equal(again.test["input"], test["input"])
    assert not np.isin(test["input"][:, 0, 0], train["input"][:, 0, 0]).all()


def test_refusals():
    with pytest.raises(errors.InputError, match="length must be at least 2, got 1"):
        adding.load(1)
    with pytest.raises(errors.InputError, match="number of test sequences must be at least 1"):
        adding.load(test=0)
