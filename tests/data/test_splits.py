"""Splits against their definition and scikit-learn's scaler, digits and tables against its own."""

import numpy as np
import pytest
from sklearn import datasets, model_selection, preprocessing

from jaxdl import errors
from jaxdl.data import digits, splits, tabular

TABLES = {
    "cancer": (tabular.cancer, datasets.load_breast_cancer),
    "wine": (tabular.wine, datasets.load_wine),
    "iris": (tabular.iris, datasets.load_iris),
}


def sorted_rows(array: np.ndarray) -> np.ndarray:
    rows = array.reshape(len(array), -1)
    return rows[np.lexsort(rows.T)]


def test_every_example_is_in_exactly_one_part():
    index = np.arange(100)
    for split in (
        splits.stratified(index, index % 4, 0.3, seed=1),
        splits.uniform(index, index[:, None], 0.3, seed=1),
    ):
        train, test = split
        assert len(test["input"]) == 30
        assert sorted([*train["input"], *test["input"]]) == list(index)
    assert np.array_equal(train["target"][:, 0], train["input"])


def test_stratified_keeps_the_proportions():
    target = np.repeat([0, 1, 2], [70, 20, 10])
    train, test = splits.stratified(np.arange(100), target, 0.2, seed=3)
    assert list(np.bincount(test["target"])) == [14, 4, 2]
    assert list(np.bincount(train["target"])) == [56, 16, 8]


def test_the_seed_decides_the_split():
    first, again, other = (digits.load(seed=seed).test["target"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_standardised_learns_from_the_training_part_alone():
    random = np.random.default_rng(0)
    train, test = random.normal(5, 3, (50, 4)), random.normal(-100, 9, (20, 4))
    train[:, 2] = test[:, 2] = 7  # constant: centred, not divided by zero
    split, scale = splits.standardised(splits.Split({"input": train}, {"input": test}), "input")
    scaler = preprocessing.StandardScaler().fit(train)
    np.testing.assert_allclose(split.train["input"], scaler.transform(train), atol=1e-6)
    np.testing.assert_allclose(split.test["input"], scaler.transform(test), rtol=1e-6, atol=1e-6)
    restored = scale.mean[None] + scale.deviation[None] * split.test["input"]
    np.testing.assert_allclose(restored, test, rtol=1e-5)


@pytest.mark.parametrize("stratify", [True, False])
def test_folds_test_every_example_once_and_never_what_was_learnt(stratify):
    index, target = np.arange(53), np.arange(53) % 3
    train, test = splits.folds(index, target, 5, seed=1, stratify=stratify)
    assert np.array_equal(test["input"], index) and np.array_equal(test["target"], target)
    assert np.array_equal(train["target"], train["input"] % 3)
    for fold in range(5):
        learnt = set(train["input"][:, fold])
        assert learnt | set(index[test["fold"] == fold]) == set(index)
        assert not learnt & set(index[test["fold"] == fold])
    if stratify:
        cut = model_selection.StratifiedKFold(5, shuffle=True, random_state=1)
        theirs = [rows for _, rows in cut.split(index, target)]
        for fold, rows in enumerate(theirs):
            assert np.array_equal(np.flatnonzero(test["fold"] == fold), rows)
    with pytest.raises(errors.InputError, match=r"folds must be 2 to the .* examples.*, got 1"):
        splits.folds(index, target, 1, seed=0, stratify=stratify)


def test_each_fold_is_standardised_by_what_it_learns_from():
    random = np.random.default_rng(0)
    values = random.normal(5, 3, (20, 4)) * np.array([[1, 2, 3, 0]])
    folds = splits.folds(values, np.arange(20) % 2, 4, seed=0)
    scaled, scale = splits.standardised(folds, "input")
    for fold in range(4):
        rows = folds.test["fold"] == fold
        scaler = preprocessing.StandardScaler().fit(folds.train["input"][:, fold])
        for found, wanted in (
            (scaled.train["input"][:, fold], scaler.transform(folds.train["input"][:, fold])),
            (scaled.test["input"][rows], scaler.transform(values[rows])),
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(scale.mean[fold], scaler.mean_, rtol=1e-6)


def test_split_tells_what_is_wrong():
    index = np.arange(40)
    with pytest.raises(errors.InputError) as caught:
        splits.stratified(index, index % 10, 0.1, seed=0)
    assert str(caught.value) == (
        "test_fraction must leave an example of each of the 10 classes on both sides, "
        "got 0.1 of 40 examples."
    )
    with pytest.raises(errors.InputError) as caught:
        splits.uniform(index, index, 0.99, seed=0)
    assert str(caught.value) == (
        "test_fraction must leave an example to train on, got 0.99 of 40 examples."
    )
    with pytest.raises(errors.InputError, match=r"test_fraction must be between 0 and 1"):
        splits.uniform(index, index, 1.0, seed=0)
    with pytest.raises(errors.InputError, match=r"must be finite, got nan at index \(0,\)"):
        splits.uniform(np.full(40, np.nan), index, 0.5, seed=0)


def test_digits_are_scikit_learns():
    train, test = digits.load()
    for part, count in ((train, 1437), (test, 360)):
        assert part["input"].shape == (count, 8, 8, 1) and part["input"].dtype == np.float32
        assert part["target"].shape == (count,) and part["target"].dtype == np.int32
    images = np.concatenate([train["input"], test["input"]])
    assert images.min() == 0 and images.max() == 1
    source = datasets.load_digits()
    assert np.array_equal(sorted_rows(images * 16), sorted_rows(source.images.astype(np.float32)))
    shares = [np.bincount(part["target"]) / len(part["target"]) for part in (train, test)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.005)


@pytest.mark.parametrize("read,source", TABLES.values(), ids=TABLES)
def test_tables_are_scikit_learns_standardised(read, source):
    raw = source()
    rows = model_selection.train_test_split(
        np.arange(len(raw.target)), test_size=0.2, random_state=0, stratify=raw.target
    )
    scaler = preprocessing.StandardScaler().fit(raw.data[rows[0]])
    for part, index in zip(read(), rows, strict=True):
        assert part["input"].dtype == np.float32 and part["target"].dtype == np.int32
        np.testing.assert_allclose(
            part["input"], scaler.transform(raw.data[index]), rtol=1e-5, atol=1e-6
        )
        assert np.array_equal(part["target"], raw.target[index])


def test_diabetes_gives_the_scale_of_its_target():
    train, test, scale = tabular.diabetes()
    assert train["input"].shape == (353, 10) and train["target"].shape == (353, 1)
    assert train["input"].dtype == train["target"].dtype == np.float32
    np.testing.assert_allclose(train["target"].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(train["target"].std(), 1, atol=1e-6)
    assert abs(test["target"].mean()) > 1e-3  # the test part was not looked at
    both = np.concatenate([train["target"], test["target"]])
    original = scale.mean[None] + scale.deviation[None] * both
    expected = datasets.load_diabetes(scaled=False).target
    np.testing.assert_allclose(np.sort(original[:, 0]), np.sort(expected), rtol=1e-5)
