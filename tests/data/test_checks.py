"""Checks of arrays: what passes, and the message of each rule."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import checks


def message(call) -> str:
    with pytest.raises(errors.InputError) as caught:
        call()
    return str(caught.value)


def test_arrays_counts_the_examples():
    tree = {"input": np.zeros((3, 2)), "more": (jnp.ones((3,), jnp.bfloat16), np.zeros(3, bool))}
    assert checks.arrays(tree, "The data") == 3


RULES = {
    "empty tree": ({}, "The data must hold at least one array, got an empty dict."),
    "list": (
        {"input": 3.0},
        "The data['input'] must be an array, got float. Convert it with numpy.asarray.",
    ),
    "object": (
        {"input": np.array([[1], [1, 2]], object)},
        "The data['input'] must be an array of numbers, got dtype object. "
        "Encode text and objects as integers, and make ragged rows equally long.",
    ),
    "text": (
        {"input": np.array(["a"])},
        "The data['input'] must be an array of numbers, got dtype <U1. "
        "Encode text and objects as integers, and make ragged rows equally long.",
    ),
    "scalar": (
        {"input": np.float32(1)},
        "The data['input'] must have a leading axis of examples, got a scalar. "
        "Put a single example on one with array[None].",
    ),
    "unequal": (
        {"input": np.zeros((3, 2)), "target": np.zeros(2)},
        "Leading axes must be equal (one entry per example), "
        "got The data['input']: 3, The data['target']: 2.",
    ),
    "no examples": (
        {"input": np.zeros((0, 2))},
        "The data['input'] must hold at least one example, got 0.",
    ),
    "nan": (
        {"input": np.array([[0, 1], [2, np.nan]])},
        "The data['input'] must be finite, got nan at index (1, 1). "
        "Remove such examples or fill in the value first.",
    ),
    "infinity": (
        {"input": jnp.array([0, jnp.inf], jnp.bfloat16)},
        "The data['input'] must be finite, got inf at index (1,). "
        "Remove such examples or fill in the value first.",
    ),
}


@pytest.mark.parametrize("tree,expected", RULES.values(), ids=RULES)
def test_arrays_tells_what_is_wrong(tree, expected):
    assert message(lambda: checks.arrays(tree, "The data")) == expected


def test_finite_looks_at_every_piece_of_a_large_array(monkeypatch):
    monkeypatch.setattr(checks, "CHUNK", 8)
    values = np.zeros((10, 4), np.float32)
    checks.finite(values, "Values")
    values[9, 3] = -np.inf
    assert "got -inf at index (9, 3)" in message(lambda: checks.finite(values, "Values"))


def test_labels():
    checks.labels(np.array([0, 9]), 10, "Labels")
    checks.labels(np.array([], int), 10, "Labels")
    found = message(lambda: checks.labels(np.array([0, 10]), 10, "Labels"))
    assert found == "Labels must be in 0..9, got 10 at index 1."
    assert "got -1 at index 0" in message(lambda: checks.labels(np.array([-1]), 10, "Labels"))
    found = message(lambda: checks.labels(np.array([0.0]), 10, "Labels"))
    assert found == "Labels must be integers, got dtype float64."


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_fraction(value):
    assert message(lambda: checks.fraction(value, "test_fraction")) == (
        f"test_fraction must be between 0 and 1, both excluded, got {value}."
    )
