"""What a language model of bytes must beat: counts of the last few bytes, in bits per byte.

Witten-Bell smoothing (I. Witten and T. Bell, "The zero-frequency problem", 1991), interpolated: a
context that was followed by many different bytes trusts the shorter context more. There is nothing
to tune. With n how often the context was seen and d how many different bytes came after it,

    p_k(byte | context) = (count(context, byte) + d p_{k-1}(byte)) / (n + d),      p_0 = 1/256,

and a context never seen leaves p_{k-1}. Order 1 is the unigram, 2 the bigram, 3 the trigram.
`cloze` is the same for a hidden byte between those before and after it.
"""

import numpy as np
from jaxtyping import Float64, Integer, UInt8, UInt64

from jaxdl import errors

HIGHEST = 8  # bytes that fit a 64-bit key


def bits_per_byte(
    train: UInt8[np.ndarray, "train_bytes"], test: UInt8[np.ndarray, "test_bytes"], order: int = 3
) -> float:
    """The mean of -log2 p over the test's bytes, by the counts of the training part."""
    return ladder(train, test, order)[-1]


def ladder(
    train: UInt8[np.ndarray, "train_bytes"], test: UInt8[np.ndarray, "test_bytes"], order: int = 3
) -> list[float]:
    """Bits per byte of every order from 1 to `order`, for the price of the last."""
    if not 1 <= order <= HIGHEST:
        raise errors.InputError(f"order must be in 1..{HIGHEST}, got {order}.")
    for name, part in (("training", train), ("test", test)):
        if len(part) < order:
            raise errors.InputError(
                f"The {name} corpus must hold at least {order} bytes (the order), got {len(part)}."
            )
    probability = np.full(len(test), 1 / 256)
    bits = []
    for length in range(1, order + 1):
        tail = probability[length - 1 :]  # the first bytes have no context of this length
        tail[:] = _sharpened(_keys(train, length), _keys(test, length), tail)
        bits.append(float(-np.log2(probability).mean()))
    return bits


def cloze(
    train: UInt8[np.ndarray, "train_bytes"],
    test: UInt8[np.ndarray, "test_bytes"],
    places: Integer[np.ndarray, "n"],
    neighbours: tuple[int, ...] = (-1, 1),
) -> tuple[float, float]:
    """Bits per byte and accuracy for the bytes at these places of the test, by their neighbours.

    neighbours: where the context lies, the nearest first; each place must have them all. They are
    the true bytes, be they hidden from a model or not.
    """
    if not 1 <= len(neighbours) < HIGHEST:
        raise errors.InputError(f"neighbours must be 1 to {HIGHEST - 1}, got {len(neighbours)}.")
    before, after = -min(0, *neighbours), max(0, *neighbours)
    if places.min() < before or places.max() >= len(test) - after:
        raise errors.InputError(
            f"Places must lie in {before}..{len(test) - after - 1}, between their neighbours, "
            f"got {places.min()} to {places.max()}."
        )
    inner = np.arange(before, len(train) - after)
    probability = np.full(256 * len(places), 1 / 256)
    for count in range(len(neighbours) + 1):
        known, asked = (
            sum(
                corpus[at + n].astype(np.uint64) << np.uint64(8 * (i + 1))
                for i, n in enumerate(neighbours[:count])
            )
            for corpus, at in ((train, inner), (test, places))
        )
        candidates = np.asarray(asked, np.uint64).reshape(-1, 1) | np.arange(256, dtype=np.uint64)
        candidates = np.broadcast_to(candidates, (len(places), 256)).ravel()
        keys = known | train[inner].astype(np.uint64)
        probability = _sharpened(keys, candidates, probability)
    rows = probability.reshape(-1, 256)
    true = test[places]
    bits = -np.log2(rows[np.arange(len(places)), true]).mean()
    return float(bits), float((rows.argmax(1) == true).mean())


def _keys(corpus: UInt8[np.ndarray, "t"], length: int) -> UInt64[np.ndarray, "n"]:
    """Each run of `length` bytes as a number whose last byte is the newest."""
    count = len(corpus) - length + 1
    keys = np.zeros(count, np.uint64)
    for at in range(length):
        keys = (keys << np.uint64(8)) | corpus[at : at + count]
    return keys


def _sharpened(
    train: UInt64[np.ndarray, "n"], test: UInt64[np.ndarray, "m"], shorter: Float64[np.ndarray, "m"]
) -> Float64[np.ndarray, "m"]:
    """The probabilities of this order from those of the order below."""
    seen, counts = np.unique(train, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])  # training keys below each one in `seen`
    asked, back = np.unique(test, return_inverse=True)  # sorted queries read memory in order
    low = asked & ~np.uint64(255)  # the keys of one context are those that differ in the last byte
    start = np.searchsorted(seen, low)
    stop = np.searchsorted(seen, low | np.uint64(255), side="right")
    at = np.minimum(np.searchsorted(seen, asked), len(seen) - 1)
    joint = np.where(seen[at] == asked, counts[at], 0)[back]
    total, distinct = (before[stop] - before[start])[back], (stop - start)[back]
    # An unseen context has total = distinct = 0: the clamp only avoids 0/0 where it is not used.
    mixed = (joint + distinct * shorter) / np.maximum(total + distinct, 1)
    return np.where(total > 0, mixed, shorter)
