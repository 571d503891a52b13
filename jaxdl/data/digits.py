"""1,797 handwritten digits, 8×8 pixels, ten classes: the images that are on every machine.

Source: the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak,
UCI Machine Learning Repository, 1998 (doi 10.24432/C50P49), written by 13 people; ships with
scikit-learn. Licence: CC BY 4.0. Which person wrote which digit is not recorded, so the split is
by image: every writer is in both parts.
"""

import functools
from typing import Any

import numpy as np
from sklearn import datasets

from jaxdl.data import splits


def load(test_fraction: float = 0.2, seed: int = 0) -> splits.Split:
    """Images float32 (n, 8, 8, 1) in [0, 1], labels int32 (n,); classes in equal proportion."""
    return splits.stratified(*_scans(), test_fraction, seed)


@functools.cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    """All images and labels, unpacked once: a sweep calls its experiment many times."""
    data: Any = datasets.load_digits()
    images = (data.images[..., None] / 16).astype(np.float32)  # a pixel is 0 to 16
    return images, data.target.astype(np.int32)
