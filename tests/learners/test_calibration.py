"""The reliability diagram, read back from its pixels."""

import numpy as np

from jaxdl.learners import calibration


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
