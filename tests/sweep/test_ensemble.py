"""Runs of a sweep as one model: its numbers against NumPy's."""

import dataclasses
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
import rich.console
import runs
import small

from jaxdl import errors, experiment, learner, metrics, run
from jaxdl.data import batches
from jaxdl.sweep import ensemble
from jaxdl.train import checkpoint

TEST = runs.examples(21)  # in batches of 8, 8 and 5


def classifier(rate: float = 0.1, kind: str = "a") -> run.Run:
    """A walk of weights for three classes."""
    return predicting(
        small.walk(rate, size=15, steps=30),
        lambda state, batch: batch["input"] @ state["at"].reshape(5, 3),
        {"test": batches.once(TEST, 8), "other": batches.once(runs.examples(9), 9)},
    )


def line(rate: float = 0.1, offset: float = 0.0, harm: float = 0.0) -> run.Run:
    """Whose predictions depend on a value, too."""
    return predicting(
        small.walk(rate, harm, size=5, steps=30),
        lambda state, batch: batch["input"] @ state["at"] + offset,
        {"test": batches.once({"input": TEST["input"], "target": TEST["input"].sum(1)}, 8)},
    )


def predicting(made, predict, tests):
    return dataclasses.replace(
        made, learner=made.learner._replace(predict=predict), tests=tests, monitor=None
    )


