"""The keyed permutation: a bijection always, and as good as random."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxdl.data import batches, permutation

WORDS = jnp.asarray(batches.order_key(0))
EPOCHS = jnp.arange(20_000, dtype=jnp.uint32)


def draw(epoch: int, start: int, count: int, size: int, words=WORDS) -> np.ndarray:
    """Positions as a run asks for them, compiled."""
    function = jax.jit(permutation.draw, static_argnums=(3, 4))
    return np.asarray(function(words, np.uint32(epoch), np.uint32(start), count, size))


def orders(size: int) -> np.ndarray:
    """Many epochs of one key, a row each."""

    def draw_one(epoch):
        return permutation.draw(WORDS, epoch, jnp.uint32(0), size, size)

    return np.asarray(jax.jit(jax.vmap(draw_one))(EPOCHS))


def fair(counts: np.ndarray) -> bool:
    """Whether equally likely outcomes may well come in such counts (chi-square)."""
    return scipy.stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_every_small_size_is_a_bijection():
    salt = jnp.full(50, 0x9ABCDEF1, jnp.uint32)
    with jax.disable_jit():  # quicker than fifty programs
        for size in range(1, 51):
            x = jnp.arange(50, dtype=jnp.uint32) % size
            there = np.asarray(permutation.permute(salt, x, size))[:size]
            np.testing.assert_array_equal(np.sort(there), np.arange(size))


@pytest.mark.parametrize("size", [1797, 4096, 60_000, 999_983, 2**20 + 1])
def test_large_sizes_are_bijections(size):
    drawn = draw(7, 0, size, size)
    assert np.bincount(drawn, minlength=size).max() == 1 and len(drawn) == size


@pytest.mark.parametrize("size", [10, 1797])
def test_a_batch_may_touch_two_epochs(size):
    run = np.concatenate([draw(5, 0, size, size), draw(6, 0, size, size)])
    for start, count in itertools.product((0, 1, size // 2, size - 1), (1, size // 2, size)):
        np.testing.assert_array_equal(draw(5, start, count, size), run[start : start + count])


def test_positions_may_be_counted_from_any_earlier_epoch():
    """A start of several epochs, as within a long chunk."""
    np.testing.assert_array_equal(draw(2, 5 * 97 + 13, 50, 97), draw(7, 13, 50, 97))


def test_epochs_and_keys_have_orders_of_their_own():
    size = 500
    drawn = [draw(epoch, 0, size, size) for epoch in (0, 1, 2, 1000)]
    drawn += [draw(0, 0, size, size, jnp.asarray(batches.order_key(seed))) for seed in (1, 2)]
    for one, other in itertools.combinations(drawn, 2):
        assert np.sum(one == other) < 10  # 1 on average
        assert abs(scipy.stats.spearmanr(one, other).statistic) < 0.2


@pytest.mark.parametrize("size", [2, 3, 4])
def test_all_orders_of_few_examples_are_equally_likely(size):
    numbers = orders(size) @ (size ** np.arange(size))
    _, counts = np.unique(numbers, return_counts=True)
    assert len(counts) == len(list(itertools.permutations(range(size)))) and fair(counts)


@pytest.mark.parametrize("size", [5, 8, 30])
def test_places_and_neighbours_are_fair(size):
    drawn = orders(size)
    places = np.zeros((size, size))
    np.add.at(places, (np.arange(size)[None].repeat(len(drawn), 0), drawn), 1)
    assert fair(places)
    pairs = np.zeros((size, size))
    np.add.at(pairs, (drawn[:, :-1], drawn[:, 1:]), 1)
    assert np.diag(pairs).sum() == 0
    assert fair(pairs[~np.eye(size, dtype=bool)])
    steps = np.bincount(((drawn[:, 1:] - drawn[:, :-1]) % size).ravel(), minlength=size)
    assert fair(steps[1:])


def test_the_largest_sizes_and_positions():
    size = permutation.LARGEST
    end = draw(4, size - 5, 10, size)
    np.testing.assert_array_equal(end[:5], draw(4, size - 5, 5, size))
    np.testing.assert_array_equal(end[5:], draw(5, 0, 5, size))
    many = draw(0, 0, 20_000, size)
    assert many.min() >= 0 and len(np.unique(many)) == len(many)
    assert fair(np.histogram(many, bins=20, range=(0, size))[0])


def test_vmap_over_keys():
    words = jnp.stack([jnp.asarray(batches.order_key(seed)) for seed in range(4)])
    together = jax.vmap(lambda w: permutation.draw(w, jnp.uint32(1), jnp.uint32(90), 20, 100))(
        words
    )
    for one, row in zip(words, together, strict=True):
        np.testing.assert_array_equal(row, draw(1, 90, 20, 100, one))
