"""Reading the files a user names: what is missing or damaged is told in one line, no traceback."""

import gzip
import os
import pathlib
import zlib

from jaxdl import errors

BLOCK = 1 << 20  # bytes asked for at once, so that a wrong length in a header reserves no memory
SHOWN = 6  # names of a folder that a message lists


def folder(path: str | pathlib.Path, remedy: str) -> pathlib.Path:
    """The folder as a path; `remedy` ends the message where there is none."""
    if not str(path):
        raise errors.InputError(f"The data folder must be given, got an empty name. {remedy}")
    found = os.path.expanduser(path)
    if not os.path.exists(found):
        raise errors.InputError(f"The data folder must exist, got {path}. {remedy}")
    if not os.path.isdir(found):
        raise errors.InputError(f"The data folder must be a folder, got the file {path}. {remedy}")
    return pathlib.Path(found)


def find(directory: pathlib.Path, names: tuple[str, ...], remedy: str) -> pathlib.Path:
    """The first of `names` (alternatives) that is a file of the folder."""
    for name in names:
        if os.path.isfile(directory / name):
            return directory / name
    wanted = " or ".join(names)
    raise errors.InputError(
        f"The folder {directory} must hold {wanted}, got {_listing(directory)}. {remedy}"
    )


def read(path: pathlib.Path, limit: int, remedy: str) -> bytes:
    """At most `limit` bytes of a file, decompressed where its name ends in .gz."""
    opener = gzip.open if path.suffix == ".gz" else open
    parts: list[bytes] = []
    left = limit
    try:
        with opener(path, "rb") as file:
            while left > 0 and (part := file.read(min(left, BLOCK))):
                parts.append(part)
                left -= len(part)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise errors.InputError(
            f"{path} must be a whole gzip file, got: {_reason(error)}. {remedy}"
        ) from error
    except OSError as error:
        raise errors.InputError(f"{path} must be readable, got: {_reason(error)}.") from error
    return b"".join(parts)


def _listing(directory: pathlib.Path) -> str:
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        return f"a folder that cannot be listed ({_reason(error)})"
    if not names:
        return "an empty folder"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.rstrip(".")
