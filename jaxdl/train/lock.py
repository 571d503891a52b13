"""One process at a time in a run's folder: two would write over each other's files."""

import fcntl
import os
import pathlib

from jaxdl import errors

FILE = ".lock"


class Lock:
    """Holds a run's folder while entered; the system lets go of it however the process ends."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __enter__(self) -> "Lock":
        self._file = (self.folder / FILE).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise errors.InputError(
                f"The run folder {self.folder} must not be in use, got process {holder} in it. "
                "Wait until it has ended, or choose another --name."
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
