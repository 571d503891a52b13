"""CIFAR-10: 50,000 + 10,000 colour photographs, 32×32 pixels, ten classes, as binary files.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. No licence is
stated. A record is a label byte and 3,072 bytes of pixels: all red, all green, all blue, by rows.
"""

import pathlib

import numpy as np
from jaxtyping import UInt8

from jaxdl import errors
from jaxdl.data import checks, files, pixels, splits

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
REMEDY = (
    f"Give with --folder the folder that holds {', '.join(TRAIN + TEST)}: the extracted "
    '"CIFAR-10 binary version" of https://www.cs.toronto.edu/~kriz/cifar.html.'
)
AGAIN = "Download and extract the archive again."
SIDE, CHANNELS, CLASSES = 32, 3, 10
RECORD = 1 + CHANNELS * SIDE * SIDE
LIMIT = 1 << 30  # bytes of a file; the published ones have 30,730,000

scale = pixels.scale  # uint8 to [0, 1] on the device: what an experiment passes as transform


def load(folder: str | pathlib.Path) -> splits.Split:
    """Images uint8 (n, 32, 32, 3) and labels int32 (n,) from six .bin files."""
    directory = files.folder(folder, REMEDY)
    return splits.Split(_part(directory, TRAIN), _part(directory, TEST))


def _part(directory: pathlib.Path, names: tuple[str, ...]) -> splits.Examples:
    paths = [files.find(directory, (name,), REMEDY) for name in names]  # all there before reading
    records = np.concatenate([_records(path) for path in paths])
    planes = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return {"input": images, "target": records[:, 0].astype(np.int32)}


def _records(path: pathlib.Path) -> UInt8[np.ndarray, "n record"]:
    data = files.read(path, LIMIT, AGAIN)
    if not data or len(data) % RECORD:
        raise errors.InputError(
            f"{path} must be one or more records of {RECORD} bytes, got {len(data)} bytes. {AGAIN}"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    checks.labels(records[:, 0], CLASSES, f"The labels of {path}")
    return records
