"""Tables of your own, CSV or Parquet: columns of numbers and of words, one of them the target.

    table = tables.read("patients.csv", "outcome")
    train, test, _ = table.split(0.2, seed=0)
    model = mlp.MLP(features=(64,), classes=len(table.classes))

Numbers, truth values and dates (in days) become one input each, standardised. Words become one
input for each word, 1 where it stands. A missing number is filled with the median of its column,
and an input beside it says so; a missing word is no word, and an input says so too. Medians, means
and deviations are of the training part alone, and a word that it does not have says nothing.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float64

from jaxdl import errors
from jaxdl.data import columns, splits

MOST_WORDS = 100  # different ones in a column: more is a name or a number of a row
MOST_CLASSES = 20  # different integers in a target that is of classes unless told otherwise

Kind = Literal["auto", "classes", "numbers"]
Missing = Literal["fill", "drop", "refuse"]


class Prepared(NamedTuple):
    """What a learner is given; unpacks as `train, test, scale`.

    "input" (n, d) float32; "target" (n,) int32 of classes, or standardised numbers (n, 1), and then
    their scale; a column of groups by its name, (n,) int32. Of folds: as `splits.Folds` has it.
    """

    train: splits.Examples
    test: splits.Examples
    scale: splits.Scale | None


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A table that was read.

    names: of the inputs: `numbers` columns first, then "column=word" and "column missing".
    inputs: (rows, inputs), a missing number NaN. target: (rows,) int32, or (rows, 1) numbers.
    classes: what the target's integers stand for, in order; empty where it is a number.
    groups: column -> (rows,) int32. group_names: what these stand for, in order.
    """

    names: tuple[str, ...]
    numbers: int
    inputs: Float64[np.ndarray, "n d"]
    target: np.ndarray
    classes: tuple[str, ...]
    groups: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    group_names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def split(self, test_fraction: float = 0.2, seed: int = 0) -> Prepared:
        """A random test part; of classes, in equal proportion on both sides."""
        make = splits.stratified if self.classes else splits.uniform
        return self._prepared(make(np.arange(len(self.target)), self.target, test_fraction, seed))

    def folds(self, count: int = 5, seed: int = 0) -> Prepared:
        """Folds for a cross-validation (jaxdl/learners/cross_validation.py)."""
        rows, stratify = np.arange(len(self.target)), bool(self.classes)
        return self._prepared(splits.folds(rows, self.target, count, seed, stratify=stratify))

    def _prepared(self, parts: splits.Parts) -> Prepared:
        """Parts whose "input" are the numbers of rows, with the rows in their place."""
        own = parts.test["fold"] if isinstance(parts, splits.Folds) else None
        numbers, flags = self.inputs[:, : self.numbers], self.inputs[:, self.numbers :]
        learnt, asked = parts.train["input"], parts.test["input"]
        middle, seen = _median(numbers[learnt]), np.max(flags[learnt], axis=0)
        filled = type(parts)(
            parts.train | {"input": _filled(numbers[learnt], middle[None])},
            parts.test | {"input": _filled(numbers[asked], middle[own])},
        )
        scaled, _ = splits.standardised(filled, "input")
        whole = type(parts)(
            scaled.train | {"input": _beside(scaled.train["input"], flags[learnt])},
            scaled.test | {"input": _beside(scaled.test["input"], flags[asked] * seen[own])},
        )
        for name, group in self.groups.items():
            whole.train[name], whole.test[name] = group[learnt], group[asked]
        if self.classes:
            return Prepared(whole.train, whole.test, None)
        whole, scale = splits.standardised(whole, "target")
        return Prepared(whole.train, whole.test, scale)


