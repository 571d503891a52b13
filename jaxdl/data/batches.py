"""A batch is a function of (seed, step): examples in memory on the device, picked inside jit.

A source opens as a feed. `feed.take(step, count)` gives the arguments from which a compiled chunk
of `count` steps picks its batches with `source.select(data, i)`, a pure function that runs inside
jit. Data too large for memory: jaxdl/data/streams.py.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors
from jaxdl.data import checks, permutation
from jaxdl.nn import layout

Data = Any  # what a compiled chunk is given to pick its batches from
Select = Callable[[Data, Any], Any]  # (data, i) -> the batch of the chunk's i-th step


@runtime_checkable
class Feed(Protocol):
    """An opened source of training batches."""

    def first(self) -> Data:
        """The data of a chunk of the very first step, without moving the feed."""
        ...

    def onto(self, mesh: jax.sharding.Mesh | None) -> None:
        """Hand the data over where the mesh needs it, and read no other; before the first take."""
        ...

    def take(self, step: int, count: int) -> Data:
        """The data of steps `step` to `step + count - 1`; a stream must be taken in order."""
        ...

    def state(self) -> Any:
        """Where the feed stands, as JSON; None where the step alone tells."""
        ...

    def restore(self, state: Any) -> None:
        """Stand where `state` says."""
        ...

    def close(self) -> None:
        """Release files and threads."""
        ...


@runtime_checkable
class Source(Protocol):
    """What `Run.train` may be: shuffled examples in memory, or a stream."""

    @property
    def batch_size(self) -> int:
        """Examples in each batch."""
        ...

    @property
    def size(self) -> int | None:
        """Examples in an epoch; None where a stream does not know."""
        ...

    def open(self, seed: int) -> Feed:
        """A feed for the run of this seed."""
        ...

    def select(self, data: Data, i: Any) -> Any:
        """The batch of the chunk's i-th step."""
        ...


@runtime_checkable
class Pass(Protocol):
    """What `Run.tests` holds: every example once, in order."""

    @property
    def size(self) -> int | None:
        """How many examples; None where a stream does not know."""
        ...

    def once(self) -> Iterator[tuple[Select, Data]]:
        """One pass; batches that share a `select` and shapes share a compiled program."""
        ...


def first(test: Pass) -> tuple[Select, Data]:
    """The first batch of a pass, which is ended: one that streams reads ahead no more."""
    passing = iter(test.once())
    try:
        return next(passing)
    finally:
        getattr(passing, "close", lambda: None)()


def shuffled(
    arrays: Any,
    batch_size: int,
    *,
    transform: Callable[[Any], Any] | None = None,
    augment: Callable[[Any, Any], Any] | None = None,
) -> "Shuffled":
    """Batches of examples in memory: every epoch each example exactly once, in a new order.

    arrays: a pytree of arrays with equal leading axes; they are put on the device once.
    transform: batch -> batch, run on the device (bytes to numbers, say).
    augment: (batch, key) -> batch, run on the device after it, with a key of its own at each step.
    """
    size = checks.arrays(arrays, "Training data")
    _check_in_memory(size)
    _check_batch_size(batch_size, size)
    pick = functools.partial(_pick_examples, transform=transform)
    return Shuffled(arrays, batch_size, size, pick, augment)


def windows(
    corpus: Any,
    length: int,
    batch_size: int,
    *,
    augment: Callable[[Any, Any], Any] | None = None,
) -> "Shuffled":
    """Batches of windows of a token array: input (b, length), and target, the same one token later.

    corpus: integers of shape (tokens,). An epoch is every window of a grid of step `length` once.
    augment: as of `shuffled`.
    """
    size = _window_count(corpus, length)
    _check_batch_size(batch_size, size)
    pick = functools.partial(_pick_windows, length=length)
    return Shuffled(corpus, batch_size, size, pick, augment)


def once(
    arrays: Any, batch_size: int, *, transform: Callable[[Any], Any] | None = None
) -> "InOrder":
    """Every example once, in order; the last batch is smaller where the size does not divide."""
    size = checks.arrays(arrays, "Test data")
    _check_in_memory(size)
    _check_positive(batch_size)
    return InOrder(arrays, batch_size, size, functools.partial(_pick_examples, transform=transform))


def windows_once(corpus: Any, length: int, batch_size: int) -> "InOrder":
    """Every window of a token array once, in order, cut as `windows` cuts it."""
    size = _window_count(corpus, length)
    _check_positive(batch_size)
    return InOrder(corpus, batch_size, size, functools.partial(_pick_windows, length=length))


@dataclasses.dataclass(frozen=True, eq=False)
class Shuffled:
    """Examples on the device, drawn without replacement by a keyed permutation of each epoch."""

    arrays: Any
    batch_size: int
    size: int
    pick: Callable[[Any, Any], Any]  # (arrays, indices) -> batch
    augment: Callable[[Any, Any], Any] | None

    def open(self, seed: int) -> "_ShuffledFeed":
        """A feed for the run of this seed."""
        return _ShuffledFeed(self, order_key(seed))

    def together(self, seeds: Sequence[int]) -> tuple["_ShuffledFeed", Any]:
        """A feed for the runs of these seeds at once, and its data's axes as `jax.vmap` takes them:
        each run has an order of its own, the examples are everybody's.
        """
        return _ShuffledFeed(self, np.stack([order_key(seed) for seed in seeds])), (None, 0, None)

    def select(self, data: Data, i: Any) -> Any:
        """The batch of the chunk's i-th step."""
        arrays, words, (epoch, offset, step) = data
        start = jnp.uint32(offset) + jnp.uint32(i) * jnp.uint32(self.batch_size)
        indices = permutation.draw(words, epoch, start, self.batch_size, self.size)
        # On a mesh each device draws them all: its loop would else ask the others at every turn.
        indices = layout.constrain(indices)
        batch = self.pick(arrays, indices)
        if self.augment is not None:
            key = jax.random.wrap_key_data(words, impl="threefry2x32")
            batch = self.augment(batch, jax.random.fold_in(key, step + i))
        return batch


