"""1,797 handwritten digits, 8×8 pixels, ten classes: the images that are on every machine.

Source: the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak,
UCI Machine Learning Repository, 1998 (doi 10.24432/C50P49), written by 13 people; ships with
scikit-learn. Licence: CC BY 4.0. Which person wrote which digit is not recorded, so the split is
by image: every writer is in both parts.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import datasets

from jaxdl import errors
from jaxdl.data import splits


def load(test_fraction: float = 0.2, seed: int = 0) -> splits.Split:
    """Images float32 (n, 8, 8, 1) in [0, 1], labels int32 (n,); classes in equal proportion."""
    return splits.stratified(*_scans(), test_fraction, seed)


def by_class(unseen: Sequence[int]) -> splits.Split:
    """All scans of the other classes, their labels numbered from 0, to learn from; those of the
    unseen classes for the test.
    """
    images, labels = _scans()
    if not set(unseen) < set(range(10)) or len(set(unseen)) < 2:
        raise errors.InputError(
            f"The unseen digits must be at least two of 0 to 9, and not all, got {tuple(unseen)}."
        )
    hidden = np.isin(labels, unseen)
    seen = np.searchsorted(np.setdiff1d(np.arange(10), unseen), labels[~hidden]).astype(np.int32)
    return splits.Split(
        {"input": images[~hidden], "target": seen},
        {"input": images[hidden], "target": labels[hidden]},
    )


@functools.cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    """All images and labels, unpacked once: a sweep calls its experiment many times."""
    data: Any = datasets.load_digits()
    images = (data.images[..., None] / 16).astype(np.float32)  # a pixel is 0 to 16
    return images, data.target.astype(np.int32)
