"""A trained run is found again from its folder, and what is found in it is shown and kept."""

import dataclasses
import io
import json
import math
import sys
import types
from typing import NamedTuple

import jax
import numpy as np
import pytest
import rich.console
import runs
from tensorboard.backend.event_processing import event_accumulator

from jaxdl import errors, summary, trained
from jaxdl.analyse import __main__ as command
from jaxdl.analyse import report


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A run of a perceptron of eight units that has learnt for four steps, best at one of them."""
    return runs.of_experiment("digits_mlp", tmp_path_factory.mktemp("runs"), width=8, steps=4)


def test_the_best_state_gives_the_best_evaluation(result):
    found = trained.load(trained.find("last", result.folder.parents[1]))
    step, best = result.best
    batch = trained.examples(found.test())
    outputs = found.predictor("This test")(found.state, batch)
    assert found.step == step and len(batch["input"]) == found.test("test").size
    assert np.mean(np.argmax(outputs, -1) == batch["target"]) == pytest.approx(best, abs=1e-6)
    few = trained.examples(found.test(), 7)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:7]), few, batch)


def test_what_there_is_not_is_told(result, tmp_path):
    found = trained.load(result.folder)
    with pytest.raises(errors.InputError, match="one of the run's tests, test, got trial"):
        found.test("trial")
    with pytest.raises(errors.InputError, match=r"must find a run in .*, got none"):
        trained.find("last", tmp_path)
    with pytest.raises(errors.InputError, match=r"which holds no run\.json"):
        trained.find(tmp_path)
    for name in ("run.json", "experiment.py"):
        (tmp_path / name).write_bytes((result.folder / name).read_bytes())
    with pytest.raises(errors.InputError, match="must have a checkpoint, got none"):
        trained.load(tmp_path)
    (tmp_path / "experiment.py").unlink()
    with pytest.raises(errors.InputError, match=r"must have experiment\.py"):
        trained.load(tmp_path)
    without = found.run.learner._replace(predict=None)
    blind = found._replace(run=types.SimpleNamespace(learner=without))
    with pytest.raises(errors.InputError, match="with `predict`, got a run of digits_mlp"):
        blind.predictor("An explanation")


@dataclasses.dataclass(frozen=True)
class Options:
    """Counts."""

    up_to: int = 3
    """The last."""


def part(monkeypatch):
    """A part of the command that counts."""

    def analyse(found, options):
        rows = [("parameters", 1234), ("rate", 0.5), ("none", math.nan)]
        return report.Report(
            [report.Table("Counts", ("what", "value"), rows, "a note")],
            {"counts/picture": summary.Image(np.zeros((4, 4))), "counts/one": 1.0},
        )

    made = types.SimpleNamespace(Options=Options, analyse=analyse)
    monkeypatch.setitem(sys.modules, "jaxdl.analyse.counts", made)
    monkeypatch.setitem(command.PARTS, "counts", "how many")


def test_the_command_shows_and_keeps(result, monkeypatch, capsys):
    part(monkeypatch)
    logdir = str(result.folder.parents[1])
    for words in (["--logdir", logdir], [f"--logdir={logdir}"]):  # the second in place of the first
        assert command.main(["last", "counts", *words]) == 0
    told = capsys.readouterr().out
    assert "1,234" in told and "a note" in told and "counts of digits_mlp at step" in told
    folder = result.folder / "analysis" / "counts"
    kept = json.loads((folder / "report.json").read_text())
    assert kept["tables"][0]["rows"] == [["parameters", 1234], ["rate", 0.5], ["none", None]]
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    assert events.Tags()["images"] == ["counts/picture"]
    assert len(events.Scalars("counts/one")) == 1
    assert events.Scalars("counts/one")[0].step == kept["step"] == result.best[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "counts"], "must be a run's folder or `last`, got nowhere"),
        (["last", "count"], "got count. Did you mean counts?"),
        (["last"], "got nothing"),
        (["last", "counts", "--logdir"], "--logdir must be followed by a folder, got nothing"),
    ],
)
def test_bad_words_are_one_line(words, told, monkeypatch, capsys):
    part(monkeypatch)
    assert command.main(words) == 2
    assert told in capsys.readouterr().err


def test_usage_names_the_parts(capsys):
    assert command.main([]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in command.PARTS) and told.count("--logdir DIR") == 2


def test_examples_that_do_not_fit_together_are_the_first():
    class Ragged(NamedTuple):
        lengths: tuple[int, ...]
        size: int | None = None

        def once(self):
            for n in self.lengths:
                yield (lambda data, i: data), {"at": np.float32(n), "x": np.full((2, n), n)}

    found = trained.examples(Ragged((3, 5, 3)))
    assert found["x"].tolist() == [[3] * 3] * 4 and found["at"] == 3
    assert len(trained.examples(Ragged((3, 5, 3)), 3)["x"]) == 2
    with pytest.raises(errors.InputError, match="must have examples, got none"):
        trained.examples(Ragged(()))


def test_a_narrow_terminal_is_told_which_columns_it_lacks():
    head = ("feature", "a_first_method", "a_second_method", "a_third_method")
    table = report.Table("Features", head, [("a feature of a long name", 0.25, 0.5, 0.75)])
    shown = {}
    for width in (100, 50):
        console = rich.console.Console(file=io.StringIO(), width=width)
        report.show(report.Report([table], {}), console)
        shown[width] = console.file.getvalue()
    assert "0.75" in shown[100] and "narrow" not in shown[100]
    assert "0.5" in shown[50] and "0.75" not in shown[50]
    assert "as the terminal is narrow: a_third_method." in " ".join(shown[50].split())
    assert max(map(len, shown[50].splitlines())) <= 50
