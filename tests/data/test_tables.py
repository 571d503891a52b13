"""Tables against pandas and scikit-learn; what is wrong with a file is told by its line."""

import datetime
import gzip
import inspect

import numpy as np
import pytest
from sklearn import impute, preprocessing

from jaxdl import errors
from jaxdl.data import splits, tables

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")


def frame(count=40):
    random = np.random.default_rng(0)
    made = pandas.DataFrame(
        {
            "age": random.integers(20, 80, count),
            "dose": random.random(count).round(3),
            "colour": random.choice(["red", "green", "blue"], count),
            "smokes": random.random(count) < 0.5,
            "seen": [datetime.date(2020, 1, 1) + datetime.timedelta(int(i)) for i in range(count)],
            "outcome": np.where(np.arange(count) % 2 == 0, "well", "ill"),
        }
    )
    made.loc[[3, 7, 11], "dose"] = np.nan
    made.loc[5, "colour"] = None
    return made


def written(folder, made, name="table.csv", **options):
    path = folder / name
    if name.endswith(".parquet"):
        made.to_parquet(path)
    else:
        made.to_csv(path, index=False, **options)
    return path


def refused(path, *arguments, **options):
    with pytest.raises(errors.InputError) as caught:
        tables.read(path, *arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.csv.gz", "table.parquet"])
def test_numbers_words_and_dates(tmp_path, name):
    made = frame()
    options = {"sep": "\t"} if name.endswith("tsv") else {}
    table = tables.read(written(tmp_path, made, name, **options), "outcome")
    flags = ("dose missing", "colour=blue", "colour=green", "colour=red", "colour missing")
    assert table.names == ("age", "dose", "smokes", "seen", *flags)
    assert table.classes == ("ill", "well") and table.numbers == 4
    wanted = pandas.DataFrame(
        {"age": made.age, "dose": made.dose, "smokes": made.smokes}
        | {"seen": np.arange(40) + 18262}  # 2020-01-01 in days since 1970
        | {"dose missing": made.dose.isna()}
        | {f"colour={word}": made.colour == word for word in ("blue", "green", "red")}
        | {"colour missing": made.colour.isna()}
    )
    np.testing.assert_allclose(table.inputs, wanted.to_numpy(float))
    assert np.array_equal(table.target, (made.outcome == "well").astype(int))


def test_what_is_fitted_is_of_the_training_part_as_scikit_learn_does_it(tmp_path):
    table = tables.read(written(tmp_path, frame()), "outcome")
    train, test, scale = table.split(0.25, seed=1)
    assert scale is None and len(train["input"]) == 30 and train["input"].dtype == np.float32
    index = splits.stratified(np.arange(40), table.target, 0.25, seed=1)
    learnt, asked = (table.inputs[part["input"], :4] for part in index)
    filler = impute.SimpleImputer(strategy="median").fit(learnt)
    scaler = preprocessing.StandardScaler().fit(filler.transform(learnt))
    for part, raw in ((train, learnt), (test, asked)):
        wanted = scaler.transform(filler.transform(raw))
        np.testing.assert_allclose(part["input"][:, :4], wanted, rtol=1e-5, atol=1e-6)


def test_folds_are_fitted_each_by_itself(tmp_path):
    table = tables.read(written(tmp_path, frame()), "outcome")
    train, test, _ = table.folds(4, seed=0)
    assert train["input"].shape == (30, 4, 9) and test["input"].shape == (40, 9)
    index = splits.folds(np.arange(40), table.target, 4, seed=0)
    for fold in range(4):
        learnt = table.inputs[index.train["input"][:, fold], :4]
        asked = table.inputs[test["fold"] == fold, :4]
        filler = impute.SimpleImputer(strategy="median").fit(learnt)
        scaler = preprocessing.StandardScaler().fit(filler.transform(learnt))
        wanted = scaler.transform(filler.transform(asked))
        mine = test["input"][test["fold"] == fold, :4]
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)


def test_a_word_that_training_has_not_seen_says_nothing(tmp_path):
    made = frame()
    index = splits.stratified(np.arange(40), (np.arange(40) + 1) % 2, 0.25, seed=0)
    made.loc[index.test["input"][0], "colour"] = "mauve"
    table = tables.read(written(tmp_path, made), "outcome")
    column = table.names.index("colour=mauve")
    assert table.inputs[:, column].sum() == 1
    train, test, _ = table.split(0.25, seed=0)
    assert train["input"][:, column].sum() == test["input"][:, column].sum() == 0


def test_targets_of_numbers_and_of_classes(tmp_path):
    path = written(tmp_path, frame())
    numbers = tables.read(path, "age")
    assert numbers.classes == () and numbers.target.shape == (40, 1)
    train, test, scale = numbers.split()
    assert scale is not None
    both = np.concatenate([train["target"], test["target"]])
    back = np.sort((scale.mean[None] + scale.deviation[None] * both)[:, 0])
    np.testing.assert_allclose(back, np.sort(frame().age), rtol=1e-5)
    assert tables.read(path, "smokes").classes == ("0", "1")
    few = frame().assign(grade=np.arange(40) % 3 + 1)
    graded = written(tmp_path, few, "graded.csv")
    assert tables.read(graded, "grade").classes == ("1", "2", "3")
    assert tables.read(graded, "grade", kind="numbers").classes == ()
    assert "age=30" in " ".join(tables.read(path, "outcome", words=["age"]).names)


def test_what_is_missing_is_filled_dropped_or_refused(tmp_path):
    path = written(tmp_path, frame())
    assert len(tables.read(path, "outcome").target) == 40
    assert len(tables.read(path, "outcome", missing="drop").target) == 36
    said = refused(path, "outcome", missing="refuse")
    assert said == "FILE, line 5: column 'dose' must hold a value, got none."
    assert refused(path, "dose") == said


