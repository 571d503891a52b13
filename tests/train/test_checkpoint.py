"""Checkpoints: the same bits, the newest good one, and one clear line for everything else."""

import asyncio
import dataclasses
import errno
import pathlib
import subprocess
import sys
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.train import checkpoint, stepfolder

ROOT = pathlib.Path(__file__).parents[2]


class Usage(typing.NamedTuple):
    total: int
    used: int
    free: int


class Pair(typing.NamedTuple):
    first: typing.Any
    second: typing.Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Record:
    value: typing.Any
    nothing: None = None


def hairy():
    rng = np.random.default_rng(0)
    params = {"dense": {"kernel": jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)}}
    bits = jnp.asarray(rng.integers(0, 2**16, 40), jnp.uint16)
    bfloat16 = jax.lax.bitcast_convert_type(bits, jnp.bfloat16)
    return {
        "state": Pair(params, optax.adam(1e-3).init(params)),
        "metrics": {"loss": metrics.Mean(jnp.float32(1.5), jnp.float32(3))},
        "bfloat16": jnp.where(jnp.isnan(bfloat16), jnp.bfloat16(-0.0), bfloat16),
        "extremes": jnp.array([jnp.inf, -jnp.inf, -0.0, 1e-45, 3.4e38], jnp.float32),
        "float16": jnp.arange(3, dtype=jnp.float16),
        "float8": jnp.arange(4, dtype=jnp.float8_e4m3fn),
        "complex": jnp.array([[1 + 2j]], jnp.complex64),
        "ints": [jnp.arange(-3, 3, dtype=dtype) for dtype in (jnp.int8, jnp.int32, jnp.int4)],
        "uint4": jnp.arange(16, dtype=jnp.uint4),
        "bools": (jnp.array([True, False]), jnp.array(True)),
        "keys": [
            jax.random.key(3),
            jax.random.split(jax.random.key(4, impl="rbg"), (2, 2)),
            jax.random.split(jax.random.key(5), 0),
        ],
        "legacy key": jax.random.PRNGKey(0),
        "empty": {
            "leaf": jnp.zeros((2, 0, 3), jnp.bfloat16),
            "dict": {},
            "tuple": (),
            "none": None,
        },
        "record": Record(jnp.uint32(2**32 - 1)),
        "numpy": np.arange(4.0),
        "python": (3, 2.5, True),
        'odd "é"\\': {"x/y": jnp.ones(2), "x": {"y": jnp.zeros(2)}},
    }


def raw(leaf):
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return (str(leaf.dtype), leaf.shape, np.asarray(jax.random.key_data(leaf)).tobytes())
    array = np.asarray(leaf)
    return (array.dtype.name, array.shape, array.tobytes())


def assert_same(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert raw(a) == raw(b)


def never(line):
    raise AssertionError(line)


def small(value, size=8):
    return {"a": jnp.full(size, value, jnp.float32), "b": [jnp.full(size, value, jnp.int32)]}


def save_all(folder, steps, size=8, keep=9):
    with checkpoint.Checkpoints(folder, keep) as store:
        for step in steps:
            store.save(step, small(step, size), {"step": step}, None)


def files(folder):
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.name)


def test_round_trip_is_bit_exact(tmp_path):
    tree = hairy()
    meta = {"position": [1, 2], "best": None, "name": "é"}
    with checkpoint.Checkpoints(tmp_path / "a" / "b") as store:
        assert store.restore(tree, never) is None
        store.save(7, tree, meta, 0.5)
        got = store.restore(tree, never)
    assert (got.step, got.meta) == (7, meta)
    assert_same(got.tree, tree)
    for a, b in zip(jax.tree.leaves(got.tree), jax.tree.leaves(tree), strict=True):
        assert type(a) is type(b)
    assert not got.tree["record"].value.committed  # as free to move as the template


def test_abstract_template_and_running_event_loop(tmp_path):
    tree = {key: value for key, value in hairy().items() if key not in ("numpy", "python")}

    async def cell():  # a notebook's cell runs inside an event loop
        with checkpoint.Checkpoints(tmp_path) as store:
            store.save(1, tree, {}, None)
            return store.restore(jax.eval_shape(lambda: tree), never)

    assert_same(asyncio.run(cell()).tree, tree)


