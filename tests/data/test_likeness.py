"""The worth of samples, of samples whose worth is known."""

import jax
import numpy as np
import pytest

from jaxdl import metrics
from jaxdl.data import digits, likeness

TRAIN, TEST = digits.load()
SCORES = likeness.judge(TRAIN, TEST)


def judged(inputs, target):
    return metrics.values(SCORES(inputs, {"target": target}))


def test_the_training_part_itself_is_worth_the_most_and_copied():
    values = judged(TRAIN["input"], TRAIN["target"])
    assert values["samples/accuracy"] >= 0.98  # a support vector machine's on the real digits
    assert values["samples/distance"] == values["samples/novelty"] == 0


def test_new_real_examples_are_as_novel_as_new_real_examples():
    values = judged(TEST["input"], TEST["target"])
    assert values["samples/novelty"] == 1
    everything = np.linalg.norm(
        TEST["input"].reshape(-1, 1, 64) - TRAIN["input"].reshape(1, -1, 64), axis=2
    )
    assert values["samples/distance"] == pytest.approx(everything.min(1).mean(), rel=1e-5)


def test_labels_that_are_not_those_of_the_samples_teach_nothing():
    values = judged(TRAIN["input"], np.roll(TRAIN["target"], 7))
    assert values["samples/accuracy"] < 0.3
    values = judged(TRAIN["input"], np.full_like(TRAIN["target"], 3))
    assert values["samples/accuracy"] == pytest.approx(np.mean(TEST["target"] == 3))


def test_samples_that_are_no_numbers_are_worth_nothing():
    inputs = np.where(np.arange(64).reshape(8, 8, 1)[None] == 5, np.nan, TRAIN["input"])
    assert np.isnan([*judged(inputs, TRAIN["target"]).values()]).all()


def test_the_reader_agrees_with_labels_and_with_nothing_else():
    read = likeness.agreement(TRAIN)
    assert read(TEST["input"].reshape(-1, 64), TEST["target"]).value() > 0.97
    assert read(TEST["input"], (TEST["target"] + 1) % 10).value() < 0.02
    assert np.isnan(read(np.full((3, 64), np.nan), np.arange(3)).value())
    structure = jax.tree.structure(read(TEST["input"], TEST["target"]))
    again = likeness.agreement(digits.load()[0])(TEST["input"], TEST["target"])
    assert structure == jax.tree.structure(again)


def test_batches_are_judged_together():
    parts = [SCORES(TEST["input"][i::2], {"target": TEST["target"][i::2]}) for i in range(2)]
    joined = metrics.values(metrics.merge(*parts))
    assert joined["samples/novelty"] == pytest.approx(1)


def test_judges_of_the_same_data_are_one_program():
    """What finishes a metric is part of the tree that a compiled program returns."""
    drawn = TEST["input"], {"target": TEST["target"]}
    structure = jax.tree.structure(SCORES(*drawn))
    assert structure == jax.tree.structure(likeness.judge(*digits.load())(*drawn))
    assert structure != jax.tree.structure(likeness.judge(*digits.load(seed=1))(*drawn))
