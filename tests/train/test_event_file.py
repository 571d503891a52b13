"""Event files that are killed, cut, damaged or refused."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing import event_accumulator

from jaxdl import errors
from jaxdl.train import event_file, tensorboard


def log(folder: pathlib.Path, steps: range) -> pathlib.Path:
    with tensorboard.Writer(folder) as writer:
        for step in steps:
            writer.scalars(step, {"loss": 1 / (1 + step)})
    return writer.path


def steps(folder: pathlib.Path) -> list[int]:
    """The points of the tag loss as scripts read them."""
    reader = event_accumulator.EventAccumulator(str(folder), {"scalars": 0})
    reader.Reload()
    return [event.step for event in reader.Scalars("loss")]


def test_names_sort_by_start_and_others_are_left_alone(tmp_path):
    future = tmp_path / f"events.out.tfevents.9000000000.host.1.1{event_file.SUFFIX}"
    log(tmp_path, range(50, 51)).rename(future)  # by a machine whose clock was wrong
    other = tmp_path / "events.out.tfevents.1.profile-empty"
    other.write_bytes(b"not ours")
    paths = []
    for _ in range(3):
        with tensorboard.Writer(tmp_path, 10) as writer:
            paths.append(writer.path.name)
    assert sorted([*paths, future.name]) == [future.name, *paths]
    assert other.read_bytes() == b"not ours"
    assert [event.step for event, _ in event_file.read(future.read_bytes())] == [0, 0]


def test_damage_ends_reading(tmp_path):
    content = log(tmp_path, range(3)).read_bytes()
    whole = [data for _, data in event_file.read(content)]
    assert b"".join(whole) == content
    for size in range(len(content) - len(whole[-1]), len(content)):
        assert [data for _, data in event_file.read(content[:size])] == whole[:-1]
    flipped = bytearray(content)
    flipped[len(whole[0]) + 14] ^= 1
    assert [data for _, data in event_file.read(bytes(flipped))] == whole[:1]


KILLED = """
import os, pathlib, signal, sys
from jaxdl.train import tensorboard
writer = tensorboard.Writer(pathlib.Path(sys.argv[1]))
for step in range(300):
    writer.scalars(step, {"loss": step, "accuracy": 2 * step})
writer.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""

FULL = """
import pathlib, resource, sys
from jaxdl import errors
from jaxdl.train import tensorboard
writer = tensorboard.Writer(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
with writer:
    for step in range(100):
        writer.scalars(step, {"loss": step})
    for action in (writer.flush, writer.flush, lambda: writer.finish(False)):
        try:
            action()
        except errors.StorageError as error:
            print(error)
writer.close()
"""


def child(code: str, folder: pathlib.Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_flush_is_safe_from_kill(tmp_path):
    assert child(KILLED, tmp_path).returncode == -signal.SIGKILL
    assert steps(tmp_path) == list(range(300))


def test_full_disk_is_one_line(tmp_path):
    result = child(FULL, tmp_path)
    assert result.returncode == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert len(lines) == 3 and len(set(lines)) == 1
    assert str(tmp_path) in lines[0] and "File too large" in lines[0] and "Free space" in lines[0]
    # What fitted is whole, and a resumed run reads and continues it.
    with tensorboard.Writer(tmp_path, 10) as writer:
        writer.scalars(11, {"loss": 11})
    assert steps(tmp_path) == list(range(12))


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.StorageError, match=r"must be writable in .*/file/run, got: Not a"):
        tensorboard.Writer(tmp_path / "file" / "run")
    with pytest.raises(ValueError, match="at least 0, got -1"):
        tensorboard.Writer(tmp_path, -1)


def test_rewriting_fails_without_harm(tmp_path, monkeypatch):
    path = log(tmp_path, range(9))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.StorageError, match="No space left"):
        tensorboard.Writer(tmp_path, 4)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before
