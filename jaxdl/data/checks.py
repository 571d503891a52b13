"""What every array of examples must satisfy, whether a reader or the user made it.

Each check returns nothing or what it counted, and raises `InputError` with one line: the thing, the
rule, the value found and, where one is known, the remedy.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors

CHUNK = 1 << 24  # elements looked at together: a memmap larger than memory is read in pieces


def arrays(tree: Any, name: str) -> int:
    """The number of examples in a pytree of arrays that share a leading axis, all fit to train on.

    Every leaf must be an array of numbers with at least one axis, all leading axes equal and above
    zero, every float finite. `name` is what the messages call the data: "The training data".
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    if not leaves:
        raise errors.InputError(f"{name} must hold at least one array, got an empty {_kind(tree)}.")
    named = {name + jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    for label, leaf in named.items():
        _numeric(leaf, label)
    sizes = {label: leaf.shape[0] for label, leaf in named.items()}
    equal_lengths(sizes)
    for label, leaf in named.items():
        if sizes[label] == 0:
            raise errors.InputError(f"{label} must hold at least one example, got 0.")
        finite(leaf, label)
    return next(iter(sizes.values()))


def equal_lengths(sizes: dict[str, int]) -> None:
    """Every named length must be the same."""
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{label}: {size}" for label, size in sizes.items())
        raise errors.InputError(f"Leading axes must be equal (one entry per example), got {found}.")


def finite(array: Any, name: str) -> None:
    """No NaN and no infinity in an array of floats with a leading axis; other types pass."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return
    array = np.asarray(array) if isinstance(array, jax.Array) else array
    rows = max(1, CHUNK // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        wrong = ~np.isfinite(part)
        if wrong.any():
            first = tuple(map(int, np.argwhere(wrong)[0]))
            index = (start + first[0], *first[1:])
            raise errors.InputError(
                f"{name} must be finite, got {part[first]} at index {index}. "
                "Remove such examples or fill in the value first."
            )


def labels(array: Any, classes: int, name: str) -> None:
    """Integers in [0, classes)."""
    array = np.ravel(np.asarray(array))
    if not np.issubdtype(array.dtype, np.integer):
        raise errors.InputError(f"{name} must be integers, got dtype {array.dtype}.")
    wrong = np.flatnonzero((array < 0) | (array >= classes))
    if wrong.size:
        found = f"{array[wrong[0]]} at index {wrong[0]}"
        raise errors.InputError(f"{name} must be in 0..{classes - 1}, got {found}.")


def fraction(value: float, name: str) -> None:
    """Strictly between 0 and 1."""
    if not 0 < value < 1:
        raise errors.InputError(f"{name} must be between 0 and 1, both excluded, got {value}.")


def _numeric(leaf: Any, label: str) -> None:
    if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
        raise errors.InputError(
            f"{label} must be an array, got {_kind(leaf)}. Convert it with numpy.asarray."
        )
    if not (jnp.issubdtype(leaf.dtype, jnp.number) or jnp.issubdtype(leaf.dtype, jnp.bool_)):
        raise errors.InputError(
            f"{label} must be an array of numbers, got dtype {leaf.dtype}. "
            "Encode text and objects as integers, and make ragged rows equally long."
        )
    if not leaf.shape:
        raise errors.InputError(
            f"{label} must have a leading axis of examples, got a scalar. "
            "Put a single example on one with array[None]."
        )


def _kind(value: Any) -> str:
    return type(value).__name__
