"""The loop: the only one. It runs chunks of steps and, between them, the events of a run.

Events in order: log, evaluate, summaries, save. The loop knows steps, metrics and files; it never
sees a loss, a model or a gradient. Nothing on the host waits for the device between chunks: what a
log needs is fetched when the next log is due.
"""

import contextlib
import math
import pathlib
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdl import errors, metrics
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.train import (
    card,
    checkpoint,
    clock,
    diagnose,
    event_file,
    lock,
    profiler,
    progress,
    record,
    stop,
    tensorboard,
)
from jaxdl.train import program as programs

History = dict[str, tuple[np.ndarray, np.ndarray]]  # tag -> (steps, values)


class Result(NamedTuple):
    """What a run leaves behind.

    status: "completed", "stopped early" (patience), or "stopped" (by a signal; launch it again).
    state: the learner's state after the last step. metrics: the last value of every tag.
    history: tag -> (steps, values), from the run's beginning, over all its launches.
    best: (step, value) of the monitored metric, None without a monitor.
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


def train(
    run: runs.Run,
    folder: pathlib.Path,
    launched: record.Launched,
    *,
    profile: tuple[int, int] | None = None,
    quiet: bool = False,
) -> Result:
    """Run to the end, or to a signal; a folder that holds the beginning of this run is resumed.

    profile: a trace of JAX's profiler from one step to another goes into the run's folder.
    errors.NonFiniteError: a metric or the state is no number any more.
    errors.InputError: the folder holds another run. errors.StorageError: it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(stop.Catcher())  # before all: nothing may be half done
        feed = batches.opened(run.train, launched.seed)
        stack.callback(feed.close)
        program = programs.Program(run, launched.seed, feed.first())
        described = {"digest": program.digest(), **program.layout._asdict()}
        kept = record.claim(folder, launched, described)
        stack.enter_context(lock.Lock(folder))
        program.layout = programs.Layout(kept["program"]["strategy"], kept["program"]["chunk"])
        saved = stack.enter_context(checkpoint.Checkpoints(folder / "checkpoints", run.keep))
        batch_size = None if run.train is None else run.train.batch_size
        terminal = progress.Progress(run.steps, batch_size, quiet)
        terminal.say(card.title(launched, program, folder), "bold")
        training = _Training(run, program, feed, saved, folder, kept, terminal)
        training.restore()
        if training.done and record.is_done(kept):
            return training.shown(training.result(training.ending))
        writer = stack.enter_context(tensorboard.Writer(folder, training.step))
        traced = stack.enter_context(profiler.Trace(folder, profile))
        with terminal:
            training.open(writer, traced, launched)
            training.loop(stopping)
        return training.finish(stopping.requested)


