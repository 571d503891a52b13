"""Compiled programs: how steps are laid out in chunks, and that each is compiled once."""

import collections
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs

from jaxdl import errors, learner, metrics
from jaxdl.data import batches
from jaxdl.train import cost, dispatch, program

SMALL = cost.Cost(flops=1e5, operations=100, convolves=False)


def made(what, seed=0):
    feed = what.train.open(seed)
    return program.Program(what, seed, feed.first()), feed


@pytest.mark.parametrize(
    "settings, step, platform, strategy, chunk",
    [
        ({}, SMALL, "cpu", "rolled", 20),
        ({}, SMALL._replace(convolves=True), "cpu", "single", 1),
        ({}, SMALL._replace(flops=1e10), "cpu", "rolled", 5),
        ({}, SMALL._replace(operations=1e7), "cpu", "rolled", 1),
        ({}, cost.Cost(1e12, 1e6, True), "gpu", "rolled", 20),
        ({}, cost.Cost(1e12, 1e6, True), "tpu", "rolled", 20),
        ({"strategy": "unrolled"}, SMALL, "cpu", "unrolled", 10),
        ({"strategy": "rolled"}, SMALL._replace(convolves=True), "cpu", "rolled", 20),
        ({"strategy": "single"}, SMALL, "gpu", "single", 1),
        ({"chunk": 7}, SMALL, "cpu", "rolled", 5),
        ({"log_every": 21, "eval_every": 35, "save_every": 14}, SMALL, "cpu", "rolled", 7),
        ({"log_every": 21, "eval_every": 35, "save_every": 13}, SMALL, "cpu", "rolled", 1),
        ({"log_every": 211, "eval_every": 211, "save_every": 211}, SMALL, "cpu", "rolled", 1),
        ({"log_every": 300, "eval_every": 600, "save_every": 600}, SMALL, "gpu", "rolled", 100),
    ],
)
def test_layout(settings, step, platform, strategy, chunk):
    every = {"log_every": 20, "eval_every": 100, "save_every": 100}
    what = runs.linear(steps=1000, **every | settings)
    assert dispatch.layout(what, step, platform) == (strategy, chunk)


def test_the_digest_tells_programs_apart_and_nothing_else():
    first = made(runs.linear())[0].digest()
    assert made(runs.linear(), seed=5)[0].digest() == first
    assert made(runs.linear(rate=0.2))[0].digest() != first
    assert made(runs.full())[0].digest() == made(runs.full())[0].digest()
    double = runs.linear(train=batches.shuffled(runs.linear().train.arrays, 16))
    assert made(double)[0].digest() != first


def test_sums_are_those_of_the_steps():
    compiled, feed = made(runs.linear())
    together = compiled.advance(compiled.begin(), feed.take(0, 3), 0, 3).totals["loss"]
    carry, total = compiled.begin(), np.float32(0)
    for step in range(3):
        carry = program.Carry(carry.state, compiled.zeros())
        carry = compiled.advance(carry, feed.take(step, 1), step, 1)
        total += np.float32(carry.totals["loss"].total)
    assert (float(together.total), float(together.count)) == (float(total), 24)


def test_an_evaluation_is_of_every_example_once_and_keyed_by_step():
    def evaluate(state, batch, key):
        return {
            "loss": metrics.Mean.of(batch["target"]),
            "noise": metrics.Mean.of(jax.random.normal(key)),
            "all": metrics.Collected(batch["target"], lambda x: float(len(np.unique(x)))),
        }

    what = runs.linear()
    what = runs.plain(what.learner._replace(evaluate=evaluate))
    compiled, _ = made(what)
    test, state = what.tests["test"], compiled.begin().state
    found = metrics.values(compiled.evaluate(state, test, 7)[0])
    target = what.train.arrays["target"]  # 40 examples in batches of 16, 16 and 8
    np.testing.assert_allclose(found["loss"], target.mean(), rtol=1e-5)
    assert found["all"] == 40
    assert metrics.values(compiled.evaluate(state, test, 7)[0]) == found
    assert metrics.values(compiled.evaluate(state, test, 8)[0])["noise"] != found["noise"]


