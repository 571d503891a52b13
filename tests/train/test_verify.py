"""--verify: every promise is kept by real experiments, and seen to be broken by broken learners."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs

from jaxdl import errors, experiment, launch, learner, metrics
from jaxdl.data import batches, streams
from jaxdl.train import loop, proofs, rounding, verify

STEPS = 8
KINDS = ("proved", "failed", "not applicable")


def verdicts(printed):
    """How many promises came to what."""
    return {kind: printed.count(f" {kind} ") for kind in KINDS}


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_an_experiment_keeps_its_promises(capsys, wide):
    assert launch.main(["digits_mlp", "--width", "8", "--dropout", "0.3", "--verify"]) == 0
    found = verdicts(capsys.readouterr().out)
    assert found == {"proved": 7, "failed": 0, "not applicable": 0}


@pytest.mark.parametrize("name, fields", [("digits_cnn", {"batch_size": 8}), ("cancer_mlp", {})])
def test_experiments_keep_their_promises_on_one_device(name, fields, capsys, wide, monkeypatch):
    if name == "digits_cnn":
        monkeypatch.setattr(proofs, "MOST_OPERATIONS", 0)  # the others run without the compiler
    function = experiment.find(name).function
    assert verify.show(lambda: function(width=4, **fields), runs.launched(), STEPS) == 0
    found = verdicts(capsys.readouterr().out)
    skipped = 2 if name == "digits_cnn" else 1
    assert found == {"proved": 7 - skipped, "failed": 0, "not applicable": skipped}


def spoiled(change, **settings):
    """A run of a small linear learner, one of whose steps is spoiled: (state, batch) -> number."""
    plain = runs.linear().learner

    def step(state, batch, key):
        state, measured = plain.step(state, batch, key)
        amount = change(state, batch)
        return state | {"weights": state["weights"] + amount}, measured

    return runs.plain(learner.Learner(plain.init, step, plain.evaluate), **settings)


def case(make, folder, **changes):
    return proofs.Case(make, runs.launched(), STEPS, folder, **changes)


def proof(prove, make, folder):
    """What a proof makes of a run."""
    made = case(make, folder)
    return prove(made, made.trained("whole", made.run()))


def counted():
    """A number that no key and no state tells."""
    calls = iter(range(10**9))

    def change(state, batch):
        shape = jax.ShapeDtypeStruct((), np.float32)
        return jax.pure_callback(lambda _: np.float32(next(calls)), shape, batch["target"][0])

    return change


class Source:
    """Examples in memory; `open` and `select` are there to be spoiled."""

    def __init__(self):
        self.source = runs.linear().train
        self.batch_size, self.size = self.source.batch_size, self.source.size

    def open(self, seed):
        return self.source.open(seed)

    def select(self, data, i):
        return self.source.select(data, i)


class Forgetful(Source):
    """Goes on from its first batch in every launch, whatever the step."""

    def open(self, seed):
        feed, taken = self.source.open(seed), 0
        right = feed.take

        def take(step, count):
            nonlocal taken
            taken += count
            return right(taken - count, count)

        feed.take = take
        return feed


class Stuck(Source):
    """All steps of a chunk see the first one's batch."""

    def select(self, data, i):
        return self.source.select(data, 0)


@jax.custom_batching.custom_vmap
def lonely(x):
    return x


@lonely.def_vmap
def _together(size, batched, x):
    return x + 1, batched[0]


