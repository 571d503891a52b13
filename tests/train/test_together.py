"""Members that run together: what fails, or is in the way, of one and of all of them."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
import runs

from jaxdl import errors, learner, metrics, run
from jaxdl.data import batches
from jaxdl.train import checkpoint, lock, loop, program, progress


def counting(bad=0.0, **changes):
    """A learner that counts its steps; where `bad`, the loss of steps 12 to 14 is NaN."""

    def init(key, batch):
        return {"count": jnp.int32(0), "weight": jnp.ones(())}

    def step(state, batch, key):
        count = state["count"] + 1
        late = (count >= 12) & (count < 15)
        loss = jnp.where(late & (bad > 0), jnp.nan, count * 1.0)
        return {**state, "count": count}, {"loss": metrics.Mean.of(loss)}

    taught = learner.Learner(init, step, lambda state, batch, key: {})
    settings = {"train": None, "steps": 40, "log_every": 10, "save_every": 15}
    return run.Run(learner=taught, **(settings | changes))


def together(folder, bads, make=counting, names="abcd", wave=None, changes=None):
    """Run as many members as there are numbers; some more may fill up the program's shape."""
    size = wave or len(bads)
    numbers = [{"bad": float(bad)} for bad in [*bads, *[bads[-1]] * (size - len(bads))]]
    family = program.Family(lambda given: make(**given), [0] * size, numbers)
    shared = dataclasses.replace(make(), **(changes or {}))
    built = program.Program(shared, 0, None, family, together=True)
    entries = [
        loop.Entry(shared, folder / name, runs.launched(bad=float(bad)))
        for name, bad in zip(names, bads, strict=False)
    ]
    feed, terminal = loop.batches.Nothing(), progress.Progress(shared.steps, None, True)
    return loop.train_together(entries, folder / "group", built, feed, terminal)


def outcome(folder):
    return json.loads((folder / "run.json").read_text())["result"]


@pytest.mark.parametrize("bads, wave", [((0, 1), 2), ((0, 1), 4), ((1, 0), 2)], ids=str)
def test_a_nan_in_a_metric_alone_ends_one_member(bads, wave, tmp_path):
    results = together(tmp_path, bads, wave=wave)
    for bad, name, result in zip(bads, "ab", results, strict=False):
        assert (result.status, result.step) == (("failed", 15) if bad else ("completed", 40))
        assert outcome(tmp_path / name)["status"] == result.status
        steps = [10] if bad else [10, 20, 30, 40]
        assert result.history["train/loss"][0].tolist() == steps
    assert "metric was not finite by step 15" in outcome(tmp_path / "ab"[bads.index(1)])["message"]
    saved = {path.name for path in (tmp_path / "group" / "checkpoints").iterdir()}
    assert "40" in saved


def shows(fault):
    """In place of a summary: goes wrong at step 20."""

    def show(state, key):
        if int(state["count"]) == 20:
            raise fault
        return 1.0

    return {"summaries": {"shown/it": show}, "eval_every": 10}


def test_what_is_no_fault_of_a_member_can_be_resumed(tmp_path):
    with pytest.raises(KeyError, match="mine"):
        together(tmp_path, (0, 1, 0), changes=shows(KeyError("mine")))
    ends = [outcome(tmp_path / name) for name in "abc"]
    assert [end["status"] for end in ends] == ["stopped", "failed", "stopped"]
    assert [end["step"] for end in ends] == [20, 15, 20]
    assert ends[0]["message"] == "'mine'" and "not finite by step 15" in ends[1]["message"]
    results = together(tmp_path, (0, 1, 0))
    assert [result.status for result in results] == ["completed", "failed", "completed"]
    whole = together(tmp_path / "whole", (0, 1, 0))
    for name, one, other in zip("abc", results, whole, strict=True):
        assert runs.history(one)["train/loss"] == runs.history(other)["train/loss"], name


def test_one_of_several_that_run_one_after_another_can_be_resumed(tmp_path):
    what = counting(**shows(KeyError("mine")))
    built = program.Program(what, 0, None)
    with pytest.raises(KeyError, match="mine"):
        runs.train(what, tmp_path / "run", program=built)
    assert outcome(tmp_path / "run")["status"] == "stopped"
    with pytest.raises(errors.NonFiniteError):
        runs.train(counting(1.0), tmp_path / "bad", program=program.Program(counting(1.0), 0, None))
    assert outcome(tmp_path / "bad")["status"] == "failed"


def confused(bad=0.0):
    def evaluate(state, batch, key):
        return {"confusion": metrics.Confusion.of(batch, batch, 2)}

    tests = {"test": batches.once(np.arange(4) % 2, 4)}
    monitor = run.Highest("test/confusion/accuracy")
    what = counting(bad, eval_every=10, tests=tests, monitor=monitor)
    return dataclasses.replace(what, learner=what.learner._replace(evaluate=evaluate))


def test_pictures_of_members_are_those_of_the_end(tmp_path):
    """256 of them at each evaluation would take longer than the training."""
    together(tmp_path, (0, 0), confused)
    runs.train(confused(), tmp_path / "alone")
    for name, steps in (("a", [40]), ("b", [40]), ("alone", [10, 20, 30, 40])):
        shown = runs.accumulated(tmp_path / name).Images("test/confusion")
        assert [one.step for one in shown] == steps


def test_a_group_in_use_is_refused(tmp_path):
    (tmp_path / "group").mkdir()
    with (
        lock.Lock(tmp_path / "group"),
        pytest.raises(errors.InputError, match=r"group must not be in use, got process"),
    ):
        together(tmp_path, (0, 0))
    assert not (tmp_path / "a").exists()
    assert together(tmp_path, (0, 0))[0].status == "completed"


@pytest.mark.parametrize("names, count", [("ac", 2), ("ba", 2), ("abc", 3), ("a", 1)])
def test_the_checkpoint_of_other_members_is_refused(names, count, tmp_path):
    together(tmp_path, (0, 0), wave=3)
    with pytest.raises(errors.InputError, match="must be of this group, got") as caught:
        together(tmp_path, (0,) * count, names=names, wave=3)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_nan_of_no_member_is_not_explained_as_that_of_a_run(
    tmp_path, monkeypatch
):
    def save(self, step, *rest):
        raise errors.NonFiniteError(f"The state at step {step} has NaN.")

    monkeypatch.setattr(checkpoint.Checkpoints, "save", save)
    with pytest.raises(errors.NonFiniteError, match="The state at step 15 has NaN"):
        together(tmp_path, (0, 0))
