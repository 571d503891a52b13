"""Checkpoints: the same bits, the newest and the best, and one clear line for what cannot be."""

import asyncio
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trees import assert_same, hairy, never, save_all, small

from jaxdl import errors
from jaxdl.train import checkpoint


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


def test_the_bytes_can_be_read_without_jaxdl(tmp_path):
    save_all(tmp_path, [3])
    leaves = json.loads((tmp_path / "3" / "manifest.jsonl").read_text().splitlines()[1])["leaves"]
    for path, shape, dtype, _, [[_, file, offset, _]] in leaves:
        got = np.fromfile(tmp_path / "3" / file, dtype, *shape, offset=offset)
        np.testing.assert_array_equal(got, small(3)["a"] if path == "a" else small(3)["b"][0])
    assert [path for path, *_ in leaves] == ["a", "b/0"]


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


def test_a_reader_follows_a_run_that_moves_on(tmp_path):
    save_all(tmp_path, [1])
    (tmp_path / "1" / "manifest.jsonl").unlink()
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