BROKEN = {
    "seed": (proofs.same_seed, lambda change=counted(): spoiled(change)),  # noqa: B008
    "resume": (proofs.resumed, lambda: runs.linear(train=Forgetful())),
    "chunk": (proofs.chunked, lambda: runs.linear(train=Stuck())),
    "compiler": (
        proofs.uncompiled,
        lambda: spoiled(lambda state, _: isinstance(state["weights"], jax.core.Tracer) * 0.1),
    ),
    "vmap": (proofs.vectorised, lambda: spoiled(lambda state, _: lonely(state["weights"]))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_seen(name, tmp_path):
    prove, make = BROKEN[name]
    found = proof(prove, make, tmp_path)
    assert found.verdict == "failed" and 0 < found.difference < math.inf


def test_members_that_share_an_order_are_seen(tmp_path, monkeypatch):
    """It tries what a sweep runs: each member with its own data."""
    right = batches.Shuffled.together
    monkeypatch.setattr(
        batches.Shuffled, "together", lambda self, seeds: right(self, [seeds[0]] * len(seeds))
    )
    found = proof(proofs.vectorised, runs.linear, tmp_path)
    assert found.verdict == "failed" and 0 < found.difference < math.inf
    streamed = streams.shuffled(runs.linear().train.arrays, 8)
    found = proof(proofs.vectorised, lambda: runs.linear(train=streamed), tmp_path / "streamed")
    assert (found.verdict, found.note[:11]) == ("not applicable", "streams are")


def test_a_stream_in_another_order_is_seen(tmp_path, monkeypatch):
    right = streams.shuffled

    def other(arrays, size):
        return right(jax.tree.map(lambda x: x[::-1], arrays), size)

    monkeypatch.setattr(streams, "shuffled", other)
    found = proof(proofs.streamed, runs.linear, tmp_path / "two")
    assert found.verdict == "failed" and 0 < found.difference < math.inf


def test_a_step_that_minds_its_devices_is_seen(tmp_path):
    def change(state, batch):
        return 0.1 * (jax.sharding.get_abstract_mesh().size > 1)

    found = proofs.shared(case(lambda: spoiled(change), tmp_path), 2)
    assert found.verdict == "failed" and found.difference > 1e-2


def test_what_rounding_does_is_measured(tmp_path):
    program = case(runs.linear, tmp_path).program()
    unasked = [].__getitem__
    most = rounding.TOLERANCE
    assert rounding.judged({"loss": 5e-4}, program, unasked) == (5e-4, most, "")
    assert rounding.judged({}, program, unasked, "two") == (0, most, "two")
    far = {"loss": math.inf, "accuracy": 0.1}
    assert rounding.judged(far, program, unasked, "two") == (math.inf, most, "two")
    moved = [{"loss": x} for x in (0.01, 0.03, 0.02)].__getitem__
    apart, allowed, note = rounding.judged({"loss": 0.1}, program, moved, "two")
    assert (apart, allowed) == (0.1, pytest.approx(0.12))
    assert note == "two; an ulp at the start makes 0.03 of loss"
    assert rounding.judged({"loss": 0.1}, program, lambda number: {"loss": 1e-7})[1] == most


def test_a_coarse_curve_hides_no_other(tmp_path):
    """Each is judged by what rounding does to itself."""
    program = case(runs.linear, tmp_path).program()
    apart = {"loss": 0.3, "accuracy": 0.08}
    found = rounding.judged(apart, program, lambda number: {"loss": 1e-7, "accuracy": 0.08})
    assert found == (0.3, rounding.TOLERANCE, "an ulp at the start makes 1e-07 of loss")


@pytest.mark.parametrize("moved", [0.2, math.inf])
def test_where_rounding_does_more_nothing_is_proved(moved, tmp_path):
    program = case(runs.linear, tmp_path).program()
    found = rounding.judged({"loss": 0.4}, program, lambda number: {"loss": moved})
    assert found[0] is None and found[2].startswith("cannot be told: an ulp at the start makes")
    two = {"loss": 0.4, "accuracy": 0.4}  # but what can be told to be wrong is
    found = rounding.judged(two, program, lambda number: {"loss": moved, "accuracy": 0.0})
    assert found[:2] == (0.4, rounding.TOLERANCE)


def test_a_nudge_is_an_ulp_of_each_float(tmp_path):
    tree = {"x": np.float32([1.0, -3.0] * 50), "i": np.int32([5]), "key": jax.random.key(1)}
    tree["meant"] = np.float32([0.0, math.inf, -math.inf])
    one, other = rounding.nudged(tree, 0), rounding.nudged(tree, 1)
    moved = np.abs(np.asarray(one["x"]) - tree["x"])
    assert np.all((moved > 0) & (moved <= np.spacing(np.abs(tree["x"]))))
    assert proofs.difference(one["x"], other["x"]) > 0
    assert proofs.difference(one, tree | {"x": one["x"]}) == 0
    made = case(runs.linear, tmp_path)
    whole = made.trained("whole", made.run())
    nudged = made.nudged(0).trained("nudged", made.nudged(0).run())
    assert 0 < proofs.difference(whole.state, nudged.state) < 1e-5


def test_the_exit_code_and_the_reasons(capsys, wide, monkeypatch):
    def bursting():
        raise ValueError("no sum [1],\nno sum")

    monkeypatch.setattr(verify, "rows", lambda *_: {"sums": verify._tried(bursting)})
    assert verify.show(runs.linear, runs.launched(), STEPS) == 1
    said = capsys.readouterr().out
    assert verdicts(said)["failed"] == 1
    assert "ValueError: no sum [1]," in said and "no sum\n" not in said


def test_what_does_not_apply(tmp_path):
    def alone():
        plain = runs.linear().learner
        batch = {"input": jnp.ones((2, 4)), "target": jnp.ones(2)}
        step = lambda state, _, key: plain.step(state, batch, key)  # noqa: E731
        evaluate = lambda state, _, key: plain.evaluate(state, batch, key)  # noqa: E731
        own = learner.Learner(plain.init, step, evaluate)
        return dataclasses.replace(runs.linear(), learner=own, train=None, tests={}, monitor=None)

    made = case(alone, tmp_path)
    whole = made.trained("whole", made.run())
    assert proofs.streamed(made, whole).verdict == "not applicable"
    assert verify._on_devices(made, whole).verdict == "not applicable"
    assert proofs.vectorised(made, whole).verdict == "proved"
    odd = case(lambda: runs.linear(train=batches.shuffled(runs.examples(22), 11)), tmp_path)
    assert "does not divide" in verify._on_devices(odd, whole).note
    assert "one by one" in proof(proofs.chunked, lambda: runs.linear(chunk=1), tmp_path / "1").note


def test_a_signal_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(loop.stop, "Catcher", lambda: runs.StopAfter(1))
    made = case(lambda: runs.linear(chunk=1), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        made.trained("whole", made.run())


@pytest.mark.parametrize("steps", [2, 7])
def test_refuses_steps_that_have_no_halves(steps):
    with pytest.raises(errors.InputError, match=f"even and at least 4, got {steps}"):
        verify.show(runs.linear, runs.launched(), steps)


def test_differences():
    one = {"x": np.float32([1, np.nan]), "y": np.int32([3])}
    assert proofs.difference(one, jax.tree.map(np.copy, one)) == 0
    assert 0 < proofs.difference(np.float32(0.0), np.float32(-0.0)) < 1e-300
    assert proofs.difference(one, one | {"y": np.int32([5])}) == 2
    assert proofs.difference(one, one | {"x": np.float32([1, 1])}) == math.inf
    assert proofs.difference(one["y"], np.int64([3])) == math.inf
    assert proofs.difference(one, {"x": one["x"]}) == math.inf
    told = [{"loss": metrics.Mean(np.float32(x), np.float32(2))} for x in (2.0, 3.0, np.nan)]
    assert proofs._metrics_apart(told[:1], told[1:2]) == {"loss": pytest.approx(1 / 3)}
    assert proofs._metrics_apart(told[2:], told[2:]) == {"loss": 0}
    assert proofs._metrics_apart(told[2:], told[:1]) == {"loss": math.inf}
    assert rounding.gaps({"x": 1.0}, {"x": 1.0, "y": 1.0}) == {"x": 0, "y": math.inf}
