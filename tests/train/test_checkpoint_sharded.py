"""Checkpoints of arrays split over devices: written under one mesh, read under any other."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trees import assert_same, child, flip, hairy, never

from jaxdl.train import checkpoint, pieces


def mesh_of(*shape):
    axes = ("data", "fsdp", "tensor")[: len(shape)]
    return jax.make_mesh(shape, axes, axis_types=(jax.sharding.AxisType.Auto,) * len(shape))


def abstract(tree, sharding):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def saved_pieces(folder):
    """Of each leaf, the boxes that were written."""
    manifest = json.loads((folder / "manifest.jsonl").read_text().splitlines()[1])
    return {leaf[0]: [piece[0] for piece in leaf[-1]] for leaf in manifest["leaves"]}


def test_restores_onto_two_devices_and_back(tmp_path):
    split = jax.NamedSharding(mesh_of(2), jax.P("data"))
    tree = {"a": jnp.arange(8.0), "keys": jax.random.split(jax.random.key(0), 4)}
    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(1, tree, {}, None)
        two = store.restore(abstract(tree, split), never).tree
        assert_same(two, tree)
        assert all(x.sharding == split for x in jax.tree.leaves(two))
        store.save(2, two, {}, None)
        assert_same(store.restore(two, never).tree, tree)
        one = store.restore(tree, never)
        assert one.step == 2 and len(one.tree["a"].devices()) == 1
        assert_same(one.tree, tree)
    assert saved_pieces(tmp_path / "1") == {"a": [[[0, 8]]], "keys": [[[0, 4]]]}
    halves = {"a": [[[0, 4]], [[4, 8]]], "keys": [[[0, 2]], [[2, 4]]]}
    assert saved_pieces(tmp_path / "2") == halves


def test_what_every_device_holds_is_written_once(tmp_path):
    tree = {
        name: leaf for name, leaf in hairy().items() if name not in ("numpy", "python", "record")
    }
    everywhere = jax.NamedSharding(mesh_of(2), jax.P())
    spread = jax.device_put(tree, everywhere)
    with checkpoint.Checkpoints(tmp_path) as store:
        store.save(1, spread, {}, None)
        got = store.restore(spread, never).tree
    assert_same(got, tree)
    assert all(x.sharding.is_equivalent_to(everywhere, x.ndim) for x in jax.tree.leaves(got))
    assert {len(boxes) for boxes in saved_pieces(tmp_path / "1").values()} == {1}


@pytest.mark.parametrize("spec", [jax.P(), jax.P("data")])
def test_sharded_buffers_may_be_donated_after_save_and_after_restore(tmp_path, spec):
    spoil = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 - 1, tree), donate_argnums=0)
    sharding = jax.NamedSharding(mesh_of(2), spec)
    tree = {"a": np.arange(400_000, dtype=np.float32), "b": [np.arange(200_000, dtype=np.int32)]}
    with checkpoint.Checkpoints(tmp_path) as store:
        for step in range(1, 4):
            spread = jax.device_put(tree, sharding)
            store.save(step, spread, {}, None)
            spoil(spread)
            assert spread["a"].is_deleted()
        template = abstract(tree, sharding)
        first, second = (store.restore(template, never).tree for _ in range(2))
        places = [shard.data.unsafe_buffer_pointer() for shard in first["a"].addressable_shards]
        assert len(set(places)) == 2
        jax.block_until_ready(spoil(first))
        assert first["a"].is_deleted()
        for shard in second["a"].addressable_shards:
            np.testing.assert_array_equal(shard.data, tree["a"][shard.index])
        assert_same(store.restore(template, never).tree, tree)


def test_a_flipped_byte_in_one_shard_is_found_by_who_needs_it(tmp_path):
    split = jax.NamedSharding(mesh_of(2), jax.P("data"))
    tree = {"w": jnp.arange(8.0), "x": jnp.ones(2)}
    with checkpoint.Checkpoints(tmp_path) as store:
        for step in (1, 2):
            store.save(step, jax.device_put(tree, split), {}, None)
        store.wait()
        flip(tmp_path / "2" / "arrays.0", 4 * 8 - 1)
        said = []
        assert store.restore(abstract(tree, split), said.append).step == 1
        assert said == ["Skipped the checkpoint of step 2: checksum of leaf w differs."]


def test_only_the_pieces_that_overlap_are_cut():
    whole = np.arange(5 * 7).reshape(5, 7)
    parts = [((0, 2), (0, 7)), ((2, 5), (0, 3)), ((2, 5), (3, 7))]
    found = [(box, whole[tuple(slice(*side) for side in box)]) for box in parts]
    for box in [((1, 4), (2, 6)), ((0, 5), (0, 7)), ((2, 5), (0, 3)), ((4, 5), (6, 7))]:
        shape = [stop - start for start, stop in box]
        got = pieces.cut(found, box, np.full(shape, -1))
        np.testing.assert_array_equal(got, whole[tuple(slice(*side) for side in box)])
        area = [pieces.common(part, box) for part in parts]
        assert sum(pieces.volume(both) for both in area if both) == math.prod(shape)
    assert pieces.common(parts[1], parts[2]) is None
    assert pieces.common((), ()) == ()


EIGHT = """
import itertools, pathlib, sys
sys.path[:0] = ["tests/train"]
import jax, numpy as np
from jax import P
from test_checkpoint_sharded import mesh_of, abstract
from trees import assert_same, never
from jaxdl.train import checkpoint

assert jax.device_count() == 8
rng = np.random.default_rng(0)
tree = {
    "kernel": rng.normal(size=(16, 24, 2)).astype(np.float32),
    "bfloat16": rng.normal(size=(8, 8)).astype("bfloat16"),
    "int4": np.arange(64).astype("int4").reshape(8, 8),
    "keys": jax.random.split(jax.random.key(1, impl="rbg"), (8, 8)),
    "empty": np.zeros((8, 0), np.float32),
    "nothing": np.zeros((0, 8), np.float32),
}
layouts = [
    (mesh_of(8), P("data")),
    (mesh_of(8), P(None, "data")),
    (mesh_of(2, 4), P("fsdp", "data")),
    (mesh_of(4, 2), P(("data", "fsdp"))),
    (mesh_of(2, 2, 2), P("data", "tensor")),
    (mesh_of(2, 2, 2), P(None, ("tensor", "data"))),
    (mesh_of(1), P("data")),
]
layouts[1:1] = [(jax.sharding.Mesh(jax.devices()[::-2], "x"), P("x"))]
shardings = [jax.NamedSharding(mesh, spec) for mesh, spec in layouts]

def spread(sharding):
    def one(leaf):
        size = sharding.num_devices
        divides = all(side % size == 0 for side in leaf.shape[:2])
        spec = sharding.spec if divides else P()  # what does not divide is not split
        return jax.device_put(leaf, jax.NamedSharding(sharding.mesh, spec))
    return jax.tree.map(one, tree)

trees = [spread(sharding) for sharding in shardings]
with checkpoint.Checkpoints(pathlib.Path(sys.argv[1]), keep=99) as store:
    for step, before in enumerate(trees):
        store.save(step, before, {})
    for step in range(len(trees)):
        for after in trees:
            got = store.restore(after, never, step).tree
            assert_same(got, tree)
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(after)):
                assert a.sharding.is_equivalent_to(b.sharding, a.ndim), (a.sharding, b.sharding)
print(len(trees))
"""


def test_every_mesh_of_eight_devices_restores_every_other(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")
    done = child(EIGHT, tmp_path)
    assert (done.stderr, done.returncode, done.stdout) == ("", 0, "8\n")
