"""A number that stops being one: the step, the metric or leaf, and the operation are named."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

from jaxdl import errors, learner, metrics
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.train import checkpoint, diagnose, program


def counting(loss, where="head"):
    """A learner that counts its steps and reports a loss of the count."""

    def init(key, batch):
        return {"count": jnp.int32(0), "weights": jnp.ones(3)}

    def step(state, batch, key):
        count = state["count"] + 1
        with jax.named_scope(where):
            measured = metrics.Mean.of(loss(count))
        return {**state, "count": count}, {"loss": measured, "fine": metrics.Mean.of(1.0)}

    return learner.Learner(init, step, lambda state, batch, key: {"loss": metrics.Mean.of(1.0)})


class Distance(nn.Module):
    """The square root of a squared weight, whose gradient at 0 is no number."""

    @nn.compact
    def __call__(self, x, train=False):
        weight = self.param("weight", nn.initializers.constant(5.0), ())
        with jax.named_scope("root"):
            return jnp.sqrt(weight * weight) * jnp.ones(len(x))


def mean_loss(outputs, batch):
    return {"loss": metrics.Mean.of(outputs)}


def failing(what, folder):
    with pytest.raises(errors.NonFiniteError) as caught:
        runs.train(what, folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 3
    outcome = json.loads((folder / "run.json").read_text())["result"]
    assert outcome["status"] == "failed"
    assert outcome["message"] == message
    return message.splitlines()


@pytest.mark.parametrize("strategy", ["rolled", "single"])
def test_a_loss_that_becomes_nan(strategy, tmp_path):
    taught = counting(lambda count: jnp.log(jnp.where(count == 37, -1.0, 1.0)))
    what = runs.plain(taught, save_every=10, tests={}, strategy=strategy)
    assert failing(what, tmp_path / "run") == [
        "Step 37 made what is no finite number: metric loss is nan.",
        "The first NaN came out of `log` in head.",
        "Lower the learning rate, clip gradients or look at that operation; "
        "the checkpoint of step 30 stays.",
    ]
    template = program.Program(what, 0, what.train.open(0).first()).shape
    with checkpoint.Checkpoints(tmp_path / "run" / "checkpoints") as saved:
        kept = saved.restore(template, pytest.fail)
    assert (kept.step, int(kept.tree.state["count"])) == (30, 30)
    assert set(runs.curves(tmp_path / "run")["train/loss"]) == {(10, 0), (20, 0), (30, 0)}
    # Launched again, it fails at the same step with the same words.
    assert failing(what, tmp_path / "run")[0].startswith("Step 37 ")


def test_a_mean_that_becomes_infinite_before_anything_is_saved(tmp_path):
    taught = counting(lambda count: jnp.exp(jnp.where(count == 37, 1e3, 1.0)))
    what = runs.plain(taught, save_every=60, eval_every=60)
    assert failing(what, tmp_path / "run") == [
        "Step 37 made what is no finite number: metric loss is inf.",
        "The first infinity came out of `exp` in head.",
        "Lower the learning rate, clip gradients or look at that operation; "
        "there is no checkpoint yet.",
    ]


@pytest.mark.parametrize("save_every", [3, 60])
def test_a_gradient_that_is_nan_while_the_loss_is_fine(save_every, tmp_path):
    """The weight falls by 1 a step: 5, 4, ... 0, and the sixth gradient is 0 / 0."""
    taught = gradient.supervised(Distance(), mean_loss, optax.sgd(1.0))
    what = runs.plain(taught, save_every=save_every, tests={}, log_every=3)
    lines = failing(what, tmp_path / "run")
    assert lines[0] == "Step 6 made what is no finite number: state params/weight has NaN."
    assert lines[1].startswith("The first NaN came out of `mul` in ")
    assert "transpose" in lines[1]
    assert "Distance" in lines[1]
    assert "root" in lines[1]
    assert lines[2].endswith("step 3 stays." if save_every == 3 else "no checkpoint yet.")


def test_inside_nested_calls_and_loops(tmp_path):
    """Custom derivatives, remat, jit, loops and branches are looked into."""

    @jax.jit
    def inner(x):
        return jax.nn.relu(jax.checkpoint(jnp.log)(x))

    def nested(count):
        with jax.named_scope("deep"):
            return jax.nn.silu(inner(jnp.where(count == 2, -1.0, 1.0)))

    def looped(count):
        def turn(carry, x):
            with jax.named_scope("turn"):
                return carry - 1 + 0 * jnp.sqrt(carry), x * carry

        start = jnp.where(count == 2, 1.0, 9.0)
        carry, stacked = jax.lax.scan(turn, start, jnp.ones((3, 2)), reverse=True)
        return carry + stacked.sum()

    def chosen(count):
        return jax.lax.cond(count == 2, lambda x: jnp.log(-x), lambda x: x, count * 1.0)

    def until(count):
        start = jnp.where(count == 2, 1.0, 9.0)
        return jax.lax.while_loop(
            lambda pair: pair[1] < 3,
            lambda pair: (pair[0] - 1 + 0 * jnp.sqrt(pair[0]), pair[1] + 1),
            (start, 0),
        )[0]

    small = {"tests": {}, "steps": 4, "log_every": 2}
    lines = failing(runs.plain(counting(nested), **small), tmp_path / "nested")
    assert lines[1].startswith("The first NaN came out of ")
    assert "head/deep" in lines[1]
    lines = failing(runs.plain(counting(looped), **small), tmp_path / "looped")
    assert lines[1] == "The first NaN came out of `sqrt` in head/turn."
    lines = failing(runs.plain(counting(chosen), **small), tmp_path / "chosen")
    assert lines[1].startswith("The first NaN came out of `log` in head")
    lines = failing(runs.plain(counting(until), **small), tmp_path / "until")
    assert lines[1].startswith("The first NaN came out of `sqrt` in head")


def test_a_nan_that_is_a_constant_of_the_program(tmp_path):
    """Of `where(bad, nan, x)` the choice is named, not what follows it."""

    def refused(count):
        return jnp.exp(jnp.where(count == 2, jnp.nan, count * 1.0))

    def out_of_range(count):
        return jnp.take(jnp.arange(3.0) * count, 10 * (count == 2))

    small = {"tests": {}, "steps": 4, "log_every": 2}
    for loss, named in ((refused, "select_n"), (out_of_range, "gather")):
        lines = failing(runs.plain(counting(loss), **small), tmp_path / named)
        assert lines[1].startswith(f"The first NaN came out of `{named}` in head")


def test_an_infinite_mask_is_not_taken_for_the_infinity(tmp_path):
    def loss(count):
        masked = jnp.where(jnp.arange(3) < 2, count * jnp.ones(3), -jnp.inf)
        return masked.max() + jnp.exp(jnp.where(count == 2, 1e3, 1.0))

    what = runs.plain(counting(loss), tests={}, steps=4, log_every=2)
    assert failing(what, tmp_path / "run")[1] == "The first infinity came out of `exp` in head."


class Roots(nn.Module):
    """Weights of which the first two have no gradient at 0."""

    count: int = 3

    @nn.compact
    def __call__(self, x, train=False):
        weights = [
            self.param(f"w{i}", nn.initializers.constant(float(i == self.count - 1)), ())
            for i in range(self.count)
        ]
        return sum(jnp.sqrt(weight) for weight in weights) * jnp.ones(len(x))


def test_microbatches_are_looked_into_and_parameters_named(tmp_path):
    small = {"tests": {}, "steps": 4, "log_every": 2}
    taught = gradient.supervised(Distance(), mean_loss, optax.sgd(1.0), microbatches=2)
    lines = failing(runs.plain(taught, **(small | {"steps": 8})), tmp_path / "microbatches")
    assert lines[1].startswith("The first NaN came out of `mul` in ")
    assert "root" in lines[1]
    # 1 / sqrt(0) is infinite, and infinity less infinity is no number.
    twice = optax.stateless(lambda g, _: jax.tree.map(lambda x: x - x, g))
    for count, words in ((3, "state params/w0, params/w1 have NaN"), (6, "w2 and 2 more of 6 ")):
        taught = gradient.supervised(Roots(count), mean_loss, twice)
        lines = failing(runs.plain(taught, **small), tmp_path / str(count))
        assert words in lines[0]


def test_what_goes_wrong_in_the_search_does_not_hide_the_fault(tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(diagnose, "_run", broken)
    taught = counting(lambda count: jnp.log(jnp.where(count == 2, -1.0, 1.0)))
    lines = failing(runs.plain(taught, tests={}, steps=4, log_every=2), tmp_path / "run")
    assert lines[0] == "Step 2 made what is no finite number: metric loss is nan."
    assert lines[1] == "Which operation made it was not found out (RuntimeError)."


def test_the_replay_is_announced(tmp_path):
    taught = counting(lambda count: jnp.log(jnp.where(count == 2, -1.0, 1.0)))
    what = runs.plain(taught, tests={}, steps=4, log_every=2)
    said = []
    with checkpoint.Checkpoints(tmp_path / "checkpoints") as saved:
        built = program.Program(what, 0, what.train.open(0).first())
        assert "Step 2 " in str(diagnose.explain(built, saved, 2, said.append))
    assert said == ["Replaying from step 0 to find the first number that is not finite."]


def test_data_that_hold_an_infinity_are_no_fault_of_an_operation(tmp_path):
    values = np.full((16, 4), np.finfo(np.float32).max)
    data = {"input": values, "target": np.zeros(16, np.float32)}
    what = runs.linear(train=batches.shuffled(data, 8), tests={}, steps=4, log_every=2)
    lines = failing(what, tmp_path / "run")
    assert lines[0].startswith("Step 1 made what is no finite number: metric loss is ")
    assert lines[1].startswith("The first ")


@pytest.mark.parametrize("mesh", [None, {"data": 2}], ids=["one device", "two devices"])
def test_a_stream_is_replayed_too(mesh, tmp_path):
    what = runs.full(streamed=True, log_every=2, eval_every=2, save_every=2, steps=8)
    grown = optax.scale_by_schedule(lambda step: jnp.where(step == 4, jnp.nan, -0.1))
    model = nn.Dense(3, name="output")

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return model.clone(parent=self, name="output")(x)

    taught = gradient.supervised(
        Model(), lambda y, batch: {"loss": metrics.Mean.of((y**2).sum(-1))}, grown
    )
    what = runs.run.Run(
        learner=taught,
        train=what.train,
        tests={},
        steps=8,
        log_every=2,
        save_every=2,
        mesh=mesh,
        strategy="single",  # a chunk of one step is the very program that the replay runs
    )
    lines = failing(what, tmp_path / "run")
    assert lines[0] == "Step 5 made what is no finite number: all 2 parameters have NaN."
    assert lines[2].endswith("the checkpoint of step 4 stays.")
