"""The loop's messages for bad input, full disks, and what it gives back."""

import json
import os
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs

from jaxdl import errors, metrics, run, summary
from jaxdl.data import batches, streams
from jaxdl.train import lock, loop, program, stop


def with_metrics(**measured):
    """A run whose steps report these metrics besides the loss."""
    what = runs.linear()

    def step(state, batch, key):
        state, loss = what.learner.step(state, batch, key)
        return state, loss | measured

    return runs.plain(what.learner._replace(step=step))


def ending_stream():
    import grain

    data = [{"input": np.ones((8, 4), np.float32), "target": np.ones(8, np.float32)}] * 3
    return streams.dataset(lambda seed: grain.MapDataset.source(data).to_iter_dataset(), 8)


def uneven_stream():
    import grain

    sizes = (8, 8, 5, 8)
    data = [{"input": np.ones((n, 4), np.float32), "target": np.ones(n, np.float32)} for n in sizes]
    return streams.dataset(lambda seed: grain.MapDataset.source(data).repeat().to_iter_dataset(), 8)


BAD = {
    "no steps": (lambda: runs.linear(steps=0), "Run.steps must be at least 1, got 0."),
    "no interval": (lambda: runs.linear(log_every=0), "Run.log_every must be at least 1, got 0."),
    "a batch larger than the data": (
        lambda: runs.linear(train=batches.shuffled(np.ones((4, 2)), 8)),
        "The batch size must be at most the 4 training examples, got 8.",
    ),
    "a test called train": (
        lambda: runs.linear(tests={"train": runs.linear().tests["test"]}),
        "A test must not be called 'train', a name in use.",
    ),
    "a monitor of no test": (
        lambda: runs.linear(monitor=run.Lowest("train/loss")),
        "The monitored metric must be one of a test (tests: test), got 'train/loss'.",
    ),
    "a monitor that is never logged": (
        lambda: runs.linear(monitor=run.Highest("test/accuracy")),
        "The monitored metric must be one that is logged, got 'test/accuracy'; "
        "an evaluation logs test/loss.",
    ),
    "a score that is never logged": (
        lambda: runs.full(expect=run.AtLeast("test/f1", 0.5)),
        "The monitored metric must be one that is logged, got 'test/f1'; "
        "an evaluation logs test/accuracy, test/loss.",
    ),
    "patience without a monitor": (
        lambda: runs.linear(tests={}, patience=2),
        "Run.patience must come with a monitor or a test to watch.",
    ),
    "predictions as a training metric": (
        lambda: with_metrics(all=metrics.Collected(jnp.ones(8), np.mean)),
        "A training metric must be summable, got Collected for 'all'; "
        "return it from Learner.evaluate.",
    ),
    "a bare number as a metric": (
        lambda: with_metrics(rate=jnp.float32(0.1)),
        "Learner.step must return metrics such as metrics.Mean.of(x), "
        "got ShapeDtypeStruct(shape=(), dtype=float32) for 'rate'.",
    ),
    "a bare number from an evaluation": (
        lambda: runs.plain(
            runs.linear().learner._replace(evaluate=lambda *_: {"loss": jnp.float32(1)})
        ),
        "Learner.evaluate must return metrics such as metrics.Mean.of(x), "
        "got ShapeDtypeStruct(shape=(), dtype=float32) for 'loss'.",
    ),
    "metrics without names": (
        lambda: runs.plain(
            runs.linear().learner._replace(step=lambda state, *_: (state, jnp.float32(1)))
        ),
        "Learner.step must return metrics as a dict, got ShapeDtypeStruct.",
    ),
    "a stream that ends": (
        lambda: runs.linear(train=ending_stream()),
        "The training stream must not end before the run does; add .repeat() to it.",
    ),
    "a stream of uneven batches": (
        lambda: runs.linear(train=uneven_stream()),
        "A streamed batch must have 8 examples, got arrays of the shapes (5, 4), (5,).",
    ),
    "a picture of wrong shape": (
        lambda: runs.linear(summaries={"shown/it": lambda *_: summary.Image(np.ones(3))}),
        None,
    ),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_bad_input(make, message, tmp_path):
    with pytest.raises(errors.InputError) as caught:
        runs.train(make(), tmp_path / "run")
    lines = str(caught.value).splitlines()
    assert len(lines) <= 3
    assert message is None or lines == [message]


def test_another_run_in_the_folder(tmp_path):
    what = runs.linear(steps=2, log_every=2, eval_every=2, save_every=2)
    runs.train(what, tmp_path / "run")
    with pytest.raises(errors.InputError) as caught:
        loop.train(what, tmp_path / "run", runs.launched(experiment="other"), quiet=True)
    assert "experiment was 'small', now 'other'" in str(caught.value)


def test_a_checkpoint_that_does_not_fit_is_a_table(tmp_path, monkeypatch):
    settings = {"steps": 2, "log_every": 2, "eval_every": 2, "save_every": 2}
    runs.train(runs.linear(**settings), tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    kept["versions"]["jax"] = "0.0.1"  # of another version only the hyperparameters are compared
    (tmp_path / "run" / "run.json").write_text(json.dumps(kept))
    with pytest.raises(errors.InputError) as caught:
        runs.train(runs.linear(size=6, **settings), tmp_path / "run")
    table = str(caught.value).splitlines()
    assert table[0].startswith("The checkpoint of step 2 must fit this run's state")
    assert table[2].split() == ["state/weights", "float32[4]", "float32[6]"]


def test_a_fault_of_the_experiment_keeps_its_type_and_is_recorded(tmp_path):
    def show(state, key):
        raise KeyError("mine")

    what = runs.linear(summaries={"shown/it": show})
    with pytest.raises(KeyError, match="mine"):
        runs.train(what, tmp_path / "run")
    outcome = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert outcome | {"status": "failed", "step": 20, "message": "'mine'"} == outcome
    assert runs.curves(tmp_path / "run")["test/loss"]  # what was measured before is there


def limited(size, folder):
    """Nothing can write a file larger than this once step 40 is reached and step 20 is saved."""

    def show(state, key):
        if int(state["count"]) == 40:
            while not (folder / "checkpoints" / "20").exists():
                time.sleep(0.01)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return 1.0

    return show


@pytest.mark.parametrize(
    "size, words",
    [(100_000, "Checkpoints must be written to"), (100, "event file must be writable in")],
    ids=["checkpoint", "events"],
)
def test_a_full_disk_is_one_line_and_earlier_checkpoints_stay(size, words, tmp_path):
    show = limited(size, tmp_path / "run")
    what = runs.linear(size=50_000, rate=1e-5, summaries={"shown/it": show})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(errors.StorageError) as caught:
            runs.train(what, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["20"]
    # With room again, the same command goes on from there.
    what = runs.linear(size=50_000, rate=1e-5, summaries={"shown/it": lambda *_: 1.0})
    result = runs.train(what, tmp_path / "run")
    runs.check_same(result, runs.train(what, tmp_path / "whole"))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.StorageError) as caught:
        runs.train(runs.linear(), tmp_path / "file" / "run")
    assert "\n" not in str(caught.value)


def test_a_learner_without_data_or_tests(tmp_path):
    what = runs.linear()
    alone = what.learner._replace(
        init=lambda key, batch: {"weights": jax.random.normal(key, (4,))},
        step=lambda state, batch, key: (state, {"reward": metrics.Mean.of(jax.random.normal(key))}),
    )
    run_ = run.Run(learner=alone, train=None, steps=30, log_every=10)
    result = runs.train(run_, tmp_path / "run")
    assert result.best is None
    assert result.history["train/reward"][0].tolist() == [10, 20, 30]
    assert set(result.history) == {"train/reward", "speed/steps_per_second"}


def test_summaries_of_every_kind_and_a_profile(tmp_path):
    what = runs.linear(
        steps=8,
        log_every=2,
        eval_every=4,
        save_every=8,
        summaries={
            "shown/image": lambda state, key: summary.Image(np.zeros((4, 4))),
            "shown/weights": lambda state, key: summary.Histogram(state["weights"]),
            "shown/text": lambda state, key: summary.Text("*hello*"),
            "shown/random": lambda state, key: jax.random.uniform(key),
        },
    )
    result = runs.train(what, tmp_path / "run", profile=(3, 5))
    steps, values = result.history["shown/random"]
    assert steps.tolist() == [4, 8]
    assert values[0] != values[1]
    (trace,) = tmp_path.glob("run/plugins/profile/*/*.xplane.pb")
    planes = jax.profiler.ProfileData.from_file(str(trace)).planes
    events = [event for plane in planes for line in plane.lines for event in line.events]
    marked = [dict(event.stats)["step_num"] for event in events if event.name == "train"]
    assert marked and set(marked) <= {3, 4}
    tags = runs.accumulated(tmp_path / "run").Tags()
    assert tags["images"] == ["shown/image"]
    assert {"shown/weights", "shown/text", "run/command", "run/versions"} <= {*tags["tensors"]}


def test_the_terminal_says_what_happened(tmp_path, capsys, monkeypatch):
    what = runs.linear(steps=20, log_every=5, eval_every=10, save_every=10)
    with monkeypatch.context() as patched:
        patched.setattr(stop, "Catcher", lambda: runs.StopAfter(2))
        loop.train(what, tmp_path / "run", runs.launched())
    first = capsys.readouterr().out
    assert "small · 5 parameters · 20 steps · chunks of 5 · seed 0" in first
    assert "stopped at step 10" in first
    assert "SIGTERM: saved at step 10. Go on with: python -m jaxdl.launch --resume" in first
    result = loop.train(what, tmp_path / "run", runs.launched())
    second = capsys.readouterr().out
    assert "Resumed from the checkpoint of step 10." in second
    assert "completed at step 20" in second
    assert f"{result.metrics['test/loss']:.4g}" in second
    assert f"tensorboard--logdir{tmp_path}" in "".join(second.split())  # it may be folded


def scored(values):
    """A run whose n-th evaluation has the n-th of these losses."""
    what = runs.linear()
    numbers = jnp.asarray(values, jnp.float32)

    def evaluate(state, batch, key):
        return {"loss": metrics.Mean.of(numbers[state["count"] // 10 - 1])}

    taught = what.learner._replace(evaluate=evaluate)
    changes = {"steps": 10 * len(values), "eval_every": 10, "save_every": 10 * len(values)}
    return runs.plain(taught, **changes)


def test_the_best_is_saved_wherever_it_falls_and_nan_is_never_it(tmp_path):
    result = runs.train(scored([float("nan"), 3.0, 1.0, 2.0, float("nan")]), tmp_path / "run")
    assert result.best == (30, 1.0)
    saved = {int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert {30, 50} <= saved
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert kept["metrics"]["test/loss"] is None  # JSON has no NaN
    assert kept["best"] == [30, 1.0]


def test_a_record_that_was_not_finished_is_finished_by_the_next_launch(tmp_path):
    folder = tmp_path / "run"
    first = runs.train(runs.linear(), folder)
    whole = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(whole | {"result": None}))
    again = runs.train(runs.linear(), folder)
    runs.check_same(first, again)
    assert json.loads((folder / "run.json").read_text())["result"]["status"] == "completed"


def test_a_folder_in_use_is_refused(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with lock.Lock(folder):
        message = rf"^The run folder .* must not be in use, got process {os.getpid()} in it\."
        with pytest.raises(errors.InputError, match=message), lock.Lock(folder):
            pass
    with lock.Lock(folder):
        pass


def test_a_resume_dispatches_as_the_run_began(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(stop, "Catcher", lambda: runs.StopAfter(2))
        runs.train(runs.linear(chunk=5), tmp_path / "run")
    asked = []
    advance = program.Program.advance
    monkeypatch.setattr(program.Program, "advance", lambda *x: asked.append(x[-1]) or advance(*x))
    runs.train(runs.linear(chunk=2), tmp_path / "run")
    assert set(asked) == {5}