def order_key(seed: int) -> np.ndarray:
    """The two words, shape (2,) uint32, that set the order of the data in the run of this seed."""
    key = jax.random.key(seed, impl="threefry2x32")  # whatever the user made the default
    return np.asarray(jax.random.key_data(jax.random.fold_in(key, 1)))


def opened(source: Source | None, seed: int) -> Feed:
    """The feed of a run's source; of None, that of a learner that makes its own experience."""
    return Nothing() if source is None else source.open(seed)


class Nothing:
    """The feed of a learner that makes its own experience."""

    def first(self) -> None:
        """No data."""

    def onto(self, mesh: jax.sharding.Mesh | None) -> None:
        """No data."""

    def take(self, step: int, count: int) -> None:
        """No data."""

    def state(self) -> None:
        """Nothing to remember."""

    def restore(self, state: None) -> None:
        """Nothing to restore."""

    def close(self) -> None:
        """Nothing to release."""


class _ShuffledFeed:
    def __init__(self, source: Shuffled, words: np.ndarray) -> None:
        self.source = source
        self.arrays, self.words = jax.device_put((source.arrays, words))

    def first(self) -> Data:
        return self.take(0, 1)

    def onto(self, mesh: jax.sharding.Mesh | None) -> None:
        pass  # every device has all examples

    def take(self, step: int, count: int) -> Data:
        # Python's integers do not overflow; 32-bit ones on the device would.
        epoch, offset = divmod(step * self.source.batch_size, self.source.size)
        return self.arrays, self.words, (np.uint32(epoch), np.uint32(offset), np.uint32(step))

    def state(self) -> None:
        return None

    def restore(self, state: None) -> None:
        pass

    def close(self) -> None:
        pass


@dataclasses.dataclass(frozen=True, eq=False)
class InOrder:
    """Examples on the device, read in order."""

    arrays: Any
    batch_size: int
    size: int
    pick: Callable[[Any, Any], Any]

    def once(self) -> Iterator[tuple[Select, Data]]:
        """One pass; all full batches share one program, a smaller last one has its own."""
        for start in range(0, self.size, self.batch_size):
            select = self._selects[min(self.batch_size, self.size - start)]
            yield select, (self._on_device, np.int32(start))

    @functools.cached_property
    def _on_device(self) -> Any:
        return jax.device_put(self.arrays)

    @functools.cached_property
    def _selects(self) -> dict[int, Select]:
        """A select for each number of examples; made once, as compiled programs hang on them."""
        rest = self.size % self.batch_size
        counts = {min(self.batch_size, self.size), rest} - {0}
        return {count: functools.partial(_slice, pick=self.pick, count=count) for count in counts}


def _slice(data: Data, i: Any, *, pick: Callable[[Any, Any], Any], count: int) -> Any:
    arrays, start = data
    return pick(arrays, start + jnp.arange(count, dtype=jnp.int32))


def _pick_examples(arrays: Any, indices: Any, *, transform: Callable[[Any], Any] | None) -> Any:
    batch = jax.tree.map(lambda x: jnp.take(x, indices, axis=0, mode="clip"), arrays)
    return batch if transform is None else transform(batch)


def _pick_windows(corpus: Any, indices: Any, *, length: int) -> Any:
    places = indices[:, None] * length + jnp.arange(length + 1, dtype=indices.dtype)[None, :]
    tokens = jnp.take(corpus, places, axis=0, mode="clip").astype(jnp.int32)
    return {"input": tokens[:, :-1], "target": tokens[:, 1:]}


def _window_count(corpus: Any, length: int) -> int:
    _check_in_memory(checks.arrays(corpus, "The corpus"))
    flat = isinstance(corpus, np.ndarray | jax.Array) and corpus.ndim == 1
    if not flat or not jnp.issubdtype(corpus.dtype, jnp.integer):
        found = f"{corpus.dtype}{list(corpus.shape)}" if hasattr(corpus, "dtype") else "a tree"
        raise errors.InputError(
            f"The corpus must be one array of integers of shape (tokens,), got {found}."
        )
    if length < 1:
        raise errors.InputError(f"A window's length must be at least 1, got {length}.")
    count = (len(corpus) - 1) // length
    if count < 1:
        raise errors.InputError(
            f"The corpus must have more tokens than a window's length {length}, got {len(corpus)}."
        )
    return count


def _check_positive(batch_size: int) -> None:
    if batch_size < 1:
        raise errors.InputError(f"The batch size must be at least 1, got {batch_size}.")


def _check_batch_size(batch_size: int, size: int) -> None:
    _check_positive(batch_size)
    if batch_size > size:
        raise errors.InputError(
            f"The batch size must be at most the {size} training examples, got {batch_size}."
        )


def _check_in_memory(size: int) -> None:
    if size > permutation.LARGEST:
        raise errors.InputError(
            f"Data in memory must have at most {permutation.LARGEST} examples or tokens, "
            f"got {size}. Use jaxdl.data.streams."
        )