class _Training:
    """What changes while a run runs."""

    def __init__(
        self,
        run: runs.Run,
        program: programs.Program,
        feed: batches.Feed,
        saved: checkpoint.Checkpoints,
        folder: pathlib.Path,
        kept: dict[str, Any],
        terminal: progress.Progress,
    ) -> None:
        self.run, self.program, self.feed = run, program, feed
        self.saved, self.folder, self.kept, self.terminal = saved, folder, kept, terminal
        self.step = 0
        self.saved_step = 0
        self.best: tuple[int, float] | None = None
        self.worse = 0  # evaluations since the best one
        self.earlier = 0.0  # seconds of earlier launches
        self.score: float | None = None  # of the evaluation at this very step
        self.history: dict[str, list[tuple[int, float]]] = {}
        # The last log: step, metrics that are not fetched yet, steps per second.
        self.pending: tuple[int, Any, float] | None = None
        self.clock = clock.Clock()

    # --- begin

    def restore(self) -> None:
        """Stand where the newest checkpoint stands, or at the beginning."""
        restored = self.saved.restore(self.program.shape, self._warn)
        if restored is None:
            self.carry = self.program.begin()
            return
        self.carry, self.step, meta = restored.tree, restored.step, restored.meta
        self.saved_step = self.step
        self.feed.restore(meta["feed"])
        self.best = None if meta["best"] is None else (meta["best"][0], meta["best"][1])
        self.worse, self.earlier = meta["worse"], meta["seconds"]
        for tag, points in event_file.scalars(self.folder, self.step).items():
            self.history[tag] = [(step, _rounded(value)) for step, value in points]
        self.terminal.say(f"Resumed from the checkpoint of step {self.step}.")

    def _warn(self, line: str) -> None:
        self.terminal.say(line, "yellow")

    def open(
        self, writer: tensorboard.Writer, traced: profiler.Trace, launched: record.Launched
    ) -> None:
        """Begin to write."""
        self.writer, self.profile = writer, traced
        name = f"{launched.experiment}/{self.folder.name}"
        writer.start({**launched.hyperparameters, "seed": launched.seed}, name)
        if self.step == 0:
            writer.show(0, card.texts(launched, self.kept, self.program))
        self.profile.at(self.step, self.carry)
        self.clock.begin(self.step)

    # --- end

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.run.steps or self._out_of_patience

    @property
    def ending(self) -> str:
        """What a run that is done is called."""
        return "completed" if self.step >= self.run.steps else "stopped early"

    @property
    def _out_of_patience(self) -> bool:
        return self.run.patience is not None and self.worse >= self.run.patience

    def finish(self, signal: str | None) -> Result:
        """Record how it ended, and say it."""
        status = self.ending if self.done else "stopped"
        self.saved.wait()
        if self.done:
            self.writer.finish(True)
        self.writer.close()
        result = self.result(status, self._seconds())
        outcome = {"status": status, "step": self.step, "metrics": result.metrics}
        self._record(outcome | {"best": result.best, "seconds": result.seconds})
        self.shown(result)
        if not self.done:
            again = f"python -m jaxdl.launch --resume {shlex.quote(str(self.folder))}"
            self.terminal.say(f"{signal}: saved at step {self.step}. Go on with: {again}")
        return result

    def shown(self, result: Result) -> Result:
        """The result, after its table has been printed."""
        self.terminal.table(*card.outcome(self.run, result))
        return result

    def result(self, status: str, seconds: float | None = None) -> Result:
        """What the run leaves behind, as it stands."""
        return Result(
            status=status,
            step=self.step,
            state=self.carry.state,
            metrics={tag: points[-1][1] for tag, points in self.history.items()},
            history={tag: _columns(points) for tag, points in self.history.items()},
            best=self.best,
            seconds=self.earlier if seconds is None else seconds,
            compile_seconds=self.program.compile_seconds,
            folder=self.folder,
        )

    def _seconds(self) -> float:
        return self.earlier + self.clock.total()

    def _record(self, outcome: dict[str, Any]) -> None:
        record.write(self.folder, self.kept | {"result": outcome})

    # --- the loop

    def loop(self, stopping: stop.Catcher) -> None:
        """Chunk after chunk, event after event, to the end or to a signal."""
        try:
            while not self.done and stopping.requested is None:
                self._advance()
                self._events()
            if self.saved_step != self.step:
                with self._paused("saving"):
                    self._save()
        except errors.StorageError:
            raise  # nothing more can be written
        except Exception as error:
            self.writer.finish(False)
            self.writer.flush()
            self._record({"status": "failed", "step": self.step, "message": str(error)})
            raise

    def _advance(self) -> None:
        """Run the chunk that ends at the next event or at a multiple of its length."""
        chunk = self.program.layout.chunk
        aligned = self.step % chunk == 0 and self.step + chunk <= self._next_event()
        count = chunk if aligned else 1
        compiling = self.program.compile_seconds
        data = self.feed.take(self.step, count)
        self.carry = self.program.advance(self.carry, data, self.step, count)
        self.step += count
        self.score = None
        self.clock.leave_out(self.program.compile_seconds - compiling)
        self._finish_log()  # of the chunk before: the device is busy with this one
        self.profile.at(self.step, self.carry)

    def _next_event(self) -> int:
        every = (self.run.log_every, self.run.eval_every, self.run.save_every)
        events = [self.step + n - self.step % n for n in every if n is not None]
        return min([self.run.steps, *events, *self.profile.after(self.step)])

    def _due(self, every: int | None) -> bool:
        return self.step >= self.run.steps or (every is not None and self.step % every == 0)

    def _events(self) -> None:
        if self._due(self.run.log_every):
            self._begin_log()
        if self._due(self.run.eval_every) and (self.run.tests or self.run.summaries):
            with self._paused("evaluating"):
                self._evaluate()
                self._summarise()
        best = self.best is not None and self.best[0] == self.step
        if best or self._due(self.run.save_every):
            with self._paused("saving"):
                self._save()

    @contextlib.contextmanager
    def _paused(self, doing: str) -> Iterator[None]:
        """What is not training: wait for the chunks under way, and stop the clock."""
        self._finish_log()
        jax.block_until_ready(self.carry.totals)
        self.terminal.busy(doing)
        with self.clock.paused():
            yield

    # --- log

    def _begin_log(self) -> None:
        """Take the sums of this interval without waiting for them."""
        totals, zeros = self.carry.totals, self.program.zeros()
        self.carry = programs.Carry(self.carry.state, zeros)
        for leaf in jax.tree.leaves(totals):
            leaf.copy_to_host_async()
        if self.clock.fresh:  # the host is far ahead only now; later it waits for the log before
            jax.block_until_ready(totals)
        self.pending = (self.step, totals, self.clock.rate(self.step))

    def _finish_log(self) -> None:
        """Write the log that was begun last, if any."""
        if self.pending is None:
            return
        (step, totals, rate), self.pending = self.pending, None
        sums = jax.device_get(totals)
        self._check_finite(sums, step)
        values = metrics.values(sums)
        speed = {"steps_per_second": rate}
        if self.run.train is not None:
            speed["examples_per_second"] = rate * self.run.train.batch_size
        self._write(step, {**_tagged("train", values), **_tagged("speed", speed)})
        self.terminal.train(step, values, rate)

    def _check_finite(self, sums: Any, step: int) -> None:
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(sums)):
            raise diagnose.explain(self.program, self.saved, step, self._warn)

    def _write(self, step: int, values: Mapping[str, float]) -> dict[str, float]:
        """Add a point to each curve; returns the numbers as the event file keeps them."""
        self.writer.scalars(step, values)
        kept = {tag: _rounded(value) for tag, value in values.items()}
        for tag, value in kept.items():
            self.history.setdefault(tag, []).append((step, value))
        return kept

    # --- evaluate, summarise, save

    def _evaluate(self) -> None:
        values: dict[str, float] = {}
        for name, test in self.run.tests.items():
            measured = self.program.evaluate(self.carry.state, test, self.step)
            values |= _tagged(name, metrics.values(measured))
        if not values:
            return
        values = self._write(self.step, values)
        self.terminal.test(self.step, values, self._judge(values))

    def _judge(self, values: Mapping[str, float]) -> bool:
        """Whether this evaluation is the best so far."""
        monitor = self.run.monitor
        if monitor is None:
            return False
        programs.check_logged(monitor.tag, values)
        value = values[monitor.tag]
        self.score = value if monitor.highest else -value
        better = not math.isnan(value) and (
            self.best is None or (value > self.best[1] if monitor.highest else value < self.best[1])
        )
        self.worse = 0 if better else self.worse + 1
        if better:
            self.best = (self.step, value)
        return better

    def _summarise(self) -> None:
        shown: dict[str, runs.Shown] = {}
        for i, (tag, show) in enumerate(self.run.summaries.items()):
            shown[tag] = show(self.carry.state, self.program.summary_key(self.step, i))
        numbers = {tag: float(x) for tag, x in shown.items() if not isinstance(x, tuple)}
        self._write(self.step, numbers)  # they are curves, part of the history
        self.writer.show(self.step, {tag: x for tag, x in shown.items() if tag not in numbers})

    def _save(self) -> None:
        """Everything that the next launch needs to go on with the same bits."""
        self._check_finite(jax.device_get(self.carry.totals), self.step)
        meta = {
            "feed": self.feed.state(),
            "best": self.best,
            "worse": self.worse,
            "seconds": self._seconds(),
        }
        self.writer.flush()  # before the checkpoint counts, its curves must be safe
        try:
            self.saved.save(self.step, self.carry, meta, self.score)
            self.saved_step = self.step
        except errors.NonFiniteError:
            raise diagnose.explain(self.program, self.saved, self.step, self._warn) from None


def _tagged(group: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in values.items()}


def _rounded(value: float) -> float:
    """A number in the float32 of an event file, but 0.96 stays 0.96: its shortest decimal."""
    return float(str(np.float32(value)))


def _columns(points: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([step for step, _ in points]), np.array([value for _, value in points])
