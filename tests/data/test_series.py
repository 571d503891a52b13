"""Windows of series, and the series that ship with statsmodels."""

import sys

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import series


def test_windows_are_split_in_time_and_scaled_by_the_past():
    values = np.arange(20.0) ** 1.5
    (train, test), scale = series.forecasting(values, past=4, future=2, test=5)
    assert scale == values[:15].std()
    assert train["input"].shape == (10, 4, 2) and test["input"].shape == (4, 4, 2)

    def whole(part):
        both = np.concatenate([part["input"][..., 0], part["target"]], axis=1)
        return both * scale + values[:15].mean()

    for part, first in ((train, 0), (test, 11)):
        wanted = [values[first + n : first + n + 6] for n in range(len(part["input"]))]
        np.testing.assert_allclose(whole(part), wanted, rtol=1e-5, atol=1e-5)
        assert (part["input"][..., 1] == 1).all() and (part["mask"] == 1).all()


def test_gaps_are_told_and_do_not_count():
    values = np.arange(12.0)
    values[[2, 10]] = np.nan
    (train, test), scale = series.forecasting(values, past=2, future=1, test=3)
    first = (values[0] - np.nanmean(values[:9])) / scale
    np.testing.assert_allclose(train["input"][0, 0], [first, 1], rtol=1e-6)
    assert train["input"][2, 0].tolist() == [0, 0] and train["input"][2, 1, 1] == 1
    assert train["mask"][:, 0].tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert test["mask"][:, 0].tolist() == [1, 0, 1] and test["target"][1, 0] == 0


def test_windows_around_their_last_values():
    values = np.array([1.0, 2, np.nan, 4, 9, 16, 32, 64])
    (train, test), scale = series.forecasting(values, past=3, future=1, test=2, around=2)
    wanted = np.array([[-1, 0, 0], [-2, 0, 0], [0, -2.5, 2.5]]) / scale
    np.testing.assert_allclose(train["input"][..., 0], wanted, rtol=1e-6)
    np.testing.assert_allclose(train["target"][:, 0] * scale, [2, 5, 9.5], rtol=1e-6)
    np.testing.assert_allclose(test["target"][:, 0] * scale, [32 - 12.5, 64 - 24], rtol=1e-6)
    with pytest.raises(errors.InputError, match="one must be there, got none"):
        series.forecasting(values, 3, 1, 2, around=1)
    with pytest.raises(errors.InputError, match=r"around must be in 1..3, .* got 4"):
        series.forecasting(values, 3, 1, 2, around=4)


def test_refusals():
    with pytest.raises(errors.InputError, match="steps of the past must be at least 1, got 0"):
        series.forecasting(np.arange(9.0), 0, 1, 2)
    with pytest.raises(errors.InputError, match="change before the test's values, got a deviation"):
        series.forecasting(np.ones(40), 4, 1, 5)
    with pytest.raises(errors.InputError, match="change before the test's values, got a deviation"):
        series.forecasting(np.ones(40), 4, 1, 5, around=2)
    with pytest.raises(errors.InputError, match=r"must be finite, .* infinity at index 2"):
        series.forecasting(np.array([0, 1, np.inf, 3, 4, 5]), 2, 1, 1)
    with pytest.raises(errors.InputError, match="got 9 values, 3 of them for the test"):
        series.forecasting(np.arange(9.0), 6, 1, 3)
    with pytest.raises(errors.InputError, match="got 9 values, 1 of them for the test"):
        series.forecasting(np.arange(9.0), 2, 2, 1)


def test_statsmodels():
    pytest.importorskip("statsmodels")
    sunspots, air = series.sunspots(), series.co2()
    assert len(sunspots) == 309 and sunspots[:2].tolist() == [5, 11]
    assert len(air) == 2284 and np.isnan(air).sum() == 59 and air[-1] == 371.5


def test_without_statsmodels(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.datasets", None)
    with pytest.raises(errors.MissingError, match=r"jaxdl\[series\]"):
        series.sunspots()