@pytest.mark.parametrize("tree", [{}, None, {"a": jnp.zeros((0, 3))}, jnp.arange(3)])
def test_trees_without_arrays_and_without_containers(tmp_path, tree):
    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(0, tree, {"only": "meta"}, None)
        got = store.restore(tree, never)
    assert got.meta == {"only": "meta"}
    assert_same(got.tree, tree)


def test_buffers_may_be_donated_after_save_and_after_restore(tmp_path):
    spoil = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 - 1, tree), donate_argnums=0)
    with checkpoint.Checkpoints(tmp_path) as store:
        for step in range(1, 4):
            tree = small(step, 300_000)
            store.save(step, tree, {}, None)
            spoil(tree)
            assert tree["a"].is_deleted()
        first = store.restore(small(0, 300_000), never).tree
        second = store.restore(small(0, 300_000), never).tree
        jax.block_until_ready(spoil(first))
        assert_same(second, small(3, 300_000))
        assert_same(store.restore(small(0, 300_000), never).tree, small(3, 300_000))


def test_numpy_leaves_and_meta_may_change_after_save(tmp_path):
    tree, meta = {"a": np.arange(200_000)}, {"position": [1]}
    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(1, tree, meta, None)
        tree["a"][:] = 0
        meta["position"].append(2)
        got = store.restore(tree, never)
    np.testing.assert_array_equal(got.tree["a"], np.arange(200_000))
    assert got.meta == {"position": [1]}


def test_keeps_the_last_and_the_best(tmp_path):
    scores = [0.1, 0.9, float("nan"), 0.9, None, 0.2, 0.3]
    with checkpoint.Checkpoints(tmp_path, keep=2) as store:
        assert store.best() is None
        for step, score in enumerate(scores):
            store.save(step, small(step), {"step": step}, score)
            store.wait()
            assert store.steps()[-1] == step
        assert (store.steps(), store.best()) == ([1, 5, 6], 1)
        assert_same(store.restore(small(0), never, step=1).tree, small(1))
    with checkpoint.Checkpoints(
        tmp_path, keep=1
    ) as store:  # knows the scores of an earlier process
        store.save(7, small(7), {}, 0.8)
        store.wait()
        assert (store.steps(), store.best()) == ([1, 7], 1)
        store.save(8, small(8), {}, 1.5)
    assert store.steps() == [8]


def test_rapid_saves_are_never_skipped(tmp_path):
    save_all(tmp_path, range(6))
    assert [path.name for path in sorted(tmp_path.iterdir())] == list("012345")


