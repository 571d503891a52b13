"""NumPy's files: one array in a `.npy`, several by name in a `.npz`.

The format: Kern, "A simple file format for NumPy arrays" (NEP 1, 2007): six bytes, the last of them
NUMPY, a version, the length of a header, the header (type, order, shape), and the values.
"""

import math
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np

from jaxdl import errors
from jaxdl.data import checks

AGAIN = "Write the file again."


def load(path: str | pathlib.Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a `.npy`, which stays on disk and is read as it is used; the arrays of a `.npz`
    by their names, in memory. What is missing, damaged or a pickled object is refused.
    """
    path = pathlib.Path(path).expanduser()
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        return _archive(path) if start[:2] == b"PK" else _mapped(path)
    except OSError as error:
        reason = error.strerror or error
        raise errors.InputError(f"{path} must be readable, got: {reason}.") from error


def examples(
    path: str | pathlib.Path, input: str = "input", target: str | None = "target"
) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` that are called `input` and `target`, one entry for each example.

    target: None where there is none.
    """
    found = load(path)
    names = {"input": input} | ({} if target is None else {"target": target})
    if not isinstance(found, dict):
        raise errors.InputError(f"{path} must be a .npz with {' and '.join(names.values())}.")
    for name in names.values():
        if name not in found:
            raise errors.InputError(
                f"{path} must hold the array {name!r}, got {', '.join(map(repr, found))}."
            )
    chosen = {entry: found[name] for entry, name in names.items()}
    checks.arrays(chosen, f"The data of {path}")
    return chosen


def _mapped(path: pathlib.Path) -> np.ndarray:
    size = path.stat().st_size
    with open(path, "rb") as file:
        shape, dtype = _header(path, file)
        offset = file.tell()
    needed = math.prod(shape) * dtype.itemsize
    if size - offset != needed:
        raise errors.InputError(
            f"{path} must hold {needed} bytes of values from offset {offset} on, "
            f"{dtype}{list(shape)}, got {size - offset}. {AGAIN}"
        )
    return np.load(path, mmap_mode="r") if needed else np.load(path)


def _header(path: pathlib.Path, file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type as the file's header says."""
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"version {version[0]}.{version[1]}")
        shape, _, dtype = read(file)
    except (ValueError, SyntaxError, EOFError, TypeError) as error:
        said = str(error).partition("\n")[0].rstrip(".")
        raise errors.InputError(
            f"{path}, offset {file.tell()}: a header of NumPy's must end here, got: {said}. {AGAIN}"
        ) from error
    _no_objects(str(path), dtype)
    return shape, dtype


def _archive(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
    except zipfile.BadZipFile as error:
        raise errors.InputError(f"{path} must be a whole .npz, got: {error}. {AGAIN}") from error
    if not names:
        raise errors.InputError(f"{path} must hold arrays (.npy), got none.")
    found = {}
    with np.load(path) as arrays:
        for name in (name.removesuffix(".npy") for name in names):
            try:
                found[name] = arrays[name]
            except (zipfile.BadZipFile, zlib.error, EOFError, SyntaxError, ValueError) as error:
                said = str(error).partition("\n")[0].rstrip(".")
                raise errors.InputError(
                    f"The array {name!r} of {path} must be whole and of numbers, got: {said}. "
                    f"{AGAIN}"
                ) from error
    return found


def _no_objects(name: str, dtype: np.dtype) -> None:
    if dtype.hasobject:
        raise errors.InputError(
            f"{name} must hold numbers, got pickled objects, which can run programs. "
            "Save it as an array of numbers."
        )
