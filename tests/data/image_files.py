"""Writes small files in the formats of MNIST and CIFAR-10, for tests."""

import gzip
import pathlib
import struct

import numpy as np

IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
CIFAR_NAMES = {
    "train": [f"data_batch_{number}.bin" for number in (1, 2, 3, 4, 5)],
    "test": ["test_batch.bin"],
}


def examples(count: int, shape: tuple[int, ...], seed: int) -> dict[str, np.ndarray]:
    """Random uint8 images and labels in 0..9, in which brightness tells the label roughly."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    noise = random.integers(0, 40, (count, *shape))
    lead = labels.reshape(-1, *(1 for _ in shape)) * 20
    return {"input": (noise + lead).astype(np.uint8), "target": labels.astype(np.int32)}


def idx_bytes(values: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(struct.pack(">I", n) for n in values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_mnist(folder: pathlib.Path, train: int = 40, test: int = 20, zipped: bool = False):
    """Four IDX files; returns what a reader should give back."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for seed, (part, count) in enumerate({"train": train, "test": test}.items()):
        parts[part] = examples(count, (28, 28, 1), seed)
        values = parts[part]["input"][..., 0], parts[part]["target"]
        for name, array in zip(IDX_NAMES[part], values, strict=True):
            data = idx_bytes(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data))
            else:
                (folder / name).write_bytes(data)
    return parts


def write_cifar(folder: pathlib.Path, records: int = 10):
    """Six files of `records` records; returns what a reader should give back."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for part, names in CIFAR_NAMES.items():
        parts[part] = examples(records * len(names), (32, 32, 3), len(names))
        for number, name in enumerate(names):
            data = b""
            for at in range(number * records, (number + 1) * records):
                image = parts[part]["input"][at]
                planes = [image[:, :, channel].tobytes() for channel in range(3)]
                data += bytes([parts[part]["target"][at]]) + b"".join(planes)
            (folder / name).write_bytes(data)
    return parts
