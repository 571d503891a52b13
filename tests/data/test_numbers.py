"""Numbers in words."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import numbers

SPELLED = {
    0: "zero",
    7: "seven",
    13: "thirteen",
    40: "forty",
    99: "ninety nine",
    100: "one hundred",
    1_005: "one thousand five",
    20_300: "twenty thousand three hundred",
    1_000_000: "one million",
    999_999_999: "nine hundred ninety nine million nine hundred ninety nine thousand nine hundred "
    "ninety nine",
}


@pytest.mark.parametrize("number", SPELLED)
def test_spelled(number):
    assert " ".join(numbers.spelled(number)) == SPELLED[number]


def test_encoded():
    encoded = numbers.encode(np.array([305, 0]))
    source, before = encoded["input"]["source"], encoded["input"]["target"]
    assert [numbers.digits(row) for row in source] == ["305", "0"]
    assert [numbers.words(row) for row in encoded["target"]] == ["three hundred five", "zero"]
    assert before[0].tolist()[:5] == [1, *encoded["target"][0][:3], 0]
    assert encoded["target"][0, 3] == 2 and encoded["mask"].sum(1).tolist() == [4, 2]


def test_numbers_are_different_and_of_all_lengths():
    train, test = numbers.load(3000, 500)
    read = [numbers.digits(row) for part in (train, test) for row in part["input"]["source"]]
    assert len(set(read)) == 3500
    assert {len(number) for number in read} == set(range(1, 10))
    again = numbers.load(3000, 500).test["target"]
    np.testing.assert_array_equal(again, test["target"])


def test_refusals():
    with pytest.raises(errors.InputError, match="from 0 to 999999999, got -1"):
        numbers.spelled(-1)
    with pytest.raises(errors.InputError, match="test pairs must be at least 1, got 0"):
        numbers.load(10, 0)
