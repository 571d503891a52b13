"""Checkpoints of two processes: each writes what it holds, and both succeed or fail as one."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from trees import ROOT, assert_same, never

from jaxdl.train import checkpoint

HEAD = """
import collections, json, pathlib, sys
sys.path[:0] = ["tests/train"]
import jax, numpy as np
folder, port, me = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
jax.distributed.initialize("127.0.0.1:" + port, 2, me)
from test_checkpoint_processes import numbers, spread
from trees import flip, never
from jaxdl import errors
from jaxdl.train import checkpoint, peers, pieces, stepfolder

def assert_held(tree, wanted):
    for (path, leaf), value in zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(wanted)):
        if not isinstance(leaf, jax.Array):
            assert type(leaf) is type(value) and np.array_equal(leaf, value), path
            continue
        if pieces.is_key(leaf):
            leaf, value = jax.random.key_data(leaf), jax.random.key_data(value)
        for shard in leaf.addressable_shards:
            assert np.array_equal(np.asarray(shard.data), np.asarray(value)[shard.index]), path

def raised(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return [type(error).__name__, str(error)]

def show(name, value):
    print("shown", json.dumps([name, value]), flush=True)  # Gloo prints lines of its own
"""

TOGETHER = """
read, opened = stepfolder._read_piece, collections.Counter()
def counted(folder, sizes, leaf, piece):
    opened[leaf.path, piece.file] += 1
    return read(folder, sizes, leaf, piece)
stepfolder._read_piece = counted

total = jax.jit(lambda tree: tree["rows"].sum() + tree["everywhere"].sum())
with checkpoint.Checkpoints(folder, keep=9) as store:
    show("empty", store.restore(numbers(0), never))
    for step in (1, 2, 3):  # the devices are busy together while the threads wait for each other
        tree = spread(numbers(step))
        store.save(step, tree, {"step": step, "process": me}, -step)
        sums = [float(total(tree)) for _ in range(30)]
        assert len(set(sums)) == 1
    store.wait()
    show("steps", [store.steps(), store.best()])
    got = store.restore(spread(numbers(0)), never)
    show("restored", [got.step, got.meta])
    assert_held(got.tree, numbers(3))
    show("read", sorted(opened))

    bad = numbers(4)
    bad["rows"][-1, -1] = np.nan  # only the second process holds it
    show("nan", raised(store.save, 4, spread(bad), {}))

    usage = stepfolder.shutil.disk_usage
    if me == 1:
        stepfolder.shutil.disk_usage = lambda _: usage(folder)._replace(free=9)
    store.save(4, spread(numbers(4)), {})
    show("full", raised(store.wait))
    stepfolder.shutil.disk_usage = usage

    write = stepfolder.write_part
    if me == 1:
        stepfolder.write_part = None
    store.save(4, spread(numbers(4)), {})
    show("fault", raised(store.wait))
    stepfolder.write_part = write
    show("left", sorted(path.name for path in folder.iterdir()))

    if me == 0:
        flip(folder / "3" / "arrays.1", 5)  # where the second process has its columns
    said = []
    got = store.restore(spread(numbers(0)), said.append)
    show("damaged", [got.step, said])
    assert_held(got.tree, numbers(2))

    store.save(5, spread(numbers(5)), {})
    store.wait()
    show("after", sorted(path.name for path in folder.iterdir()))
    small = spread(numbers(0)) | {"rows": 3}
    show("unfit", raised(store.restore, small, never)[0])

    peers.PATIENCE = 1.0
    if me == 0:
        show("late", raised(store.save, 6, tree, {}))
        distributed = peers.distributed.global_state.client
        distributed.key_value_set("test/late", "")
    else:
        peers.distributed.global_state.client.blocking_key_value_get("test/late", 60_000)
        show("late", raised(store.save, 6, tree, {}))
"""

TAKING_OVER = """
with checkpoint.Checkpoints(folder) as store:
    for sharded in (spread(numbers(0)), spread(numbers(0), turned=True)):
        got = store.restore(sharded, never)
        show("restored", got.step)
        assert_held(got.tree, numbers(7))
"""


def numbers(step):
    """The same on every process; what `spread` makes of it is not."""
    random = np.random.default_rng(step)
    return {
        "rows": random.normal(size=(8, 6)).astype(np.float32),
        "columns": random.normal(size=(3, 8)).astype("bfloat16"),
        "everywhere": random.normal(size=(5,)).astype(np.float32),
        "keys": jax.random.split(jax.random.key(step), 4),
        "key": jax.random.key(step),
        "local": jax.numpy.float32(step),
        "host": np.arange(3) + step,
        "number": step,
    }


def spread(tree, turned=False):
    """Over all devices of all processes; `turned`: the other way round, split otherwise."""
    devices = jax.devices()[::-1] if turned else jax.devices()
    mesh = jax.sharding.Mesh(devices, "data")
    rows, columns = jax.P("data"), jax.P(None, "data")
    specs = {
        "rows": jax.P() if turned else rows,
        "columns": columns,
        "everywhere": jax.P(),
        "keys": rows,
        "key": jax.P(),
    }
    placed = {name: jax.NamedSharding(mesh, spec) for name, spec in specs.items()}
    return tree | {name: _global(tree[name], at) for name, at in placed.items()}


def _global(value, sharding):
    key = isinstance(value, jax.Array)
    data = np.asarray(jax.random.key_data(value) if key else value)
    array = jax.make_array_from_callback(data.shape, sharding, data.__getitem__)
    return jax.random.wrap_key_data(array) if key else array


def both(program, folder):
    """What each of two processes shows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "error", "-c", HEAD + program, str(folder), str(port)]
    started = [
        subprocess.Popen(
            [*command, str(i)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for i in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], outputs
    pairs = [[line.partition(" ") for line in output.splitlines()] for output, _ in outputs]
    return [[json.loads(rest) for word, _, rest in lines if word == "shown"] for lines in pairs]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    first, second = (dict(lines) for lines in both(TOGETHER, folder))
    return folder, first, second


def test_both_save_and_restore_beside_collectives(shown):
    _, first, second = shown
    for process in (first, second):
        assert process["empty"] is None
        assert process["steps"] == [[1, 2, 3], 1]
        assert process["restored"] == [3, {"step": 3, "process": 0}]
    alone = {name for name, file in first["read"] if file == "arrays.0"}
    assert alone == set(numbers(0))
    assert not [name for name, file in first["read"] if file == "arrays.1"]
    own = {name for name, file in second["read"] if file == "arrays.1"}
    assert own == {"rows", "columns", "keys"}
    assert {name for name, file in second["read"] if file == "arrays.0"} == alone - own


def test_what_one_finds_stops_both(shown):
    folder, first, second = shown
    nan = "The state at step 4 must be free of NaN to be saved, got NaN in rows. The checkpoints "
    assert second["nan"] == ["NonFiniteError", nan + "before it stay."]
    assert first["nan"] == ["NonFiniteError", nan + "before it stay. (process 1)"]
    for process in (first, second):
        kind, line = process["full"]
        assert kind == "StorageError"
        assert line.startswith(f"Checkpoints must be written to {folder}, got: No space left")
        assert process["unfit"] == "InputError"
    assert first["left"] == ["1", "2", "3"]
    assert second["fault"][0] == "TypeError"
    assert first["fault"][0] == "RuntimeError"
    assert first["fault"][1].startswith("Process 1 failed with TypeError: ")


def test_a_damaged_piece_is_skipped_by_both(shown):
    _, first, second = shown
    why = "Skipped the checkpoint of step 3: checksum of leaf columns differs"
    assert second["damaged"] == [2, [f"{why}."]]
    assert first["damaged"] == [2, [f"{why} (process 1)."]]
    assert first["after"] == second["after"] == ["1", "2", "5"]


def test_who_does_not_come_is_named(shown):
    _, first, second = shown
    line = (
        "Checkpoints must be written and read by all 2 processes within 1 s, got no word from "
        "process 1. Look at its output, and launch again to resume."
    )
    assert first["late"] == second["late"] == ["StorageError", line]


def test_one_process_takes_over_from_two(shown):
    folder, _, _ = shown
    with checkpoint.Checkpoints(folder) as store:
        for template in (numbers(0), spread(numbers(0)), spread(numbers(0), turned=True)):
            assert_same(store.restore(template, never).tree, numbers(5))
    assert sorted(os.listdir(folder / "5")) == ["arrays.0", "arrays.1", "manifest.jsonl"]


def test_two_processes_take_over_from_one(tmp_path: pathlib.Path):
    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(7, spread(numbers(7)), {})
    for lines in both(TAKING_OVER, tmp_path):
        assert lines == [["restored", 7]] * 2
