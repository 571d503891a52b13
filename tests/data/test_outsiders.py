"""Classes held back are in no training example, and all of them among the strangers."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import outsiders, splits


def split():
    parts = []
    for size in (20, 10):
        target = np.arange(size, dtype=np.int32) % 5
        parts.append({"input": target[:, None].astype(np.float32), "target": target})
    return splits.Split(*parts)


def test_classes_are_held_back():
    train, test, strangers = outsiders.hold_back(split(), (4, 3))
    assert set(train["target"]) == set(test["target"]) == {0, 1, 2}
    assert (len(train["input"]), len(test["input"])) == (12, 6)
    outside = strangers["outsider"] == 1
    assert sorted(strangers["input"][outside, 0]) == [3] * 6 + [4] * 6
    assert sorted(strangers["input"][~outside, 0]) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("classes", [(0,), (1, 2, 3, 4), (4, 4)])
def test_other_classes_are_refused(classes):
    with pytest.raises(errors.InputError, match=r"must be the highest of 0..4"):
        outsiders.hold_back(split(), classes)
