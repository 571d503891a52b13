"""Runs experiments with several seeds, checks what they expect, and writes the README's table.

    python tools/scores.py                      # all that need no folder of yours, five seeds each
    python tools/scores.py digits_cnn --seeds 3
    python tools/scores.py --write              # and put their rows into README.md's table

Exit code 1 if anything that an experiment expects is missed: by the mean over the seeds, or by too
few of them where it says how many must reach it.
"""

import dataclasses
import inspect
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import architectures
import rich.console
import rich.table
import tyro

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Score:
    """What one experiment reached over its seeds, of one thing that it expects."""

    expect: Any
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation over the seeds, 0 for one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def reached(self) -> bool:
        """Whether the seeds meet it."""
        return self.expect.reached(self.values)

    @property
    def metric(self) -> str:
        """Its name, and which evaluation counts if it is not the last."""
        return f"{self.expect.tag}, best" if self.expect.best else self.expect.tag

    @property
    def floor(self) -> str:
        """What was to be reached."""
        of = "" if self.expect.share is None else f" in {self.expect.share:.0%} of seeds"
        return f"{'≥' if self.expect.highest else '≤'} {self.expect.value:g}{of}"


@dataclasses.dataclass(frozen=True)
class Measured:
    """An experiment, its scores, and the seconds of one run, the median."""

    name: str
    about: str
    scores: tuple[Score, ...]
    seconds: float

    @property
    def reached(self) -> bool:
        """Whether all scores are."""
        return all(score.reached for score in self.scores)


def measure(name: str, seeds: int, console: rich.console.Console) -> Measured | None:
    """Run an experiment once for each seed; None where a library that it needs is not installed."""
    from jaxdl import errors, experiment
    from jaxdl.launch import launch

    file = experiment.find(name)
    try:
        expected = file.function().expected
    except errors.MissingError as error:
        console.print(f"{name} is left out: {error}")
        return None
    values: list[list[float]] = [[] for _ in expected]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            start = time.perf_counter()
            result = launch(name, seed=seed, logdir=pathlib.Path(folder), quiet=True)
            seconds.append(time.perf_counter() - start)
            if result.status == "stopped":
                sys.exit(75)
            for expect, found in zip(expected, values, strict=True):
                found.append(expect.of(result.history[expect.tag][1]))
            told = ", ".join(
                f"{expect.tag} {found[-1]:.4f}"
                for expect, found in zip(expected, values, strict=True)
            )
            console.print(f"{name} seed {seed}: {told}, {seconds[-1]:.0f} s")
    about = file.docstring.splitlines()[0]
    scores = tuple(map(Score, expected, map(tuple, values)))
    return Measured(name, about, scores, statistics.median(seconds))


def scored() -> list[str]:
    """The experiments that expect a score and run on any machine: none with a `folder` to name."""
    from jaxdl import experiment

    names = []
    for name in experiment.listed():
        signature = inspect.signature(experiment.find(name).signature())
        if "folder" not in signature.parameters:
            names.append(name)
    return names


def table(measured: Sequence[Measured], before: str = "") -> str:
    """The scores as Markdown, with the rows of a table `before` that are not measured anew."""
    lines = [
        "| experiment | what it is | metric | expected | reached (sd, seeds) | time |",
        "|---|---|---|---|---|---|",
    ]
    rows = {row.split("`")[1]: row for row in before.splitlines() if row.startswith("| `")}
    for one in measured:
        found = (
            f"**{score.mean:.4f}** ({score.deviation:.4f}, {len(score.values)})"
            for score in one.scores
        )
        cells = (
            f"`{one.name}`",
            one.about,
            "<br>".join(score.metric for score in one.scores),
            "<br>".join(score.floor for score in one.scores),
            "<br>".join(found),
            f"{one.seconds:.0f} s",
        )
        rows[one.name] = f"| {' | '.join(cells)} |"
    return "\n".join([*lines, *(rows[name] for name in sorted(rows))])


def write(readme: pathlib.Path, measured: Sequence[Measured]) -> None:
    """Put the scores into the table between its marks in the README, where other rows stay, and
    what the architectures reached into theirs.
    """
    replace(readme, "scores", lambda before: table(measured, before))
    scores = readme.read_text().partition(mark("scores", "begin"))[2]
    replace(readme, "architectures", lambda before: architectures.table(ROOT, scores))


def mark(name: str, at: str) -> str:
    """Where a table of the README begins or ends."""
    return f"<!-- {name}: {at} -->"


def replace(readme: pathlib.Path, name: str, made: Callable[[str], str]) -> None:
    """Make a table of the README anew from what it is."""
    begin, end = mark(name, "begin"), mark(name, "end")
    before, _, rest = readme.read_text().partition(begin)
    text, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{readme} must hold the marks {begin} and {end}.")
    readme.write_text(f"{before}{begin}\n{made(text)}\n{end}{after}")


def main(
    names: Annotated[list[str] | None, tyro.conf.Positional] = None,
    seeds: int = 5,
    write_readme: Annotated[bool, tyro.conf.arg(name="write")] = False,
) -> None:
    """Run experiments with several seeds and compare with what they expect.

    Args:
        names: experiments; all that need no folder of yours if none is named.
        seeds: runs of each, with seeds 0, 1, 2, ...
        write_readme: put the scores into README.md's table, where other rows stay.
    """
    console = rich.console.Console(highlight=False)
    tried = [measure(name, seeds, console) for name in names or scored()]
    measured = [one for one in tried if one is not None]
    shown = rich.table.Table("experiment", "metric", "expected", "mean", "sd", "seconds", "")
    for column in shown.columns:
        column.no_wrap = True
    for one in measured:
        for score in one.scores:
            verdict = "[green]reached" if score.reached else "[red]missed"
            numbers = (f"{score.mean:.4f}", f"{score.deviation:.4f}", f"{one.seconds:.0f}")
            shown.add_row(one.name, score.metric, score.floor, *numbers, verdict)
    console.print(shown)
    if write_readme:
        write(ROOT / "README.md", measured)
    sys.exit(0 if all(one.reached for one in measured) else 1)


if __name__ == "__main__":
    tyro.cli(main)
