"""Text as bytes: a vocabulary of 256 that needs no tokenizer and covers every file.

A corpus is one uint8 array. Files are joined by a zero byte, which no text file holds, so that a
model can learn where one ends. A folder is split by file: a hash of the relative path decides the
side, so that a file keeps it on every machine and when others come and go. A single file is split
by position: its end is the test.

`stdlib()` is Python's own standard library, about 8 MB of sources that are on every machine (Python
Software Foundation, since 1991; PSF licence 2). They differ a little between versions of Python:
compare scores within one version, or with the baselines of `ngram` on the same text.
"""

import hashlib
import pathlib
import sysconfig
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8

from jaxdl import errors
from jaxdl.data import checks, files

SEPARATOR = 0
VOCABULARY = 256
# What bytes look like; those that are no letter of ASCII by their number.
NAMES = tuple(repr(chr(i))[1:-1] if i < 127 else f"\\x{i:02x}" for i in range(VOCABULARY))

# Of the standard library: tests, what others installed, generated tables, and what distributions
# package apart, so that the corpus is nearly the same on all of them.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
LEFT_OUT |= {"encodings", "pydoc_data", "entities.py"}
LEFT_OUT |= {"distutils", "ensurepip", "idlelib", "lib2to3", "tkinter", "turtledemo"}
LEFT_OUT_STARTS = ("_sysconfigdata", "sitecustomize", "usercustomize", "config-")


class Corpus(NamedTuple):
    """The text to learn from and the text to be examined on; unpacks as `train, test`."""

    train: UInt8[np.ndarray, "train_bytes"]
    test: UInt8[np.ndarray, "test_bytes"]


def load(
    path: str | pathlib.Path,
    pattern: str = "**/*.txt",
    test_fraction: float = 0.1,
    limit: int = 1 << 30,
    least: int = 1,
) -> Corpus:
    """The bytes of a file, or of the files of a folder that match a glob `pattern`.

    test_fraction: the part of the file's bytes, or about that part of the files, in the test.
    limit: bytes read in all; the rest of the file or folder is left out.
    least: bytes that the training and the test part must each have.
    """
    _check(test_fraction, limit)
    found = pathlib.Path(path).expanduser() if str(path).strip() else path
    if isinstance(found, pathlib.Path) and found.is_file():
        return _by_position(found, test_fraction, limit, least)
    root = files.folder(found, "Name a text file, or a folder of text files.")
    return _by_file(root, _matches(root, pattern), pattern, test_fraction, limit, least)


def stdlib(test_fraction: float = 0.1, limit: int = 1 << 26, least: int = 1) -> Corpus:
    """The sources of Python's standard library; test_fraction, limit and least as in `load`."""
    _check(test_fraction, limit)
    root = files.folder(
        sysconfig.get_path("stdlib"),
        "Use a complete installation of Python, or name a folder of text.",
    )
    paths = [path for path in _matches(root, "**/*.py") if _kept(path.relative_to(root))]
    return _by_file(root, paths, "**/*.py", test_fraction, limit, least)


def encode(text: str) -> UInt8[np.ndarray, "t"]:
    """The UTF-8 bytes of a text, as for a prompt."""
    return np.frombuffer(text.encode("utf-8"), np.uint8)


def decode(tokens: Integer[np.ndarray, "t"]) -> str:
    """Bytes as text: what is not UTF-8 becomes U+FFFD, a separator becomes ␀."""
    checks.labels(tokens, VOCABULARY, "The bytes of a text")
    text = tokens.astype(np.uint8).tobytes().decode("utf-8", errors="replace")
    return text.replace(chr(SEPARATOR), "␀")


def _by_position(path: pathlib.Path, test_fraction: float, limit: int, least: int) -> Corpus:
    data = np.frombuffer(_read(path, limit), np.uint8)
    cut = len(data) - round(len(data) * test_fraction)
    return _checked(Corpus(data[:cut], data[cut:]), str(path), least, "Use a longer text")


def _by_file(
    root: pathlib.Path,
    paths: list[pathlib.Path],
    pattern: str,
    test_fraction: float,
    limit: int,
    least: int,
) -> Corpus:
    """Files in the order of a hash, so that those within the limit are a fair sample of all."""
    if not paths:
        raise errors.InputError(
            f"The folder {root} must hold files that match {pattern}, got none. "
            "Check the folder and the pattern."
        )
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    left = limit
    for path in sorted(paths, key=lambda path: _hash("order", path.relative_to(root))):
        data = _read(path, left)
        if data:
            parts[_hash("side", path.relative_to(root)) < test_fraction].append(data)
            left -= len(data) + 1
        if left <= 0:
            break
    train, test = (np.frombuffer(bytes([SEPARATOR]).join(part), np.uint8) for part in parts)
    where = f"{root} ({len(parts[0])} files to learn from, {len(parts[1])} for the test)"
    return _checked(Corpus(train, test), where, least, "Add files, or join them into one")


def _read(path: pathlib.Path, limit: int) -> bytes:
    return files.read(path, limit, "Replace the file, or decompress it by hand.")


def _check(test_fraction: float, limit: int) -> None:
    checks.fraction(test_fraction, "test_fraction")
    if limit < 1:
        raise errors.InputError(f"limit must be at least 1 byte, got {limit}.")


def _checked(corpus: Corpus, where: str, least: int, remedy: str) -> Corpus:
    for name, part in (("training", corpus.train), ("test", corpus.test)):
        if len(part) < max(1, least):
            raise errors.InputError(
                f"The {name} part of {where} must be {max(1, least)} bytes or longer, "
                f"got {len(part)}. {remedy}, or raise the limit."
            )
    return corpus


def _hash(purpose: str, relative: pathlib.PurePath) -> float:
    """A number in [0, 1) that depends on the purpose and the path alone."""
    name = f"{purpose}/{relative.as_posix()}".encode("utf-8", errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[:6], "big") / 2**48


def _matches(root: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    try:
        return [path for path in root.glob(pattern) if path.is_file()]
    except (ValueError, NotImplementedError, OSError) as error:
        raise errors.InputError(
            f"pattern must be a relative glob pattern such as **/*.txt, got {pattern!r}: {error}."
        ) from error


def _kept(relative: pathlib.PurePath) -> bool:
    return not any(part in LEFT_OUT or part.startswith(LEFT_OUT_STARTS) for part in relative.parts)
