"""Baselines against the entropy and against a model that counts with dictionaries."""

import collections
import itertools
import math

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import ngram, text


def corpus(length: int, seed: int) -> np.ndarray:
    """Bytes of a chain of three letters and a rare fourth, with a zero byte now and then."""
    random = np.random.default_rng(seed)
    letters = np.array([97, 98, 99, 255, 0], np.uint8)
    steps = random.choice(5, length, p=[0.5, 0.3, 0.1, 0.07, 0.03])
    return letters[(np.cumsum(steps) + steps) % 5]


def slow(train: bytes, test: bytes, order: int) -> float:
    """Witten and Bell's recursion, one byte at a time."""
    followers = collections.defaultdict(collections.Counter)
    for length in range(order):
        for at in range(length, len(train)):
            followers[train[at - length : at]][train[at]] += 1

    def probability(context: bytes, byte: int) -> float:
        below = probability(context[1:], byte) if context else 1 / 256
        seen = followers.get(context)
        if not seen:
            return below
        return (seen[byte] + len(seen) * below) / (seen.total() + len(seen))

    bits = [
        -math.log2(probability(test[max(0, at - order + 1) : at], test[at]))
        for at in range(len(test))
    ]
    return sum(bits) / len(bits)


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
def test_equals_the_recursion_of_witten_and_bell(order):
    train, test = corpus(400, 0), corpus(150, 1)
    test[70:72] = [7, 8]  # never seen
    expected = slow(train.tobytes(), test.tobytes(), order)
    assert ngram.bits_per_byte(train, test, order) == pytest.approx(expected, rel=1e-12)


def test_probabilities_sum_to_one():
    train, context = corpus(300, 2), corpus(4, 3)
    before = ngram.bits_per_byte(train, context, 3) * 4
    continued = [np.append(context, np.uint8(byte)) for byte in range(256)]
    after = [ngram.bits_per_byte(train, each, 3) * 5 for each in continued]
    assert sum(2 ** (before - bits) for bits in after) == pytest.approx(1, rel=1e-9)


def test_the_unigram_is_the_entropy_of_the_bytes():
    data = corpus(200_000, 4)
    share = np.bincount(data) / len(data)
    entropy = -sum(p * math.log2(p) for p in share if p)
    assert ngram.bits_per_byte(data, data, 1) == pytest.approx(entropy, abs=1e-4)
    counts, seen = np.bincount(data, minlength=256), 5
    smooth = (counts + seen / 256) / (len(data) + seen)
    assert ngram.bits_per_byte(data, data, 1) == pytest.approx(
        -(counts / len(data) * np.log2(smooth)).sum(), rel=1e-12
    )


def test_more_context_is_better_on_real_text():
    bits = ngram.ladder(*text.stdlib(), order=4)
    assert len(bits) == 4 and all(a > b for a, b in itertools.pairwise(bits))
    assert 4 < bits[0] < 5 and 3 < bits[1] < 4 and 2 < bits[2] < 3


def test_what_is_wrong_is_told():
    data = corpus(10, 0)
    with pytest.raises(errors.InputError) as caught:
        ngram.bits_per_byte(data, data, 9)
    assert str(caught.value) == "order must be in 1..8, got 9."
    with pytest.raises(errors.InputError) as caught:
        ngram.ladder(data, data[:2], 3)
    assert str(caught.value) == "The test corpus must hold at least 3 bytes (the order), got 2."
