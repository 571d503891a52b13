"""The mesh of devices a run is spread over, and where each array of its state lies on it.

Arrays are laid out by rules, (pattern, axes): the first whose pattern is found in a leaf's path
gives a mesh axis or None for each dimension. The paths are those of the whole state, so that an
optimizer's moments ("optimizer/0/mu/block_0/mlp/up/kernel") lie where their parameters do. What no
rule finds, or only one whose axes this mesh has not, goes by its largest dimension over `fsdp`. XLA
puts in the communication.
"""

import math
import os
import re
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors
from jaxdl import run as runs
from jaxdl.nn import layout
from jaxdl.train import simulate

Rules = Sequence[tuple[str, tuple[str | None, ...]]]
# Numbers below which a leaf without a rule stays whole: a gather of 2 KiB is all latency. The norms
# and biases of a GPT of width 128 that stay whole are 0.6 % of it, of wider ones less.
SMALL = 2**9


def of(run: runs.Run) -> jax.sharding.Mesh | None:
    """The run's mesh, None for one device; checks that the batch divides over it."""
    found = make(run.mesh)
    if found.size == 1:
        return None
    shards = math.prod(found.shape.get(axis, 1) for axis in layout.WORDS["batch"])
    if run.train is not None and run.train.batch_size % shards:
        below = run.train.batch_size // shards * shards
        sizes = f"{below} or {below + shards}" if below else f"{shards}"
        alone = ", or --mesh data=1 for one device" if jax.process_count() == 1 else ""
        raise errors.InputError(
            f"The batch size must be a multiple of data × fsdp, {shards} devices, "
            f"got {run.train.batch_size}.\nTake {sizes}{alone}."
        )
    return found


def make(sizes: Mapping[str, int] | None, devices: Any = None) -> jax.sharding.Mesh:
    """A mesh with the axes of `sizes`, one of which may be -1: what is left.

    None is all devices on `data`; on CPU, where devices are simulated and share the same cores, one
    device, unless several processes run. A mesh has all the devices, or one.
    """
    devices = jax.devices() if devices is None else list(devices)
    if sizes is None:
        sizes = {"data": len(devices) if _all_by_default(devices) else 1}
    sizes = _filled(_checked(sizes), len(devices))
    count = math.prod(sizes.values())
    several = jax.process_count() > 1
    if count != len(devices) and (count != 1 or several):
        here = "one device" if len(devices) == 1 else f"all {len(devices)} devices"
        here += "" if several or len(devices) == 1 else ", or one"
        raise errors.InputError(
            f"The mesh must have {here}, got {_text(sizes)}, which has {count}.\n"
            "Give one axis -1 to take what is left."
        )
    auto = (jax.sharding.AxisType.Auto,) * len(sizes)
    shape, names = tuple(sizes.values()), tuple(sizes)
    return jax.make_mesh(shape, names, auto, devices=devices[:count])


def _all_by_default(devices: Sequence[Any]) -> bool:
    real = devices[0].platform != "cpu"
    return real or jax.process_count() > 1 or simulate.ALL_DEVICES in os.environ


def _checked(sizes: Mapping[str, int]) -> dict[str, int]:
    for axis, size in sizes.items():
        if axis not in layout.AXES:
            raise errors.InputError(
                f"A mesh's axes must be among {', '.join(layout.AXES)}, got {axis!r}."
            )
        if size != -1 and size < 1:
            raise errors.InputError(
                f"The size of the mesh's axis {axis} must be at least 1, or -1 for what is left, "
                f"got {size}."
            )
    if list(sizes.values()).count(-1) > 1:
        raise errors.InputError(f"At most one axis of a mesh must be -1, got {_text(sizes)}.")
    # In the table's order: neighbouring devices share the last axis, which talks most.
    return {axis: sizes[axis] for axis in layout.AXES if axis in sizes} or {"data": 1}


def _filled(sizes: dict[str, int], devices: int) -> dict[str, int]:
    """The sizes with what is left in the place of -1."""
    if -1 not in sizes.values():
        return sizes
    given = math.prod(size for size in sizes.values() if size != -1)
    if devices % given:
        raise errors.InputError(
            f"The sizes of a mesh must divide the {devices} devices, got {_text(sizes)}."
        )
    return {axis: devices // given if size == -1 else size for axis, size in sizes.items()}


def replicated(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
    """All of an array on every device."""
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def members(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
    """Arrays whose leading axis is of runs, each with some of them; replicated without the axis."""
    axis = "member" if "member" in mesh.shape else None
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(axis))


def member_specs(mesh: jax.sharding.Mesh, axes: Any) -> Any:
    """Axes as `jax.vmap` takes them, as `jax.shard_map` does: 0 is the axis of members."""
    if isinstance(axes, tuple):
        return tuple(member_specs(mesh, axis) for axis in axes)
    return jax.sharding.PartitionSpec() if axes is None else members(mesh).spec


def shardings(
    shapes: Any, mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh, rules: Rules
) -> Any:
    """Where each leaf of a tree of arrays or shapes lies: a tree of `NamedSharding`.

    Random keys and scalars are replicated. A dimension of size 1 stays whole, whatever the rule.
    errors.InputError: an axis that a rule gives does not divide the dimension, or is not known.
    """
    _check_rules(rules)
    fits: dict[str, bool] = {}  # pattern -> whether a leaf that it found had as many dimensions
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    placed = []
    for keys, leaf in leaves:
        path = jax.tree_util.keystr(keys, simple=True, separator="/")
        axes = _axes(path, leaf, mesh, rules, fits)
        placed.append(jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)))
    for pattern, axes in rules:
        if fits.get(pattern) is False:
            raise errors.InputError(
                f"The rule {pattern!r} must give an axis or None for each dimension, "
                f"got {len(axes)}, as many as none of the arrays that it finds has."
            )
    return jax.tree.unflatten(structure, placed)