def test_a_step_saved_again_is_replaced(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as store:
        for value in (1, 2, 3):
            store.save(5, small(value), {"value": value}, value)
        got = store.restore(small(0), never)
        assert store.steps() == [5]
    assert got.meta == {"value": 3}
    assert_same(got.tree, small(3))
    assert len(list(tmp_path.iterdir())) == 1


def test_leftovers_go_only_when_something_is_saved(tmp_path):
    save_all(tmp_path, [3])
    for name in ("4.tmp", "2.old", "3.1.tmp", "notes"):
        (tmp_path / name / "arrays").mkdir(parents=True)
    with checkpoint.Checkpoints(tmp_path) as store:
        assert store.restore(small(0), never).step == 3
        assert (tmp_path / "4.tmp").exists()  # another process may be writing it
        store.save(4, small(4), {}, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4", "notes"]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_flipped_byte_is_found(tmp_path, part):
    save_all(tmp_path, [1, 2], size=20_000)
    largest = max(files(tmp_path / "2"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[int(len(data) * part)] ^= 1
    largest.write_bytes(data)
    said = []
    with checkpoint.Checkpoints(tmp_path) as store:
        got = store.restore(small(0, 20_000), said.append)
        assert got.step == 1
        assert_same(got.tree, small(1, 20_000))
        assert len(said) == 1
        assert said[0].startswith("Skipped the checkpoint of step 2: checksum of leaf ")
        store.save(3, small(3, 20_000), {}, None)  # the damaged one is of no more use
    assert store.steps() == [1, 3]


def damage(path, how):
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(path.read_bytes()[:-2])
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["delete", "truncate"])
def test_every_lost_or_cut_file_is_found(tmp_path, how):
    save_all(tmp_path, [1, 2])
    for path in [path for path in files(tmp_path / "2") if path.stat().st_size]:
        before, said = path.read_bytes(), []
        damage(path, how)
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


def test_a_reader_follows_a_run_that_moves_on(tmp_path):
    save_all(tmp_path, [1])
    damage(tmp_path / "1" / "manifest.jsonl", "delete")
    with checkpoint.Checkpoints(tmp_path) as store:
        got = store.restore(small(0), lambda line: save_all(tmp_path, [2]))
    assert got.step == 2


def test_a_tree_that_does_not_fit_is_refused_with_a_table(tmp_path):
    save_all(tmp_path, [1, 2])
    template = {
        "a": jnp.zeros((8, 1)),
        "b": [jnp.zeros(8, jnp.float32)],
        "new": [jnp.zeros(1)] * 30,
        "key": jax.ShapeDtypeStruct((2,), jax.random.key(0).dtype),
    }
    with checkpoint.Checkpoints(tmp_path) as store:
        with pytest.raises(errors.InputError) as caught:
            store.restore(template, never)
        with pytest.raises(errors.InputError, match="1 are only in the checkpoint"):
            store.restore({"a": small(0)["a"]}, never)
    lines = str(caught.value).splitlines()
    assert "step 2" in lines[0] and "2 differ, 31 are missing in the checkpoint" in lines[0]
    assert [line.split() for line in lines[1:5]] == [
        ["leaf", "saved", "wanted"],
        ["a", "float32[8]", "float32[8,1]"],
        ["b/0", "int32[8]", "float32[8]"],
        ["key", "-", "key<fry>[2]"],
    ]
    assert "and 19 more that are missing in the checkpoint" in lines[-2]
    assert len(lines) == 1 + 3 + checkpoint.ROWS + 1 + 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float8_e5m2", "complex64"])
def test_a_nan_is_refused(tmp_path, dtype):
    tree = {"good": jnp.array([jnp.inf]), "w": [jnp.ones(3), jnp.array([1, jnp.nan], dtype)]}
    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(1, small(1), {}, None)
        with pytest.raises(errors.NonFiniteError, match=r"NaN in w/1\."):
            store.save(2, tree, {}, None)
        assert store.steps() == [1]


def test_leaves_that_are_no_numbers_are_refused(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as store:
        with pytest.raises(ValueError, match=r"array of numbers, got str in a\."):
            store.save(1, {"a": "text"}, {}, None)
        with pytest.raises(TypeError):
            store.save(1, {}, {"meta": jnp.ones(1)}, None)
        assert store.steps() == []
    with pytest.raises(ValueError, match="at least 1, got 0"):
        checkpoint.Checkpoints(tmp_path, keep=0)


def test_restores_onto_two_devices_and_back(tmp_path):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.NamedSharding(mesh, jax.P("data"))
    tree = {"a": jnp.arange(8.0), "keys": jax.random.split(jax.random.key(0), 4)}
    spread = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=split), tree)
    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(1, tree, {}, None)
        two = store.restore(spread, never).tree
        assert_same(two, tree)
        assert all(x.sharding == split for x in jax.tree.leaves(two))
        store.save(2, two, {}, None)
        assert_same(store.restore(two, never).tree, tree)
        one = store.restore(tree, never)
        assert one.step == 2 and len(one.tree["a"].devices()) == 1
        assert_same(one.tree, tree)


def test_a_full_disk_is_one_line_and_costs_nothing_else(tmp_path, monkeypatch):
    def full(folder, arrays):
        raise ValueError(f"RESOURCE_EXHAUSTED: {folder} [os_error_code='{errno.ENOSPC}']")

    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(1, small(1), {}, None)
        store.wait()
        with monkeypatch.context() as patch:
            patch.setattr("orbax.checkpoint.v1.save", full)
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
    def broken(folder, arrays):
        raise ZeroDivisionError

    monkeypatch.setattr("orbax.checkpoint.v1.save", broken)
    store = checkpoint.Checkpoints(tmp_path)
    store.save(1, small(1), {}, None)
    with pytest.raises(ZeroDivisionError):
        store.close()
    assert list(tmp_path.iterdir()) == []


def child(program, *arguments):
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


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
    assert int(skipped) >= 12 and names == ["1", "2"]


KILLED = """
import os, pathlib, random, signal, sys, time
import numpy as np
from orbax.checkpoint import v1  # before the forks: once is enough
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
