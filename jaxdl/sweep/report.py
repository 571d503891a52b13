"""What came of a sweep: a table, results.csv, and bands over the seeds of a setting in TensorBoard.

Every ± and every band is the 95 % confidence interval of the mean (Student, 1908): what a mean over
other seeds would be; it takes two seeds.
"""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import contextlib
import csv
import math
import os
import pathlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.box
import rich.table
import rich.text
from jaxtyping import Float, Int
from scipy import special
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from jaxdl import errors, values
from jaxdl.train import event_file, progress, record, tensorboard

FILE = "results.csv"
SETTINGS = "settings"  # the folder of the bands, one folder each
ROWS = 20  # of the table in the terminal

_CONFIDENCE = 0.95
_METRICS = 3  # columns where no metric is monitored


class Member(NamedTuple):
    """One run of a sweep: a setting with one seed.

    label: of the setting. status: as of `train.books.Result`. best: (step, value) of
    the monitored metric. metrics: tag -> last value. history: tag -> (steps, values).
    bred: as of `record.bred`.
    """

    label: str
    setting: Mapping[str, Any]
    seed: int
    status: str
    step: int
    seconds: float
    best: tuple[int, float] | None
    metrics: Mapping[str, float]
    history: Mapping[str, tuple[np.ndarray, np.ndarray]]
    folder: pathlib.Path
    bred: Mapping[str, float] = {}


class Band(NamedTuple):
    """A curve over the seeds of a setting: low ≤ mean ≤ high."""

    steps: Int[np.ndarray, "n"]
    mean: Float[np.ndarray, "n"]
    low: Float[np.ndarray, "n"]
    high: Float[np.ndarray, "n"]


