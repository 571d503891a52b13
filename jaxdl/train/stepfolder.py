"""One checkpoint's folder: arrays by Orbax (Google, 2022), and a manifest that can tell damage.

Only this module knows Orbax. What Orbax lacks is here: a checksum for each leaf (it loads a flipped
byte without a word), one error where it prints hundreds of lines, and empty and tiny-float arrays.

    arrays/         an Orbax checkpoint of {leaf's path: array}; `ocp.load` opens it
    manifest.jsonl  line 1: the CRC-32 of line 2; line 2: step, score, meta, leaves, files' sizes
"""

import contextlib
import errno
import gc
import json
import logging
import os
import pathlib
import re
import shutil
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors

REMEDIES = {
    errno.ENOSPC: "Free some space there",
    errno.EDQUOT: "Free some of the quota there",
    errno.EFBIG: "Raise the limit on a file's size (ulimit -f)",
    errno.EACCES: "Make the folder writable",
    errno.EPERM: "Make the folder writable",
    errno.EROFS: "Make the folder writable",
    errno.ENOTDIR: "Move the file away that stands where a folder must be",
    errno.EEXIST: "Move the file away that stands where a folder must be",
}


class Leaf(NamedTuple):
    """One leaf in the manifest; `crc` is of its bytes, `key` the implementation of a random key."""

    path: str
    shape: list[int]
    dtype: str
    key: str | None
    crc: int


class Damaged(Exception):
    """Why a checkpoint cannot be used."""


def write(folder: pathlib.Path, head: dict, leaves: list[Leaf], arrays: list[np.ndarray]) -> None:
    """Fills an empty folder: arrays first, the manifest last, all on disk in the end."""
    _save_arrays(folder / "arrays", [leaf.path for leaf in leaves], arrays)
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    _write_manifest(folder, {**head, "leaves": leaves, "files": files})


def checksum(array: np.ndarray) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)


def _storable(array: np.ndarray) -> np.ndarray:
    """Small types that the format does not know go as bytes; the manifest has their names."""
    odd = array.dtype.kind == "V" and array.dtype != jnp.bfloat16
    return array.view(f"u{array.dtype.itemsize}") if odd else array


def _save_arrays(folder: pathlib.Path, paths: list[str], copies: list[np.ndarray]) -> None:
    pairs = zip(paths, copies, strict=True)
    arrays = {path: _storable(copy) for path, copy in pairs if copy.size}
    if not arrays:  # Orbax refuses empty arrays and empty trees
        return
    with _orbax() as ocp:
        context = ocp.Context()
        # Trained weights hardly compress, and in plain bytes damage stays within one leaf.
        context.array.saving.use_compression = False
        context.array.saving.use_zarr3 = False
        with context:
            ocp.save(folder, arrays)


def read_arrays(folder: pathlib.Path, sizes: dict[str, int], leaves: list[Leaf]) -> list:
    """The leaves as host arrays, each with the bytes that were saved."""
    for name, size in sizes.items():
        try:
            got = (folder / name).stat().st_size
        except OSError as error:
            raise Damaged(f"{name}: {error.strerror}") from error
        if got != size:
            raise Damaged(f"{name} must have {size} bytes, got {got}")
    loaded = {}
    if any(0 not in leaf.shape for leaf in leaves):
        try:
            with _orbax() as ocp:
                loaded = ocp.load(folder / "arrays")
        except Exception as error:
            reason = str(error).split("\n")[0].split(" [")[0]
            raise Damaged(
                f"Orbax cannot read it, {reason[:300] or type(error).__name__}"
            ) from error
    return [_checked(leaf, loaded.get(leaf.path)) for leaf in leaves]


def _checked(leaf: Leaf, array: Any) -> np.ndarray:
    dtype = np.dtype("uint32") if leaf.key else jnp.dtype(leaf.dtype)
    if 0 in leaf.shape:
        width = jax.random.key_data(jax.random.key(0, impl=leaf.key)).shape if leaf.key else ()
        array = np.zeros((*leaf.shape, *width), dtype)
    if not isinstance(array, np.ndarray):
        raise Damaged(f"leaf {leaf.path} is missing")
    array = np.array(array, order="C", copy=None)
    array = array if array.dtype == dtype else array.view(dtype)
    if checksum(array) != leaf.crc:
        raise Damaged(f"checksum of leaf {leaf.path} differs")
    return array


def _write_manifest(folder: pathlib.Path, manifest: dict) -> None:
    body = json.dumps(manifest)
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as file:
        file.write(f'{{"crc32": {zlib.crc32(body.encode())}}}\n{body}\n')
        file.flush()
        os.fsync(file.fileno())
    sync(folder)


def read_manifest(folder: pathlib.Path) -> tuple[dict, list[Leaf]]:
    try:
        text = (folder / "manifest.jsonl").read_text(encoding="utf-8")
        check, body = text.splitlines()
        intact = json.loads(check)["crc32"] == zlib.crc32(body.encode())
    except OSError as error:
        raise Damaged(f"manifest.jsonl: {error.strerror}") from error
    except (ValueError, TypeError, KeyError):
        intact = False
    if not intact:
        raise Damaged("checksum of manifest.jsonl differs")
    manifest = json.loads(body)
    return manifest, [Leaf(*leaf) for leaf in manifest["leaves"]]


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
def reported(folder: pathlib.Path, unfinished: pathlib.Path | None = None) -> Iterator[None]:
    """Turns what the disk says, through Orbax too, into one line; nothing stays half written."""
    try:
        yield
    except Exception as error:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        code, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
        match = re.search(r"os_error_code='(\d+)'|OS error (\d+)", str(error))
        if match and not isinstance(error, OSError):  # TensorStore's text
            code = int(match[1] or match[2])
            reason = os.strerror(code)
        elif not isinstance(error, OSError):
            raise
        remedy = REMEDIES.get(code or 0, "Look after that disk")
        raise errors.StorageError(
            f"Checkpoints must be written to {folder}, got: {reason or error}. "
            f"{remedy}, or choose another --logdir; the checkpoints already there are safe."
        ) from error


_turn = threading.Lock()  # what `_orbax` hushes belongs to the whole process


@contextlib.contextmanager
def _orbax() -> Iterator[Any]:
    """Orbax, without what its threads print when one file fails: hundreds of lines, and late."""
    from orbax.checkpoint import v1  # 0.2 s, which a run that never saves need not pay

    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    with _turn:
        hook = sys.unraisablehook
        sys.unraisablehook = lambda unraisable: _is_orbax(str(unraisable)) or hook(unraisable)
        for logger in loggers:
            logger.addFilter(_not_orbax)
        try:
            yield v1
        except Exception:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                gc.collect()  # coroutines that were never awaited complain when they are freed
            time.sleep(0.05)  # reads that are still under way find their event loop closed
            raise
        finally:
            sys.unraisablehook = hook
            for logger in loggers:
                logger.removeFilter(_not_orbax)


def _not_orbax(record: logging.LogRecord) -> bool:
    return not _is_orbax(f"{record.pathname} {record.getMessage()}")


def _is_orbax(text: str) -> bool:
    words = ("orbax", "tensorstore", "ocdbt", "event loop is closed", "was never awaited")
    return any(word in text.lower() for word in words)
