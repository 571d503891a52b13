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
from jaxdl.train import checkpoint, program


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
    """Custom derivatives, remat and jit are looked into; a loop is named as one."""

    @jax.jit
    def inner(x):
        return jax.nn.relu(jax.checkpoint(jnp.log)(x))

    def nested(count):
        with jax.named_scope("deep"):
            return jax.nn.silu(inner(jnp.where(count == 2, -1.0, 1.0)))

    def looped(count):
        return jax.lax.scan(lambda c, _: (c / c, None), (2 - count) * 1.0, length=3)[0]

    small = {"tests": {}, "steps": 4, "log_every": 2}
    lines = failing(runs.plain(counting(nested), **small), tmp_path / "nested")
    assert lines[1].startswith("The first NaN came out of ")
    assert "head/deep" in lines[1]
    lines = failing(runs.plain(counting(looped), **small), tmp_path / "looped")
    assert lines[1] == "The first NaN came out of `scan` in head."


def test_data_that_hold_an_infinity_are_no_fault_of_an_operation(tmp_path):
    values = np.full((16, 4), np.finfo(np.float32).max)
    data = {"input": values, "target": np.zeros(16, np.float32)}
    what = runs.linear(train=batches.shuffled(data, 8), tests={}, steps=4, log_every=2)
    lines = failing(what, tmp_path / "run")
    assert lines[0].startswith("Step 1 made what is no finite number: metric loss is ")
    assert lines[1].startswith("The first ")


def test_a_stream_is_replayed_too(tmp_path):
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
        learner=taught, train=what.train, tests={}, steps=8, log_every=2, save_every=2
    )
    lines = failing(what, tmp_path / "run")
    assert lines[0] == "Step 5 made what is no finite number: state params/output/bias has NaN."
    assert lines[2].endswith("the checkpoint of step 4 stays.")
