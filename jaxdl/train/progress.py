"""What a run says in the terminal: a live line while it trains, a line an evaluation, a table."""

import math
from collections.abc import Mapping

import rich.box
import rich.console
import rich.progress
import rich.table
import rich.text


class Progress:
    """The terminal of one run; quiet says nothing at all.

    On a terminal one line moves: step, metrics, steps/s, examples/s and the time that is left.
    Where output goes to a file, evaluations are printed and the moving line is not.
    """

    def __init__(self, steps: int, batch_size: int | None, quiet: bool = False) -> None:
        self.console = rich.console.Console(quiet=quiet, highlight=False)
        self.steps = steps
        self.batch_size = batch_size
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.completed:>6.0f}/{task.total:.0f}"),
            rich.progress.BarColumn(bar_width=16),
            rich.progress.TextColumn("{task.fields[text]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps, text="compiling")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str, style: str = "") -> None:
        """A line that stays."""
        self.console.print(rich.text.Text(line, style=style), soft_wrap=True)

    def busy(self, doing: str) -> None:
        """What the run does instead of training."""
        self._bar.update(self._task, text=doing, refresh=True)

    def train(self, step: int, values: Mapping[str, float], rate: float) -> None:
        """Move the line."""
        speed = f"{number(rate)} steps/s"
        if self.batch_size is not None:
            speed += f"  {number(rate * self.batch_size)} examples/s"
        left = duration((self.steps - step) / rate) if rate > 0 else "?"
        text = f"{listed(values)}  {speed}  {left} left"
        self._bar.update(self._task, completed=step, text=text)

    def test(self, step: int, values: Mapping[str, float], best: bool) -> None:
        """The lines of an evaluation, one for each test; parts of metrics are for TensorBoard."""
        tests: dict[str, dict[str, float]] = {}
        for tag, value in values.items():
            test, _, name = tag.partition("/")
            if "/" not in name:
                tests.setdefault(test, {})[name] = value
        for i, (test, numbers) in enumerate(tests.items()):
            mark = "  best" if best and i == 0 else ""
            line = f"{step:>8,}  {test}  {listed(numbers)}{mark}"
            self.say(line, style="bold" if best else "")

    def table(self, title: str, rows: Mapping[str, str]) -> None:
        """What came of it."""
        table = rich.table.Table(box=rich.box.SIMPLE, show_header=False, title=title)
        table.title_justify = "left"
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows.items():
            table.add_row(name, rich.text.Text(value))
        self.console.print(table)


class Line(Progress):
    """Of a run among others: its moving line alone, with a name, and what is amiss."""

    def __init__(self, steps: int, batch_size: int | None, quiet: bool, name: str) -> None:
        super().__init__(steps, batch_size, quiet)
        self.name = name

    def say(self, line: str, style: str = "") -> None:
        """A line that stays, if it is a warning."""
        if style == "yellow":
            super().say(line, style)

    def busy(self, doing: str) -> None:
        """What the run does instead of training."""
        super().busy(f"{self.name}  {doing}")

    def test(self, step: int, values: Mapping[str, float], best: bool) -> None:
        """Not shown."""

    def table(self, title: str, rows: Mapping[str, str]) -> None:
        """Not shown."""


def listed(values: Mapping[str, float], between: str = "  ") -> str:
    """Metrics on one line, losses first."""
    names = sorted(values, key=lambda name: not name.endswith("loss"))
    return between.join(f"{name} {number(values[name])}" for name in names)


def number(value: float) -> str:
    """A number in about four digits."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
