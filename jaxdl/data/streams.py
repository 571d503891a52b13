"""Data too large for the device's memory, streamed through Grain and prefetched.

On a mesh each process reads the rows of a batch that its own devices take, and no others.
"""

import collections
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxdl import errors
from jaxdl.data import batches, permutation
from jaxdl.nn import layout

PREFETCH = 2  # chunks held ready beside the one that runs
ENDED = "The training stream must not end before the run does; add .repeat() to it."


def shuffled(arrays: Any, batch_size: int, *, threads: int = 2) -> "Stream":
    """Batches gathered on the host from arrays on disk (np.memmap), in the order of
    `batches.shuffled`: bitwise the batches that the same data in memory would give.
    """
    in_memory = batches.shuffled(arrays, batch_size)

    def make(seed: int, rows: slice) -> Any:
        import grain

        words = batches.order_key(seed)
        order = jax.jit(permutation.draw, static_argnums=(3, 4))
        host = jax.local_devices(backend="cpu")[0]

        def gather(step: int) -> Any:
            epoch, offset = divmod(int(step) * batch_size, in_memory.size)
            place = np.uint32(epoch), np.uint32(offset)
            with jax.default_device(host):
                indices = np.asarray(order(words, *place, batch_size, in_memory.size))[rows]
            return jax.tree.map(lambda x: x[indices], arrays)

        return grain.MapDataset.range(2**31 - 1).map(gather)

    return Stream(make, batch_size, in_memory.size, threads)


def dataset(make: Callable[[int], Any], batch_size: int, *, size: int | None = None) -> "Stream":
    """Any Grain dataset: `make(seed)` returns a MapDataset or IterDataset of whole batches.

    It must not end before the run does (`.repeat()`); its elements are pytrees of arrays whose
    leading axis is `batch_size`. size: examples in an epoch, where known. Of several processes each
    reads whole batches and keeps its rows; `examples` spares it the others.
    """

    def own(seed: int, rows: slice) -> Any:
        whole = _grain(make(seed))
        if rows == slice(0, batch_size):
            return whole

        def cut(batch: Any) -> Any:
            _check(batch, batch_size)
            return jax.tree.map(lambda x: x[rows], batch)

        return whole.map(cut)

    return Stream(own, batch_size, size)


