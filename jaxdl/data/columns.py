"""The columns of a table in a file, CSV or Parquet, as numbers or as words.

The files are read by Apache Arrow (pyarrow, the extra `tables`). What is made of the columns:
jaxdl/data/tables.py.
"""

import io
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdl import errors
from jaxdl.data import files

LIMIT = 2**31 - 2  # bytes of a file: what Arrow reads in one block, so that a type is the column's
DELIMITERS = ",;\t|"


class Column(NamedTuple):
    """One column: text where it is of words, else float64, dates in days since 1970.

    A missing value is None or NaN.
    """

    name: str
    values: np.ndarray
    words: bool

    @property
    def missing(self) -> np.ndarray:
        """Where a value is."""
        if self.words:
            return np.array([value is None for value in self.values], bool)
        return np.isnan(self.values)


class File(NamedTuple):
    """A table's file, its columns, and the number of the line or row that each value is from."""

    path: pathlib.Path
    unit: str
    columns: list[Column]
    rows: np.ndarray

    def refused(self, row: Any, rule: str, remedy: str = "") -> errors.InputError:
        """The error of a row of the file."""
        return errors.InputError(f"{self.path}, {self.unit} {row}: {rule}. {remedy}".rstrip())


def read(
    path: str | pathlib.Path,
    *,
    words: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    delimiter: str | None = None,
) -> File:
    """The columns of a file: Parquet where its name ends so, else CSV with a line of names, plain
    or .gz.

    words: columns to read as words whatever they look like. leave_out: columns to pass over.
    delimiter: of a CSV; None takes the most frequent of , ; tab | in its first line.
    """
    if delimiter is not None and len(delimiter.encode()) != 1:
        raise errors.InputError(
            f"A CSV's delimiter must be one ASCII character, got {delimiter!r}."
        )
    path = pathlib.Path(path).expanduser()
    parquet = path.suffix == ".parquet"
    arrow = _parquet(path) if parquet else _csv(path, words, delimiter)
    names = arrow.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.InputError(f"The columns of {path} must differ, got {twice[0]!r} twice.")
    check_names(path, names, [*words, *leave_out])
    rows = np.arange(arrow.num_rows) + (1 if parquet else 2)  # after the line of names
    file = File(path, "row" if parquet else "line", [], rows)
    kept = [name for name in names if name not in leave_out]
    columns = [_column(file, name, arrow[name], name in words) for name in kept]
    if not columns or not len(rows):
        raise errors.InputError(f"{path} must hold rows of values, got none.")
    # An empty line of a CSV is no row.
    there = ~np.all([column.missing for column in columns], axis=0)
    return only(file._replace(columns=columns), there)


def only(file: File, rows: np.ndarray) -> File:
    """The file with some of its rows alone."""
    columns = [column._replace(values=column.values[rows]) for column in file.columns]
    return file._replace(columns=columns, rows=file.rows[rows])


def check_names(path: pathlib.Path, names: Sequence[str], asked: Sequence[str]) -> None:
    """All that are asked for must be there."""
    for name in asked:
        if name not in names:
            raise errors.InputError(
                f"{path} must have the column {name!r}, got {', '.join(map(repr, names))}."
            )


