"""The books of one run: its record, its curves, its best evaluation. The loop fills them in."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdl import run as runs
from jaxdl import summary
from jaxdl.train import event_file, graph, page, record, returned, tensorboard

History = dict[str, tuple[np.ndarray, np.ndarray]]  # tag -> (steps, values)


class Result(NamedTuple):
    """What a run leaves behind.

    status: "completed", "stopped early" (patience), "stopped" (by a signal; launch it again), or,
    for a member of a sweep, "failed" (a number was not finite) and "given up" (by halving).
    state: the learner's state after the last step. metrics: the last value of every tag.
    history: tag -> (steps, values), from the run's beginning, over all its launches.
    best: (step, value) of the monitored metric, None without a monitor.
    In a notebook it shows itself: a card, and its curves (jaxdl/train/page.py).
    """

    status: str
    step: int
    state: Any
    metrics: dict[str, float]
    history: History
    best: tuple[int, float] | None
    seconds: float
    compile_seconds: float
    folder: pathlib.Path

    def _repr_html_(self) -> str:
        return page.of(self)


class Books:
    """What is kept of one run while it runs, in memory and in its folder.

    writes: whether this process writes the folder; of several processes one does.
    """

    def __init__(
        self,
        run: runs.Run,
        folder: pathlib.Path,
        launched: record.Launched,
        kept: dict[str, Any],
        writes: bool = True,
    ) -> None:
        self.run, self.folder, self.launched, self.kept = run, folder, launched, kept
        self.writes = writes
        self.best: tuple[int, float] | None = None
        self.worse = 0  # evaluations since the best one
        self.score: float | None = None  # of the last evaluation; higher is better
        self.history: dict[str, list[tuple[int, float]]] = {}
        self.failed: tuple[int, str] | None = None  # the step, and what was not finite
        self.ended: tuple[int, str] | None = None  # the step, and the status, of what is over
        self.values: dict[str, float] | None = None  # hyperparameters that have changed on the way
        self.best_values: dict[str, float] | None = None  # likewise, as of the best evaluation
        self._writer: tensorboard.Writer | None = None
        self._arranged = 0  # curves that stand on charts

    # --- begin

    def meta(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the state."""
        return {
            "folder": self.folder.name,
            "best": self.best,
            "worse": self.worse,
            "failed": self.failed,
            "ended": self.ended,
            "values": self.values,
            "best_values": self.best_values,
        }

    def restore(self, step: int, meta: Mapping[str, Any]) -> None:
        """Stand where the checkpoint of `step` stands."""
        self.best, self.failed, self.ended = (
            None if meta[name] is None else (meta[name][0], meta[name][1])
            for name in ("best", "failed", "ended")
        )
        self.worse, self.values = meta["worse"], meta.get("values")
        self.best_values = meta.get("best_values")
        for tag, points in event_file.scalars(self.folder, step).items():
            self.history[tag] = [(at, _rounded(value)) for at, value in points]

    def open(
        self, step: int, texts: Mapping[str, summary.Text], traced: graph.Traced | None
    ) -> None:
        """Begin to write at a step; a new run begins with the texts, and the graph of its
        evaluation.
        """
        self._writer = tensorboard.Writer(self.folder, step)
        parts = [self.launched.experiment, *self.folder.parts[-2:]]
        name = "/".join(dict.fromkeys(parts))  # <experiment>/<run>, or <experiment>/<sweep>/<run>
        values = {**self.launched.hyperparameters, "seed": self.launched.seed}
        self._writer.start(values, name)
        if step == 0:
            self._writer.show(0, texts)
            if traced is not None:
                self._writer.graph(traced)

    # --- fill in

    def write(self, step: int, values: Mapping[str, float]) -> dict[str, float]:
        """Add a point to each curve; returns the numbers as the event file keeps them."""
        if self._writer is not None:
            self._writer.scalars(step, values)
        kept = {tag: _rounded(value) for tag, value in values.items()}
        for tag, value in kept.items():
            self.history.setdefault(tag, []).append((step, value))
        return kept

    def show(self, step: int, items: Mapping[str, Any]) -> None:
        """Add images, histograms and texts."""
        if self._writer is not None:
            self._writer.show(step, items)

    def arrange(self, step: int) -> None:
        """Which curves stand on one chart; again only when there are more of them."""
        if self._writer is not None and len(self.history) > self._arranged:
            self._writer.layout(step, self.history, self.run.tests)
            self._arranged = len(self.history)

    def judge(self, step: int, values: Mapping[str, float]) -> bool:
        """Whether this evaluation is the best so far."""
        monitor = self.run.monitor
        if monitor is None:
            return False
        returned.logged(monitor.tag, values)
        value = values[monitor.tag]
        self.score = value if monitor.highest else -value
        better = math.isfinite(value) and (  # no run can be better than one of infinity
            self.best is None or (value > self.best[1] if monitor.highest else value < self.best[1])
        )
        self.worse = 0 if better else self.worse + 1
        if better:
            self.best = (step, value)
            self.best_values = self.values
        return better

    @property
    def out_of_patience(self) -> bool:
        """Whether the run is to stop early."""
        return self.run.patience is not None and self.worse >= self.run.patience

    def flush(self) -> None:
        """Returns when what was written is safe."""
        if self._writer is not None:
            self._writer.flush()

    # --- end

    def over(self, status: str, step: int, message: str = "") -> tuple[str, int, str]:
        """What it is called, at which step and why: its own end, if it has come, before these."""
        if self.failed:
            return "failed", *self.failed
        if self.ended:
            step, status = self.ended
            return status, step, ""
        return status, step, message

    def end(self, status: str, step: int, message: str, seconds: float) -> None:
        """Record how the run ended, and close its files."""
        over = status != "stopped"
        if self._writer is not None and over:
            self._writer.finish(status != "failed")
        if self._writer is not None:
            self._writer.close()
        outcome = {"status": status, "step": step, "metrics": self.metrics()}
        monitor = self.run.monitor.tag if self.run.monitor else None
        outcome |= {"monitor": monitor, "best": self.best, "seconds": seconds}
        if self.values is not None:  # as of the state that `states.best` loads, and of the last
            best = self.best_values if self.best else self.values
            outcome["hyperparameters"] = {"best": best or {}, "end": self.values}
        if message:
            outcome["message"] = message
        if self.writes:
            record.write(self.folder, self.kept | {"result": outcome})

    def close(self) -> None:
        """Close the files without another word."""
        if self._writer is not None:
            self._writer.close()

    def metrics(self) -> dict[str, float]:
        """The last value of every tag."""
        return {tag: points[-1][1] for tag, points in self.history.items()}

    def result(
        self, status: str, step: int, state: Any, seconds: float, compile_seconds: float
    ) -> Result:
        """What the run leaves behind, as it stands."""
        return Result(
            status=status,
            step=step,
            state=state,
            metrics=self.metrics(),
            history={tag: _columns(points) for tag, points in self.history.items()},
            best=self.best,
            seconds=seconds,
            compile_seconds=compile_seconds,
            folder=self.folder,
        )


def _rounded(value: float) -> float:
    """A number in the float32 of an event file, but 0.96 stays 0.96: its shortest decimal."""
    return float(str(np.float32(value)))


def _columns(points: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([step for step, _ in points]), np.array([value for _, value in points])
