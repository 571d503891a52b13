"""Cutting examples into a training and a test part, and what may be learned from which."""

from typing import NamedTuple, TypeVar

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


class Folds(NamedTuple):
    """The examples of a cross-validation; unpacks as `train, test`.

    train: "input" and "target" (b, folds, ...): what each fold has to learn from, side by side.
    test: every example once, with the "fold" (n,) int32 that has not seen it.
    """

    train: Examples
    test: Examples


class Scale(NamedTuple):
    """What standardisation took away: original = mean + deviation * standardised.

    An error in standardised units times `deviation` is the error in original units. Of folds, each
    has a mean and a deviation of its own, along a leading axis.
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


def folds(
    inputs: Num[np.ndarray, "b ..."],
    target: Num[np.ndarray, "b ..."],
    count: int,
    seed: int,
    *,
    stratify: bool = True,
) -> Folds:
    """Every example is in the test of one of `count` folds, and in the training of the others.

    The folds are scikit-learn's; stratify: with the classes in equal proportion. Where some have
    fewer examples to learn from (one, or one of each class), their first are there twice, so that
    all are equally many.
    """
    size = checks.arrays({"input": inputs, "target": target}, "The data")
    fewest = int(np.unique(target, return_counts=True)[1].min()) if stratify else size
    if not 2 <= count <= fewest:
        of = "examples of each class" if stratify else "examples"
        raise errors.InputError(f"folds must be 2 to the {fewest} {of}, got {count}.")
    maker = model_selection.StratifiedKFold if stratify else model_selection.KFold
    cuts = list(maker(count, shuffle=True, random_state=seed).split(inputs, target))
    longest = max(len(rows) for rows, _ in cuts)
    train = np.stack([np.resize(rows, longest) for rows, _ in cuts], axis=1)
    fold = np.empty(size, np.int32)
    for number, (_, rows) in enumerate(cuts):
        fold[rows] = number
    return Folds(
        {"input": inputs[train], "target": target[train]},
        {"input": inputs, "target": target, "fold": fold},
    )


Parts = TypeVar("Parts", Split, Folds)


def standardised(split: Parts, name: str) -> tuple[Parts, Scale]:
    """The entry `name` of both parts, less the mean and over the deviation of the training part.

    The test part is unseen: nothing of it enters the statistics, and of folds each has its own. A
    constant column is only centred.
    """
    train, test = split
    values = np.asarray(train[name], np.float64)
    mean, deviation = values.mean(0), values.std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    rows = test["fold"] if isinstance(split, Folds) else None  # None makes a new leading axis
    scaled = (
        train | {name: ((train[name] - mean[None]) / deviation[None]).astype(np.float32)},
        test | {name: ((test[name] - mean[rows]) / deviation[rows]).astype(np.float32)},
    )
    return type(split)(*scaled), Scale(mean.astype(np.float32), deviation.astype(np.float32))


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
