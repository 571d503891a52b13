"""Made masks: what is bright is a body, and each body is what its class says."""

import numpy as np
import pytest
from scipy import ndimage

from jaxdl import errors
from jaxdl.data import masks


@pytest.mark.parametrize(("side", "dimensions", "kinds"), [(32, 2, 3), (16, 3, 2)])
def test_bodies_are_what_they_are_called(side, dimensions, kinds):
    made = masks.made(60, side, dimensions, noise=0.0, seed=0)
    image, target = made["input"][..., 0], made["target"]
    np.testing.assert_array_equal(image > 0, target > 0)
    assert set(np.unique(target)) == set(range(kinds + 1))
    assert image[target > 0].min() >= 0.5 and image.max() <= 1
    fills = {1: np.pi / 2 / dimensions, 2: 1.0, 3: 0.5}  # of the box around it; 4/3 π / 8 of a ball
    half = side // 2
    found = []
    for label in target:
        for corner in np.ndindex((2,) * dimensions):
            part = label[tuple(slice(half * at, half * at + half) for at in corner)]
            kinds_here = np.unique(part[part > 0])
            assert len(kinds_here) <= 1
            for kind in kinds_here:
                box = part[ndimage.find_objects((part == kind).astype(int))[0]]
                found.append((kind, (box == kind).mean()))
    for kind in range(1, kinds + 1):
        share = np.mean([fill for which, fill in found if which == kind])
        assert share == pytest.approx(fills[kind], abs=0.09), kind
    assert 0.68 < len(found) / (60 * 2**dimensions) < 0.82


def test_the_seed_is_all_that_draws():
    train, test = masks.load(5, 3, noise=0.1, seed=3)
    again = masks.made(8, 32, 2, 0.1, 3)
    np.testing.assert_array_equal(np.concatenate([train["input"], test["input"]]), again["input"])
    assert (again["input"] != masks.made(8, 32, 2, 0.1, 4)["input"]).any()
    noise = (again["input"][..., 0] - masks.made(8, 32, 2, 0.0, 3)["input"][..., 0]).std()
    assert noise == pytest.approx(0.1, rel=0.05)


def test_refusals():
    with pytest.raises(errors.InputError, match="Masks must be of 2 or 3 dimensions, got 1"):
        masks.made(1, 32, 1, 0.1, 0)
    with pytest.raises(errors.InputError, match="an even side of at least 16, got 2 of 15"):
        masks.made(2, 15, 2, 0.1, 0)
