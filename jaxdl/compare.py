"""`python -m jaxdl.compare RUNS…`: what differs between runs, and what came of them.

Runs that differ by their seed alone are one row. Every ± is the 95 % confidence interval of the
mean over seeds (Student, 1908).
"""

import csv
import dataclasses
import difflib
import hashlib
import io
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.box
import rich.console
import rich.table
import rich.text
import tyro

from jaxdl import command, errors, manual, trained, values
from jaxdl.sweep import report
from jaxdl.train import card, event_file, progress, record

Name = tuple[str, str]  # of a fact: its kind, and its own name

CODE, PROGRAM, GIT = ("run", "code"), ("run", "program"), ("run", "git")
WIDTH = 80  # columns of a terminal
ROWS = 40  # in the terminal; files have all
LATEST = 2**62  # a step that no run reaches


class Ran(NamedTuple):
    """A run as its folder tells of it.

    facts: all that may differ from another run but the seed. metrics: tag -> last value.
    best: of the monitored metric, its tag and its value; None where it is not known.
    """

    folder: pathlib.Path
    seed: int
    status: str
    facts: dict[Name, Any]
    metrics: dict[str, float]
    best: tuple[str, float] | None


class Row(NamedTuple):
    """The runs that differ by their seed alone."""

    label: str
    runs: list[Ran]

    @property
    def counted(self) -> list[Ran]:
        """Those that came to their end; all where none did."""
        return [run for run in self.runs if run.status in record.SUCCEEDED] or self.runs

    def fact(self, name: Name, write: Callable[[Any], str] = values.written) -> str:
        """What the runs have in common; of git, all revisions."""
        return ", ".join(dict.fromkeys(write(run.facts.get(name, "")) for run in self.runs))

    def sample(self, column: str) -> list[float]:
        """A column's value in each run that counts and has it."""
        found = []
        for run in self.counted:
            numbers = dict(run.metrics)
            if run.best is not None:
                numbers[f"best {run.best[0]}"] = run.best[1]
            if column in numbers:
                found.append(numbers[column])
        return found


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Rows of runs, the facts that differ between them, and columns of numbers.

    In a notebook it shows itself as its Markdown.
    """

    rows: list[Row]
    differing: list[Name]
    columns: list[str]
    notes: list[str]

    def csv(self) -> str:
        """A line for each row: what differs, and each number's mean and the half of its interval's
        width, empty where there is one run.
        """
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        names = [name for _, name in self.differing]
        numbers = [part for column in self.columns for part in (column, f"{column} ±")]
        writer.writerow(["row", *names, "runs", "counted", *numbers, "folders"])
        for row in self.rows:
            cells: list[Any] = [row.label, *(row.fact(name) for name in self.differing)]
            cells += [len(row.runs), len(row.counted)]
            for column in self.columns:
                cells += _mean_and_half(row.sample(column))
            writer.writerow([*cells, " ".join(str(run.folder) for run in row.runs)])
        return file.getvalue()

    def markdown(self) -> str:
        """Both tables, the notes, and where the runs are."""
        parts = []
        for title, head, rows in self._tables(self.columns):
            escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
            parts.append(f"**{title}**\n\n{card.markdown(head, escaped)}")
        folders = [f"{row.label}: `{run.folder}`" for row in self.rows for run in row.runs]
        return "\n\n".join([*parts, *self.notes, "\n".join(f"- {line}" for line in folders)]) + "\n"

    def show(self, console: rich.console.Console) -> None:
        """Print tables no wider than the terminal."""
        for title, head, rows in self._tables(self._shown()):
            for table in _narrow(title, head, rows[:ROWS], console.width):
                console.print(table)
        for row in self.rows[:ROWS]:
            more = f" and {len(row.runs) - 1} more" if len(row.runs) > 1 else ""
            console.print(f"  {row.label}  {row.runs[0].folder}{more}", soft_wrap=True)
        if len(self.rows) > ROWS:
            console.print(f"  and {len(self.rows) - ROWS:,} more rows: --csv FILE has them all")
        for note in self.notes:
            console.print(rich.text.Text(note, "dim"))

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _tables(self, columns: Sequence[str]) -> Iterable[tuple[str, list[str], list[list[str]]]]:
        """Title, head and rows."""
        if self.differing:
            labels = [row.label for row in self.rows]
            facts = [_told_apart(self.rows, name) for name in self.differing]
            rows = [list(cells) for cells in zip(labels, *facts, strict=True)]
            yield "What differs", ["", *(name for _, name in self.differing)], rows
        rows = [
            [row.label, _counted(row), *(_number(row.sample(column)) for column in columns)]
            for row in self.rows
        ]
        yield "What came of it", ["", "runs", *columns], rows

    def _shown(self) -> list[str]:
        """The columns for a terminal: not the parts of metrics, and of training the loss alone."""
        whole = [c for c in self.columns if c.count("/") == 1 and not c.startswith("train/")]
        return [*whole, *(["train/loss"] if "train/loss" in self.columns else [])]


def runs(folders: Iterable[str | pathlib.Path]) -> Comparison:
    """Compare runs; the folder of a sweep, of an experiment or of a logdir stands for its runs.

    A seed that has been run more than once counts with its newest run.
    errors.InputError: a folder holds no run, or there is no folder.
    """
    empty: list[pathlib.Path] = []
    expanded = [path for given in folders for path in _expanded(pathlib.Path(given), empty)]
    found = {path.resolve(): path for path in expanded}
    if not found:
        raise errors.InputError("RUNS must be folders of runs or of sweeps, got none.")
    ran = [_ran(path) for path in found.values()]
    alike: dict[str, list[Ran]] = {}
    for run in ran:
        facts = {"/".join(name): value for name, value in run.facts.items() if name != GIT}
        alike.setdefault(json.dumps(facts, sort_keys=True), []).append(run)
    rows = [Row(str(i + 1), _newest(some)) for i, some in enumerate(alike.values())]
    names = list(dict.fromkeys(name for run in ran for name in run.facts))
    differing = [name for name in names if len({row.fact(name, json.dumps) for row in rows}) > 1]
    tags = sorted({tag for run in ran for tag in run.metrics})
    best = sorted({f"best {run.best[0]}" for run in ran if run.best is not None})
    dropped = len(ran) - sum(len(row.runs) for row in rows)
    notes = _notes(rows, differing, dropped)
    notes += [f"The sweep in {folder} has begun no run yet." for folder in empty]
    return Comparison(rows, differing, [*best, *tags], notes)


# --- what is read


class _EmptyError(errors.InputError):
    """A sweep has no run yet."""


def _expanded(folder: pathlib.Path, empty: list[pathlib.Path]) -> list[pathlib.Path]:
    """The runs' folders that a folder stands for; empty: gets sweeps in it without a run."""
    kept = record.load(folder)
    below = sorted(path.parent for path in folder.glob("*/run.json"))
    if kept is not None:
        sweep = any(name.startswith("--") for name in kept["hyperparameters"])
        if sweep and not below:
            raise _EmptyError(f"The sweep in {folder} must have begun a run, got none yet.")
        return below if sweep else [folder]
    below = below or sorted(path.parent for path in folder.glob("*/*/run.json"))
    if not below:
        kind = "which holds none" if folder.is_dir() else "which is no folder"
        raise errors.InputError(f"RUNS must be folders of runs or of sweeps, got {folder}, {kind}.")
    found = []
    for path in below:
        try:
            found += _expanded(path, empty)
        except _EmptyError:
            empty.append(path)
    return found


