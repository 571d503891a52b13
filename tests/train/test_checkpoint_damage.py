"""Checkpoints on a disk that spoils, fills up or fails, and in processes that are killed."""

import errno
import os
import typing

import numpy as np
import pytest
from trees import assert_same, child, files, flip, never, save_all, small

from jaxdl import errors
from jaxdl.train import checkpoint, stepfolder


class Usage(typing.NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_flipped_byte_is_found(tmp_path, part):
    save_all(tmp_path, [1, 2], size=20_000)
    largest = max(files(tmp_path / "2"), key=lambda path: path.stat().st_size)
    flip(largest, int(largest.stat().st_size * part))
    said = []
    with checkpoint.Checkpoints(tmp_path) as store:
        got = store.restore(small(0, 20_000), said.append)
        assert got.step == 1
        assert_same(got.tree, small(1, 20_000))
        assert len(said) == 1
        assert said[0].startswith("Skipped the checkpoint of step 2: checksum of leaf ")
        store.save(3, small(3, 20_000), {}, None)  # the damaged one is of no more use
    assert store.steps() == [1, 3]


@pytest.mark.parametrize("how", ["delete", "truncate"])
def test_every_lost_or_cut_file_is_found(tmp_path, how):
    save_all(tmp_path, [1, 2])
    for path in [path for path in files(tmp_path / "2") if path.stat().st_size]:
        before, said = path.read_bytes(), []
        path.unlink() if how == "delete" else os.truncate(path, len(before) - 2)
        with checkpoint.Checkpoints(tmp_path) as store:
            assert store.restore(small(0), said.append).step == 1
        assert len(said) == 1 and path.name in said[0] and "\n" not in said[0]
        path.write_bytes(before)


def test_no_good_checkpoint_is_an_error_not_a_fresh_start(tmp_path):
    save_all(tmp_path, [1, 2])
    for step in (1, 2):
        (tmp_path / str(step) / "manifest.jsonl").write_text("{}\n")
    said = []
    with checkpoint.Checkpoints(tmp_path) as store:
        with pytest.raises(errors.StorageError, match="must hold a good checkpoint, got 2 damaged"):
            store.restore(small(0), said.append)
        with pytest.raises(errors.StorageError, match="of step 3, got 0 damaged"):
            store.restore(small(0), said.append, step=3)
    assert said[0] == "Skipped the checkpoint of step 2: checksum of manifest.jsonl differs."
    assert len(said) == 2


def test_a_full_disk_is_one_line_and_costs_nothing_else(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(1, small(1), {}, None)
        store.wait()
        with monkeypatch.context() as patch:
            patch.setattr(stepfolder.os, "fsync", full)
            store.save(2, small(2), {}, None)
            with pytest.raises(errors.StorageError) as caught:
                store.save(3, small(3), {}, None)
        assert str(caught.value) == (
            f"Checkpoints must be written to {tmp_path}, got: No space left on device. Free some "
            "space there, or choose another --logdir; the checkpoints already there are safe."
        )
        assert [path.name for path in tmp_path.iterdir()] == ["1"]
        monkeypatch.setattr(stepfolder.shutil, "disk_usage", lambda _: Usage(9, 9, 9))
        store.save(4, small(4), {}, None)
        with pytest.raises(errors.StorageError, match=r"0\.0 MB free"):
            store.wait()
        assert store.restore(small(0), never).step == 1


def test_a_file_in_the_folders_place_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "checkpoints"):
        with pytest.raises(errors.StorageError, match="Move the file away"):
            checkpoint.Checkpoints(folder)


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path, monkeypatch):
    def broken(folder, process, held):
        raise ZeroDivisionError

    monkeypatch.setattr(stepfolder, "write_part", broken)
    store = checkpoint.Checkpoints(tmp_path)
    store.save(1, small(1), {}, None)
    with pytest.raises(ZeroDivisionError):
        store.close()
    assert list(tmp_path.iterdir()) == []


QUIET = """
import pathlib, resource, sys
import numpy as np
from jaxdl import errors
from jaxdl.train import checkpoint

folder = pathlib.Path(sys.argv[1])
tree = {f"leaf{i}": np.arange(30_000.0) + i for i in range(8)}
said = []
with checkpoint.Checkpoints(folder) as store:
    for step in (1, 2):
        store.save(step, tree, {}, None)
    store.wait()
    for path in [path for path in (folder / "2").rglob("*") if path.is_file()]:
        before = path.read_bytes()
        for part in (0.02, 0.3, 0.7, 0.98) if before else ():
            data = bytearray(before)
            data[int(len(data) * part)] ^= 4
            path.write_bytes(data)
            got = store.restore(tree, said.append)
            assert all(np.array_equal(got.tree[name], tree[name]) for name in tree)
        path.write_bytes(before)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    store.save(3, tree, {}, None)
    try:
        store.wait()
    except errors.StorageError as error:
        print(error)
assert all("\\n" not in line and len(line) < 450 for line in said), said
print(len(said), *sorted(path.name for path in folder.iterdir()))
"""


def test_damage_and_a_file_limit_are_quiet(tmp_path):
    done = child(QUIET, tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    line, last = done.stdout.splitlines()
    assert "File too large. Raise the limit on a file's size (ulimit -f)" in line
    skipped, *names = last.split()
    assert int(skipped) == 8 and names == ["1", "2"]


KILLED = """
import os, pathlib, random, signal, sys, time
import numpy as np
from jaxdl.train import checkpoint

folder = pathlib.Path(sys.argv[1])
delays = random.Random(0)

def work():
    tree = {f"leaf{i}": np.full(5_000, 0) for i in range(4)}
    store = checkpoint.Checkpoints(folder, keep=2)
    got = store.restore(tree, print)
    step = 0
    if got:
        step = got.step
        assert got.meta == {"step": step}
        assert all((leaf == step).all() for leaf in got.tree.values()), step
    print("restored", step, flush=True)
    while True:
        step += 1
        store.save(step, {name: leaf * 0 + step for name, leaf in tree.items()}, {"step": step})

for _ in range(9):
    if not (process := os.fork()):
        try:
            work()
        finally:
            os._exit(1)
    time.sleep(delays.uniform(0.1, 0.4))
    os.kill(process, signal.SIGKILL)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL
"""


def test_kills_leave_only_complete_checkpoints(tmp_path):
    done = child(KILLED, tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {words[0] for words in lines} == {"restored"}  # nothing was skipped as damaged
    steps = [int(words[1]) for words in lines]
    assert steps == sorted(steps) and steps[-1] >= 8
    tree = {f"leaf{i}": np.zeros(5_000, int) for i in range(4)}
    with checkpoint.Checkpoints(tmp_path, keep=2) as store:
        newest = store.restore(tree, never)
        assert all((leaf == newest.step).all() for leaf in newest.tree.values())
        store.save(newest.step + 1, tree, {}, None)
    assert len(list(tmp_path.iterdir())) == 2
