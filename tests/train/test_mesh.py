"""Meshes: what is refused, where arrays lie, and that every mesh learns what one device learns."""

import functools
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

from jaxdl import errors, run
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import gpt, mlp
from jaxdl.nn import layout
from jaxdl.train import mesh, program

EIGHT = [*range(8)]


class Device:
    """Enough of a device for a mesh's sizes to be checked before one is made."""

    platform = "cpu"


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"data": 3}, "The mesh must have all 8 devices, or one, got data=3, which has 3."),
        ({"data": 4, "fsdp": 4}, "all 8 devices, or one, got data=4,fsdp=4, which has 16."),
        ({"data": -1, "fsdp": -1}, "At most one axis of a mesh must be -1, got data=-1,fsdp=-1."),
        ({"data": -1, "fsdp": 3}, "must divide the 8 devices, got data=-1,fsdp=3."),
        ({"model": 8}, "axes must be among .*data, fsdp, tensor, got 'model'."),
        ({"data": 0}, "axis data must be at least 1, or -1 for what is left, got 0."),
    ],
)
def test_refuses_a_mesh_that_does_not_fit(sizes, message):
    with pytest.raises(errors.InputError, match=message):
        mesh.make(sizes, [Device()] * 8)


def test_a_mesh_has_one_device_on_cpu_or_those_asked_for(monkeypatch):
    assert mesh.make(None).size == 1
    assert mesh.make({"data": 1}).size == 1
    assert dict(mesh.make({"fsdp": -1}).shape) == {"fsdp": 2}
    assert dict(mesh.make({"tensor": 1, "data": -1}).shape) == {"data": 2, "tensor": 1}
    monkeypatch.setenv("JAXDL_ALL_DEVICES", "1")
    assert dict(mesh.make(None).shape) == {"data": 2}


def test_refuses_a_batch_that_does_not_divide():
    what = runs.linear(train=batches.shuffled(runs.linear().train.arrays, 5), mesh={"data": 2})
    with pytest.raises(errors.InputError) as caught:
        program.Program(what, 0, what.train.open(0).first())
    assert str(caught.value) == (
        "The batch size must be a multiple of data × fsdp, 2 devices, got 5.\n"
        "Take 4 or 6, or --mesh data=1 for one device."
    )


def laid_out(tree, sizes, rules=()):
    """Path -> spec of a tree's arrays on an abstract mesh: no devices are needed to plan."""
    abstract = jax.sharding.AbstractMesh(tuple(sizes.values()), tuple(sizes))
    found = mesh.shardings(tree, abstract, rules)
    pairs = jax.tree_util.tree_leaves_with_path(found)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(sharding.spec)
        for path, sharding in pairs
    }


def test_without_a_rule_the_largest_divisible_dimension_goes_over_fsdp():
    shapes = {
        "kernel": jnp.zeros((64, 128)),
        "odd": jnp.zeros((129, 64)),
        "indivisible": jnp.zeros((31, 33)),
        "small": jnp.zeros(128),
        "scalar": jnp.int32(0),
        "key": jax.random.split(jax.random.key(0), 1024),
    }
    assert laid_out(shapes, {"data": 2, "fsdp": 8}) == {
        "kernel": (None, "fsdp"),
        "odd": (None, "fsdp"),
        "indivisible": (),
        "small": (),
        "scalar": (),
        "key": (),
    }
    assert set(laid_out(shapes, {"data": 8}).values()) == {()}


def test_moments_and_averages_lie_where_their_parameters_do():
    model = gpt.GPT(vocabulary=64, length=8, width=32, depth=1, heads=4)
    learner = gradient.supervised(model, classification.in_bits, optax.adamw(1e-3), average=0.9)
    tokens = {"input": jnp.zeros((2, 8), jnp.int32), "target": jnp.zeros((2, 8), jnp.int32)}
    state = jax.eval_shape(learner.init, jax.random.key(0), tokens)
    specs = laid_out(state, {"data": 2, "fsdp": 2, "tensor": 2}, gpt.RULES)
    parameters = {path: spec for path, spec in specs.items() if path.startswith("params/")}
    assert parameters["params/block_0/mlp/down/kernel"] == ("tensor", "fsdp")
    assert parameters["params/block_0/mlp/up/bias"] == ("tensor",)
    for path, spec in parameters.items():
        name = path.removeprefix("params/")
        copies = [other for other in specs if other.endswith(f"/{name}")]
        assert len(copies) == 4, copies  # itself, two moments, the average
        assert {specs[other] for other in copies} == {spec}
    # On a mesh without the rule's axis the default speaks.
    assert laid_out({"mlp/up/bias": jnp.zeros(512)}, {"fsdp": 8}, gpt.RULES) == {
        "mlp/up/bias": ("fsdp",)
    }


@pytest.mark.parametrize(
    "vocabulary, rules, message",
    [
        (
            50257,
            gpt.RULES,
            "Dimension 0 of tokens/embedding, 50257, must be a multiple of the mesh's tensor=2.\n"
            "Make it 50258, or take another size of tensor, or another of Run.rules.",
        ),
        (64, [("embedding", ("model", None))], "The axes of the rule 'embedding' must be None or"),
        (64, [("embedding", ("fsdp",))], "The rule 'embedding' must give an axis or None for each"),
    ],
)
def test_refuses_rules_that_do_not_fit(vocabulary, rules, message):
    with pytest.raises(errors.InputError) as caught:
        laid_out({"tokens": {"embedding": jnp.zeros((vocabulary, 8))}}, {"tensor": 2}, rules)
    assert str(caught.value).startswith(message)


