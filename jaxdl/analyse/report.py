"""What an analysis finds: shown in the terminal and in TensorBoard, kept in the run's folder."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.box
import rich.console
import rich.measure
import rich.padding
import rich.table
import rich.text

from jaxdl import run as runs
from jaxdl import summary
from jaxdl.train import card, progress, record, tensorboard

FOLDER = "analysis"  # in the run's
FILE = "report.json"
_ANY = 10_000  # columns of a terminal that is never too narrow


class Table(NamedTuple):
    """Rows of text and numbers under a title; note: a line below it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


class Report(NamedTuple):
    """Tables, and what TensorBoard shows beside them, by tag."""

    tables: Sequence[Table]
    shown: Mapping[str, runs.Shown]


def show(report: Report, console: rich.console.Console) -> None:
    """Print the tables; the last columns of numbers for which the terminal is too narrow are named
    instead.
    """
    for table in report.tables:
        made, count = _laid(table), len(table.head)
        while _wide(made, console) > console.width and _numbers(table, count - 1):
            count -= 1
            made = _laid(table, count)
        console.print(made)
        notes = [table.note] if table.note else []
        if count < len(table.head):
            left = ", ".join(table.head[count:])
            notes.append(f"In TensorBoard and {FILE}, as the terminal is narrow: {left}.")
        for note in notes:  # not as a caption, which would be broken at the table's width
            console.print(rich.padding.Padding(rich.text.Text(note, "dim"), (0, 2, 1, 2)))


def _laid(table: Table, count: int | None = None) -> rich.table.Table:
    """The first columns for a terminal; numbers under names in short lines."""
    made = rich.table.Table(title=table.title, box=rich.box.SIMPLE, title_justify="left")
    for i, name in enumerate(table.head[:count]):
        numbers = _numbers(table, i)
        shown = name.replace("_", "\n") if numbers else name
        justify = "right" if numbers else "left"
        made.add_column(rich.text.Text(shown, justify=justify), justify=justify, no_wrap=numbers)
    for row in table.rows:
        made.add_row(*(rich.text.Text(_cell(x)) for x in row[:count]))
    return made


def _wide(made: rich.table.Table, console: rich.console.Console) -> int:
    """The characters that it takes without breaking its cells."""
    options = console.options.update_width(_ANY)
    return rich.measure.Measurement.get(console, options, made).maximum


def _numbers(table: Table, column: int) -> bool:
    return all(isinstance(row[column], int | float) for row in table.rows)


def write(report: Report, run: pathlib.Path, part: str, step: int) -> pathlib.Path:
    """Keep it in the run's folder, in place of an earlier one of the same part; returns where.

    step: after which the state was that has been looked at.
    """
    folder = run / FOLDER / part
    with record.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with tensorboard.Writer(folder) as writer:
        texts = {f"{part}/{table.title}": _text(table) for table in report.tables}
        writer.show(step, {**texts, **report.shown})
    content = {"step": step, "tables": [table._asdict() for table in report.tables]}
    record.put(folder / FILE, content)
    return folder


def _text(table: Table) -> summary.Text:
    rows = card.markdown(table.head, [[_cell(x) for x in row] for row in table.rows])
    return summary.Text(f"{rows}\n\n{table.note}" if table.note else rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return progress.number(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
