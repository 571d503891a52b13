"""Hidden tokens: how many, in which way, and what is asked; palindromes; what counts can tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import masking, ngram, palindromes


def test_palindromes_read_the_same_both_ways():
    for length in (6, 7):
        words = palindromes.draw(500, length, letters=5)
        assert words.shape == (500, length) and words.dtype == np.int32
        np.testing.assert_array_equal(words, words[:, ::-1])
        assert set(words.ravel()) == set(range(5))
    with pytest.raises(errors.InputError, match="letters of palindromes must be at least 1, got 0"):
        palindromes.draw(3, letters=0)


@pytest.mark.parametrize("place", ["host", "device"])
def test_shares_of_what_is_hidden(place):
    hiding = masking.Hiding(mask=10, rate=0.2)
    tokens = np.random.default_rng(0).integers(0, 10, (500, 40)).astype(np.uint8)
    if place == "host":
        batch = hiding.once(tokens, seed=1)
    else:
        batch = hiding.augment({"input": jnp.asarray(tokens)}, jax.random.key(1))
    shown, target, chosen = (np.asarray(batch[name]) for name in ("input", "target", "mask"))
    np.testing.assert_array_equal(target, tokens)
    np.testing.assert_array_equal(shown[chosen == 0], target[chosen == 0])
    assert shown.dtype == target.dtype == np.int32
    asked = chosen > 0
    assert asked.mean() == pytest.approx(0.2, abs=0.01)
    assert (shown[asked] == 10).mean() == pytest.approx(0.8, abs=0.02)
    # A tenth is drawn from ten tokens, of which one in ten is the true one.
    assert (shown[asked] == target[asked]).mean() == pytest.approx(0.11, abs=0.02)


@pytest.mark.parametrize("place", ["host", "device"])
def test_the_mask_may_lie_beyond_the_tokens_type(place):
    hiding, tokens = masking.Hiding(mask=256, rate=1.0, masked=1.0, swapped=0.0), np.uint8([[0, 7]])
    if place == "host":
        batch = hiding.once(tokens, seed=1)
    else:
        batch = hiding.augment({"input": jnp.asarray(tokens)}, jax.random.key(1))
    assert np.asarray(batch["input"]).tolist() == [[256, 256]]
    assert np.asarray(batch["target"]).tolist() == [[0, 7]]


def test_bad_shares_are_refused():
    with pytest.raises(errors.InputError, match=r"rate must lie in \[0, 1\], got 1.5"):
        masking.Hiding(mask=3, rate=1.5)
    with pytest.raises(errors.InputError, match=r"at most 1 together, got 0\.8 and 0\.3"):
        masking.Hiding(mask=3, swapped=0.3)


def literal(train, context, sides):
    """Witten and Bell's recursion for one context, byte by byte."""
    probability = np.full(256, 1 / 256)
    for count in range(len(sides) + 1):
        near = sides[:count]
        inside = range(-min(0, *sides), len(train) - max(0, *sides))
        seen = [train[i] for i in inside if all(train[i + n] == context[n] for n in near)]
        if seen:
            counts = np.bincount(seen, minlength=256)
            kinds = (counts > 0).sum()
            probability = (counts + kinds * probability) / (len(seen) + kinds)
    return probability


def test_cloze_counts_what_stands_between():
    random = np.random.default_rng(0)
    train, test = (random.integers(97, 101, n).astype(np.uint8) for n in (300, 30))
    places, sides = np.asarray([3, 7, 20]), (-1, 1, -2)
    bits, accuracy = ngram.cloze(train, test, places, sides)
    rows = [literal(train, {n: test[i + n] for n in sides}, sides) for i in places]
    expected = [-np.log2(row[test[i]]) for row, i in zip(rows, places, strict=True)]
    assert bits == pytest.approx(np.mean(expected), rel=1e-9)
    right = [row.argmax() == test[i] for row, i in zip(rows, places, strict=True)]
    assert accuracy == pytest.approx(np.mean(right))
    with pytest.raises(errors.InputError, match=r"Places must lie in 2\.\.28"):
        ngram.cloze(train, test, np.asarray([1]), sides)
    with pytest.raises(errors.InputError, match="must be 1 to 7, got 0"):
        ngram.cloze(train, test, places, ())
