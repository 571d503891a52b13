"""`analyse RUN fairness`: what it tells of groups, and of a column that is missing."""

import json
import pathlib
import types

import numpy as np
import pytest
import runs

from jaxdl import errors, trained
from jaxdl.analyse import __main__ as command
from jaxdl.analyse import fairness
from jaxdl.data import batches


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a perceptron of four units that has learnt for thirty steps without mitigation."""
    values = {"width": 4, "steps": 30, "learning_rate": 0.05, "mitigation": "none"}
    logdir = tmp_path_factory.mktemp("runs")
    return runs.of_experiment("loans_fairness", logdir, **values).folder


def test_the_command_tells_of_groups(folder, capsys):
    assert command.main([str(folder), "fairness", "--splits", "2", "--examples", "4000"]) == 0
    assert "A threshold for each group" in capsys.readouterr().out
    kept = json.loads((folder / "analysis" / "fairness" / "report.json").read_text())
    rates, confidence, gaps, thresholds = (
        {row[0]: row[1:] for row in table["rows"]} for table in kept["tables"]
    )
    found = trained.load(folder)
    batch = trained.examples(found.test(), 4000)
    chosen = np.argmax(found.predictor("This test")(found.state, batch), -1)
    share = [float(chosen[batch["group"] == i].mean()) for i in (0, 1)]
    assert [rates[name][2] for name in "01"] == pytest.approx(share, abs=1e-6)
    assert sum(rates[name][0] for name in "01") == 4000
    assert [confidence[name][0] for name in "01"] == [rates[name][1] for name in "01"]
    gap = abs(share[0] - share[1])
    assert gaps["demographic parity: chosen"][0] == pytest.approx(gap, abs=1e-6)
    assert thresholds["none"][1] == pytest.approx(gap, abs=1e-6) and gap > 0.2
    assert thresholds["parity"][1] < 0.06 and thresholds["odds"][3] < 0.1
    shown = runs.accumulated(folder / "analysis" / "fairness").Tags()["images"]
    assert shown == ["reliability/group 0", "reliability/group 1"]


def test_a_column_that_is_missing_is_one_line(folder, capsys):
    assert command.main([str(folder), "fairness", "--group", "sex"]) == 2
    told = capsys.readouterr().err
    assert "got sex. The columns there are: group, worthy." in told and told.count("\n") == 1


def of_logits(logits, scale=1.0, **columns):
    """What the command would be given of a run whose inputs are its outputs."""
    batch = {"input": logits, **columns}
    run = types.SimpleNamespace(
        learner=types.SimpleNamespace(predict=lambda state, batch: scale * batch["input"]),
        tests={"test": batches.once(batch, 40)},
    )
    return trained.Trained(pathlib.Path("here"), runs.launched(), run, None, 0, np.float32(0))


def test_one_of_several_classes_against_the_others():
    random = np.random.default_rng(0)
    logits = random.normal(size=(60, 3)).astype(np.float32)
    target = random.integers(0, 2, 60).astype(np.int32)  # nobody is of class 2
    found = of_logits(logits, target=target, age=np.repeat(np.float32([20.5, 40]), 30))
    groups, _, _, thresholds = fairness.analyse(found, fairness.Options("age", positive=2)).tables
    assert np.isnan(thresholds.rows[1][1]) and "fewer than 2 examples" in thresholds.note
    assert [row[0] for row in groups.rows] == ["20.5", "40"]
    assert groups.rows[0][3] == pytest.approx((logits[:30].argmax(1) == 2).mean())
    assert groups.rows[0][2] == 0 and np.isnan(groups.rows[0][5])


def test_what_is_nearly_certain_has_thresholds():
    random = np.random.default_rng(0)
    odds = 200 * random.normal(size=400)  # a chance of float64 is 1 from 37
    logits = np.stack([np.zeros(400), odds, np.full(400, -900)], 1).astype(np.float32)
    target = (odds > 0).astype(np.int32)
    found = of_logits(logits, target=target, group=np.arange(400, dtype=np.int32) % 2 + 1_000_001)
    groups, *_, thresholds = fairness.analyse(found, fairness.Options()).tables
    assert [row[0] for row in groups.rows] == ["1000001", "1000002"]
    assert np.isfinite([row[1:] for row in thresholds.rows]).all()


def test_what_does_not_suit_is_told():
    logits, target = np.zeros((60, 2), np.float32), np.tile(np.int32([0, 1]), 30)
    plain = of_logits(logits, target=target)
    with pytest.raises(errors.InputError, match="There is none: give the test's examples one"):
        fairness.analyse(plain, fairness.Options())
    many = of_logits(logits, target=target, group=np.arange(60))
    with pytest.raises(
        errors.InputError, match="2 to 20 different numbers, got group, which has 60"
    ):
        fairness.analyse(many, fairness.Options())
    two = of_logits(logits, target=target, group=target)
    with pytest.raises(errors.InputError, match="--positive must be a class, 0 to 1, got 2"):
        fairness.analyse(two, fairness.Options(positive=2))
    lost = of_logits(logits, np.nan, target=target, group=target)
    with pytest.raises(errors.InputError, match="finite logits, got 60 of 60 examples with others"):
        fairness.analyse(lost, fairness.Options())
    with pytest.raises(errors.InputError, match="The columns there are: group"):
        fairness._groups({"at": np.float32(0), "deep": {"x": target}, "group": target}, "deep")
    numbers = of_logits(logits, target=logits, group=target)
    with pytest.raises(errors.InputError, match=r"must be of logits \(b, k\) of classes"):
        fairness.analyse(numbers, fairness.Options())
