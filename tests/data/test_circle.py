"""Points within a circle and outside."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import circle


def test_half_of_the_square_is_inside():
    train, test = circle.load(20_000, 10)
    assert train["input"].shape == (20_000, 2) and len(test["target"]) == 10
    assert np.abs(train["input"]).max() <= 1
    assert train["target"].mean() == pytest.approx(0.5, abs=0.015)  # 4 deviations
    radius = np.hypot(*train["input"].T)
    assert radius[train["target"] == 1].max() < circle.RADIUS < radius[train["target"] == 0].min()


def test_bad_fields():
    with pytest.raises(errors.InputError, match="circle's train must be at least 1, got 0"):
        circle.load(0)
