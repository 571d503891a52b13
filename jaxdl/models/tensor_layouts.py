"""How the tensors of other libraries' files are laid out in our parameters, and back."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Layout(NamedTuple):
    """How a tensor of the file is laid out in ours: there (read) and back (write)."""

    read: Callable[[np.ndarray], tuple[np.ndarray, ...]]  # one array for each of the row's paths
    write: Callable[..., np.ndarray]


def permuted(*axes: int) -> Layout:
    """Our axis i is the file's axis axes[i]."""
    back = [axes.index(i) for i in range(len(axes))]
    return Layout(lambda x: (x.transpose(axes),), lambda x: x.transpose(back))


def split(parts: int, axis: int = -1, turned: bool = False) -> Layout:
    """Equal parts of the file's tensor along an axis, each to a path of its own; `turned`: each is
    a matrix that is transposed.
    """

    def read(x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(y.T if turned else y for y in np.split(x, parts, axis))

    def write(*each: np.ndarray) -> np.ndarray:
        return np.concatenate([y.T if turned else y for y in each], axis)

    return Layout(read, write)


def within(axes: int) -> Layout:
    """The file's tensor has so many axes of one entry in front."""
    return Layout(lambda x: (x[(0,) * axes],), lambda x: x[(None,) * axes])


SAME = Layout(lambda x: (x,), lambda x: x)
TRANSPOSED = permuted(1, 0)  # torch's Linear: (out, in) to (in, out)
CONV_1D = permuted(2, 1, 0)  # torch's kernels: (out, in, width) to (width, in, out)
CONV_2D = permuted(2, 3, 1, 0)  # (out, in, height, width) to (height, width, in, out)
