"""Comparisons: rows of runs that differ by their seed alone, with Student's intervals."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
import rich.console
import runs
import scipy.stats
import small

from jaxdl import compare, errors
from jaxdl.train import loop


def train(folder, seed=0, source=None, **values):
    """A run of least squares as if it had been launched."""
    settings = {"steps": 4, "log_every": 2, "eval_every": 2, "save_every": 2}
    what = runs.linear(**values, **settings)
    launched = runs.launched(seed, experiment="least", source=source, **values)
    return loop.train(what, folder, launched, quiet=True)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Two rates, three seeds of the first."""
    folder = tmp_path_factory.mktemp("several")
    source = folder / "source.py"
    source.write_text("first = 1\nsecond = 2\n")
    results = [train(folder / f"a{seed}", seed, source, rate=0.1) for seed in range(3)]
    source.write_text("first = 1\nsecond = 3\nthird = 4\n")
    results.append(train(folder / "b", 0, source, rate=0.2))
    return results


def shown(compared, width=80):
    console = rich.console.Console(width=width, file=io.StringIO())
    compared.show(console)
    return console.file.getvalue()


def test_seeds_are_one_row_with_a_confidence_interval(several):
    compared = compare.runs([result.folder for result in several])
    assert [len(row.runs) for row in compared.rows] == [3, 1]
    lines = list(csv.DictReader(io.StringIO(compared.csv())))
    assert [line["rate"] for line in lines] == ["0.1", "0.2"]
    final = [result.metrics["test/loss"] for result in several]
    best = [result.best[1] for result in several]
    for column, values in (("test/loss", final), ("best test/loss", best)):
        low, high = scipy.stats.t.interval(
            0.95, 2, loc=np.mean(values[:3]), scale=scipy.stats.sem(values[:3])
        )
        mean, half = float(lines[0][column]), float(lines[0][f"{column} ±"])
        np.testing.assert_allclose([mean - half, mean + half], [low, high], rtol=1e-9)
        assert float(lines[1][column]) == values[3]
        assert lines[1][f"{column} ±"] == ""
    assert lines[0]["folders"].split() == [str(result.folder) for result in several[:3]]


def test_what_differs_is_named_and_nothing_else(several):
    compared = compare.runs([result.folder for result in several])
    assert [name for _, name in compared.differing] == ["rate", "code", "program"]
    text = compared.markdown()
    assert "| 1 | 0.1 |" in text and "| 2 | 0.2 |" in text
    kept = json.loads((several[3].folder / "run.json").read_text())
    assert kept["program"]["digest"][:8] in text
    assert "row 2 has 2 lines more and 1 lines fewer than row 1" in text
    assert text == compared._repr_markdown_()
    assert compare.runs([several[0].folder, several[1].folder]).notes == [
        "Nothing differs but the seed."
    ]


def test_the_same_mathematics_under_other_versions_and_devices(several, tmp_path):
    shutil.copytree(several[0].folder, tmp_path / "other")
    path = tmp_path / "other" / "run.json"
    kept = json.loads(path.read_text())
    kept["versions"]["jax"] = "0.9.9"
    kept["devices"] = ["gpu: H100"] * 2
    kept["git"] = "0123456789ab"
    path.write_text(json.dumps(kept))
    compared = compare.runs([several[0].folder, tmp_path / "other"])
    names = [name for _, name in compared.differing]
    assert names == ["jax", "devices", "git"]
    assert compared.rows[1].fact(("run", "devices")) == "2 × gpu: H100"
    assert compared.notes == ["program: every row's step does the same mathematics (one jaxpr)."]
    # A revision alone makes no row of its own: the code that counts is compared itself.
    kept["versions"], kept["devices"] = (
        json.loads((several[0].folder / "run.json").read_text())[name]
        for name in ("versions", "devices")
    )
    path.write_text(json.dumps(kept | {"seed": 9}))
    assert len(compare.runs([several[0].folder, tmp_path / "other"]).rows) == 1


def test_tables_fit_the_terminal(several):
    compared = compare.runs([result.folder for result in several])
    wide = compared.rows[0].runs[0]
    facts = {("hyperparameter", f"a_rather_long_name_{i}"): "0.123456" for i in range(9)}
    other = wide._replace(facts=wide.facts | facts)
    compared = compare.Comparison(
        [compared.rows[0], compare.Row("2", [other])], list(facts), compared.columns, []
    )
    tables = [line for line in shown(compared).splitlines() if "/" not in line or "loss" in line]
    assert max(map(len, tables)) <= 80
    assert all(f"a_rather_long_name_{i}" in shown(compared) for i in range(9))
    assert "best test/loss" in shown(compared) and "…" not in "".join(tables)


