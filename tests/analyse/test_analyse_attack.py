"""The command that attacks a trained run, on a tiny one, from its words to the files it leaves."""

import json

import numpy as np
import pytest
import runs

from jaxdl import errors, trained
from jaxdl.analyse import __main__ as command
from jaxdl.analyse import attack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("runs")
    return runs.of_experiment("digits_mlp", logdir, width=16, depth=1, steps=150).folder


def test_it_attacks_a_run(folder, capsys):
    words = "attack --epsilon 0.1 --steps 3 --examples 60 --target 3 --shown 4"
    assert command.main([str(folder), *words.split()]) == 0
    told = capsys.readouterr().out
    assert "Accuracy under attack" in told and "the worst of all" in told
    kept = folder / "analysis" / "attack"
    tables = {t["title"]: t for t in json.loads((kept / "report.json").read_text())["tables"]}
    under = dict(tables["Accuracy under attack"]["rows"])
    assert list(under) == ["no attack", "FGSM", "PGD", "APGD", "APGD DLR", "the worst of all"]
    assert min(under.values()) == under["the worst of all"] < 0.5 < under["no attack"]
    against = tables["Accuracy against epsilon"]["rows"]
    assert [row[0] for row in against] == ["0", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2"]
    assert against[0][1:] == [pytest.approx(under["no attack"])] * 4
    assert against[4][1:] == [pytest.approx(under[x]) for x in ("FGSM", "PGD", "APGD", "APGD DLR")]
    assert [row[2] for row in against] == sorted((row[2] for row in against), reverse=True)
    taken = tables["Taken for class 3"]["rows"]
    assert [row[0] for row in taken] == ["FGSM", "PGD", "APGD"] and taken[2][1] > 0.1
    spoiled = tables["Accuracy under corruptions of severity 1 to 5"]["rows"]
    assert [row[0] for row in spoiled] == ["noise", "blur", "shift", "contrast"]
    assert len(tables["The first examples"]["rows"]) == 4
    tags = runs.accumulated(kept).Tags()
    assert {"attack/curve", "attack/pictures"} <= {*tags["tensors"], *tags["images"]}


def analysed(folder, **changes):
    options = attack.Options(**({"examples": 20, "steps": 1} | changes))
    return attack.analyse(trained.load(folder), options)


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        ("--examples must be at least 1, got 0", {"examples": 0}),
        ("--shown must be at least 1, got -2", {"shown": -2}),
        ("--target must be one of 10 classes, from 0, got 10", {"target": 10}),
        ("epsilon must be at least 0, got -0.5", {"epsilon": -0.5}),
        (r"must lie in \[0, 0.5\], got 0 to 1", {"high": 0.5}),
        ("--test must be one of the run's tests, test, got train", {"test": "train"}),
    ],
)
def test_bad_options_are_refused(folder, match, changes):
    with pytest.raises(errors.InputError, match=match):
        analysed(folder, **changes)


def test_what_has_no_classes_is_refused(folder):
    found = trained.load(folder)

    def refused(match, **changes):
        other = found._replace(run=runs.linear(**changes), state=np.ones(4, np.float32))
        with pytest.raises(errors.InputError, match=match) as caught:
            attack.analyse(other, attack.Options(low=-99.0, high=99.0))
        assert "\n" not in str(caught.value)

    refused("must be of a learner with `predict`, got a run of digits_mlp")
