"""Mixtures of examples against their papers' equations in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdl import errors
from jaxdl.data import mix

KEY = jax.random.key(0)
COUNT, CLASSES = 300, 4
RANDOM = np.random.default_rng(0)
BATCH = {
    "input": jnp.asarray(RANDOM.random((COUNT, 6, 5, 2)), jnp.float32),
    "target": jnp.asarray(np.arange(COUNT) % CLASSES, jnp.int32),  # no neighbours are of one class
}


def shares(mixed):
    """How much of each example's own label is left, and that the rest is the one's before it."""
    target = np.asarray(mixed["target"])
    own = np.eye(CLASSES)[np.arange(COUNT) % CLASSES]
    share = (target * own).sum(-1)
    np.testing.assert_allclose(
        target, share[:, None] * own + (1 - share[:, None]) * np.roll(own, 1, 0), atol=1e-6
    )
    return share


def test_mixup_is_its_equation_with_shares_from_beta():
    mixed = jax.jit(functools.partial(mix.mixup, alpha=0.4, classes=CLASSES))(BATCH, KEY)
    share, x = shares(mixed), np.asarray(BATCH["input"])
    each = share[:, None, None, None]
    np.testing.assert_allclose(mixed["input"], each * x + (1 - each) * np.roll(x, 1, 0), atol=1e-5)
    assert stats.kstest(share, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_cutmix_pastes_a_rectangle_and_counts_its_pixels():
    mixed = jax.jit(functools.partial(mix.cutmix, alpha=1.0, classes=CLASSES))(BATCH, KEY)
    share, x = shares(mixed), np.asarray(BATCH["input"])
    images = np.asarray(mixed["input"])
    pasted = (images != x).all(-1)
    np.testing.assert_array_equal(images[pasted], np.roll(x, 1, 0)[pasted])
    np.testing.assert_array_equal(images[~pasted], x[~pasted])
    np.testing.assert_allclose(1 - pasted.mean((1, 2)), share, atol=1e-6)
    for hole in pasted:
        np.testing.assert_array_equal(hole, hole.any(1)[:, None] & hole.any(0)[None])
    # With alpha 1 the area is even over [0, 1]; what the border cuts off makes it less.
    assert 0.15 < pasted.mean() < 0.4


def test_mixtures_can_be_mixed_again_and_traced():
    def both(batch, key, alpha):
        once = mix.mixup(batch, key, alpha=alpha, classes=CLASSES)
        return mix.cutmix(once, jax.random.fold_in(key, 1), alpha=alpha, classes=CLASSES)

    keys = jax.random.split(KEY, 2)
    mixed = jax.vmap(both, in_axes=(None, 0, None))(BATCH, keys, 0.5)
    np.testing.assert_allclose(mixed["target"].sum(-1), 1, atol=1e-5)
    assert not np.allclose(mixed["input"][0], mixed["input"][1])


def test_targets_outside_are_no_labels():
    assert np.isnan(mix.soft(jnp.asarray([0, 4, -1]), 4)).all(-1).tolist() == [False, True, True]


def test_what_cannot_be_mixed():
    with pytest.raises(errors.InputError, match="soft labels of 3 classes, got shape"):
        mix.soft(jnp.ones((2, 4)), 3)
    with pytest.raises(errors.InputError, match="A mixture's alpha must be positive, got 0"):
        mix.mixup(BATCH, KEY, alpha=0.0, classes=CLASSES)
