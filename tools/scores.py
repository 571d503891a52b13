"""Runs experiments with several seeds, checks what they expect, and writes the README's table.

    python tools/scores.py                      # all that need no folder of yours, five seeds each
    python tools/scores.py digits_cnn --seeds 3
    python tools/scores.py --write              # and put their rows into README.md's table

Exit code 1 if the mean over the seeds of any score misses its `expect`.
"""

import dataclasses
import inspect
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Annotated, Any

import rich.console
import rich.table
import tyro

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- scores: begin -->", "<!-- scores: end -->"


@dataclasses.dataclass(frozen=True)
class Score:
    """What one experiment reached over its seeds."""

    name: str
    about: str
    expect: Any
    values: tuple[float, ...]
    seconds: float  # of one run, the median

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
        """Whether the mean meets what the experiment expects."""
        return self.expect.met(self.mean)


def measure(name: str, seeds: int, console: rich.console.Console) -> Score | None:
    """Run an experiment once for each seed; None where a library that it needs is not installed."""
    from jaxdl import errors, experiment
    from jaxdl.launch import launch

    file = experiment.find(name)
    try:
        expect = file.function().expect
    except errors.MissingError as error:
        console.print(f"{name} is left out: {error}")
        return None
    values, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            start = time.perf_counter()
            result = launch(name, seed=seed, logdir=pathlib.Path(folder), quiet=True)
            seconds.append(time.perf_counter() - start)
            values.append(result.metrics[expect.tag])
            console.print(f"{name} seed {seed}: {expect.tag} {values[-1]:.4f}, {seconds[-1]:.0f} s")
    about = file.docstring.splitlines()[0]
    return Score(name, about, expect, tuple(values), statistics.median(seconds))


def scored() -> list[str]:
    """The experiments that expect a score and run on any machine: none with a `folder` to name."""
    from jaxdl import experiment

    names = []
    for name in experiment.listed():
        signature = inspect.signature(experiment.find(name).signature())
        if "folder" not in signature.parameters:
            names.append(name)
    return names


def table(scores: Sequence[Score], before: str = "") -> str:
    """The scores as Markdown, with the rows of a table `before` that are not measured anew."""
    lines = [
        "| experiment | what it is | metric | expected | reached (sd, seeds) | time |",
        "|---|---|---|---|---|---|",
    ]
    rows = {row.split("`")[1]: row for row in before.splitlines() if row.startswith("| `")}
    for score in scores:
        sign = "≥" if score.expect.highest else "≤"
        rows[score.name] = (
            f"| `{score.name}` | {score.about} | {score.expect.tag} "
            f"| {sign} {score.expect.value:g} "
            f"| **{score.mean:.4f}** ({score.deviation:.4f}, {len(score.values)}) "
            f"| {score.seconds:.0f} s |"
        )
    return "\n".join([*lines, *(rows[name] for name in sorted(rows))])


def write(readme: pathlib.Path, scores: Sequence[Score]) -> None:
    """Put the scores into the table between its marks in the README; other rows stay."""
    content = readme.read_text()
    before, _, rest = content.partition(BEGIN)
    text, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{readme} must hold the marks {BEGIN} and {END}.")
    readme.write_text(f"{before}{BEGIN}\n{table(scores, text)}\n{END}{after}")


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
    measured = [measure(name, seeds, console) for name in names or scored()]
    scores = [score for score in measured if score is not None]
    shown = rich.table.Table("experiment", "metric", "expected", "mean", "sd", "seconds", "")
    for column in shown.columns:
        column.no_wrap = True
    for score in scores:
        verdict = "[green]reached" if score.reached else "[red]missed"
        numbers = (f"{score.mean:.4f}", f"{score.deviation:.4f}", f"{score.seconds:.0f}")
        shown.add_row(score.name, score.expect.tag, f"{score.expect.value:g}", *numbers, verdict)
    console.print(shown)
    if write_readme:
        write(ROOT / "README.md", scores)
    sys.exit(0 if all(score.reached for score in scores) else 1)


if __name__ == "__main__":
    tyro.cli(main)
