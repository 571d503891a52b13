"""The reliability diagram, read back from its pixels."""

import numpy as np
import pytest

from jaxdl import errors, learner
from jaxdl.analysis import calibration


def test_bars_are_as_high_as_what_was_right():
    confidence = np.array([0.5] * 8 + [0.99] * 24)
    right = np.array([1, 0] * 4 + [1] * 18 + [0] * 6)
    pixels = calibration.diagram(confidence, right)
    assert pixels.shape == (300, 240, 3)
    bars = (pixels[:240] == calibration._BAR).all(-1)

    def height(i):  # past the column of the diagonal
        return bars[:, 16 * i + 2].sum()

    assert abs(height(7) - 120) <= 1 and abs(height(14) - 180) <= 1
    assert sum(height(i) > 1 for i in range(15)) == 2
    counts = (pixels[241:] == calibration._INK).all(-1).sum(0)
    assert counts[16 * 7 + 2] == round(59 / 4) and counts[16 * 14 + 2] == round(59 * 3 / 4)


def taught(predict):
    return learner.Learner(lambda *_: None, lambda *_: (None, {}), lambda *_: {}, predict)


def test_what_is_no_number_leaves_no_bar():
    examples = {"input": np.ones((3, 4), np.float32), "target": np.zeros(3, int)}
    show = calibration.reliability(taught(lambda state, batch: state * batch["input"]), examples)
    assert not (show(np.float32("nan"), None).pixels == calibration._BAR).all(-1).any()
    assert (show(np.float32(1), None).pixels == calibration._BAR).all(-1).any()
    one = calibration.diagram(np.array([np.nan, 0.5]), np.array([0, 1]))
    np.testing.assert_array_equal(one, calibration.diagram(np.array([0.5]), np.array([1])))


def test_a_learner_that_predicts_nothing_is_refused():
    with pytest.raises(errors.InputError, match="must be of a learner with `predict`"):
        calibration.reliability(taught(None), {})
