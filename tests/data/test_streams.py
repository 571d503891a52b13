"""Streams through Grain: the batches of data in memory, resumed exactly, nothing left behind."""

import json
import threading
import time

import grain
import jax
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import batches, streams

SIZE = 37


@pytest.fixture
def mapped(tmp_path):
    """Examples on disk."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "input.npy", rng.normal(size=(SIZE, 3)).astype(np.float32))
    np.save(tmp_path / "target.npy", rng.integers(0, 9, SIZE))
    return {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("input", "target")}


@pytest.fixture(autouse=True)
def no_thread_stays():
    """Readers are joined by `close`; Grain's workers end soon after."""
    yield
    end = time.monotonic() + 10
    while names := [
        t.name for t in threading.enumerate() if "_read" in t.name or "grain" in t.name
    ]:
        assert time.monotonic() < end, names
        time.sleep(0.01)


def numbers(seed: int, batches_in_all: int | None = None):
    """A shuffled dataset of batches of four numbers, endless or not."""
    dataset = grain.MapDataset.range(40).seed(seed).shuffle().batch(4).map(lambda x: {"x": x})
    return dataset.repeat() if batches_in_all is None else dataset[:batches_in_all]


def read_on_a_thread(seed: int):
    """An IterDataset with a state of its own kind."""
    read = numbers(seed).to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2))
    return grain.experimental.ThreadPrefetchIterDataset(read, prefetch_buffer_size=2)


def taken(source, feed, step: int, count: int):
    """The batches of a chunk."""
    data = feed.take(step, count)
    return [jax.device_get(source.select(data, i)) for i in range(count)]


def assert_same(some, others):
    """Equal trees, bit by bit."""
    assert len(some) == len(others)
    jax.tree.map(np.testing.assert_array_equal, some, others)


def test_shuffled_from_disk_is_shuffled_in_memory(mapped):
    sources = streams.shuffled(mapped, 8), batches.shuffled(jax.tree.map(np.asarray, mapped), 8)
    on_disk, in_memory = (source.open(3) for source in sources)
    assert (sources[0].batch_size, sources[0].size) == (8, SIZE)
    first = jax.device_get(sources[0].select(on_disk.first(), 0))
    expected = [
        jax.device_get(sources[1].select(in_memory.take(step, 1), np.uint32(0)))
        for step in range(12)
    ]
    assert_same([first], expected[:1])
    found = taken(sources[0], on_disk, 0, 1) + taken(sources[0], on_disk, 1, 7)
    assert_same(found + taken(sources[0], on_disk, 8, 4), expected)
    assert found[0]["input"].dtype == np.float32
    on_disk.close()


@pytest.mark.parametrize("make", [numbers, read_on_a_thread])
def test_a_stream_is_resumed_exactly(make):
    """The state is that of what was taken, however far ahead the reader stands."""
    source = streams.dataset(make, 4, size=40)
    feed = source.open(1)
    start = feed.state()
    taken(source, feed, 0, 3)
    _wait_until_ahead(feed, 6)
    state = json.loads(json.dumps(feed.state()))
    rest = taken(source, feed, 3, 2) + taken(source, feed, 5, 4)
    feed.close()

    again = source.open(1)
    again.restore(state)
    assert_same(taken(source, again, 3, 6), rest)
    _wait_until_ahead(again, 1)
    again.restore(state)  # back, over what has been read ahead
    assert_same(taken(source, again, 3, 1), rest[:1])
    again.restore(start)
    from_start = taken(source, again, 0, 9)
    assert_same(from_start[3:], rest)
    expected = [grain_batch["x"] for _, grain_batch in zip(range(9), iter(make(1)), strict=False)]
    assert_same([batch["x"] for batch in from_start], expected)
    again.close()


def _wait_until_ahead(feed, count: int) -> None:
    with feed.change:
        assert feed.change.wait_for(lambda: len(feed.ready) >= count, timeout=30)


def test_seeds_give_other_orders():
    source = streams.dataset(numbers, 4)
    feeds = [source.open(seed) for seed in (1, 2)]
    one, two = (taken(source, feed, 0, 5) for feed in feeds)
    assert any((a["x"] != b["x"]).any() for a, b in zip(one, two, strict=True))
    for feed in feeds:
        feed.close()