def test_a_sweep_stands_for_its_runs(tmp_path):
    small.run_all(small.linear, tmp_path / "sweep", "rate=0.1,0.2", seeds=2)
    compared = compare.runs([tmp_path / "sweep"])
    assert [len(row.runs) for row in compared.rows] == [2, 2]
    assert [name for _, name in compared.differing] == ["rate"]
    rows = small.table(tmp_path / "sweep")
    for row, rate in zip(compared.rows, ("0.1", "0.2"), strict=True):
        wanted = [float(rows[f"rate={rate}", str(seed)]["test/loss"]) for seed in range(2)]
        np.testing.assert_allclose(sorted(row.sample("test/loss")), sorted(wanted), rtol=1e-6)
    again = compare.runs([tmp_path, tmp_path / "sweep"])  # found twice, counted once
    assert [len(row.runs) for row in again.rows] == [2, 2]


def test_runs_that_did_not_end_do_not_count_beside_those_that_did(several, tmp_path):
    for name in ("failed", "running", "again"):
        shutil.copytree(several[0].folder, tmp_path / name)
    for name, seed, result in (
        ("failed", 7, {"status": "failed", "metrics": {"test/loss": None}, "best": None}),
        ("running", 8, None),
    ):
        path = tmp_path / name / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": seed, "result": result}))
    folders = [several[0].folder, tmp_path / "failed", tmp_path / "running"]
    (row,) = compare.runs(folders).rows
    assert [run.status for run in row.runs] == ["completed", "failed", "not ended"]
    assert len(row.sample("test/loss")) == 1 and "1 of 3" in shown(compare.runs(folders))
    (row,) = compare.runs([tmp_path / "running"]).rows  # its curves tell
    assert row.sample("test/loss") == [several[0].metrics["test/loss"]]
    twice = compare.runs([several[0].folder, tmp_path / "again"])
    assert len(twice.rows[0].runs) == 1
    assert "1 left out" in twice.notes[-1]


def test_values_that_read_alike_when_rounded_are_not_one_run(several, tmp_path):
    rates = [0.123441, 0.123449, 0.5]
    for i, rate in enumerate(rates):
        shutil.copytree(several[0].folder, tmp_path / str(i))
        path = tmp_path / str(i) / "run.json"
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(kept | {"hyperparameters": {"rate": rate}}))
    compared = compare.runs([tmp_path / str(i) for i in range(3)])
    lines = list(csv.DictReader(io.StringIO(compared.csv())))
    assert [float(line["rate"]) for line in lines] == rates
    assert all(str(rate) in shown(compared) for rate in rates)
    apart = compare.runs([tmp_path / "0", tmp_path / "2"])
    assert "0.1234 " in shown(apart) and "0.123441" in apart.csv()


def test_a_sweep_that_has_begun_no_run(several, tmp_path):
    shutil.copytree(several[0].folder, tmp_path / "least" / "run")
    kept = json.loads((several[0].folder / "run.json").read_text())
    (tmp_path / "least" / "sweep").mkdir()
    kept["hyperparameters"] |= {"--seeds": 2}
    (tmp_path / "least" / "sweep" / "run.json").write_text(json.dumps(kept))
    compared = compare.runs([tmp_path])
    assert len(compared.rows) == 1
    assert compared.notes[-1] == f"The sweep in {tmp_path}/least/sweep has begun no run yet."
    with pytest.raises(errors.InputError, match="must have begun a run, got none yet"):
        compare.runs([tmp_path / "least" / "sweep"])
    with pytest.raises(errors.InputError, match="got none"):
        compare.runs([])


def test_the_command_writes_files_and_refuses_in_a_line(several, tmp_path, capsys):
    folders = [str(result.folder) for result in several]
    files = [tmp_path / "table.csv", tmp_path / "table.md"]
    words = ["--csv", str(files[0]), "--markdown", str(files[1])]
    assert compare.main([*folders, *words]) == 0
    assert "What differs" in capsys.readouterr().out
    compared = compare.runs(folders)
    assert [file.read_text() for file in files] == [compared.csv(), compared.markdown()]
    refused = {
        (): "RUNS must be folders of runs or of sweeps, got none",
        (str(tmp_path),): "which holds none",
        (str(tmp_path / "nowhere"),): "which is no folder",
        ("last", "--logdir", str(tmp_path)): "last must find a run",
    }
    for given, line in refused.items():
        assert compare.main(list(given)) == 2
        assert line in capsys.readouterr().err.replace("\n", " ")
    code = compare.main([folders[0], "--csv", str(tmp_path / "nowhere" / "table.csv")])
    assert code == errors.StorageError.exit_code