def test_classes(tmp_path):
    """The best states, stepped anew, averaged by NumPy."""
    sweep = tmp_path / "sweep"
    outcome = small.run_all(classifier, sweep, "rate=0.1,0.5", "kind=a,b", seeds=2, ensemble=True)
    found = json.loads((sweep / "run.json").read_text())["result"]["ensembles"]
    assert sorted(found) == ["kind=a/other", "kind=a/test", "kind=b/other", "kind=b/test"]
    chances = []
    for member in outcome.members[:4]:
        state = small.stepped(classifier(member.setting["rate"]), member.seed, member.best[0])
        logits = TEST["input"].astype(np.float64) @ np.asarray(state["at"]).reshape(5, 3)
        chances.append(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    target = TEST["target"]
    mean = np.mean(chances, axis=0)
    chosen = np.argmax(chances, -1)
    pairs = [(i, j) for i in range(4) for j in range(i)]
    wanted = {
        "members": 4,
        "loss": -np.log(mean[np.arange(21), target]).mean(),
        "accuracy": (mean.argmax(-1) == target).mean(),
        "mean_loss": -np.log(np.array(chances)[:, np.arange(21), target]).mean(),
        "mean_accuracy": (chosen == target).mean(),
        "disagreement": np.mean([(chosen[i] != chosen[j]).mean() for i, j in pairs]),
    }
    assert found["kind=a/test"] == pytest.approx(wanted, rel=1e-4)
    assert 0 < wanted["disagreement"] < 1


def test_numbers_and_predictions_that_depend_on_values(tmp_path):
    sweep = tmp_path / "sweep"
    outcome = small.run_all(line, sweep, "rate=0.01,0.1", "offset=0.0,2.0", ensemble=True)
    found = json.loads((sweep / "run.json").read_text())["result"]["ensembles"]
    (judged,) = found.values()
    data = line().tests["test"].arrays
    outputs = []
    for member in outcome.members:
        state = small.stepped(line(**member.setting), member.seed, member.best[0])
        weights = np.asarray(state["at"], np.float64)
        outputs.append(data["input"] @ weights + member.setting["offset"])
    mean = np.mean(outputs, axis=0)
    wanted = {
        "members": 4,
        "loss": ((mean - data["target"]) ** 2).mean(),
        "accuracy": None,
        "mean_loss": ((np.array(outputs) - data["target"]) ** 2).mean(),
        "mean_accuracy": None,
        "disagreement": np.sqrt(((np.array(outputs) - mean) ** 2).mean()),
    }
    assert judged.keys() == wanted.keys()
    for name, value in wanted.items():
        assert judged[name] == (value and pytest.approx(value, rel=1e-4)), name


def test_strangers_without_a_target_are_passed_over_by_name(tmp_path, capsys):
    """The experiment of Bayesian classification has such a test."""
    path = pathlib.Path(__file__).parents[2] / "experiments" / "digits_bayes.py"
    digits = experiment.File(path).function

    def bayes(learning_rate: float = 1e-3) -> run.Run:
        return digits("dropout", members=2, width=4, learning_rate=learning_rate, steps=2)

    small.run_all(bayes, tmp_path / "sweep", seeds=2, ensemble=True)
    found = json.loads((tmp_path / "sweep/run.json").read_text())["result"]["ensembles"]
    assert list(found) == ["all/test"] and found["all/test"]["members"] == 2
    table = ensemble.table({("all", "test"): ensemble.Judged(**found["all/test"])}, bayes())
    rich.console.Console(width=100).print(table)
    text = " ".join(capsys.readouterr().out.split())
    assert "Without a target, and not judged: strangers." in text
    assert "Chosen by test/loss: on test both numbers are a little too good." in text


def test_what_has_failed_is_left_out(tmp_path):
    outcome = small.run_all(line, tmp_path / "sweep", "harm=0.0,1.0", ensemble=True)
    assert [member.status for member in outcome.members] == ["completed", "failed"]
    found = json.loads((tmp_path / "sweep/run.json").read_text())["result"]["ensembles"]
    assert found["all/test"]["members"] == 1
    assert found["all/test"]["disagreement"] == 0


def test_a_shared_checkpoint_is_read_once(tmp_path, monkeypatch):
    small.run_all(line, tmp_path / "sweep", "rate=0.01,0.05,0.1")
    read = []
    restore = checkpoint.Checkpoints.restore
    monkeypatch.setattr(
        checkpoint.Checkpoints,
        "restore",
        lambda self, *rest: read.append(self.folder) or restore(self, *rest),
    )
    folders = [tmp_path / "sweep" / f"rate={rate}" for rate in (0.01, 0.05, 0.1)]
    stacked = ensemble.load(line(), folders)
    assert stacked["at"].shape == (3, 5)
    assert len(read) == 1


def test_refuses_what_has_no_target():
    made = run.Run(
        learner=learner.Learner(
            lambda key, batch: jnp.ones(2),
            lambda state, batch, key: (state, {"loss": metrics.Mean(1.0, 1)}),
            lambda state, batch, key: {"loss": metrics.Mean(1.0, 1)},
            lambda state, batch: batch["input"] @ state,
        ),
        train=None,
        tests={"test": batches.once({"input": np.ones((4, 2), np.float32)}, 2)},
        steps=1,
    )
    with pytest.raises(errors.InputError, match="got none in the tests test"):
        ensemble.tests(made)
    with pytest.raises(errors.InputError, match="must be judged on batches with a `target`"):
        ensemble.judge(lambda values: made, [{}, {}], jnp.ones((2, 2)), "test")


@pytest.mark.parametrize(
    "predict, target, got",
    [
        (lambda state, batch: batch["input"].sum(1), np.zeros(4, np.int32), r"\(4,\) on test"),
        (lambda state, batch: batch["input"], np.zeros(4, np.float32), r"\(4, 2\) on test"),
        (lambda state, batch: (batch["input"],) * 2, np.zeros(4, np.int32), r"and \(4, 2\)"),
    ],
)
def test_refuses_what_is_neither_logits_nor_numbers(predict, target, got, tmp_path):
    def odd(rate: float = 0.1) -> run.Run:
        data = {"input": np.ones((4, 2), np.float32), "target": target}
        return predicting(small.walk(rate), predict, {"test": batches.once(data, 4)})

    with pytest.raises(errors.InputError, match=got):
        small.run_all(odd, tmp_path / "sweep", "rate=0.1,0.2", ensemble=True)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("shapes", [((4, 1), (4,)), ((4,), (4, 1)), ((4, 2), (4, 2))])
def test_numbers_may_have_a_trailing_one(shapes):
    output, target = shapes
    data = {"input": np.ones((4, 2), np.float32), "target": np.zeros(target, np.float32)}
    made = predicting(
        small.walk(),
        lambda state, batch: jnp.ones(output) * state["at"][0],
        {"test": batches.once(data, 4)},
    )
    states = {"at": jnp.ones((2, 4))}
    judged = ensemble.judge(lambda values: made, [{}, {}], states, "test")
    assert judged.loss == pytest.approx(1)


def test_a_row_for_each_group_fits_the_terminal(capsys, monkeypatch):
    one = ensemble.Judged(16, 0.51724, 0.936111, 0.590312, 0.881212, 0.151911)
    rows = {("learning_rate=0.001, width=64", "test"): one, ("width=128", "test"): one}
    rich.console.Console(width=80).print(ensemble.table(rows, classifier()))
    text = capsys.readouterr().out
    assert "0.5172 (0.5903)" in text and "0.9361 (0.8812)" in text
    assert max(map(len, text.splitlines())) <= 80
    rich.console.Console(width=80).print(
        ensemble.table({("all", "test"): one._replace(accuracy=None)}, classifier())
    )
    text = capsys.readouterr().out
    assert "accuracy" not in text and "settings" not in text
