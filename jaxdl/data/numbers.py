"""Numbers in digits, and in English words: made pairs to translate, of which every one is known."""

import functools
from typing import Any, NamedTuple

import numpy as np

from jaxdl import errors
from jaxdl.nn import limits

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ("", "thousand", "million")
DIGITS = 3 * len(_SCALES)
PADDING, START, END = 0, 1, 2  # as models/seq2seq.py has them
WORDS = ("", "<start>", "<end>", *_SMALL, *_TENS, "hundred", *_SCALES[1:])
SYMBOLS = ("", *"0123456789")
LONGEST = 15  # words of a number of nine digits, and END
_TOKENS = {word: token for token, word in enumerate(WORDS)}


class Pairs(NamedTuple):
    """Numbers to learn from, and others to be examined on, as `encode` gives them."""

    train: dict[str, Any]
    test: dict[str, Any]


def load(train: int = 90_000, test: int = 2_000, seed: int = 0) -> Pairs:
    """Different numbers, drawn as often from those of up to 1 digit as of up to 2, ... up to 9."""
    for name, count in (("training", train), ("test", test)):
        limits.at_least(1, f"The number of {name} pairs", count)
    random = np.random.default_rng(seed)
    found = np.empty(0, np.int64)
    while len(found) < train + test:
        power = 10 ** random.integers(1, DIGITS + 1, 2 * (train + test))
        drawn = np.concatenate([found, random.integers(0, power)])
        _, first = np.unique(drawn, return_index=True)
        found = drawn[np.sort(first)]
    chosen = random.permutation(found[: train + test])
    return Pairs(encode(chosen[:train]), encode(chosen[train:]))


def spelled(number: int) -> list[str]:
    """The words of a number from 0 to 999,999,999, without "and": one hundred twenty three."""
    if not 0 <= number < 10**DIGITS:
        raise errors.InputError(f"A number must be from 0 to {10**DIGITS - 1}, got {number}.")
    said: list[str] = []
    for power in reversed(range(len(_SCALES))):
        group = number // 1000**power % 1000
        if group:
            said += [*_group(group), *([_SCALES[power]] if power else [])]
    return said or ["zero"]


def encode(numbers: np.ndarray) -> dict[str, Any]:
    """What a model is given and is to say, padded with 0.

    input: {"source": (n, 9) the digits, "target": (n, 15) START and the words}, target: (n, 15)
    the words and END, mask: 1 where there is a word or END. All uint8.
    """
    source = np.zeros((len(numbers), DIGITS), np.uint8)
    said = np.zeros((len(numbers), LONGEST + 1), np.uint8)
    for row, number in enumerate(numbers.tolist()):
        digits = [ord(digit) - ord("0") + 1 for digit in str(number)]
        tokens = [START, *(_TOKENS[word] for word in spelled(number)), END]
        source[row, : len(digits)] = digits
        said[row, : len(tokens)] = tokens
    before = np.where(said[:, :-1] == END, PADDING, said[:, :-1])
    target = said[:, 1:]
    return {
        "input": {"source": source, "target": before},
        "target": target,
        "mask": (target != PADDING).astype(np.uint8),
    }


def digits(source: np.ndarray) -> str:
    """The digits of a source."""
    return "".join(SYMBOLS[token] for token in source)


def words(tokens: np.ndarray) -> str:
    """The words that tokens say."""
    return " ".join(WORDS[token] for token in tokens if token not in (PADDING, START, END))


@functools.cache
def _group(number: int) -> list[str]:
    """The words of a number from 1 to 999."""
    hundreds, rest = divmod(number, 100)
    said = [_SMALL[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        said.append(_TENS[rest // 10 - 2])
        rest %= 10
    return said + ([_SMALL[rest]] if rest else [])
