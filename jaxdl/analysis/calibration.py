"""A picture of how far a classifier's confidence can be trusted (Niculescu-Mizil and Caruana 2005;
Guo et al. 2017).
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from jaxdl import errors, learner, summary

_BINS, _WIDTH = 15, 16  # of the calibration error's bins; pixels of a bin
_PAPER, _INK, _LINE, _BAR = (255, 255, 255), (60, 60, 60), (200, 30, 30), (90, 140, 200)


def reliability(
    taught: learner.Learner, examples: learner.Batch
) -> Callable[[Any, Any], summary.Image]:
    """A summary of a learner whose `predict` gives logits of classes: its reliability diagram.

    Left to right the confidence, from 0 to 1 in 15 bins; a bar is as high as the share of the bin
    that was right, and a calibrated classifier's bars end on the diagonal. Below, downwards, the
    share of all examples that a bin holds. Logits that are not finite leave the diagram empty.
    """
    if taught.predict is None:
        raise errors.InputError(
            "A reliability diagram must be of a learner with `predict`, got one without."
        )
    predict = jax.jit(taught.predict)

    def show(state: Any, key: Any) -> summary.Image:
        chances = np.asarray(jax.nn.softmax(predict(state, examples)), np.float64)
        right = chances.argmax(-1) == np.asarray(examples["target"])
        return summary.Image(diagram(chances.max(-1), right))

    return show


def diagram(confidence: Float[np.ndarray, "b"], right: Any) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels: a square of bars, and a quarter of its height of counts below; of a confidence
    that is no number, nothing.
    """
    known = np.isfinite(confidence)
    confidence, right = confidence[known], np.asarray(right)[known]
    side, foot = _BINS * _WIDTH, _BINS * _WIDTH // 4
    group = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(group, minlength=_BINS)
    hits = np.bincount(group, weights=right, minlength=_BINS)
    pixels = np.full((side + foot, side, 3), _PAPER, np.uint8)
    for i in np.flatnonzero(counts):
        columns = slice(i * _WIDTH + 1, (i + 1) * _WIDTH - 1)
        pixels[side - round(side * hits[i] / counts[i]) : side, columns] = _BAR
        pixels[side + 1 : side + 1 + round((foot - 1) * counts[i] / len(right)), columns] = _INK
    diagonal = np.arange(side)
    pixels[side - 1 - diagonal, diagonal] = _LINE
    pixels[side] = _INK
    return pixels