def _check_rules(rules: Rules) -> None:
    for pattern, axes in rules:
        for axis in axes:
            if axis is not None and axis not in layout.AXES:
                raise errors.InputError(
                    f"The axes of the rule {pattern!r} must be None or among "
                    f"{', '.join(layout.AXES)}, got {axis!r}."
                )


def _axes(path: str, leaf: Any, mesh: Any, rules: Rules, fits: dict[str, bool]) -> Sequence[Any]:
    """The mesh axis, or None, of each dimension."""
    if leaf.ndim == 0 or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return ()
    for pattern, axes in rules:
        if re.search(pattern, path):
            # A factored moment has fewer dimensions than its parameter: the default is for it.
            fits[pattern] = fits.get(pattern, False) or len(axes) == leaf.ndim
            says = not any(axes) or any(mesh.shape.get(axis, 1) > 1 for axis in axes)
            if len(axes) == leaf.ndim and says:
                return _by_rule(path, leaf.shape, mesh, axes)
    shards = mesh.shape.get("fsdp", 1)
    whole = [size for size in leaf.shape if size % shards == 0]
    if shards == 1 or leaf.size < SMALL or not whole:
        return ()
    return [None] * leaf.shape.index(max(whole)) + ["fsdp"]


def _by_rule(path: str, shape: Sequence[int], mesh: Any, axes: Sequence[str | None]) -> list[Any]:
    kept = []
    for dimension, (size, axis) in enumerate(zip(shape, axes, strict=True)):
        shards = mesh.shape.get(axis, 1)
        if size % shards and size > 1:
            raise errors.InputError(
                f"Dimension {dimension} of {path}, {size}, must be a multiple of the mesh's "
                f"{axis}={shards}.\nMake it {size + -size % shards}, or take another size "
                f"of {axis}, or another of Run.rules."
            )
        kept.append(axis if shards > 1 and size > 1 else None)
    return kept


def bytes_on_device(leaf: Any) -> int:
    """What an array, or the shape of one, takes on each device."""
    sharding = getattr(leaf, "sharding", None)
    shape = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
    return math.prod(shape) * leaf.dtype.itemsize


def described(leaf: Any) -> str:
    """The axis of each dimension of an array or its shape, "fsdp, whole", or "replicated"."""
    spec = leaf.sharding.spec
    whole = ["whole"] * (leaf.ndim - len(spec))
    return ", ".join([axis or "whole" for axis in spec] + whole) if any(spec) else "replicated"


class Placed:
    """Puts data on every device of a mesh, what was put there before not again.

    Arrays in memory are the same objects in each chunk; they are known by that.
    """

    def __init__(self, mesh: jax.sharding.Mesh) -> None:
        self.sharding = replicated(mesh)
        self._kept: dict[int, jax.Array] = {}

    def __call__(self, data: Any) -> Any:
        """The same tree; NumPy's numbers stay for the dispatch, which puts them everywhere."""
        return jax.tree.map(lambda x: self._put(x) if isinstance(x, jax.Array) else x, data)

    def _put(self, x: jax.Array) -> jax.Array:
        if getattr(x.sharding, "mesh", None) == self.sharding.mesh:
            return x  # where a stream has put it
        if id(x) not in self._kept:
            self._kept[id(x)] = _everywhere(x, self.sharding)
            weakref.finalize(x, self._kept.pop, id(x), None)
        return self._kept[id(x)]


def _everywhere(x: jax.Array, sharding: jax.sharding.NamedSharding) -> jax.Array:
    if jax.process_count() == 1 or not x.is_fully_addressable:
        return jax.device_put(x, sharding)
    host = np.asarray(x)  # every process has the same; each fills its own devices
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def _text(sizes: Mapping[str, int]) -> str:
    return ",".join(f"{axis}={size}" for axis, size in sizes.items())


def where(shapes: Any) -> Any:
    """Of each of these shapes its sharding."""
    return jax.tree.map(lambda x: x.sharding, shapes)
