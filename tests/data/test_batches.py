"""Batches of examples in memory: a pure function of (seed, step)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import batches, permutation

SIZE = 23
ARRAYS = {"input": np.arange(SIZE * 2).reshape(SIZE, 2), "target": np.arange(SIZE)}
CORPUS = np.random.default_rng(0).integers(0, 256, 101).astype(np.uint8)


def picked(source, seed: int, steps, count: int = 1):
    """The batches of some steps, each picked inside jit from a chunk of `count`."""
    feed, select = source.open(seed), jax.jit(source.select)
    return [
        jax.device_get(select(feed.take(step, count), np.uint32(i)))
        for step in steps
        for i in range(count)
    ]


def assert_same(some, others):
    """Equal trees, bit by bit."""
    assert len(some) == len(others)
    jax.tree.map(np.testing.assert_array_equal, some, others)


@pytest.mark.parametrize("batch_size", [1, 5, 8, 22, 23])
def test_every_epoch_has_each_example_once(batch_size):
    """Most batch sizes do not divide the data: a batch may hold the end of an epoch and the
    beginning of the next."""
    source = batches.shuffled(ARRAYS, batch_size)
    steps = -(-3 * SIZE // batch_size)
    drawn = np.concatenate([b["target"] for b in picked(source, 0, range(steps))])
    epochs = drawn[: 3 * SIZE].reshape(3, SIZE)
    np.testing.assert_array_equal(np.sort(epochs, 1), np.tile(np.arange(SIZE), (3, 1)))
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()


def test_all_leaves_are_picked_together():
    for batch in picked(batches.shuffled(ARRAYS, 8), 0, range(5)):
        np.testing.assert_array_equal(batch["input"], ARRAYS["input"][batch["target"]])


def test_a_batch_is_a_function_of_seed_and_step():
    source = batches.shuffled(ARRAYS, 8)
    forwards = picked(source, 3, range(8))
    assert_same(picked(source, 3, [5, 0, 5, 2]), [forwards[i] for i in (5, 0, 5, 2)])
    other = picked(source, 4, range(8))
    assert any((a["target"] != b["target"]).any() for a, b in zip(forwards, other, strict=True))
    first = jax.device_get(source.select(source.open(3).first(), 0))
    assert_same([first], forwards[:1])
    feed = source.open(3)
    feed.restore(feed.state())
    feed.close()


def test_picks_within_a_chunk_are_single_picks():
    source = batches.shuffled(ARRAYS, 8)
    assert_same(picked(source, 0, [0, 6], count=6), picked(source, 0, range(12)))


def test_the_order_does_not_hang_on_the_default_generator():
    expected = picked(batches.shuffled(ARRAYS, 8), 0, range(3))
    with jax.default_prng_impl("rbg"):
        assert_same(picked(batches.shuffled(ARRAYS, 8), 0, range(3)), expected)


@pytest.mark.parametrize("step", [2**32 // 8 - 1, 2**32 // 8, 2**31 - 7])
def test_steps_beyond_what_32_bits_count(step):
    """Examples seen so far exceed 2**32; Python's integers tell which are next."""
    words = jnp.asarray(batches.order_key(0))
    (batch,) = picked(batches.shuffled(ARRAYS, 8), 0, [step])
    draw = jax.jit(permutation.draw, static_argnums=(3, 4))
    places = [divmod(step * 8 + i, SIZE) for i in range(8)]
    expected = [
        int(draw(words, jnp.uint32(epoch), jnp.uint32(offset), 1, SIZE)[0])
        for epoch, offset in places
    ]
    np.testing.assert_array_equal(batch["target"], expected)


def test_vmap_over_seeds():
    source = batches.shuffled(ARRAYS, 8)
    words = jnp.stack([jnp.asarray(batches.order_key(seed)) for seed in (5, 6)])
    arrays, _, place = source.open(5).take(4, 1)
    select = jax.vmap(lambda words: source.select((arrays, words, place), 0))
    together = jax.device_get(select(words))
    for i, seed in enumerate((5, 6)):
        assert_same([jax.tree.map(lambda x, i=i: x[i], together)], picked(source, seed, [4]))


def halved(batch):
    """A transform of the device."""
    return batch | {"input": batch["input"] / 2}


def noisy(batch, key):
    """An augmentation that shows its key."""
    return batch | {"noise": jax.random.uniform(key, (3,)), "seen": batch["input"]}


def test_transform_and_then_augment():
    source = batches.shuffled(ARRAYS, 8, transform=halved, augment=noisy)
    some = picked(source, 1, [0, 1, 3], count=2)
    for batch, plain in zip(
        some, picked(batches.shuffled(ARRAYS, 8), 1, [0, 1, 3], 2), strict=True
    ):
        np.testing.assert_array_equal(batch["seen"], plain["input"] / 2)
    # Steps 0, 1, 1, 2, 3, 4: the key is that of the step, however it was reached.
    noise = [tuple(batch["noise"]) for batch in some]
    assert noise[1] == noise[2] and len(set(noise)) == 5
    assert_same(picked(source, 1, [3]), some[4:5])
    (other,) = picked(source, 2, [0])
    assert tuple(other["noise"]) not in noise