def _ran(folder: pathlib.Path) -> Ran:
    kept = record.load(folder) or {}
    result = kept.get("result") or {}
    metrics = result.get("metrics")
    if metrics is None:  # it still runs, or was killed
        curves = event_file.scalars(folder, LATEST)
        metrics = {tag: float(str(np.float32(at[-1][1]))) for tag, at in curves.items()}
    best, monitor = result.get("best"), result.get("monitor")
    return Ran(
        folder,
        kept["seed"],
        result.get("status", "not ended"),
        _facts(folder, kept),
        {t: np.nan if x is None else x for t, x in metrics.items() if not t.startswith("speed/")},
        (monitor, best[1]) if best and monitor and best[1] is not None else None,
    )


def _facts(folder: pathlib.Path, kept: dict[str, Any]) -> dict[Name, Any]:
    source = folder / record.SOURCE
    code = hashlib.sha256(source.read_bytes()).hexdigest()[:8] if source.is_file() else "not kept"
    given = kept["hyperparameters"].items()
    devices = kept.get("devices", [])
    counts = {name: devices.count(name) for name in devices}
    return {
        ("run", "experiment"): kept["experiment"],
        **{("hyperparameter", name): value for name, value in given},
        **{("hyperparameter", report.at_best(n)): x for n, x in record.bred(kept).items()},
        CODE: code,
        PROGRAM: str(kept["program"]["digest"])[:8],
        **{("version", name): text for name, text in kept["versions"].items()},
        ("run", "devices"): ", ".join(f"{n} × {d}" if n > 1 else d for d, n in counts.items()),
        GIT: str(kept.get("git")),
    }


def _newest(some: Sequence[Ran]) -> list[Ran]:
    """One run of each seed."""
    by_seed: dict[int, Ran] = {}
    for run in some:
        other = by_seed.get(run.seed)
        if other is None or _begun(run.folder) >= _begun(other.folder):
            by_seed[run.seed] = run
    return [by_seed[seed] for seed in sorted(by_seed)]


def _begun(folder: pathlib.Path) -> str:
    return str((record.load(folder) or {}).get("started"))


