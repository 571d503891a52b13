"""How arrays are laid out: in rows, in parts, and on a mesh of devices, which is told in the words
of a model: its batch, its tensor axis.

A model says `layout.constrain(x, "batch", None, "tensor")` and knows no devices: without a mesh, or
where the mesh has no such axis, that is `x` itself.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from jaxdl import errors

# The axes a mesh may have. Batches go over `data` and `fsdp`; parameters and optimizer state over
# `fsdp` (Rajbhandari et al. 2020, ZeRO) and `tensor` (Shoeybi et al. 2019, Megatron-LM); the runs
# of a sweep over `member`.
AXES = ("member", "data", "fsdp", "tensor")
# The words of models, and the mesh axes they stand for.
WORDS = {"batch": ("data", "fsdp"), "tensor": ("tensor",)}


def constrain(x: Any, *words: str | None) -> Any:
    """The array, told to the compiler to be cut as `words` say, one for each leading dimension.

    A dimension with the word None is whole, and so are those after the last word. A word is passed
    over where the axes it stands for do not divide the dimension.
    """
    mesh = jax.sharding.get_abstract_mesh()
    automatic = jax.sharding.AxisType.Auto  # inside shard_map there is nothing to tell
    sizes = {
        axis: size
        for (axis, size), kind in zip(mesh.shape.items(), mesh.axis_types, strict=True)
        if kind == automatic
    }
    if not sizes:
        return x
    axes = [
        _axes(word, size, sizes) if word else None
        for word, size in zip(words, x.shape[: len(words)], strict=True)
    ]
    return jax.lax.with_sharding_constraint(x, jax.sharding.PartitionSpec(*axes))


def spread(batch: Any) -> Any:
    """A tree of arrays with equal leading axes, cut over the devices that share a batch."""
    return jax.tree.map(lambda x: constrain(x, "batch") if x.ndim else x, batch)


def rows(inputs: Any) -> Shaped[Array, "b d"]:
    """Examples of any shape, each as a row."""
    inputs = jnp.asarray(inputs)
    return inputs.reshape(inputs.shape[0], -1)  # a size may be a symbol, as of an export


def parts(batch: Any, count: int, name: str) -> Any:
    """A batch cut into so many equal parts, along a new leading axis.

    errors.InputError: they do not divide the batch size; `name` is what asked for them.
    """
    size = len(jax.tree.leaves(batch)[0])
    if size % count:
        raise errors.InputError(f"{name} must divide the batch size {size}, got {count}.")
    cut = jax.tree.map(lambda x: x.reshape(count, size // count, *x.shape[1:]), batch)
    # On a mesh every device takes its share of each part; else some would hold whole parts.
    return jax.tree.map(lambda x: constrain(x, None, "batch"), cut)


def _axes(word: str, size: int, sizes: Mapping[str, int]) -> tuple[str, ...] | None:
    axes = tuple(axis for axis in WORDS[word] if sizes.get(axis, 1) > 1)
    divides = size % math.prod(sizes[axis] for axis in axes) == 0
    return axes if axes and divides else None
