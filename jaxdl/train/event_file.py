"""The files TensorBoard reads: records that are appended, and cut back when a run resumes.

Format: TensorFlow's TFRecord (Google, 2015) of `Event` protocol buffers, without TensorFlow. A
record is the length of its data, the masked CRC32C of that length, the data and the masked CRC32C
of the data.
"""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import contextlib
import os
import pathlib
import socket
import struct
import time
from collections.abc import Iterator

import crc32c  # native: TensorBoard's own is pure Python, 0.28 s for each megabyte
from tensorboard.compat.proto import event_pb2

from jaxdl import errors

PREFIX = "events.out.tfevents."
SUFFIX = ".jaxdl"  # tells the run's own files from those of a profiler or of a user's script
SESSION_TAGS = "_hparams_/"

_HEADER = struct.Struct("<QI")  # the length of the data and its checksum
_FOOTER = struct.Struct("<I")  # the checksum of the data
_MASK = 0xA282EAD8  # TFRecord's: the checksum of data that contains its checksum is weak
_BUFFER = 1 << 16


class EventFile:
    """A new event file: `append` collects events, `flush` hands them to the operating system.

    Its name sorts behind those of the run's earlier files, because readers read them in that order,
    also where the clock was set back or a run resumes on another machine. Every failure to write
    raises `errors.StorageError`; after one, each further event raises it again and `close` stays
    quiet.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._pending = bytearray()
        self._failure: str | None = None
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Without Python's buffer, which after a failure would try again when it is closed.
            self._file = (folder / _name(folder)).open("xb", buffering=0)
        self.path = pathlib.Path(self._file.name)

    def append(self, event: event_pb2.Event) -> None:
        """Adds one event; it is safe from a kill of the process once `flush` has returned."""
        if self._failure is not None:
            raise errors.StorageError(self._failure)
        self._pending += record(event)
        if len(self._pending) >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Returns when the operating system has every event: a kill -9 then loses none.

        There is no fsync: it would cost milliseconds a call and help only where the machine itself
        goes down, after which readers still find every whole record.
        """
        if self._failure is not None:
            raise errors.StorageError(self._failure)
        try:
            with storage(self._folder):
                while self._pending:
                    written = self._file.write(self._pending)
                    del self._pending[:written]
        except errors.StorageError as error:
            self._failure = str(error)
            raise

    def close(self) -> None:
        """Flushes, unless writing has already failed, and closes; a second call does nothing."""
        if self._file.closed:
            return
        try:
            if self._failure is None:
                self.flush()
        finally:
            # Some network file systems report a full disk only here.
            with contextlib.suppress(OSError) if self._failure else storage(self._folder):
                self._file.close()


def record(event: event_pb2.Event) -> bytes:
    """The bytes of one event as they stand in a file."""
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return b"".join((length, _FOOTER.pack(_masked(length)), data, _FOOTER.pack(_masked(data))))


def read(content: bytes) -> Iterator[tuple[event_pb2.Event, bytes]]:
    """The whole events of a file with their records, up to the first torn or damaged one."""
    start = 0
    while start + _HEADER.size <= len(content):
        length, checksum = _HEADER.unpack_from(content, start)
        first = start + _HEADER.size
        end = first + length + _FOOTER.size
        if checksum != _masked(content[start : start + 8]) or end > len(content):
            return
        data = content[first : end - _FOOTER.size]
        if _FOOTER.unpack_from(content, end - _FOOTER.size)[0] != _masked(data):
            return
        yield event_pb2.Event.FromString(data), content[start:end]
        start = end


def cut(folder: pathlib.Path, step: int) -> bool:
    """Takes out of the run's files what a run that continues after `step` logs again; is there any
    file?

    Kept are the events up to and including `step` (none for 0: the run begins anew), without the
    hyperparameters' session records, of which TensorBoard shows the first and the resumed run
    writes new ones. A torn last record goes as well. Each file is replaced in one piece or not at
    all. A mark (SessionLog.START) alone is not enough: TensorBoard's default reader ignores it, and
    a tag that is not logged again would keep its abandoned points.
    """
    found = False
    with storage(folder):
        for path in _own_files(folder):
            found = True
            content = path.read_bytes()
            kept = b"".join(data for event, data in read(content) if _is_kept(event, step))
            if len(kept) < len(content):
                _replace(path, kept)
    return found


def _is_kept(event: event_pb2.Event, step: int) -> bool:
    if event.HasField("file_version"):
        return True
    if step == 0 or event.step > step:
        return False
    return not any(value.tag.startswith(SESSION_TAGS) for value in event.summary.value)


def _replace(path: pathlib.Path, content: bytes) -> None:
    # No reader takes this name for an event file. Empty files are not removed: a live reader would
    # get stuck.
    temporary = path.with_name("rewritten.temporary")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _own_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob(f"{PREFIX}*{SUFFIX}"))


def _name(folder: pathlib.Path) -> str:
    starts = [path.name.removeprefix(PREFIX).split(".")[0] for path in _own_files(folder)]
    seconds = [int(start) for start in starts if start.isdecimal()]
    second = max([int(time.time()), *(earlier + 1 for earlier in seconds)])
    unique = f"{socket.gethostname()}.{os.getpid()}.{time.time_ns()}"
    return f"{PREFIX}{second:010d}.{unique}{SUFFIX}"


def _masked(data: bytes) -> int:
    checksum = crc32c.crc32c(data)
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


@contextlib.contextmanager
def storage(folder: pathlib.Path) -> Iterator[None]:
    """What cannot be written there raises `errors.StorageError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise errors.StorageError(
            f"TensorBoard's event file must be writable in {folder}, got: {reason}. "
            "Free space there or choose another folder; what was flushed before is safe."
        ) from error


def scalars(folder: pathlib.Path, last: int) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of all scalars up to step `last`, in the order they were written."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for path in _own_files(folder):
        for event, _ in read(path.read_bytes()):
            if event.step > last:
                continue
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves
