"""The description of a run checks itself as it is made."""

import dataclasses

import jaxtyping
import numpy as np
import optax
import pytest

from jaxdl import errors, run
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp

ARRAYS = {"input": np.zeros((8, 3), np.float32), "target": np.zeros(8, np.int32)}
TRAIN = batches.shuffled(ARRAYS, 4)
TEST = batches.once(ARRAYS, 4)
LEARNER = gradient.supervised(
    mlp.MLP(features=(2,), classes=2), classification.cross_entropy, optax.sgd(0.1)
)


def described(**changes) -> run.Run:
    """A run that is right, but for the changes."""
    return run.Run(
        **{"learner": LEARNER, "train": TRAIN, "tests": {"test": TEST}, "steps": 100} | changes
    )


@pytest.mark.parametrize(
    ("steps", "given", "expected"),
    [
        (1, {}, (1, 1, 1)),
        (7, {}, (1, 1, 1)),
        (99, {}, (1, 9, 9)),
        (600, {}, (12, 60, 60)),
        (1000, {}, (20, 100, 100)),
        (10_000, {}, (100, 1000, 1000)),
        (1_000_000, {}, (100, 100_000, 100_000)),
        (600, {"log_every": 50}, (50, 50, 50)),
        (10_000, {"log_every": 7}, (7, 994, 994)),
        (600, {"eval_every": 25}, (5, 25, 25)),
        (600, {"save_every": 5}, (5, 60, 5)),
        (4690, {"eval_every": 469}, (67, 469, 469)),
        (10550, {"eval_every": 211}, (211, 211, 211)),
        (10, {"log_every": 100}, (100, 100, 100)),
    ],
    ids=str,
)
def test_default_intervals(steps, given, expected):
    made = described(steps=steps, **given)
    assert (made.log_every, made.eval_every, made.save_every) == expected


def test_default_intervals_keep_their_promise():
    for steps in (*range(1, 300), 7919, 54_321, 10**7):
        made = described(steps=steps)
        assert 1 <= made.log_every <= 100 and made.eval_every % made.log_every == 0
        assert steps // made.log_every >= min(50, steps)
        assert min(10, steps) <= steps // made.eval_every <= 20


@pytest.mark.parametrize(
    ("changes", "monitor"),
    [
        ({}, run.Lowest("test/loss")),
        ({"tests": {"easy": TEST, "hard": TEST}}, run.Lowest("easy/loss")),
        ({"tests": {}}, None),
        ({"expect": run.AtLeast("test/accuracy", 0.9)}, run.Highest("test/accuracy")),
        ({"expect": run.AtMost("test/error", 0.1)}, run.Lowest("test/error")),
        (
            {"expect": (run.AtLeast("test/accuracy", 0.9), run.AtMost("test/error", 0.1))},
            run.Highest("test/accuracy"),
        ),
        (
            {"expect": run.AtLeast("test/accuracy", 0.9), "monitor": run.Lowest("test/loss")},
            run.Lowest("test/loss"),
        ),
    ],
)
def test_default_monitor(changes, monitor):
    assert described(**changes).monitor == monitor


def test_defaults_survive_a_replacement():
    """A frozen description is changed by making another, which is checked again."""
    made = described()
    assert dataclasses.replace(made, keep=5).keep == 5
    with pytest.raises(errors.InputError, match=r"Run\.keep must be at least 1, got 0\."):
        dataclasses.replace(made, keep=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.steps = 3


def test_a_learner_may_make_its_own_experience():
    assert described(train=None, tests={}).train is None


def test_scores_are_met_from_their_side():
    assert run.AtLeast("a", 0.5).met(0.5) and not run.AtLeast("a", 0.5).met(0.4)
    assert run.AtMost("a", 0.5).met(0.5) and not run.AtMost("a", 0.5).met(0.6)
    assert not run.AtLeast("a", 0.5).met(np.nan) and not run.AtMost("a", 0.5).met(np.nan)


@pytest.fixture
def unchecked():
    """As for a user: without the checks of types that the tests switch on."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


COUNTS = ("steps", "log_every", "eval_every", "save_every", "keep", "patience", "chunk")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[({name: 0}, f"Run.{name} must be at least 1, got 0.") for name in COUNTS],
        ({"steps": -3}, "Run.steps must be at least 1, got -3."),
        ({"steps": 1e3}, "Run.steps must be an integer, got 1000.0."),
        (
            {"strategy": "fast"},
            "Run.strategy must be auto, unrolled, rolled or single, got 'fast'.",
        ),
        (
            {"learner": optax.sgd(0.1)},
            "Run.learner must be a jaxdl.learner.Learner, got GradientTransformationExtraArgs; "
            "functions in jaxdl/learners/ return one.",
        ),
        (
            {"train": ARRAYS},
            "Run.train must be a source such as batches.shuffled(data, batch_size), got dict.",
        ),
        (
            {"train": TEST},
            "Run.train must be a source such as batches.shuffled(data, batch_size), got InOrder.",
        ),
        (
            {"tests": TEST},
            'Run.tests must be a mapping such as {"test": batches.once(data, batch_size)}, '
            "got InOrder.",
        ),
        (
            {"tests": {"test": TRAIN}},
            "Run.tests['test'] must be a pass such as batches.once(data, batch_size), "
            "got Shuffled.",
        ),
        ({"tests": {"train": TEST}}, "A test must not be called 'train', a name in use."),
        ({"tests": {"a/b": TEST}}, "A test's name must have no slash, got 'a/b'."),
        ({"tests": {"speed": TEST}}, "A test must not be called 'speed', a name in use."),
        (
            {"patience": 3, "tests": {}},
            "Run.patience must come with a monitor or a test to watch.",
        ),
        (
            {"monitor": run.Lowest("train/loss")},
            "The monitored metric must be one of a test (tests: test), got 'train/loss'.",
        ),
        (
            {"monitor": run.Lowest("test")},
            "The monitored metric must be one of a test (tests: test), got 'test'.",
        ),
        (
            {"expect": run.AtLeast("final/accuracy", 1.0), "tests": {}},
            "The monitored metric must be one of a test (tests: none), got 'final/accuracy'.",
        ),
        (
            {"expect": (run.AtMost("test/loss", 1.0), run.AtLeast("final/accuracy", 1.0))},
            "The expected metric must be one of a test (tests: test), got 'final/accuracy'.",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_is_wrong_is_said_at_once(changes, message, unchecked):
    with pytest.raises(errors.InputError) as caught:
        described(**changes)
    assert str(caught.value) == message
