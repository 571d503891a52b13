"""run.json: one folder, one run; and whatever stands there already is never spoiled."""

import json
import pathlib

import jax
import pytest
import runs

from jaxdl import errors
from jaxdl.train import loop, record

PROGRAM = {"digest": "abc", "strategy": "rolled", "chunk": 10}
HYPERPARAMETERS = {"rate": 0.1, "sizes": (1, 2), "name": "x", "path": pathlib.Path("y"), "no": None}


def launched(**changes):
    settings = {"source": None, "seed": 3, "command": "c", "hyperparameters": HYPERPARAMETERS}
    return record.Launched(**({"experiment": "digits"} | settings | changes))


def refusal(folder, launched, program=PROGRAM):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(errors.InputError) as caught:
        record.claim(folder, launched, program)
    assert before == {path: path.read_bytes() for path in folder.iterdir()}
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_keeps_what_was_launched_and_on_what(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("# mine\n")
    folder = tmp_path / "deep" / "run"
    kept = record.claim(folder, launched(source=source), PROGRAM)
    assert kept == json.loads((folder / "run.json").read_text())
    assert kept["hyperparameters"]["sizes"] == [1, 2]
    assert kept["hyperparameters"]["path"] == "y"
    assert kept["program"] == PROGRAM
    assert kept["versions"]["jax"] == jax.__version__
    assert len(kept["devices"]) == 2
    assert kept["result"] is None
    assert (folder / "experiment.py").read_text() == "# mine\n"
    again = record.read(folder)
    assert again.source == folder / "experiment.py"
    assert (again.experiment, again.seed, again.command) == ("digits", 3, "c")
    # The same again, from the kept source, is the same run.
    assert record.claim(folder, launched(source=again.source, command="other"), PROGRAM) == kept


@pytest.mark.parametrize(
    "changes, program, words",
    [
        ({"experiment": "cancer"}, {}, "experiment was 'digits', now 'cancer'"),
        ({"seed": 4}, {}, "seed was 3, now 4"),
        (
            {"hyperparameters": HYPERPARAMETERS | {"rate": 0.2, "sizes": (1,)}},
            {},
            "rate was 0.1, now 0.2; sizes was [1, 2], now [1]",
        ),
        ({"hyperparameters": HYPERPARAMETERS | {"new": 1}}, {}, "new was None, now 1"),
        ({}, {"digest": "def"}, "the program's digest was 'abc', now 'def'"),
    ],
)
def test_refuses_another_run_and_names_what_differs(changes, program, words, tmp_path):
    record.claim(tmp_path, launched(), PROGRAM)
    assert refusal(tmp_path, launched(**changes), PROGRAM | program) == (
        f"The run folder {tmp_path} holds another run: {words}. "
        "Choose another --name, or launch what it holds."
    )


def test_another_version_of_jax_may_write_other_equations(tmp_path):
    kept = record.claim(tmp_path, launched(), PROGRAM)
    kept["versions"]["jax"] = "0.0.1"
    record.write(tmp_path, kept)
    assert record.claim(tmp_path, launched(), PROGRAM | {"digest": "def"}) == kept
    assert "seed was 3" in refusal(tmp_path, launched(seed=4), PROGRAM | {"digest": "def"})


def test_refuses_foreign_files_but_not_what_a_kill_left(tmp_path):
    (tmp_path / ".run.json.1234").write_text('{"half')
    kept = record.claim(tmp_path, launched(), PROGRAM)
    assert record.load(tmp_path) == kept
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "experiment.py").write_text("# precious\n")
    assert refusal(foreign, launched(source=foreign / "experiment.py")) == (
        f"The run folder {foreign} must be empty or hold a run, got other files. "
        "Choose another --name."
    )


def test_a_kill_before_the_source_was_copied_is_made_good(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("# mine\n")
    record.claim(tmp_path / "run", launched(), PROGRAM)
    record.claim(tmp_path / "run", launched(source=source), PROGRAM)
    assert (tmp_path / "run" / "experiment.py").read_text() == "# mine\n"
    source.write_text("# changed since\n")
    record.claim(tmp_path / "run", launched(source=source), PROGRAM)
    assert (tmp_path / "run" / "experiment.py").read_text() == "# mine\n"


@pytest.mark.parametrize("content", ['{"half', "", "[1, 2]", "\xff", '{"experiment": "x"}'])
def test_a_damaged_record_is_one_line(content, tmp_path):
    (tmp_path / "run.json").write_text(content, encoding="latin-1")
    assert refusal(tmp_path, launched()).startswith(f"The record {tmp_path}/run.json must be ")
    with pytest.raises(errors.InputError, match="must be "):
        record.read(tmp_path)


def test_a_folder_without_a_record(tmp_path):
    with pytest.raises(errors.InputError, match=r"must hold run\.json, got .* without one"):
        record.read(tmp_path)
    with pytest.raises(errors.InputError, match=r"must hold run\.json"):
        record.read(tmp_path / "none")


def test_a_folder_that_cannot_be_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "run", tmp_path / "file"):
        with pytest.raises(errors.UserError) as caught:
            record.claim(folder, launched(), PROGRAM)
        assert "\n" not in str(caught.value)
        assert str(folder) in str(caught.value)


def test_the_loop_records_the_program_and_the_outcome(tmp_path):
    what = runs.linear(steps=4, log_every=2, eval_every=2, save_every=2)
    result = runs.train(what, tmp_path / "run")
    kept = record.load(tmp_path / "run")
    assert kept["program"].keys() == {"digest", "strategy", "chunk"}
    assert kept["result"] == {
        "status": "completed",
        "step": 4,
        "metrics": result.metrics,
        "monitor": "test/loss",
        "best": list(result.best),
        "seconds": result.seconds,
    }
    other = runs.linear(rate=0.2, steps=4, log_every=2, eval_every=2, save_every=2)
    with pytest.raises(errors.InputError, match="the program's digest was"):
        runs.train(other, tmp_path / "run")
    with pytest.raises(errors.InputError, match="seed was 0, now 1"):
        loop.train(what, tmp_path / "run", runs.launched(seed=1), quiet=True)
