"""Streams on a mesh: each process reads its rows of the same batches, each device gets its own."""

import grain
import jax
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import streams

BATCH = 8


def arrays():
    return {"x": np.arange(60, dtype=np.float32).reshape(20, 3)}


def numbers(seed):
    return (
        grain.MapDataset.range(40).seed(seed).shuffle().map(lambda x: {"x": np.int64(x)}).repeat()
    )


def whole(seed):
    return numbers(seed).batch(BATCH)


def whole_read_ahead(seed):
    return whole(seed).to_iter_dataset()


SOURCES = {
    "shuffled": lambda: streams.shuffled(arrays(), BATCH),
    "dataset": lambda: streams.dataset(whole, BATCH),
    "iterated": lambda: streams.dataset(whole_read_ahead, BATCH),
    "examples": lambda: streams.examples(numbers, BATCH),
}


def read(source, rows, count, state=None):
    """These rows of the next batches, and where the reader then stands."""
    iterator = streams._iterator(source.make(5, rows), 1)
    try:
        if state is not None:
            iterator.set_state(state)
        return np.stack([next(iterator)["x"] for _ in range(count)]), iterator.get_state()
    finally:
        iterator.close()


@pytest.mark.parametrize("kind", SOURCES)
def test_processes_read_the_rows_of_one_batch(kind):
    source = SOURCES[kind]()
    together, state = read(source, slice(0, BATCH), 7)
    for count in (2, 4):
        each = BATCH // count
        cut = [slice(i * each, (i + 1) * each) for i in range(count)]
        shares = [read(source, rows, 7) for rows in cut]
        np.testing.assert_array_equal(np.concatenate([x for x, _ in shares], 1), together)
        assert all(share == state for _, share in shares)  # any number of processes may go on


def test_other_processes_than_before_go_on():
    for source in (make() for make in SOURCES.values()):
        _, state = read(source, slice(0, BATCH), 3)
        ahead, _ = read(source, slice(0, BATCH), 2, state)
        mine, _ = read(source, slice(4, 8), 2, state)
        np.testing.assert_array_equal(mine, ahead[:, 4:8])


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("sizes", [{"data": 2}, {"fsdp": 2}, {"data": 1, "tensor": 2}])
def test_the_devices_of_a_mesh_get_their_rows(kind, sizes):
    source = SOURCES[kind]()
    plain, spread = source.open(5), source.open(5)
    mesh = jax.make_mesh(
        tuple(sizes.values()), tuple(sizes), (jax.sharding.AxisType.Auto,) * len(sizes)
    )
    try:
        spread.onto(mesh)
        np.testing.assert_array_equal(spread.first()["x"], plain.first()["x"])
        for step in (0, 3):
            one, other = plain.take(step, 3)["x"], spread.take(step, 3)["x"]
            np.testing.assert_array_equal(one, other)
            cut = 1 if "tensor" in sizes else 2
            assert [x.data.shape[:2] for x in other.addressable_shards] == [(3, BATCH // cut)] * 2
        assert plain.state() == spread.state()
    finally:
        plain.close()
        spread.close()


@pytest.mark.parametrize("rows", [slice(2, 6), slice(0, 4), slice(1, 3)], ids=str)
def test_a_share_that_is_not_one_of_equal_ones(rows):
    source = streams.examples(numbers, 6)
    together, state = read(source, slice(0, 6), 7)
    share, standing = read(source, rows, 7)
    np.testing.assert_array_equal(share, together[:, rows])
    assert standing == state


def test_only_the_own_examples_are_decoded():
    decoded = []

    def make(seed):
        return grain.MapDataset.range(40).map(lambda i: decoded.append(int(i)) or {"x": i})

    read(streams.examples(make, BATCH), slice(2, 4), 3)
    assert {i % BATCH for i in decoded} == {2, 3}


def test_a_share_of_batches_of_another_size():
    source = streams.dataset(whole, BATCH // 2)
    with pytest.raises(errors.InputError, match="must have 4 examples"):
        read(source, slice(0, 2), 1)


def test_examples_must_be_chosen():
    source = streams.examples(whole_read_ahead, BATCH)
    with pytest.raises(errors.InputError, match=r"be a Grain MapDataset, got .*IterDataset"):
        source.open(0)