def test_weak_types_do_not_change_the_program():
    def init(key, batch):
        return {"weak": jnp.asarray(1.0), "python": 2, "key": jax.random.clone(key)}

    def step(state, batch, key):
        state = {"weak": state["weak"] * 1.0, "python": state["python"] + 1, "key": key}
        return state, {"loss": metrics.Mean(1.0, 1)}

    what = runs.plain(learner.Learner(init, step, step), tests={})
    compiled, feed = made(what)
    carry = compiled.begin()
    begun = jax.tree.map(jax.typeof, carry)
    for i in range(2):
        carry = compiled.advance(carry, feed.take(i, 1), i, 1)
    assert begun == jax.tree.map(jax.typeof, carry)
    assert not any(getattr(x, "weak_type", False) for x in jax.tree.leaves(begun))


def test_a_whole_run_compiles_each_program_once(tmp_path, caplog):
    what = runs.full(steps=25, log_every=4, eval_every=8, save_every=8, chunk=4, summaries={})
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        runs.train(what, tmp_path / "run")
    texts = [line.getMessage() for line in caplog.records]
    names = collections.Counter(t.split()[1] for t in texts if t.startswith("Compiling "))
    # Chunks of 4 steps, and of the one step that is left; batches of 8 tests, and of the last 4.
    assert {name: n for name, n in names.items() if n > 1} == {
        "jit(_chunk)": 2,
        "jit(_examine_one)": 2,
    }
    assert names["jit(init)"] == 1
    assert sum(names.values()) < 20, names


def test_nothing_is_fetched_between_logs(tmp_path, monkeypatch):
    """A chunk's host code neither waits for the device nor reads from it."""
    inside = []
    advance, fetch = program.Program.advance, jax.device_get

    def advancing(self, *arguments):
        inside.append("advance")
        # To the device go a few numbers: which steps, and where in the data's order they stand.
        to_host = jax.transfer_guard_device_to_host("disallow")
        with to_host, jax.transfer_guard_device_to_device("disallow"):
            return advance(self, *arguments)

    def fetching(tree):
        inside.append("fetch")
        return fetch(tree)

    monkeypatch.setattr(program.Program, "advance", advancing)
    monkeypatch.setattr(jax, "device_get", fetching)
    what = runs.linear(steps=40, chunk=2, log_every=10, eval_every=40, save_every=40)
    runs.train(what, tmp_path / "run")
    # The log of step 10 is fetched when the chunk after it has been dispatched, and so on.
    assert inside[:13] == [*["advance"] * 6, "fetch", *["advance"] * 5, "fetch"]


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda state: {**state, "weights": state["weights"].astype(jnp.bfloat16)},
            "Learner.step must keep the state's shapes and dtypes; "
            "weights went from float32[4] to bfloat16[4].",
        ),
        (
            lambda state: {**state, "weights": state["weights"][:3]},
            "Learner.step must keep the state's shapes and dtypes; "
            "weights went from float32[4] to float32[3].",
        ),
        (
            lambda state: {"weights": state["weights"]},
            "Learner.step must return a state of the structure that init returns, "
            "got PyTreeDef({'weights': *}) instead of PyTreeDef({'count': *, 'weights': *}).",
        ),
    ],
    ids=["dtype", "shape", "structure"],
)
def test_refuses_a_state_that_changes(change, message):
    what = runs.linear()

    def step(state, batch, key):
        state, measured = what.learner.step(state, batch, key)
        return change(state), measured

    with pytest.raises(errors.InputError) as caught:
        made(runs.plain(what.learner._replace(step=step)))
    assert str(caught.value) == message


def test_single_steps_differ_from_loops_by_rounding_alone(tmp_path):
    results = {
        strategy: runs.train(runs.linear(strategy=strategy, chunk=chunk), tmp_path / strategy)
        for strategy, chunk in (("single", None), ("rolled", 1))
    }
    single, rolled = (jax.tree.leaves(results[name].state) for name in ("single", "rolled"))
    for one, other in zip(single, rolled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
