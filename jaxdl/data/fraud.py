"""Payments of which one in 180 is a fraud: a made table on which accuracy says nothing.

40,000 rows of 20 numbers by scikit-learn's `make_classification` (I. Guyon, "Design of experiments
of the NIPS 2003 variable selection benchmark", 2003): the frauds are two of four clusters in ten
dimensions, five numbers are mixtures of those, five are noise; a row in a thousand has a random
label, so that no model finds every fraud.
"""

import functools

import numpy as np
from sklearn import datasets

from jaxdl.data import splits

ROWS, FEATURES = 40_000, 20


def folds(count: int = 5, seed: int = 0) -> splits.Folds:
    """Features (n, 20) float32, standardised, and labels (n,) int32, 1 a fraud; for a
    cross-validation.
    """
    made = splits.folds(*_payments(), count, seed)
    return splits.standardised(made, "input")[0]


@functools.cache
def _payments() -> tuple[np.ndarray, np.ndarray]:
    """All rows, made once: a sweep calls its experiment many times."""
    features, labels = datasets.make_classification(
        ROWS,
        FEATURES,
        n_informative=10,
        n_redundant=5,
        class_sep=2.0,
        weights=[0.995],
        flip_y=0.001,
        random_state=0,
    )
    return features.astype(np.float32), labels.astype(np.int32)
