"""Sampling: which tokens stay against a NumPy transcription, and how often each is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.nn import sampling


def kept(logits, top_k, top_p):
    """Indices that stay, from one row: walk down from the likeliest, one by one."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    order = order[:top_k]
    if top_p is not None:
        probability = np.exp(logits[order] - logits[order].max())
        probability /= probability.sum()
        total, count = 0.0, 0
        for p in probability:
            count += 1
            total += p
            if total >= top_p:
                break
        order = order[:count]
    return set(order)


@pytest.mark.parametrize("top_k", [None, 1, 3, 9, 50])
@pytest.mark.parametrize("top_p", [None, 1e-6, 0.3, 0.8, 0.99])
def test_keeps_what_the_transcription_keeps(top_k, top_p):
    logits = np.random.default_rng(0).normal(0, 2, (4, 9)).astype(np.float32)
    logits[0, 3] = logits[0, 5] = 4.0  # equals
    out = np.asarray(sampling.likeliest(jnp.asarray(logits), top_k, top_p))
    for row, result in zip(logits, out, strict=True):
        expected = kept(row.astype(np.float64), top_k, top_p)
        assert set(np.flatnonzero(np.isfinite(result))) == expected
        np.testing.assert_array_equal(result[list(expected)], row[list(expected)])


def test_top_p_of_one_keeps_all_but_what_cannot_be_drawn():
    logits = jnp.asarray([[0.0, -1.0, -2.0, -jnp.inf]])
    out = sampling.likeliest(logits, top_p=1.0)
    np.testing.assert_array_equal(np.isfinite(out[0]), [True, True, True, False])


def test_equal_logits_keep_exactly_k():
    out = sampling.likeliest(jnp.zeros((1, 6)), top_k=2)
    np.testing.assert_array_equal(np.isfinite(out[0]), [True, True] + [False] * 4)


def test_draws_follow_the_tempered_softmax():
    logits = jnp.asarray([0.0, 1.0, 2.0, -1.0])
    draws = sampling.sample(
        jax.random.key(0), jnp.broadcast_to(logits[None], (20_000, 4)), temperature=2.0, top_k=3
    )
    share = np.bincount(draws, minlength=4) / 20_000
    expected = np.exp(np.array([0, 0.5, 1, -np.inf]))
    np.testing.assert_allclose(share, expected / expected.sum(), atol=0.015)


def test_temperature_zero_is_argmax_also_when_traced():
    logits = jax.random.normal(jax.random.key(1), (5, 7))
    drawn = jax.jit(sampling.sample)(jax.random.key(0), logits, jnp.float32(0))
    np.testing.assert_array_equal(drawn, np.argmax(logits, -1))
    np.testing.assert_array_equal(sampling.sample(jax.random.key(0), logits, 0.0), drawn)


def test_bad_values_are_refused():
    logits, key = jnp.zeros((1, 3)), jax.random.key(0)
    with pytest.raises(errors.InputError, match="Temperature must be at least 0, got -1"):
        sampling.sample(key, logits, -1.0)
    with pytest.raises(errors.InputError, match="top_k must be at least 1, got 0"):
        sampling.sample(key, logits, top_k=0)
    for value in (0.0, 1.5):
        with pytest.raises(errors.InputError, match=r"top_p must lie in \(0, 1\]"):
            sampling.sample(key, logits, top_p=value)