BAD = {
    "short": (b"a,b\n1,x\n2\n", "FILE, line 3: 2 values must stand here, got 1."),
    "long": (b"a,b\n1,x\n\n2,3,4\n", "FILE, line 4: 2 values must stand here, got 3."),
    "slip": (
        b"a,b\n1,x\n\n2,y\n3o,x\n4,y\n",
        "FILE, line 5: column 'a' must hold a number, got '3o'. "
        "Mend it, leave it empty, or read the column as words.",
    ),
    "decimal commas": (
        b"a;b\n1,5;x\n2,5;y\n3;y\n",
        "FILE, line 2: column 'a' must have its numbers without commas, got '1,5'. "
        "Write decimals with a point and thousands without a mark, or read the column as words.",
    ),
    "thousands": (
        b'a,b\n900,x\n"1,000",x\n"12,000",y\n',
        "FILE, line 3: column 'a' must have its numbers without commas, got '1,000'. "
        "Write decimals with a point and thousands without a mark, or read the column as words.",
    ),
    "infinity": (
        b"a,b\n1,x\ninf,y\n",
        "FILE, line 3: column 'a' must be finite, got an infinity.",
    ),
    "quote": (
        b'a,b\n1,x\n2,"y\n3,x\n',
        "FILE, line 3: column 'b' must stand on one line, got 'y\\n3,x\\n'.... Is a quote open?",
    ),
    "bytes": (
        b"a,b\n1,x\n2,\xff\n",
        "FILE, line 3: column 'b' must be text in UTF-8, got b'\\xff'. Save the file in UTF-8.",
    ),
    "twice": (b"b,b\n1,2\n", "The columns of FILE must differ, got 'b' twice."),
    "nothing": (b"", "FILE, line 1: the names of the columns must stand here."),
    "no rows": (b"a,b\n", "Column 'a' of FILE must hold a value, got none. Leave it out."),
    "alone": (b"b\n1\n2\n", "FILE must have a column beside the target 'b'."),
    "constant": (
        b"a,b\n1,x\n2,x\n",
        "Column 'b' of FILE must be of two classes or more, got 'x' alone.",
    ),
    "one number": (
        b"a,b\n1,3\n2,3\n",
        "Column 'b' of FILE must be of two classes or more, got 3 alone.",
    ),
    "no target": (b"a,c\n1,2\n", "FILE must have the column 'b', got 'a', 'c'."),
}


@pytest.mark.parametrize("content,said", BAD.values(), ids=BAD)
def test_a_bad_csv_is_refused_by_its_line(tmp_path, content, said):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    assert refused(path, "b") == said


def test_other_refusals(tmp_path):
    assert refused(tmp_path / "none.csv", "b").startswith("FILE must be readable, got: No such")
    assert refused(tmp_path / "none.parquet", "b").startswith("FILE must be readable")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(written(tmp_path, frame(), "whole.parquet").read_bytes()[:-9])
    assert refused(broken, "b").startswith("FILE must be a whole Parquet file, got: ")
    squeezed = tmp_path / "half.csv.gz"
    squeezed.write_bytes(gzip.compress(b"a,b\n1,2\n" * 99)[:-9])
    assert refused(squeezed, "b").startswith("FILE must be a whole gzip file")
    names = frame(150).assign(name=[f"person {i}" for i in range(150)])
    assert refused(written(tmp_path, names), "outcome") == (
        "Column 'name' of FILE must hold at most 100 different words, got 150, such as 'person 0'. "
        "Leave it out if it names the rows."
    )
    assert refused(written(tmp_path, frame()), "colour", kind="numbers").endswith(
        "column 'colour' must hold a value, got none."
    )
    assert "must be of numbers, got words such as 'well'" in refused(
        written(tmp_path, frame()), "outcome", kind="numbers"
    )
    path = written(tmp_path, frame())
    for options, said in (
        ({"kind": "class"}, "kind must be one of 'auto', 'classes', 'numbers', got 'class'"),
        ({"missing": "x"}, "missing must be one of 'fill', 'drop', 'refuse', got 'x'"),
    ):
        with pytest.raises(errors.InputError, match=said):
            inspect.unwrap(tables.read)(path, "age", **options)  # else the types are checked first
    assert "must be one ASCII character, got '::'" in refused(path, "age", delimiter="::")
    commas = written(tmp_path, frame().assign(age="1,5"), "commas.csv")
    assert "age=1,5" in tables.read(commas, "outcome", words=["age"]).names
    lists = pandas.DataFrame({"a": [[1], [2]], "b": [0, 1]})
    assert "must hold numbers, words or dates, got list" in refused(
        written(tmp_path, lists, "lists.parquet"), "b"
    )


def test_groups_go_beside_the_inputs(tmp_path):
    made = frame().dropna()
    path = written(tmp_path, made)
    table = tables.read(path, "outcome", groups=("colour", "smokes"))
    assert not any("colour" in name or name == "smokes" for name in table.names)
    assert table.group_names["colour"] == ("blue", "green", "red")
    train, test, _ = table.split(0.25, seed=1)
    whole = tables.read(path, "outcome")
    plain, _, _ = whole.split(0.25, seed=1)
    blue = plain["input"][:, whole.names.index("colour=blue")]
    assert len(train["colour"]) + len(test["colour"]) == len(made)
    np.testing.assert_array_equal(train["colour"] == 0, blue == 1)
    assert refused(path, "outcome", groups=("sex",)).startswith("FILE must have the column 'sex'")