def _column(file: File, name: str, chunked: Any, words: bool) -> Column:
    """A column of Arrow's as numbers or words."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(chunked.type):
        chunked = chunked.cast(chunked.type.value_type)
    kind = chunked.type
    if types.is_null(kind):
        raise errors.InputError(
            f"Column {name!r} of {file.path} must hold a value, got none. Leave it out."
        )
    if types.is_binary(kind) or types.is_large_binary(kind):
        _check_text(file, name, chunked)
    elif types.is_nested(kind) or types.is_time(kind) or types.is_duration(kind):
        raise errors.InputError(
            f"Column {name!r} of {file.path} must hold numbers, words or dates, got {kind}. "
            "Leave it out."
        )
    elif types.is_temporal(kind) and not words:
        microseconds = chunked.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return Column(name, _floats(microseconds) / (24 * 3600 * 1e6), False)
    elif not (words or types.is_string(kind) or types.is_large_string(kind)):
        values = _floats(chunked)
        if (infinite := np.isinf(values)).any():
            raise file.refused(
                file.rows[infinite.argmax()], f"column {name!r} must be finite, got an infinity"
            )
        return Column(name, values, False)
    values = np.array(chunked.cast(pa.string()).to_pylist(), object)
    _check_words(file, name, values, words)
    return Column(name, values, True)


def _floats(chunked: Any) -> np.ndarray:
    """Numbers of any kind as float64, NaN where one is missing."""
    import pyarrow as pa

    return chunked.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _check_words(file: File, name: str, values: np.ndarray, meant: bool) -> None:
    """Words are on one line, and are no numbers with a slip or decimal commas among them."""
    numeric, other, present, comma, commas = 0, None, 0, None, 0
    for row, value in zip(file.rows, values, strict=True):
        if value is None:
            continue
        if "\n" in value:
            rule = f"column {name!r} must stand on one line, got {value[:20]!r}..."
            raise file.refused(row, rule, "Is a quote open?")
        present += 1
        if _is_number(value):
            numeric += 1
            continue
        other = other or (row, value)
        if _is_number(value.replace(",", "")):
            comma, commas = comma or (row, value), commas + 1
    if not meant and comma is not None and 2 * (numeric + commas) > present:
        rule = f"column {name!r} must have its numbers without commas, got {comma[1]!r}"
        remedy = "Write decimals with a point and thousands without a mark"
        raise file.refused(comma[0], rule, f"{remedy}, or read the column as words.")
    if not meant and other is not None and 2 * numeric > present:
        rule = f"column {name!r} must hold a number, got {other[1]!r}"
        raise file.refused(other[0], rule, "Mend it, leave it empty, or read the column as words.")


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _check_text(file: File, name: str, chunked: Any) -> None:
    """Bytes must be text."""
    for row, value in zip(file.rows, chunked.to_pylist(), strict=True):
        try:
            (value or b"").decode("utf-8")
        except UnicodeDecodeError:
            rule = f"column {name!r} must be text in UTF-8, got {value[:20]!r}"
            raise file.refused(row, rule, "Save the file in UTF-8.") from None


def _csv(path: pathlib.Path, words: Sequence[str], delimiter: str | None) -> Any:
    errors.needed("A table", "pyarrow")
    import pyarrow as pa
    from pyarrow import csv

    data = files.read(path, LIMIT + 1, "Decompress it by hand.")
    if len(data) > LIMIT:
        raise errors.InputError(f"{path} must be at most {LIMIT} bytes. Make it a Parquet file.")
    first = data.partition(b"\n")[0].decode("utf-8", "replace")
    if not first.strip():
        raise errors.InputError(f"{path}, line 1: the names of the columns must stand here.")
    wrong: list[Any] = []

    def refuse(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        return csv.read_csv(
            io.BytesIO(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1),
            csv.ParseOptions(
                delimiter=delimiter or max(DELIMITERS, key=first.count),
                ignore_empty_lines=False,
                invalid_row_handler=refuse,
            ),
            csv.ConvertOptions(
                strings_can_be_null=True, column_types=dict.fromkeys(words, pa.string())
            ),
        )
    except pa.ArrowException as error:
        if wrong:
            row = wrong[0]
            raise errors.InputError(
                f"{path}, line {row.number}: {row.expected_columns} values must stand here, "
                f"got {row.actual_columns}."
            ) from error
        raise errors.InputError(f"{path} must be a CSV file, got: {_said(error)}.") from error


def _parquet(path: pathlib.Path) -> Any:
    errors.needed("A table", "pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise errors.InputError(f"{path} must be readable, got: No such file.")
    try:
        return parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise errors.InputError(
            f"{path} must be a whole Parquet file, got: {_said(error)}. Write the file again."
        ) from error


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
