"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images, 28×28 pixels, ten classes, as IDX files.

MNIST: Y. LeCun, C. Cortes, C. Burges, 1998, from NIST's Special Databases 1 and 3. Licence: CC
BY-SA 3.0. Fashion-MNIST: H. Xiao, K. Rasul, R. Vollgraf (Zalando), 2017, arXiv 1708.07747. Licence:
MIT. Both use the same four file names; the folder the user names decides which is read. An IDX file
is a big-endian header (two zero bytes, 8 for unsigned bytes, the number of axes; then every length
in four bytes) and the values, the last axis fastest.
"""

import math
import pathlib
import struct
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from jaxdl import errors
from jaxdl.data import checks, files, pixels, splits

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
REMEDY = (
    f"Give with --folder the folder that holds {', '.join(TRAIN + TEST)} (plain or .gz), as "
    "published at http://yann.lecun.com/exdb/mnist (MNIST; mirror: "
    "https://ossci-datasets.s3.amazonaws.com/mnist) or "
    "https://github.com/zalandoresearch/fashion-mnist (Fashion-MNIST)."
)
AGAIN = "Download the file again."
UNSIGNED_BYTE = 0x08
SIDE, CLASSES = 28, 10

scale = pixels.scale  # uint8 to [0, 1] on the device: what an experiment passes as transform


def load(folder: str | pathlib.Path) -> splits.Split:
    """Images uint8 (n, 28, 28, 1) and labels int32 (n,) from four files, plain or gzipped."""
    directory = files.folder(folder, REMEDY)
    return splits.Split(_part(directory, *TRAIN), _part(directory, *TEST))


def array(path: pathlib.Path, axes: int) -> UInt8[np.ndarray, "..."]:
    """The unsigned bytes of one IDX file, which must have this many axes."""
    header = 4 + 4 * axes
    start = files.read(path, header, AGAIN)
    if len(start) < header:
        raise errors.InputError(
            f"{path} must begin with a header of {header} bytes, got {len(start)}. {AGAIN}"
        )
    magic, *shape = struct.unpack(f">{axes + 1}I", start)
    expected = UNSIGNED_BYTE << 8 | axes
    if magic != expected:
        raise errors.InputError(
            f"{path} must begin with the magic number {expected}, got {magic}. "
            f"It is damaged, or not the kind of file that its name says. {AGAIN}"
        )
    length = math.prod(shape)
    body = files.read(path, header + length + 1, AGAIN)[header:]
    if len(body) != length:
        found = str(len(body)) if len(body) < length else "more"
        raise errors.InputError(
            f"{path} must hold the {length} bytes that its header declares ({_times(shape)}), "
            f"got {found}. {AGAIN}"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _part(directory: pathlib.Path, image_name: str, label_name: str) -> splits.Examples:
    image_path = files.find(directory, (image_name, f"{image_name}.gz"), REMEDY)
    label_path = files.find(directory, (label_name, f"{label_name}.gz"), REMEDY)
    images, labels = array(image_path, 3), array(label_path, 1)
    if images.shape[1:] != (SIDE, SIDE):
        raise errors.InputError(
            f"{image_path} must hold images of {SIDE}×{SIDE} pixels, "
            f"got {_times(images.shape[1:])}. {REMEDY}"
        )
    if len(images) != len(labels):
        raise errors.InputError(
            f"{label_path} must hold a label for each of the {len(images)} images of "
            f"{image_path.name}, got {len(labels)}. Take both files from the same download."
        )
    checks.arrays(images, f"The data of {image_path}")
    checks.labels(labels, CLASSES, f"The labels of {label_path}")
    return {"input": images[..., None], "target": labels.astype(np.int32)}


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
