"""What of an array this process writes, and how it is put together again, on any other mesh.

A piece is a box of an array: [start, stop) along each dimension. What is split over devices is
written as the pieces the devices hold, and every device gets its box cut out of those that overlap.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Box = tuple[tuple[int, int], ...]


def whole(shape: Sequence[int]) -> Box:
    return tuple((0, size) for size in shape)


def volume(box: Box) -> int:
    return math.prod(stop - start for start, stop in box)


def common(a: Box, b: Box) -> Box | None:
    """Where two boxes of one array overlap; None where they do not."""
    both = tuple((max(p[0], q[0]), min(p[1], q[1])) for p, q in zip(a, b, strict=True))
    return both if all(start < stop for start, stop in both) else None


def is_key(leaf: Any) -> bool:
    """Whether it is an array of random keys."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def held(leaf: Any, process: int) -> list[tuple[Box, Any]]:
    """The pieces of a leaf that this process is to write: one process has each as replica 0.

    What does not reach beyond a process is the same in all, as a number of the host is: the first
    writes it.
    """
    if process and getattr(leaf, "is_fully_addressable", True):
        return []
    if isinstance(leaf, jax.Array):
        shards = [shard for shard in leaf.addressable_shards if shard.replica_id == 0]
        return [(_box(shard.index, leaf.shape), shard.data) for shard in shards]
    return [(whole(np.shape(leaf)), leaf)]


def host_copy(path: str, piece: Any) -> np.ndarray:
    """A copy that no later computation can touch: on CPU `np.asarray` would share the buffer."""
    array = np.array(jax.random.key_data(piece) if is_key(piece) else piece, order="C", copy=True)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == np.bool_):
        raise ValueError(
            f"A leaf to be saved must be an array of numbers, got {type(piece).__name__} in {path}."
        )
    return array


def placed(wanted: Any, key: str | None, read: Callable[[list[Box]], dict[Box, np.ndarray]]) -> Any:
    """A leaf like `wanted`, where `wanted` is, in buffers that nothing shares: safe to donate.

    key: the implementation of the random keys that the numbers are.
    read: gives for boxes their numbers (of random keys their data).
    """
    if not isinstance(wanted, (jax.Array, jax.ShapeDtypeStruct)):
        box = whole(np.shape(wanted))
        array = read([box])[box]
        if isinstance(wanted, np.ndarray):
            return array
        return array[()] if isinstance(wanted, np.generic) else type(wanted)(array.item())
    # An array that was free to go to any device stays so.
    free = isinstance(wanted, jax.Array) and not wanted.committed
    sharding = None if free else wanted.sharding
    if sharding is None:
        box = whole(wanted.shape)
        return _on(None, read([box])[box], key)
    boxes = {
        device: _box(index, wanted.shape)
        for device, index in sharding.addressable_devices_indices_map(wanted.shape).items()
    }
    arrays, parts, taken = read(sorted(set(boxes.values()))), [], set()
    for device, box in boxes.items():
        at = jax.sharding.SingleDeviceSharding(device, memory_kind=sharding.memory_kind)
        # A CPU device may take the very memory it is given, so no two are given the same.
        parts.append(_on(at, arrays[box].copy() if box in taken else arrays[box], key))
        taken.add(box)
    return jax.make_array_from_single_device_arrays(
        wanted.shape, sharding, parts, dtype=wanted.dtype
    )


def cut(found: list[tuple[Box, np.ndarray]], box: Box, into: np.ndarray) -> np.ndarray:
    """One box of an array, out of pieces that cover it; it may be one of them."""
    for have, array in found:
        if have == box:
            return array
    for have, array in found:
        both = common(have, box)
        if both is not None:  # the data of random keys has a dimension more, which stays whole
            into[_inside(both, box)] = array[_inside(both, have)]
    return into


def _on(at: Any, array: np.ndarray, key: str | None) -> jax.Array:
    value = jax.device_put(array, at)
    return jax.random.wrap_key_data(value, impl=key) if key else value


def _inside(box: Box, outer: Box) -> tuple[slice, ...]:
    pairs = zip(box, outer, strict=True)
    return tuple(slice(start - at, stop - at) for (start, stop), (at, _) in pairs)


def _box(index: Any, shape: Sequence[int]) -> Box:
    # JAX gives for random keys an index of their data, which has a dimension more.
    ranges = (part.indices(size)[:2] for part, size in zip(index, shape, strict=False))
    return tuple((start, stop) for start, stop in ranges)