def test_data_go_to_each_device_once():
    devices = mesh.make({"data": 2})
    place, x = mesh.Placed(devices), jnp.arange(8)
    placed, number = place((x, np.uint32(3)))
    assert placed.sharding.is_fully_replicated and len(placed.addressable_shards) == 2
    assert isinstance(number, np.uint32)  # left to the dispatch
    assert place((x, number))[0] is placed and place(placed) is placed
    del x
    assert not place._kept  # what was dropped is forgotten


def test_models_words_are_passed_over_where_they_mean_nothing():
    x = jnp.zeros((4, 3))
    assert layout.constrain(x, "batch", "tensor") is x
    with jax.set_mesh(mesh.make({"data": 2})):
        cut = jax.jit(lambda x: layout.constrain(x, "batch", "tensor"))(x)
        whole = jax.jit(lambda x: layout.constrain(x[:3], "batch", "tensor"))(x)
    assert tuple(cut.sharding.shard_shape(cut.shape)) == (2, 3)
    assert whole.sharding.is_fully_replicated


def test_a_run_resumes_on_its_mesh_to_the_bit(tmp_path, monkeypatch):
    model = mlp.MLP(features=(8,), classes=3)
    taught = gradient.supervised(model, classification.cross_entropy, optax.adam(1e-2))
    data = runs.examples(features=6)  # 6 inputs and 8 hidden units: divisible by 2
    what = functools.partial(
        run.Run,
        learner=taught,
        train=batches.shuffled(data, 8),
        steps=24,
        chunk=2,
        log_every=4,
        save_every=8,
        mesh={"fsdp": 2},
        rules=[("kernel$", ("fsdp", None))],
    )
    whole = runs.train(what(), tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr("jaxdl.train.stop.Catcher", lambda: runs.StopAfter(5))
        assert runs.train(what(), tmp_path / "cut").status == "stopped"
    resumed = runs.train(what(), tmp_path / "cut")
    assert runs.bits(resumed.state) == runs.bits(whole.state)
    kernel = resumed.state.params["output"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (4, 3)


CURVES = """
import dataclasses, json, resource
import jax, numpy as np
from experiments import stdlib_gpt
from jaxdl import metrics
from jaxdl.data import batches
from jaxdl.train import program

def curve(sizes, **changes):
    run = stdlib_gpt.experiment(batch_size=8, steps=50, test_bytes=640, **changes)
    run = dataclasses.replace(run, mesh=sizes, chunk=10, log_every=10, eval_every=50, save_every=50)
    feed = batches.opened(run.train, 0)
    made = program.Program(run, 0, feed.first())
    carry, losses = made.begin(), []
    for step in range(0, 50, 10):
        carry = made.advance(carry, feed.take(step, 10), step, 10)
        losses.append(float(carry.totals["loss"].total))
        carry = program.Carry(carry.state, made.zeros())
    [tested] = made.evaluate(carry.state, run.tests["test"], 50)
    planned = [x.sharding for x in jax.tree.leaves(made.shape)]
    pairs = zip(jax.tree.leaves(carry), planned if sizes != {"data": 1} else [])
    kept = [x.sharding.is_equivalent_to(to, x.ndim) for x, to in pairs]
    return {
        "losses": losses + [metrics.values(tested)["loss"]],
        "kept": all(kept),
        "digest": made.digest(),
    }

small = dict(width=32, depth=1, length=16)
found = {
    name: curve(sizes, **small)
    for name, sizes in {
        "one": {"data": 1},
        "data": {"data": 8},
        "fsdp": {"fsdp": 8},
        "tensor": {"data": 4, "tensor": 2},
    }.items()
}

run = dataclasses.replace(stdlib_gpt.experiment(batch_size=8, length=16), mesh={"fsdp": 8})
feed = batches.opened(run.train, 0)
made = program.Program(run, 0, feed.first())
state = made._call("begin", made._beginning, made.who, made._placed(made._first))
analysis = made._compiled["begin"].memory_analysis()
whole = sum(x.nbytes for x in jax.tree.leaves(state))
held = max(
    sum(x.addressable_shards[i].data.nbytes for x in jax.tree.leaves(state)) for i in range(8)
)
found["bytes"] = [whole, held, analysis.output_size_in_bytes]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def eight():
    """Curves on eight simulated devices, in a process that has them."""
    environ = {
        "JAX_NUM_CPU_DEVICES": "8",
        # The devices share two cores: a busy machine may keep them waiting for one another.
        "XLA_FLAGS": "--xla_cpu_collective_call_terminate_timeout_seconds=240 "
        "--xla_backend_optimization_level=0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, f"{value} {os.environ.get(name, '')}" if "FLAGS" in name else value)
        child = runs.child(CURVES)
    out, told = child.communicate(timeout=280)
    assert child.returncode == 0, told
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("name", ["data", "fsdp", "tensor"])
def test_a_mesh_follows_the_curve_of_one_device(eight, name):
    one = eight["one"]["losses"]
    assert one[4] < 0.9 * one[0]  # it learns
    np.testing.assert_allclose(eight[name]["losses"], one, rtol=1e-4)
    assert eight[name]["kept"]
    assert eight[name]["digest"] == eight["one"]["digest"]


def test_fsdp_keeps_an_eighth_of_the_state_on_each_device(eight):
    whole, held, reported = eight["bytes"]
    assert held <= 1.05 * whole / 8
    # A few bytes for the tuple of results.
    assert held <= reported <= 1.02 * held