def read(
    path: str | pathlib.Path,
    target: str,
    *,
    kind: Kind = "auto",
    missing: Missing = "fill",
    words: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    groups: Sequence[str] = (),
    delimiter: str | None = None,
) -> Table:
    """The table in a file: Parquet where its name ends so, else CSV with a line of names, plain or
    .gz.

    target: the column to foretell. kind: whether it is of classes; "auto" takes words, truth values
        and up to 20 different integers for classes.
    missing: "fill" as above; "drop" leaves out the rows where a value is missing, "refuse" refuses
        them. A missing target is refused unless rows are dropped.
    words: columns of numbers that are names, such as postcodes. leave_out: columns to pass over.
    groups: columns that are no inputs and go beside them, as numbers of their different values, for
        `python -m jaxdl.analyse … fairness --group COLUMN`.
    delimiter: of a CSV; None takes the most frequent of , ; tab | in its first line.
    """
    for name, given, known in (("kind", kind, Kind), ("missing", missing, Missing)):
        if given not in get_args(known):
            choices = ", ".join(map(repr, get_args(known)))
            raise errors.InputError(f"{name} must be one of {choices}, got {given!r}.")
    file = columns.read(path, words=words, leave_out=leave_out, delimiter=delimiter)
    columns.check_names(file.path, [column.name for column in file.columns], [target, *groups])
    gone = {column.name: column.missing for column in file.columns}
    if missing == "drop":
        file = columns.only(file, ~np.any(list(gone.values()), axis=0))
        if not len(file.rows):
            raise errors.InputError(f"{file.path} must hold a row without a missing value.")
    else:
        for name in [target, *groups] if missing == "fill" else gone:
            if gone[name].any():
                row = file.rows[gone[name].argmax()]
                raise file.refused(row, f"column {name!r} must hold a value, got none")
    numbers, flags = [], []
    for column in file.columns:
        if column.name == target or column.name in groups:
            continue
        if column.words:
            found = _distinct(file, column)
            flags += [(f"{column.name}={word}", column.values == word) for word in found]
        else:
            numbers.append((column.name, column.values))
        if column.missing.any():
            flags.append((f"{column.name} missing", column.missing))
    if not numbers and not flags:
        raise errors.InputError(f"{file.path} must have a column beside the target {target!r}.")
    names = tuple(name for name, _ in numbers + flags)
    inputs = np.stack([np.asarray(x, np.float64) for _, x in numbers + flags], axis=1)
    answer, classes = _target(file, next(c for c in file.columns if c.name == target), kind)
    coded = {c.name: _target(file, c, "classes") for c in file.columns if c.name in groups}
    return Table(
        names,
        len(numbers),
        inputs,
        answer,
        classes,
        {name: codes for name, (codes, _) in coded.items()},
        {name: words for name, (_, words) in coded.items()},
    )


def _target(
    file: columns.File, column: columns.Column, kind: Kind
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The target, or groups, and the names of its classes."""
    values, words = column.values, column.words
    found = _distinct(file, column) if words else np.unique(values)
    whole = words or bool(np.all(values == np.rint(values)))
    if kind == "auto":
        kind = "classes" if words or (whole and len(found) <= MOST_CLASSES) else "numbers"
    if kind == "numbers":
        if words:
            raise errors.InputError(
                f"The target {column.name!r} of {file.path} must be of numbers, got words "
                f"such as {values[0]!r}."
            )
        return values.astype(np.float32)[:, None], ()
    if len(found) < 2 or not whole:
        got = (
            f"numbers such as {values[0]:g}"
            if not whole
            else f"{found[0]!r} alone"
            if words
            else f"{found[0]:g} alone"
        )
        raise errors.InputError(
            f"Column {column.name!r} of {file.path} must be of two classes or more, got {got}."
        )
    names = tuple(str(x) if words else f"{x:g}" for x in found)
    return np.searchsorted(found, values).astype(np.int32), names


def _distinct(file: columns.File, column: columns.Column) -> np.ndarray:
    """The words of a column, in order."""
    found = np.unique(column.values[~column.missing].astype(str)).astype(object)
    if len(found) > MOST_WORDS:
        raise errors.InputError(
            f"Column {column.name!r} of {file.path} must hold at most {MOST_WORDS} different "
            f"words, got {len(found)}, such as {found[0]!r}. Leave it out if it names the rows."
        )
    return found


def _median(x: np.ndarray) -> np.ndarray:
    """Of each column, without what is missing; 0 where all of it is."""
    empty = np.all(np.isnan(x), axis=0)
    return np.nanmedian(np.where(empty[None], 0, x), axis=0)


def _filled(x: np.ndarray, middle: Any) -> np.ndarray:
    return np.where(np.isnan(x), middle, x)


def _beside(numbers: np.ndarray, flags: np.ndarray) -> np.ndarray:
    return np.concatenate([numbers, flags], axis=-1, dtype=np.float32)
