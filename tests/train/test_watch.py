"""Histograms on request: what suits a run, and that nothing of the run changes by them."""

import dataclasses

import jax
import numpy as np
import pytest
import runs

from jaxdl import launch
from jaxdl.learners import hebbian
from jaxdl.sweep import execute
from jaxdl.train import watch

ALL = ["weights", "gradients", "activations"]


def watched(what):
    return watch.added(what, watch.suited(what, 0))


def shown(folder):
    """Of what its event files hold histograms."""
    found = runs.accumulated(folder)
    return {tag.partition("/")[0] for tag in found.Tags()["tensors"]} & set(ALL)


def curves(folder):
    """Every curve and every point, but for the speed."""
    found = runs.accumulated(folder)
    tags = [tag for tag in found.Tags()["scalars"] if not tag.startswith("speed/")]
    return {tag: [(p.step, p.value) for p in found.Scalars(tag)] for tag in tags}


def test_a_run_is_bitwise_the_same_with_them(tmp_path, monkeypatch):
    plain = runs.train(runs.full(), tmp_path / "plain")
    with monkeypatch.context() as patch:
        patch.setattr("jaxdl.train.stop.Catcher", lambda: runs.StopAfter(15))
        runs.train(runs.full(), tmp_path / "watched")
    resumed = runs.train(watched(runs.full()), tmp_path / "watched")  # goes on with histograms
    assert curves(tmp_path / "plain") == curves(tmp_path / "watched")
    jax.tree.map(np.testing.assert_array_equal, plain.state, resumed.state)
    with monkeypatch.context() as patch:
        patch.setattr("jaxdl.train.stop.Catcher", lambda: runs.StopAfter(15))
        runs.train(watched(runs.full()), tmp_path / "begun")
    after = runs.train(runs.full(), tmp_path / "begun")  # without
    jax.tree.map(np.testing.assert_array_equal, plain.state, after.state)
    assert curves(tmp_path / "plain") == curves(tmp_path / "begun")


def test_what_does_not_suit_is_told_and_left_out(capsys):
    assert watch.suited(runs.full(), 0) == ALL and capsys.readouterr().err == ""
    taught = hebbian.hopfield()
    assert watch.suited(runs.plain(taught), 0) == ["weights"]
    told = capsys.readouterr().err.splitlines()
    assert [line.split(".")[0] for line in told] == [
        f"note: no histograms of {name}" for name in ("gradients", "activations")
    ]
    assert watch.suited(
        dataclasses.replace(runs.full(), tests={}, monitor=None), 0, quiet=True
    ) == ["weights"]
    assert capsys.readouterr().err == ""
    other = runs.full().learner._replace(predict=lambda state, batch: batch["observation"])
    what = dataclasses.replace(runs.full(), learner=other)
    assert watch.suited(what, 0) == ["weights", "gradients"]
    assert "must take the test's examples, got KeyError: 'observation'" in capsys.readouterr().err


def test_launch_shows_them(tmp_path):
    found = launch.launch(
        "digits_mlp", logdir=tmp_path, width=8, steps=4, histograms=True, quiet=True
    )
    assert shown(found.folder) == set(ALL)


@pytest.mark.parametrize("together", [[], ["--jobs", "1"]], ids=["here", "jobs"])
def test_sweeps_show_them(tmp_path, together, monkeypatch):
    asked = []  # the cores must be shared before anything starts JAX's backend
    share, suited = execute.share_cores, watch.suited
    monkeypatch.setattr(execute, "share_cores", lambda: asked.append("cores") or share())
    monkeypatch.setattr(watch, "suited", lambda *run: asked.append("suited") or suited(*run))
    words = ["digits_mlp", "--logdir", str(tmp_path), "--name", "sweep", "--steps", "4"]
    words += ["--width", "8", "--sweep", "learning_rate=1e-3,1e-2", "--histograms", *together]
    assert launch.main(words) == 0
    assert asked == ["cores", "suited"]
    for member in ("learning_rate=0.001", "learning_rate=0.01"):
        assert shown(tmp_path / "digits_mlp" / "sweep" / member) == set(ALL)


def test_a_setting_that_lacks_them_runs_on_without(tmp_path, capsys):
    """What suits is asked of a sweep's defaults; another may have no `predict`."""
    whole = runs.full()
    bare = dataclasses.replace(whole, learner=whole.learner._replace(predict=None))
    runs.train(watch.added(bare, ALL), tmp_path)
    assert shown(tmp_path) == {"weights", "gradients"}
    assert "note: no histograms of activations." in capsys.readouterr().err
