"""Cutting examples into a training and a test part, and what may be learned from which."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Num
from sklearn import model_selection

from jaxdl import errors
from jaxdl.data import checks

Examples = dict[str, np.ndarray]  # "input" and "target", equal leading axes


class Split(NamedTuple):
    """The examples to learn from and those to be examined on; unpacks as `train, test`."""

    train: Examples
    test: Examples


class Scale(NamedTuple):
    """What standardisation took away: original = mean + deviation * standardised.

    An error in standardised units times `deviation` is the error in original units.
    """

    mean: np.ndarray
    deviation: np.ndarray


def stratified(
    inputs: Num[np.ndarray, "b ..."],
    target: Num[np.ndarray, "b"],
    test_fraction: float,
    seed: int,
) -> Split:
    """A random split in which both parts have the classes in equal proportion (scikit-learn's)."""
    tests = _test_count(inputs, target, test_fraction)
    classes = len(np.unique(target))
    if min(tests, len(target) - tests) < classes:
        raise errors.InputError(
            f"test_fraction must leave an example of each of the {classes} classes on both sides, "
            f"got {test_fraction} of {len(target)} examples."
        )
    return _parts(inputs, target, test_fraction, seed, stratify=target)


def uniform(
    inputs: Num[np.ndarray, "b ..."],
    target: Num[np.ndarray, "b ..."],
    test_fraction: float,
    seed: int,
) -> Split:
    """A random split that does not look at the target, for regression (scikit-learn's)."""
    if _test_count(inputs, target, test_fraction) >= len(target):
        raise errors.InputError(
            "test_fraction must leave an example to train on, "
            f"got {test_fraction} of {len(target)} examples."
        )
    return _parts(inputs, target, test_fraction, seed, stratify=None)


def standardised(split: Split, name: str) -> tuple[Split, Scale]:
    """The entry `name` of both parts, less the mean and over the deviation of the training part.

    The test part is unseen: nothing of it enters the statistics. A constant column is only centred.
    """
    values = np.asarray(split.train[name], np.float64)
    mean, deviation = values.mean(0), values.std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    train, test = (
        part | {name: ((part[name] - mean[None]) / deviation[None]).astype(np.float32)}
        for part in split
    )
    return Split(train, test), Scale(mean.astype(np.float32), deviation.astype(np.float32))


def _test_count(inputs: np.ndarray, target: np.ndarray, test_fraction: float) -> int:
    checks.fraction(test_fraction, "test_fraction")
    checks.arrays({"input": inputs, "target": target}, "The data")
    return int(np.ceil(len(target) * test_fraction))  # as scikit-learn rounds


def _parts(
    inputs: np.ndarray,
    target: np.ndarray,
    test_fraction: float,
    seed: int,
    stratify: np.ndarray | None,
) -> Split:
    train, test = model_selection.train_test_split(
        np.arange(len(target)), test_size=test_fraction, random_state=seed, stratify=stratify
    )
    return Split(
        {"input": inputs[train], "target": target[train]},
        {"input": inputs[test], "target": target[test]},
    )