# --- what is said


def _notes(rows: Sequence[Row], differing: Sequence[Name], dropped: int) -> list[str]:
    notes = []
    if len(rows) > 1:
        if PROGRAM in differing:
            notes.append(
                "program: a hash of the equations of a step (its jaxpr). Rows of the same hash do "
                "the same mathematics. A hyperparameter's number is part of it, unless a sweep "
                "varies it in one program."
            )
            if ("version", "jax") in differing:
                notes.append("Another version of JAX may write the same step as other equations.")
        else:
            notes.append("program: every row's step does the same mathematics (one jaxpr).")
    else:
        notes.append("Nothing differs but the seed." if len(rows[0].runs) > 1 else "One run.")
    if CODE in differing:
        notes += _changes(rows)
    if dropped:
        notes.append(f"Of seeds that were run again the newest counts: {dropped} left out.")
    return notes


def _changes(rows: Sequence[Row]) -> list[str]:
    """How the code of each row differs from the first's."""
    first, notes = rows[0].runs[0], []
    seen = {first.facts[CODE]}
    for row in rows[1:]:
        other = row.runs[0]
        if other.facts[CODE] in seen or "not kept" in (first.facts[CODE], other.facts[CODE]):
            continue
        seen.add(other.facts[CODE])
        paths = [run.folder / record.SOURCE for run in (first, other)]
        before, after = (path.read_text(errors="replace").splitlines() for path in paths)
        changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
        more = sum(line[0] == "+" for line in changed)
        notes.append(
            f"code: row {row.label} has {more} lines more and {len(changed) - more} lines fewer "
            f"than row {rows[0].label}: diff {paths[0]} {paths[1]}"
        )
    return notes


def _mean_and_half(sample: Sequence[float]) -> tuple[Any, Any]:
    if not sample:
        return "", ""
    mean, half = map(float, report.interval(np.array(sample, np.float64)))
    return mean, half if len(sample) > 1 else ""


def _number(sample: Sequence[float]) -> str:
    return report.with_interval(sample) if sample else "–"


def _counted(row: Row) -> str:
    whole, counted = len(row.runs), len(row.counted)
    ended = sum(run.status in record.SUCCEEDED for run in row.runs)
    if not ended:
        return f"{whole} {row.runs[0].status}"
    return str(whole) if counted == whole else f"{counted} of {whole}"


def _told_apart(rows: Sequence[Row], name: Name) -> list[str]:
    """A fact of each row, its numbers rounded where that leaves no two alike."""
    exact, short = [row.fact(name) for row in rows], [row.fact(name, _cell) for row in rows]
    return short if len(set(short)) == len(set(exact)) else exact


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_cell, value))
    return progress.number(value) if isinstance(value, float) else str(value)


def _narrow(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Iterable[rich.table.Table]:
    """A table, in as many parts as the width asks for; each begins with the first column."""
    widths = [max(len(row[i]) for row in [head, *rows]) + 3 for i in range(len(head))]
    parts: list[list[int]] = [[]]
    for i in range(1, len(head)):
        if parts[-1] and sum(widths[j] for j in (0, *parts[-1], i)) > width:
            parts.append([])
        parts[-1].append(i)
    for n, part in enumerate(parts):
        table = rich.table.Table(
            title=title if n == 0 else None, box=rich.box.SIMPLE, title_justify="left"
        )
        for i in (0, *part):
            table.add_column(rich.text.Text(head[i]), justify="right", overflow="fold")
        for row in rows:
            table.add_row(*(rich.text.Text(row[i]) for i in (0, *part)))
        yield table


# --- the command


@dataclasses.dataclass(frozen=True)
class Options:
    """Compares runs: what differs, final and best metrics with confidence intervals over seeds."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of runs, of sweeps, of an experiment's runs; or `last`."""
    csv: pathlib.Path | None = None
    """A file for the table, every number in it."""
    markdown: pathlib.Path | None = None
    """A file for the tables as Markdown."""
    logdir: pathlib.Path = pathlib.Path("runs")
    """Where `last` is looked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, as of `command.main`."""
    return command.main(_command, argv)


def _command(words: list[str]) -> int:
    console = manual.terminal()
    options = tyro.cli(Options, args=words, prog="python -m jaxdl.compare")
    if not options.runs:
        raise errors.InputError("RUNS must be folders of runs or of sweeps, got none.")
    found = [trained.find(r, options.logdir) if r == "last" else r for r in options.runs]
    compared = runs(found)
    compared.show(console)
    written: dict[pathlib.Path | None, Callable[[], str]] = {
        options.csv: compared.csv,
        options.markdown: compared.markdown,
    }
    for path, text in written.items():
        if path is not None:
            with record.writing(path.parent):
                path.write_text(text(), encoding="utf-8")
            console.print(f"  written  {path}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