@pytest.mark.parametrize("size", [23, 16])
def test_once_reads_everything_in_order(size):
    arrays = jax.tree.map(lambda x: x[:size], ARRAYS)
    test = batches.once(arrays, 8, transform=halved)
    for _ in range(2):
        parts = list(test.once())
        assert len({id(select) for select, _ in parts}) == (2 if size % 8 else 1)
        read = [jax.device_get(jax.jit(select)(data, 0)) for select, data in parts]
        assert [len(batch["target"]) for batch in read] == [8, 8, 7][: len(read)]
        whole = jax.tree.map(lambda *x: np.concatenate(x), *read)
        assert_same([whole], [halved(arrays)])
    assert [select for select, _ in test.once()] == [select for select, _ in parts]


def test_once_with_a_batch_larger_than_the_data():
    ((select, data),) = batches.once(ARRAYS, 100).once()
    np.testing.assert_array_equal(select(data, 0)["target"], ARRAYS["target"])


@pytest.mark.parametrize("length", [4, 7, 100])
def test_windows_are_shifted_by_one(length):
    """101 tokens: the last target is the last token where the length divides 100."""
    count = 100 // length
    source = batches.windows(CORPUS, length, 1)
    assert source.size == count
    starts = []
    for batch in picked(source, 0, range(count)):
        assert batch["input"].dtype == batch["target"].dtype == np.int32
        (start,) = [
            s
            for s in range(0, count * length, length)
            if (CORPUS[s : s + length] == batch["input"][0]).all()
        ]
        np.testing.assert_array_equal(batch["target"][0], CORPUS[start + 1 : start + 1 + length])
        starts.append(start)
    assert sorted(starts) == list(range(0, count * length, length))


def test_windows_once_reads_the_corpus_in_order():
    test = batches.windows_once(CORPUS, 8, 5)
    read = [jax.device_get(select(data, 0)) for select, data in test.once()]
    assert [batch["input"].shape for batch in read] == [(5, 8), (5, 8), (2, 8)]
    np.testing.assert_array_equal(np.concatenate([b["input"] for b in read]).ravel(), CORPUS[:96])
    np.testing.assert_array_equal(np.concatenate([b["target"] for b in read]).ravel(), CORPUS[1:97])


LONG = np.broadcast_to(np.uint8(0), (2**31 + 8,))  # no memory at all: its stride is zero


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: batches.shuffled(ARRAYS, 24),
            "The batch size must be at most the 23 training examples, got 24.",
        ),
        (lambda: batches.shuffled(ARRAYS, 0), "The batch size must be at least 1, got 0."),
        (lambda: batches.once(ARRAYS, -1), "The batch size must be at least 1, got -1."),
        (lambda: batches.windows_once(CORPUS, 8, 0), "The batch size must be at least 1, got 0."),
        (
            lambda: batches.windows(CORPUS, 101, 1),
            "The corpus must have more tokens than a window's length 101, got 101.",
        ),
        (lambda: batches.windows(CORPUS, 0, 1), "A window's length must be at least 1, got 0."),
        (
            lambda: batches.windows(CORPUS, 10, 11),
            "The batch size must be at most the 10 training examples, got 11.",
        ),
        (
            lambda: batches.windows(CORPUS[:, None], 10, 1),
            "The corpus must be one array of integers of shape (tokens,), got uint8[101, 1].",
        ),
        (
            lambda: batches.windows_once(np.zeros(50, np.float32), 10, 1),
            "The corpus must be one array of integers of shape (tokens,), got float32[50].",
        ),
        (
            lambda: batches.windows({"text": CORPUS}, 10, 1),
            "The corpus must be one array of integers of shape (tokens,), got a tree.",
        ),
        (
            lambda: batches.shuffled({"a": np.zeros(3), "b": np.zeros(4)}, 1),
            "Leading axes must be equal (one entry per example), "
            "got Training data['a']: 3, Training data['b']: 4.",
        ),
        (
            lambda: batches.once({"a": np.array([1.0, np.nan])}, 1),
            "Test data['a'] must be finite, got nan at index (1,). "
            "Remove such examples or fill in the value first.",
        ),
        (
            lambda: batches.once(LONG, 8),
            "Data in memory must have at most 2147483647 examples or tokens, got 2147483656. "
            "Use jaxdl.data.streams.",
        ),
        (
            lambda: batches.windows(LONG, 100, 8),
            "Data in memory must have at most 2147483647 examples or tokens, got 2147483656. "
            "Use jaxdl.data.streams.",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message


def test_nothing_is_the_feed_without_data():
    feed = batches.Nothing()
    feed.restore(feed.state())
    assert feed.first() is None and feed.take(3, 2) is None
    feed.close()