def interval(
    sample: Float[np.ndarray, "n *shape"],
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Mean over the first axis and half the width of its 95 % confidence interval, 0 for one.

    mean ± t(n-1) s / √n, with Student's quantile t and the sample's standard deviation s.
    """
    count = len(sample)
    with np.errstate(invalid="ignore", over="ignore"):  # of infinities comes NaN
        mean = np.asarray(sample.mean(axis=0))
        if count == 1:
            return mean, np.zeros_like(mean)
        quantile = special.stdtrit(count - 1, (1 + _CONFIDENCE) / 2)
        half = quantile * sample.std(axis=0, ddof=1) / math.sqrt(count)
    return mean, np.asarray(half)


def with_interval(sample: Sequence[float]) -> str:
    """A mean and its interval in words, 0.975 ± 0.0031; of one value, the value."""
    mean, half = map(float, interval(np.array(sample, np.float64)))
    if len(sample) == 1 or not (math.isfinite(half) and math.isfinite(mean)):
        return progress.number(mean)
    if half == 0:
        return f"{progress.number(mean)} ± 0"
    digits = min(max(1 - math.floor(math.log10(half)), 0), 8)  # two of the half-width's
    if abs(mean) >= 1e6 or half < 1e-7:
        return f"{mean:.6g} ± {half:.2g}"
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def ordered(members: Sequence[Member], tag: str | None, highest: bool) -> list[Member]:
    """Members with the best first, then those without a value; after those that finished those that
    halving gave up, then the others.
    """

    def place(member: Member) -> tuple[int, bool, float]:
        score = _score(member, tag)
        known = score is not None and not math.isnan(score)
        rank = 0.0 if score is None or not known else -score if highest else score
        given_up = member.status == record.GIVEN_UP
        return 0 if _finished(member) else 1 if given_up else 2, not known, rank

    return sorted(members, key=place)


def table(members: Sequence[Member], tag: str | None, highest: bool) -> rich.table.Table:
    """A row for each setting, at most ROWS: the best mean first, those with a failed seed last.

    tag, highest: the monitored metric, of which each member's best value counts; without one the
    settings keep their order and the last values of up to three metrics are shown.
    """
    rows = _ranked(members, tag, highest)
    names = list(dict.fromkeys(name for member in members for name in member.setting))
    bred = [name for name in names if any(name in member.bred for member in members)]
    tags = [tag] if tag else sorted({t for m in members for t in m.metrics})[:_METRICS]
    result = rich.table.Table(box=rich.box.SIMPLE, title_justify="left", caption_justify="left")
    for name in [*names, *map(at_best, bred)]:
        result.add_column(rich.text.Text(name), justify="right", overflow="fold")
    for name in (*tags, "seeds"):
        result.add_column(rich.text.Text(name), justify="right", no_wrap=True)
    for runs in rows[:ROWS]:
        cells = [_cell(runs[0].setting.get(name, "")) for name in names]
        cells += [_of_each([{**run.setting, **run.bred}[name] for run in runs]) for name in bred]
        cells += [_summed_up(runs, t, tag) for t in tags]
        done = all(_finished(run) or run.status == record.GIVEN_UP for run in runs)
        cells.append(_counted(runs))
        result.add_row(*map(rich.text.Text, cells), style=None if done else "yellow")
    if len(rows) > ROWS:
        result.caption = f"and {len(rows) - ROWS:,} more settings in {FILE}"
    return result


def write_table(
    folder: pathlib.Path, members: Sequence[Member], tag: str | None, highest: bool
) -> None:
    """Write results.csv with every member and all its numbers, whole or not at all.

    Raises errors.StorageError where the folder cannot be written.
    """
    names = list(dict.fromkeys(name for member in members for name in member.setting))
    bred = [name for name in names if any(name in member.bred for member in members)]
    tags = sorted({t for member in members for t in member.metrics})
    head = [
        "label",
        *names,
        *map(at_best, bred),
        "seed",
        "status",
        "step",
        "seconds",
        "best_step",
        "best_value",
    ]
    partial = folder / f".{FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*head, *tags, "folder"])
            for m in ordered(members, tag, highest):
                setting = [values.written(m.setting[n]) if n in m.setting else "" for n in names]
                setting += [values.written({**m.setting, **m.bred}[n]) for n in bred]
                row = [m.label, *setting, m.seed, m.status, m.step, m.seconds]
                row += m.best or ("", "")
                writer.writerow([*row, *(m.metrics.get(t, "") for t in tags), m.folder])
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / FILE)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise errors.StorageError(
            f"The table of a sweep must be writable, got {folder / FILE}: "
            f"{error.strerror or error}. The runs themselves are safe."
        ) from error


def bands(members: Sequence[Member]) -> dict[str, dict[str, Band]]:
    """Label -> tag -> mean and interval, at the steps where every member has a value.

    Of members that finished, or where none of a label did, of those that halving gave up.
    """
    found = {}
    judged = {label: _judged(runs) for label, runs in _by_label(members).items()}
    for label, runs in judged.items():
        if not runs:
            continue
        curves = {tag: _band([m.history[tag] for m in runs]) for tag in _shared_tags(runs)}
        found[label] = {tag: band for tag, band in curves.items() if band.steps.size}
    return found


def write_bands(folder: pathlib.Path, curves: Mapping[str, Mapping[str, Band]]) -> None:
    """Write the bands into TensorBoard runs FOLDER/settings/LABEL, in place of earlier ones.

    A curve `test/loss` becomes `test/loss/mean`, `test/loss/low` and `test/loss/high`; the tab
    Custom Scalars draws the three as one band. Raises errors.StorageError.
    """
    for label, tags in curves.items():
        points: dict[int, dict[str, float]] = {}
        for tag, band in tags.items():
            for i, step in enumerate(band.steps.tolist()):
                point = points.setdefault(step, {})
                point |= {f"{tag}/{n}": getattr(band, n)[i] for n in ("mean", "low", "high")}
        with tensorboard.Writer(folder / SETTINGS / label) as writer:
            for step in sorted(points):
                writer.scalars(step, points[step])
    if curves:
        _write_layout(folder / SETTINGS, sorted({tag for tags in curves.values() for tag in tags}))


def _write_layout(folder: pathlib.Path, tags: Sequence[str]) -> None:
    """A page of margin charts, one for each tag, under the first part of the tag."""
    layout = layout_pb2.Layout()
    categories: dict[str, layout_pb2.Category] = {}
    for tag in tags:
        title = tag.partition("/")[0]
        if title not in categories:
            categories[title] = layout.category.add(title=title)
        # The dashboard takes these names for the tags' own, not for patterns.
        series = layout_pb2.MarginChartContent.Series(
            value=f"{tag}/mean", lower=f"{tag}/low", upper=f"{tag}/high"
        )
        content = layout_pb2.MarginChartContent(series=[series])
        categories[title].chart.add(title=tag, margin=content)
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        string_val=[layout.SerializeToString()],
    )
    value = summary_pb2.Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        tensor=tensor,
        metadata=metadata.create_summary_metadata(),
    )
    event_file.cut(folder, 0)
    file = event_file.EventFile(folder)
    file.append(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
    content = summary_pb2.Summary(value=[value])
    file.append(event_pb2.Event(wall_time=time.time(), step=0, summary=content))
    file.close()


def _finished(member: Member) -> bool:
    return member.status in record.SUCCEEDED


def _judged(members: Sequence[Member]) -> list[Member]:
    """Of a setting's members those that finished; where none did, those that halving gave up."""
    given_up = [member for member in members if member.status == record.GIVEN_UP]
    return [member for member in members if _finished(member)] or given_up


def _by_label(members: Sequence[Member]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    for member in members:
        found.setdefault(member.label, []).append(member)
    return found


def _score(member: Member, tag: str | None) -> float | None:
    return member.best[1] if tag and member.best else None


def _ranked(members: Sequence[Member], tag: str | None, highest: bool) -> list[list[Member]]:
    """The members of each setting: the best mean first, a setting that may fail last."""
    means = []
    for runs in _by_label(members).values():
        scores = _values(_judged(runs), tag, tag)
        mean = float(interval(np.array(scores, np.float64))[0]) if scores else None
        failed = not _judged(runs) or any(member.status == "failed" for member in runs)
        status = "failed" if failed else _judged(runs)[0].status
        best = None if mean is None else (0, mean)
        means.append(runs[0]._replace(best=best, status=status))
    by_label = _by_label(members)
    return [by_label[m.label] for m in ordered(means, tag, highest)]


def _values(members: Sequence[Member], column: str | None, tag: str | None) -> list[float]:
    """A metric of each member: its best value where it is the monitored one, else the last."""
    if column is not None and column == tag:
        found = [_score(member, tag) for member in members]
    else:
        found = [member.metrics.get(column or "") for member in members]
    return [value for value in found if value is not None]


def _summed_up(members: Sequence[Member], column: str, tag: str | None) -> str:
    sample = _values(_judged(members), column, tag)
    return with_interval(sample) if sample else "-"


def _counted(members: Sequence[Member]) -> str:
    done = sum(map(_finished, members))
    text = str(done) if done == len(members) else f"{done} of {len(members)}"
    for status in ("failed", record.GIVEN_UP):
        count = sum(member.status == status for member in members)
        text += f", {count} {status}" if count else ""
    return text


def at_best(name: str) -> str:
    """The column of a hyperparameter that breeding changes, as of a run's best evaluation."""
    return f"{name} at best"


def _of_each(some: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(map(_cell, some)))


def _cell(value: Any) -> str:
    plain = values.plain(value)
    return progress.number(plain) if isinstance(plain, float) else re.sub(r"\s+", " ", _word(plain))


def _word(plain: Any) -> str:
    return " ".join(values.tokens(plain))


def _shared_tags(members: Sequence[Member]) -> list[str]:
    """Of what was learned: how fast a machine ran says nothing of a setting."""
    shared = set.intersection(*(set(member.history) for member in members))
    return sorted(tag for tag in shared if not tag.startswith("speed/"))


def _band(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Band:
    # A step that was logged twice counts with its last value, as in TensorBoard.
    points = [
        dict(zip(np.asarray(s).tolist(), np.asarray(v).tolist(), strict=True)) for s, v in curves
    ]
    steps = sorted(set.intersection(*(set(point) for point in points)))
    sample = np.array([[point[step] for step in steps] for point in points], np.float64)
    mean, half = interval(sample)
    return Band(np.array(steps, np.int64), mean, mean - half, mean + half)
