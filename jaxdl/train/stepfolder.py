"""One checkpoint's folder: the bytes of arrays, and a manifest that can tell damage.

    arrays.0, arrays.1, …  the pieces that process 0, 1, … held, one after another as plain bytes
    manifest.jsonl         line 1: the CRC-32 of line 2; line 2: step, score, meta, files' sizes,
                           leaves with the place and the checksum of each piece

So `np.fromfile(folder / "arrays.0", dtype, count, offset=offset)` reads a leaf that was on one
device. Orbax (Google, 2022) has no checksums, and cannot write this: its `save` needs collectives
of the devices, which a thread must not use beside the steps, and NumPy arrays of any process but
the first it leaves out without a word.
"""

import contextlib
import errno
import itertools
import json
import math
import os
import pathlib
import shutil
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors
from jaxdl.train import pieces

REMEDIES = {
    errno.ENOSPC: "Free some space there",
    errno.EDQUOT: "Free some of the quota there",
    errno.EFBIG: "Raise the limit on a file's size (ulimit -f)",
    errno.EACCES: "Make the folder writable",
    errno.EPERM: "Make the folder writable",
    errno.EROFS: "Make the folder writable",
    errno.ENOENT: "Give all processes the same disk there",
    errno.ENOTDIR: "Move the file away that stands where a folder must be",
    errno.EEXIST: "Move the file away that stands where a folder must be",
}


class Piece(NamedTuple):
    """Where a box of a leaf is, in bytes from the beginning of a file, and their CRC-32."""

    box: pieces.Box
    file: str
    offset: int
    crc: int


class Leaf(NamedTuple):
    """One leaf in the manifest; `key` is the implementation of random keys."""

    path: str
    shape: list[int]
    dtype: str
    key: str | None
    pieces: list[Piece]


class Part(NamedTuple):
    """What one process wrote: its files' sizes, and the pieces of every leaf."""

    files: dict[str, int]
    pieces: list[list[Piece]]


class Damaged(Exception):
    """Why a checkpoint cannot be used."""


def write_part(
    folder: pathlib.Path, process: int, held: list[list[tuple[pieces.Box, np.ndarray]]]
) -> Part:
    """Writes what one process holds of every leaf; all on disk in the end."""
    name = f"arrays.{process}"
    written = []
    with open(folder / name, "wb") as file:
        for leaf in held:
            written.append([])
            for box, array in leaf:
                data = _bytes(array)
                written[-1].append(Piece(box, name, file.tell(), zlib.crc32(data)))
                file.write(data)
        size = file.tell()
        _flush(file)
    return Part({name: size}, written)


def hand_over(folder: pathlib.Path, process: int, part: Part) -> None:
    """Leaves in the folder what the process that writes the manifest must know."""
    _write_json(folder / f"part.{process}", part)


def take_over(folder: pathlib.Path, process: int) -> Part:
    path = folder / f"part.{process}"
    files, written = _read_json(path)
    path.unlink()
    return Part(files, [[_piece(row) for row in leaf] for leaf in written])


def write_manifest(folder: pathlib.Path, head: dict, leaves: list[Leaf], parts: list[Part]) -> None:
    """Makes the folder whole: what the processes wrote must be every leaf, and all of it."""
    files = {name: size for part in parts for name, size in part.files.items()}
    rows = zip(*(part.pieces for part in parts), strict=True)
    leaves = [
        leaf._replace(pieces=list(itertools.chain.from_iterable(row)))
        for leaf, row in zip(leaves, rows, strict=True)
    ]
    for leaf in leaves:
        got, size = sum(pieces.volume(piece.box) for piece in leaf.pieces), math.prod(leaf.shape)
        if got != size:
            raise RuntimeError(
                f"Leaf {leaf.path} must be held as a whole by the processes, got {got} of "
                f"{size} elements."
            )
    _write_json(folder / "manifest.jsonl", {**head, "leaves": leaves, "files": files})
    sync(folder)


def read_manifest(folder: pathlib.Path) -> tuple[dict, list[Leaf]]:
    manifest = _read_json(folder / "manifest.jsonl")
    leaves = [Leaf._make(row) for row in manifest["leaves"]]
    return manifest, [leaf._replace(pieces=[_piece(row) for row in leaf.pieces]) for leaf in leaves]


def read(
    folder: pathlib.Path, sizes: dict[str, int], leaf: Leaf, boxes: list[pieces.Box]
) -> dict[pieces.Box, np.ndarray]:
    """Boxes of a leaf with the bytes that were saved; only the pieces they need are read."""
    needed = [
        piece
        for piece in leaf.pieces
        if any(pieces.common(piece.box, box) is not None for box in boxes)
    ]
    found = [(piece.box, _read_piece(folder, sizes, leaf, piece)) for piece in needed]
    return {box: pieces.cut(found, box, _blank(leaf, box)) for box in boxes}


def _read_piece(
    folder: pathlib.Path, sizes: dict[str, int], leaf: Leaf, piece: Piece
) -> np.ndarray:
    array, wanted = _blank(leaf, piece.box), sizes[piece.file]
    data = _bytes(array)
    try:
        with open(folder / piece.file, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != wanted:
                raise Damaged(f"{piece.file} must have {wanted} bytes, got {size}")
            file.seek(piece.offset)
            file.readinto(data)
    except OSError as error:
        raise Damaged(f"{piece.file}: {error.strerror}") from error
    if zlib.crc32(data) != piece.crc:
        raise Damaged(f"checksum of leaf {leaf.path} differs")
    return array


def _blank(leaf: Leaf, box: pieces.Box) -> np.ndarray:
    shape = [stop - start for start, stop in box]
    if leaf.key:
        width = jax.random.key_data(jax.random.key(0, impl=leaf.key)).shape
        return np.empty((*shape, *width), np.uint32)
    return np.empty(shape, jnp.dtype(leaf.dtype))


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _piece(row: Sequence) -> Piece:
    box, file, offset, crc = row
    return Piece(tuple((start, stop) for start, stop in box), file, offset, crc)


def _write_json(path: pathlib.Path, value: Any) -> None:
    body = json.dumps(value)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'{{"crc32": {zlib.crc32(body.encode())}}}\n{body}\n')
        _flush(file)


def _read_json(path: pathlib.Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        check, body = text.splitlines()
        intact = json.loads(check)["crc32"] == zlib.crc32(body.encode())
    except OSError as error:
        raise Damaged(f"{path.name}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError):
        intact, body = False, ""
    if not intact:
        raise Damaged(f"checksum of {path.name} differs")
    return json.loads(body)


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync(folder: pathlib.Path) -> None:
    """A rename outlives a power cut only when its folder is flushed too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_space(folder: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"{os.strerror(errno.ENOSPC)} ({needed / 1e6:.1f} MB needed, {free / 1e6:.1f} MB free)",
        )


@contextlib.contextmanager
def reported(folder: pathlib.Path) -> Iterator[None]:
    """Turns what the disk says into one line."""
    try:
        yield
    except (OSError, Damaged) as error:
        code, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
        remedy = REMEDIES.get(code or 0, "Look after that disk")
        raise errors.StorageError(
            f"Checkpoints must be written to {folder}, got: {reason or error}. "
            f"{remedy}, or choose another --logdir; the checkpoints already there are safe."
        ) from error
