"""The state of a run loads back: its best one, of a run of its own and of a member of a sweep."""

import json
import pathlib
import sys

import jax
import numpy as np
import pytest
import runs

from jaxdl import errors
from jaxdl.sweep import race
from jaxdl.train import states

sys.path.append(str(pathlib.Path(__file__).parent.parent / "sweep"))

import small


def rising(rate: float = 0.1) -> object:
    """Whose test is best in the middle: the walk passes the point that it is judged by."""
    return small.walk(rate, steps=60, every=5, chunk=5)


def test_the_best_of_a_run_of_its_own(tmp_path):
    result = runs.train(rising(0.4), tmp_path / "run", seed=3)
    assert result.best[0] < result.step
    found = states.best(tmp_path / "run", small.shape(rising()))
    assert found.step == result.best[0]
    wanted = small.stepped(rising(0.4), 3, result.best[0])
    np.testing.assert_array_equal(found.state["at"], wanted["at"])
    assert int(found.state["count"]) == found.step
    kept = jax.random.key_data(found.state["key"])
    np.testing.assert_array_equal(kept, jax.random.key_data(wanted["key"]))


def test_the_last_where_nothing_is_monitored(tmp_path):
    what = runs.plain(rising().learner, train=None, tests={}, steps=10)
    runs.train(what, tmp_path / "run")
    found = states.best(tmp_path / "run", small.shape(what))
    assert found.step == int(found.state["count"]) == 10


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
def test_the_best_of_each_member(together, tmp_path, monkeypatch):
    monkeypatch.setattr(race, "decide", small.forced(together))
    outcome = small.run_all(rising, tmp_path / "sweep", "rate=0.05,0.2", seeds=2)
    assert len({member.best[0] for member in outcome.members}) > 1
    for member in outcome.members:
        found = states.best(member.folder, small.shape(rising()))
        assert found.step == member.best[0] == int(found.state["count"])
        wanted = small.stepped(rising(member.setting["rate"]), member.seed, found.step)
        np.testing.assert_allclose(found.state["at"], wanted["at"], rtol=1e-5, atol=1e-5)
        kept = jax.random.key_data(found.state["key"])
        np.testing.assert_array_equal(kept, jax.random.key_data(wanted["key"]))


def test_the_last_of_members_where_nothing_is_monitored(tmp_path, monkeypatch):
    def blind(rate: float = 0.1) -> object:
        return runs.plain(rising(rate).learner, train=None, tests={}, steps=10)

    monkeypatch.setattr(race, "decide", small.forced(True))
    outcome = small.run_all(blind, tmp_path / "sweep", "rate=0.05,0.2")
    for member in outcome.members:
        found = states.best(member.folder, small.shape(blind()))
        assert found.step == int(found.state["count"]) == 10


def test_a_sweep_may_be_moved(tmp_path):
    small.run_all(rising, tmp_path / "sweep", "rate=0.05,0.2")
    before = states.best(tmp_path / "sweep/rate=0.2", small.shape(rising()))
    (tmp_path / "sweep").rename(tmp_path / "moved")
    after = states.best(tmp_path / "moved/rate=0.2", small.shape(rising()))
    np.testing.assert_array_equal(before.state["at"], after.state["at"])


def test_refuses_a_folder_without_a_run(tmp_path):
    with pytest.raises(errors.InputError, match=r"must hold run\.json"):
        states.best(tmp_path, small.shape(rising()))


def test_refuses_a_run_without_a_checkpoint(tmp_path):
    for name, member in (
        ("run", None),
        ("member", {"group": "../group", "members": 2, "index": 0}),
    ):
        (tmp_path / name).mkdir()
        kept = {key: {} for key in ("experiment", "hyperparameters", "seed", "program")}
        kept |= {"command": "", "versions": {}}
        text = json.dumps(kept | ({} if member is None else {"member": member}))
        (tmp_path / name / "run.json").write_text(text)
        with pytest.raises(errors.InputError, match="must have a checkpoint, got none yet"):
            states.best(tmp_path / name, small.shape(rising()))
