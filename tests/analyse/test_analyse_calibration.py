"""`analyse RUN calibration`: of a run of classes, of one of numbers, and what it refuses."""

import json
import pathlib
import types

import jax.numpy as jnp
import numpy as np
import pytest
import runs

from jaxdl import errors, trained
from jaxdl.analyse import __main__ as command
from jaxdl.analyse import calibration
from jaxdl.data import batches


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a perceptron of four units that has learnt for two steps."""
    logdir = tmp_path_factory.mktemp("runs")
    return runs.of_experiment("digits_calibration", logdir, width=4, steps=2).folder


def test_the_command_tells_of_classes(folder, capsys):
    words = [str(folder), "calibration", "--coverage", "0.8", "--splits", "20"]
    assert command.main([*words, "--examples", "400"]) == 0
    told = capsys.readouterr().out
    assert "20 halvings of 400 examples" in told
    kept = json.loads((folder / "analysis" / "calibration" / "report.json").read_text())
    confidence, sets = ({row[0]: row[1:] for row in t["rows"]} for t in kept["tables"])
    before, after = confidence["cross-entropy"]
    assert after <= before + 1e-3
    assert sets["promised"] == [0.8] and sets["truths held"][0] == pytest.approx(0.8, abs=0.02)
    shown = runs.accumulated(folder / "analysis" / "calibration").Tags()["images"]
    assert shown == ["reliability/as it is", "reliability/scaled"]


def numbers(predict, target):
    """What the command would be given of a run of a linear function."""
    batch = {"input": np.linspace(-1, 1, 400, dtype=np.float32)[:, None], "target": target}
    return trained.Trained(
        pathlib.Path("here"),
        runs.launched(),
        types.SimpleNamespace(
            learner=types.SimpleNamespace(predict=predict),
            tests={"test": batches.once(batch, 150)},
        ),
        None,
        0,
        jnp.float32(2),
    )


def test_what_is_hardly_ever_wrong_is_not_made_worse():
    logits = np.tile(np.float32([[0, 6], [6, 0]]), (180, 1))
    target = np.tile(np.int32([1, 0]), 180)
    target[:3] = 1 - target[:3]  # the three mistakes are of one half now and then
    made = calibration._of_classes(logits, target, calibration.Options())
    plain, scaled = made.tables[0].rows[0][1:]
    assert scaled < 1.5 * plain and "half that sets the temperature has no" in made.tables[0].note
    assert "A set may be empty" in made.tables[1].note


def test_numbers_of_16_bits_have_intervals():
    target = np.linspace(-2, 2, 400, dtype=np.float32)[:, None].astype(jnp.bfloat16)
    found = numbers(lambda state, batch: state * batch["input"], target)
    (table,) = calibration.analyse(found, calibration.Options(splits=2)).tables
    assert dict(table.rows)["width of an interval"] < 0.1


def test_numbers_have_intervals():
    noise = np.random.default_rng(0).uniform(-1, 1, (400, 1)).astype(np.float32)
    target = 2 * np.linspace(-1, 1, 400, dtype=np.float32)[:, None] + noise
    found = numbers(lambda state, batch: state * batch["input"], target)
    (table,) = calibration.analyse(found, calibration.Options()).tables
    made = dict(table.rows)
    assert made["truths held"] == pytest.approx(0.9, abs=0.01)
    assert made["width of an interval"] == pytest.approx(1.8, abs=0.05)  # of 2, nine tenths


def test_what_does_not_suit_is_told(folder):
    target = np.zeros(400, np.float32)
    found = numbers(lambda state, batch: batch["input"], target)
    with pytest.raises(errors.InputError, match=r"outputs \[400, 1\] and targets float32\[400\]"):
        calibration.analyse(found, calibration.Options())
    several = numbers(lambda state, batch: (batch["input"],), target)
    with pytest.raises(errors.InputError, match="gives one array, got tuple in a run of small"):
        calibration.analyse(several, calibration.Options())
    found = trained.load(folder)
    for options, told in (
        ({"coverage": 1.5}, "--coverage must be between 0 and 1"),
        ({"examples": 0}, "number of examples must be at least 1, got 0"),
        ({"examples": 1}, "at least 2 to be halved"),
        ({"test": "trial"}, "one of the run's tests, test, got trial"),
    ):
        with pytest.raises(errors.InputError, match=told):
            calibration.analyse(found, calibration.Options(**options))
