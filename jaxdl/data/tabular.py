"""Small tables of real measurements that ship with scikit-learn, standardised by the training part.

cancer: 569 breast masses, 30 features of their cell nuclei. W. Wolberg, O. Mangasarian, N. Street,
    W. Street, "Breast Cancer Wisconsin (Diagnostic)", UCI Machine Learning Repository, 1993
    (doi 10.24432/C5DW2B). Licence: CC BY 4.0.
wine: 178 wines of three cultivars, 13 chemical features. S. Aeberhard and M. Forina, "Wine", UCI,
    1992 (doi 10.24432/C5PC7J). Licence: CC BY 4.0.
iris: 150 flowers of three species, 4 lengths in cm. R. A. Fisher, "The use of multiple measurements
    in taxonomic problems", 1936; UCI (doi 10.24432/C56C76). Licence: CC BY 4.0.
diabetes: 442 patients, 10 features, progression of the disease after a year (25 to 346). B. Efron,
    T. Hastie, I. Johnstone, R. Tibshirani, "Least Angle Regression", 2004. No licence is stated.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets

from jaxdl.data import splits

_LOADERS: dict[str, Any] = {
    "cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "iris": datasets.load_iris,
}


class Regression(NamedTuple):
    """A split with a standardised target, and the scale that tells its errors in original units."""

    train: splits.Examples
    test: splits.Examples
    scale: splits.Scale


def cancer(test_fraction: float = 0.2, seed: int = 0) -> splits.Split:
    """Features (n, 30) float32, labels (n,) int32: 0 malignant, 1 benign."""
    return _classes(datasets.load_breast_cancer(), test_fraction, seed)


def wine(test_fraction: float = 0.2, seed: int = 0) -> splits.Split:
    """Features (n, 13) float32, labels (n,) int32 in 0..2."""
    return _classes(datasets.load_wine(), test_fraction, seed)


def iris(test_fraction: float = 0.2, seed: int = 0) -> splits.Split:
    """Features (n, 4) float32, labels (n,) int32: 0 setosa, 1 versicolor, 2 virginica."""
    return _classes(datasets.load_iris(), test_fraction, seed)


def diabetes(test_fraction: float = 0.2, seed: int = 0) -> Regression:
    """Features (n, 10) and targets (n, 1), float32 and standardised, and the scale of the targets.

    A root mean square error times `scale.deviation[0]` is in the original units.
    """
    # scikit-learn's own scaling would have looked at the test part.
    data: Any = datasets.load_diabetes(scaled=False)
    split = splits.uniform(data.data, data.target[:, None], test_fraction, seed)
    split, _ = splits.standardised(split, "input")
    split, scale = splits.standardised(split, "target")
    return Regression(split.train, split.test, scale)


def names(name: str) -> tuple[str, ...]:
    """What the features of the table of this name, as for `class_folds`, are called."""
    return tuple(map(str, _LOADERS[name]().feature_names))


def class_folds(name: str, count: int = 5, seed: int = 0) -> splits.Folds:
    """The table of this name, "cancer", "wine" or "iris", for a cross-validation."""
    data = _LOADERS[name]()
    folds = splits.folds(data.data, data.target.astype(np.int32), count, seed)
    return splits.standardised(folds, "input")[0]


def diabetes_folds(count: int = 5, seed: int = 0) -> splits.Folds:
    """Features and targets of the diabetes table for a cross-validation, both standardised by what
    each fold learns from; R² is that of the original targets.
    """
    data: Any = datasets.load_diabetes(scaled=False)
    folds = splits.folds(data.data, data.target[:, None], count, seed, stratify=False)
    folds, _ = splits.standardised(folds, "input")
    return splits.standardised(folds, "target")[0]


def _classes(data: Any, test_fraction: float, seed: int) -> splits.Split:
    split = splits.stratified(data.data, data.target.astype(np.int32), test_fraction, seed)
    return splits.standardised(split, "input")[0]
