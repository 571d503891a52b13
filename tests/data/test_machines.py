"""Made lives of machines, and the alarm that watches them."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import machines


def test_a_fault_begins_late_and_grows_in_its_own_bands():
    lives = machines.lives(6, 40)
    failing, left = (lives[name].reshape(6, 40) for name in ("failing", "left"))
    spectrum, level = lives["input"].reshape(6, 40, 64), lives["level"].reshape(6, 40)
    assert (np.diff(failing, axis=1) >= 0).all() and (left == np.arange(40)[::-1][None]).all()
    onset = failing.argmax(1)
    assert (onset >= 20).all() and (onset < 30).all()
    tone = spectrum[:, :, 12]  # of 13.4 turns in a segment; band n is n + 1 turns
    healthy = np.array([row[:n].mean() for row, n in zip(tone, onset, strict=True)])
    assert (tone[:, -1] > healthy + 2).all()
    early = np.array([row[:n].mean() for row, n in zip(level, onset, strict=True)])
    assert (level[:, -1] > 1.5 * early).all()


def test_only_healthy_cycles_are_learnt_from():
    train, test = machines.load(3, 20)
    assert not train["failing"].any() and test["failing"].any()
    assert len(test["input"]) == 60 and len(train["input"]) < 60
    np.testing.assert_allclose(train["input"].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(train["input"].std(0), 1, atol=1e-4)


def test_alarm():
    batch = {
        "level": np.array([0.0, 3, 1, 2, 0, 1, 2, 3]),
        "failing": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "left": np.array([3, 2, 1, 0] * 2),
        "machine": np.array([0] * 4 + [1] * 4),
    }
    told = machines.alarm(np.array([0.0, 1, 2, 3, 0, 1, 0.5, 3]), batch).value()
    # One machine's score stays above 1 from two cycles before the end, the other's from one.
    assert told["lead"] == 1.5
    assert told["auroc"] == pytest.approx(14 / 16)
    never = machines.alarm(np.zeros(8), batch).value()
    assert never["auroc"] == 0.5 and never["lead"] == 0
    diverged = machines.alarm(np.full(8, np.nan), batch).value()
    assert diverged.keys() == never.keys() and np.isnan([*diverged.values()]).all()


def test_refusals():
    with pytest.raises(errors.InputError, match="number of cycles must be at least 4, got 3"):
        machines.lives(2, 3)
    with pytest.raises(errors.InputError, match="number of machines must be at least 1, got 0"):
        machines.lives(0)