def test_first_does_not_move_the_feed():
    source = streams.dataset(numbers, 4)
    feed = source.open(0)
    first = jax.device_get(source.select(feed.first(), 0))
    assert feed.state() == source.open(0).state()
    assert_same(taken(source, feed, 0, 1), [first])
    feed.close()


def test_a_stream_that_ends():
    """What was read before the end is still handed out."""
    feed = streams.dataset(lambda seed: numbers(seed, 5), 4).open(0)
    feed.take(0, 4)
    with pytest.raises(errors.InputError, match=r"must not end before the run does; add \.repeat"):
        feed.take(4, 2)
    feed.take(4, 1)
    feed.close()


def test_an_empty_stream():
    feed = streams.dataset(lambda seed: numbers(seed, 0), 4).open(0)
    with pytest.raises(errors.InputError, match="must not end before the run does"):
        feed.first()
    feed.close()


@pytest.mark.parametrize(
    ("element", "found"),
    [
        (lambda x: x, r"\(4,\)"),
        (lambda x: {"a": np.zeros((8, 2)), "b": np.zeros((7, 2))}, r"\(8, 2\), \(7, 2\)"),
        (lambda x: np.float32(x.sum()), r"\(\)"),
    ],
    ids=["too few", "unequal", "scalar"],
)
def test_batches_of_another_size(element, found):
    dataset = grain.MapDataset.range(40).batch(4).map(element)
    feed = streams.dataset(lambda seed: dataset, 8).open(0)
    message = rf"A streamed batch must have 8 examples, got arrays of the shapes {found}\."
    with pytest.raises(errors.InputError, match=message):
        feed.first()
    with pytest.raises(errors.InputError, match=message):
        feed.take(0, 1)
    feed.close()


def test_a_stream_must_be_grains():
    source = streams.dataset(lambda seed: iter(range(9)), 4)
    with pytest.raises(
        errors.InputError, match="must be a Grain MapDataset or IterDataset, got ra"
    ):
        source.open(0)


def test_a_fault_of_the_reader_surfaces_where_it_is_reached():
    class Broken(Exception):
        pass

    broken = [True]

    def read(batch):
        if broken[0] and batch[0] == 12:
            raise Broken("the disk is gone")
        return batch

    dataset = grain.MapDataset.range(40).batch(4).map(read)
    source = streams.dataset(lambda seed: dataset, 4)
    feed = source.open(0)
    good = taken(source, feed, 0, 3)
    assert good[2].tolist() == [8, 9, 10, 11]
    state = feed.state()
    for _ in range(2):
        with pytest.raises(Broken, match="the disk is gone"):
            feed.take(3, 1)
    broken[0] = False
    feed.restore(state)
    assert taken(source, feed, 3, 1)[0].tolist() == [12, 13, 14, 15]
    feed.close()


def test_close_joins_the_reader_and_may_be_repeated():
    source = streams.dataset(numbers, 4)
    feed = source.open(0)
    feed.close()
    feed = source.open(0)
    feed.take(0, 2)
    reader = feed.thread
    assert reader.is_alive()
    feed.close()
    assert not reader.is_alive()
    feed.close()


def test_few_batches_are_held_ready():
    """Grain's own default holds 500 elements: of whole batches, that is all of the memory."""
    read = []

    def note(batch):
        read.append(int(batch[0]))
        return batch

    dataset = grain.MapDataset.range(4000).batch(4).map(note)
    feed = streams.dataset(lambda seed: dataset, 4).open(0)
    feed.take(0, 2)
    time.sleep(0.2)
    feed.close()
    assert max(read) // 4 <= 2 * (1 + streams.PREFETCH) + 2 + 4 + 2


@pytest.mark.parametrize("kind", ["map", "iter"])
def test_once_reads_a_finite_dataset_with_its_smaller_end(kind):
    def make():
        read = grain.MapDataset.range(10).batch(4)
        return read if kind == "map" else read.to_iter_dataset()

    test = streams.once(make, size=10)
    for _ in range(2):
        parts = list(test.once())
        assert len({id(select) for select, _ in parts}) == 1
        read = [np.asarray(select(data, 0)).tolist() for select, data in parts]
        assert read == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    some = test.once()
    next(some)
    some.close()  # an evaluation that is given up leaves no reader behind


def test_once_of_nothing():
    test = streams.once(lambda: grain.MapDataset.range(8).batch(4)[:0])
    with pytest.raises(errors.InputError, match="must hold at least one batch, got none"):
        list(test.once())