def examples(make: Callable[[int], Any], batch_size: int, *, size: int | None = None) -> "Stream":
    """Batches of a Grain MapDataset of single examples, which `make(seed)` returns, `.repeat()`ed.

    As `.batch(batch_size)` would make them, but each process reads and decodes its own examples
    alone; whole batches only where its share is not one of equal ones. errors.InputError, when
    read: an IterDataset, whose elements cannot be chosen.
    """

    def own(seed: int, rows: slice) -> Any:
        import grain

        each = make(seed)
        if not isinstance(each, grain.MapDataset):
            raise errors.InputError(
                f"A stream of examples must be a Grain MapDataset, got {type(each).__name__}; "
                "streams.dataset takes whole batches of any Grain dataset."
            )
        count = rows.stop - rows.start
        if batch_size % count or rows.start % count:
            return each.batch(batch_size).map(lambda b: jax.tree.map(lambda x: x[rows], b))
        return each.batch(count)[rows.start // count :: batch_size // count]

    return Stream(own, batch_size, size)


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """Batches from a Grain iterator, whose state is saved with the checkpoint.

    make: (seed, rows) -> a Grain dataset of these rows of every batch.
    """

    make: Callable[[int, slice], Any]
    batch_size: int
    size: int | None
    threads: int = 2

    def open(self, seed: int) -> "_StreamFeed":
        """A feed for the run of this seed."""
        return _StreamFeed(
            lambda rows: _iterator(self.make(seed, rows), self.threads), self.batch_size
        )

    def select(self, data: batches.Data, i: Any) -> Any:
        """The batch of the chunk's i-th step."""
        return jax.tree.map(lambda x: x[i], data)


def once(make: Callable[[], Any], *, size: int | None = None) -> "StreamOnce":
    """One pass over a finite Grain dataset of whole batches, the last of which may be smaller."""
    return StreamOnce(make, size)


@dataclasses.dataclass(frozen=True, eq=False)
class StreamOnce:
    """Test data read from the beginning at each evaluation."""

    make: Callable[[], Any]
    size: int | None

    def once(self) -> Iterator[tuple[batches.Select, batches.Data]]:
        """One pass; batches of one shape share one program."""
        empty = True
        with contextlib.closing(_iterator(self.make(), threads=2)) as iterator:
            for batch in iterator:
                empty = False
                yield _whole, jax.device_put(batch)
        if empty:
            raise errors.InputError("A test stream must hold at least one batch, got none.")


def _whole(data: batches.Data, i: Any) -> Any:
    return data


def _grain(dataset: Any) -> Any:
    """The dataset, if it is Grain's."""
    import grain

    if not isinstance(dataset, grain.MapDataset | grain.IterDataset):
        raise errors.InputError(
            "A stream must be a Grain MapDataset or IterDataset, "
            f"got {type(dataset).__name__}; grain.MapDataset.source(...) makes one."
        )
    return dataset


def _iterator(dataset: Any, threads: int) -> Any:
    """Grain's iterator, holding a few batches ready where its default would hold 500 of them."""
    import grain

    if isinstance(_grain(dataset), grain.MapDataset):
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        dataset = dataset.to_iter_dataset(options)
    return iter(dataset)


def _check(batch: Any, size: int) -> None:
    shapes = [np.shape(x) for x in jax.tree.leaves(batch)]
    if {shape[:1] for shape in shapes} != {(size,)}:
        raise errors.InputError(
            f"A streamed batch must have {size} examples, "
            f"got arrays of the shapes {', '.join(map(str, shapes))}."
        )


class _StreamFeed:
    """Reads ahead on a thread; its state is that of the last batch handed out, not of the
    reader.
    """

    def __init__(self, begin: Callable[[slice], Any], batch_size: int) -> None:
        self.begin = begin
        self.batch_size = batch_size
        self.rows = slice(0, batch_size)  # of every batch, those that are read here
        self.sharding: jax.sharding.NamedSharding | None = None
        self.iterator = begin(self.rows)
        self.ready: collections.deque[tuple[Any, Any]] = collections.deque()
        self.wanted = 0
        self.change = threading.Condition()
        self.failure: BaseException | None = None
        self.thread: threading.Thread | None = None
        self.standing = self.iterator.get_state()

    def first(self) -> batches.Data:
        with contextlib.closing(self.begin(slice(0, self.batch_size))) as iterator:
            batch = next(iterator, None)
        if batch is None:
            raise errors.InputError(ENDED)
        _check(batch, self.batch_size)
        return jax.device_put(jax.tree.map(lambda x: np.asarray(x)[None], batch))

    def onto(self, mesh: jax.sharding.Mesh | None) -> None:
        if mesh is None:
            return
        self._halt()
        axes = tuple(axis for axis in layout.WORDS["batch"] if mesh.shape.get(axis, 1) > 1)
        self.sharding = jax.NamedSharding(mesh, jax.P(None, axes or None))
        here = self.sharding.addressable_devices_indices_map((1, self.batch_size)).values()
        ends = [index[1].indices(self.batch_size) for index in here if index is not None]
        rows = slice(min(start for start, *_ in ends), max(stop for _, stop, _ in ends))
        if rows != self.rows:
            self.iterator.close()
            self.rows, self.iterator = rows, self.begin(rows)
            self.iterator.set_state(self.standing)

    def take(self, step: int, count: int) -> batches.Data:
        with self.change:
            self.wanted = max(self.wanted, (1 + PREFETCH) * count)
            self._start()
            self.change.notify_all()
            self.change.wait_for(lambda: len(self.ready) >= count or self.failure is not None)
            if len(self.ready) < count:
                raise self.failure or RuntimeError("The stream's reader stopped.")
            taken = [self.ready.popleft() for _ in range(count)]
            self.change.notify_all()
        self.standing = taken[-1][1]
        return self._placed(jax.tree.map(lambda *x: np.stack(x), *[batch for batch, _ in taken]))

    def _placed(self, data: Any) -> batches.Data:
        """Put on the devices; of a mesh, each device takes its rows of this process's."""
        sharding = self.sharding
        if sharding is None:
            return jax.device_put(data)

        def spread(x: np.ndarray) -> jax.Array:
            shape = (len(x), self.batch_size, *x.shape[2:])
            return jax.make_array_from_callback(shape, sharding, lambda index: x[self._own(index)])

        return jax.tree.map(spread, data)

    def _own(self, index: Any) -> tuple[slice, slice]:
        """A device's part of whole batches, as a part of the rows that are read here."""
        start, stop, _ = index[1].indices(self.batch_size)
        return index[0], slice(start - self.rows.start, stop - self.rows.start)

    def state(self) -> Any:
        return self.standing

    def restore(self, state: Any) -> None:
        self._halt()
        self.iterator.set_state(state)
        self.standing = state

    def close(self) -> None:
        self._halt()
        self.iterator.close()

    def _halt(self) -> None:
        """Stop the reader; what it has read ahead is forgotten."""
        with self.change:
            self.wanted = 0
            self.change.notify_all()
        if self.thread is not None:
            self.thread.join()
        self.thread = self.failure = None
        self.ready.clear()

    def _start(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self._read, daemon=True)
            self.thread.start()

    def _read(self) -> None:
        while True:
            with self.change:
                self.change.wait_for(lambda: len(self.ready) < self.wanted or not self.wanted)
                if not self.wanted:
                    return
            try:
                batch = next(self.iterator)
                _check(batch, self.rows.stop - self.rows.start)
                item = batch, self.iterator.get_state()
            except StopIteration:
                item = errors.InputError(ENDED)
            except Exception as error:
                item = error
            with self.change:
                if isinstance(item, BaseException):
                    self.failure = item
                    self.change.notify_all()
                    return
                self.ready.append(item)
                self.change.notify_all()
