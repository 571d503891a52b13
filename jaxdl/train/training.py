"""What the loop does: chunks of steps and, between them, the events of a run.

Events in order: log, evaluate, summaries, save. Nothing on the host waits for the device between
chunks: what a log needs is fetched when the next log is due.
"""

import contextlib
import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdl import errors, metrics, summary
from jaxdl.data import batches
from jaxdl.train import agreement, card, checkpoint, clock, diagnose, profiler, progress, stop
from jaxdl.train import books as bookkeeping
from jaxdl.train import population as populations
from jaxdl.train import program as programs


class Kept(NamedTuple):
    """What a checkpoint of members holds: the last chunk's end, and each member's best state."""

    carry: programs.Carry
    best: Any


class Training:
    """What changes while a run, or a group of runs, runs.

    books: of the run, or of each member that the program runs together.
    member: whether they are of a sweep, which does not run again what has failed.
    population: how members that run together learn from one another.
    """

    def __init__(
        self,
        program: programs.Program,
        feed: batches.Feed,
        saved: checkpoint.Checkpoints,
        books: list[bookkeeping.Books],
        terminal: progress.Progress,
        member: bool = False,
        population: populations.Population | None = None,
    ) -> None:
        self.program, self.feed, self.saved = program, feed, saved
        self.books, self.terminal, self.member = books, terminal, member
        self.together = program.members is not None
        self.run = books[0].run  # what is read of it here, all members share
        self.population = population
        self.until = getattr(population, "until", self.run.steps)
        self.step = 0
        self.saved_step = 0
        self.best: Any = None  # of members: each one's state at its best evaluation
        self.earlier = 0.0  # seconds of earlier launches
        # The last log: step, metrics that are not fetched yet, steps per second.
        self.pending: tuple[int, Any, float] | None = None
        self.clock = clock.Clock()

    # --- begin

    def restore(self, before: populations.Before | None = None) -> None:
        """Stand where the newest checkpoint stands, or the rung before, or at the beginning."""
        shape = self.program.shape
        template = Kept(shape, shape.state) if self.together else shape
        restored = self.saved.restore(template, self._warn)
        if restored is None and before is not None:
            restored = populations.restored(before, template, self._warn)
        if restored is None:
            self.carry = self.program.begin()
            self.best = self.program.copied(self.carry.state) if self.together else None
            return
        if self.together:
            self._check_members(restored)
            self.carry, self.best = restored.tree
        else:
            self.carry = restored.tree
        self.step = self.saved_step = restored.step
        self.feed.restore(restored.meta["feed"])
        self.earlier = restored.meta["seconds"]
        for one, meta in zip(self.books, restored.meta["members"], strict=True):
            one.restore(self.step, meta)
        populations.adopt(self.program, self.books)
        own = self.saved.steps()
        self.terminal.say(
            f"Resumed from the checkpoint of step {self.step}."
            if own
            else f"From step {self.step} on, {len(self.books)} of them go on."
        )

    def _check_members(self, restored: checkpoint.Restored) -> None:
        """A group's state has no names: its checkpoint must be of these members, in this order."""
        wanted = [one.folder.name for one in self.books]
        found = [meta["folder"] for meta in restored.meta["members"]]
        for mine, theirs in itertools.zip_longest(wanted, found, fillvalue="no member"):
            if mine != theirs:
                raise errors.InputError(
                    f"The checkpoint in {self.saved.folder} must be of this group, got {theirs} "
                    f"for {mine}. Resume the sweep as it was begun, or choose another --name."
                )

    def _warn(self, line: str) -> None:
        self.terminal.say(line, "yellow")

    def open(self, traced: profiler.Trace) -> None:
        """Begin to write."""
        self.profile = traced
        for one in self.books:
            if one.writes:
                texts = card.texts(one.launched, one.kept, self.program)
                one.open(self.step, texts, None if self.together else self.program.examined)
        self.profile.at(self.step, self.carry)
        self.clock.begin(self.step)

    # --- end

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.run.steps or all(
            one.out_of_patience or one.failed or one.ended for one in self.books
        )

    @property
    def ending(self) -> str:
        """What a run that is done is called."""
        return "completed" if self.step >= self.run.steps else "stopped early"

    def finish(self, signal: str | None) -> list[bookkeeping.Result]:
        """Record how it ended, and say it."""
        status = self.ending if self.done else "stopped"
        self.saved.wait()
        seconds = self._seconds()
        for one in self.books:
            one.end(*one.over(status, self.step), seconds)
        results = self.shown(self.results(status, seconds))
        if not self.done and not self.together:
            again = f"python -m jaxdl.launch --resume {shlex.quote(str(self.books[0].folder))}"
            self.terminal.say(f"{signal}: saved at step {self.step}. Go on with: {again}")
        return results

    def shown(self, results: list[bookkeeping.Result]) -> list[bookkeeping.Result]:
        """The results, after the table of a single run has been printed."""
        if not self.together:
            self.terminal.table(*card.outcome(self.run, results[0]))
        return results

    def results(self, status: str, seconds: float | None = None) -> list[bookkeeping.Result]:
        """What the runs leave behind, as they stand."""
        seconds = self.earlier if seconds is None else seconds
        states = self._split(self.carry.state) if self.together else [self.carry.state]
        results = []
        for one, state in zip(self.books, states, strict=False):
            said, step, _ = one.over(status, self.step)
            compiling = self.program.compile_seconds
            results.append(one.result(said, step, state, seconds, compiling))
        return results

    def _split(self, tree: Any) -> list[Any]:
        """The members' parts of a tree, on the host."""
        if not self.together:
            return [jax.device_get(tree)]
        tree = jax.device_get(tree)
        return [_member(tree, i) for i in range(len(self.books))]

    def _seconds(self) -> float:
        return self.earlier + self.clock.total()

    # --- the loop

    def loop(self, stopping: stop.Catcher) -> str | None:
        """Chunk after chunk, event after event, to the end or to a signal; returns its name."""
        signal = None
        try:
            with agreement.Agreement() as agreed:
                while not self.done and self.step < self.until:
                    signal = agreed.agreed(stopping.requested)
                    if signal is not None:
                        break
                    self._advance()
                    self._events()
            if self.saved_step != self.step:
                with self._paused("saving"):
                    self._save()
        except errors.StorageError:
            raise  # nothing more can be written
        except Exception as error:
            own = isinstance(error, errors.NonFiniteError) or not self.member
            status = "failed" if own else "stopped"
            for one in self.books:
                one.end(*one.over(status, self.step, str(error)), self._seconds())
            raise
        return signal

    def _advance(self) -> None:
        """Run the chunk that ends at the next event or at a multiple of its length."""
        chunk = self.program.layout.chunk
        aligned = self.step % chunk == 0 and self.step + chunk <= self._next_event()
        count = chunk if aligned else 1
        compiling = self.program.compile_seconds
        data = self.feed.take(self.step, count)
        with self.profile.marked(self.step):
            self.carry = self.program.advance(self.carry, data, self.step, count)
        self.step += count
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
        for one in self.books:
            one.score = None
        if self._due(self.run.log_every):
            self._begin_log()
        if self._due(self.run.eval_every) and (self.run.tests or self.run.summaries):
            with self._paused("evaluating"):
                self._evaluate()
                self._summarise()
                if self.population is not None and self.step < self.run.steps:
                    self._select(self.population)
        best = not self.together and self.books[0].best
        if (best and best[0] == self.step) or self._due(self.run.save_every):
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

    def _live(self) -> Iterator[tuple[int, bookkeeping.Books]]:
        """The books that are still open, and the places of their members."""
        for i, one in enumerate(self.books):
            if not (one.failed or one.ended):
                yield i, one

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
        sums = self._split(totals)
        self._check_finite(sums, step)
        speed = {"steps_per_second": rate}
        if self.run.train is not None:
            speed["examples_per_second"] = rate * self.run.train.batch_size
        shown = []
        for i, one in self._live():
            values = metrics.values(sums[i])
            one.write(step, {**_tagged("train", values), **_tagged("speed", speed)})
            shown.append(values)
        self.terminal.train(step, _mean(shown), rate)

    def _check_finite(self, sums: Sequence[Any], step: int) -> None:
        for i, one in self._live():
            if _finite(sums[i]):
                continue
            if not self.together:
                raise diagnose.explain(self.program, self.saved, step, self._warn)
            one.failed = (step, f"A metric was not finite by step {step}.")

    # --- evaluate, summarise, save

    def _evaluate(self) -> None:
        measured: dict[int, dict[str, float]] = {i: {} for i, _ in self._live()}
        for name, test in self.run.tests.items():
            parts = self.program.evaluate(self.carry.state, test, self.step)
            for i, one in self._live():
                measured[i] |= _tagged(name, metrics.values(parts[i]))
                if not self.together or self._due(None):  # of many members only the last ones
                    one.show(self.step, _tagged(name, metrics.shown(parts[i])))
        better = np.zeros(self.program.members or 1, bool)
        shown = []
        for i, one in self._live():
            if measured[i]:
                shown.append(one.write(self.step, measured[i]))
                one.arrange(self.step)
                better[i] = one.judge(self.step, shown[-1])
        if self.together and better.any():
            self.best = self.program.chosen(better, self.carry.state, self.best)
        if shown:
            self.terminal.test(self.step, _mean(shown), bool(better[0]) and not self.together)
        for _, one in self._live() if self.together else ():
            if one.out_of_patience and self.step < self.run.steps:
                one.ended = (self.step, "stopped early")

    def _select(self, population: populations.Population) -> None:
        scores = np.full(self.program.members or 1, -np.inf, np.float32)
        for i, one in self._live():
            if one.score is not None and np.isfinite(one.score):
                scores[i] = one.score
        self.carry = population.select(self.program, self.books, scores, self.carry, self.step)

    def _summarise(self) -> None:
        if not self.run.summaries:
            return
        states = self._split(self.carry.state) if self.together else [self.carry.state]
        for i, one in self._live():
            shown: dict[str, summary.Shown] = {}
            for n, (tag, show) in enumerate(one.run.summaries.items()):
                found = show(states[i], self.program.summary_key(self.step, n, i))
                shown |= _tagged(tag, found) if isinstance(found, Mapping) else {tag: found}
            numbers = {tag: float(x) for tag, x in shown.items() if not isinstance(x, tuple)}
            one.write(self.step, numbers)  # they are curves, part of the history
            one.show(self.step, {tag: x for tag, x in shown.items() if tag not in numbers})

    def _save(self) -> None:
        """Everything that the next launch needs to go on with the same bits."""
        if self.together:
            self._fail_the_broken()
            tree, score = Kept(self.carry, self.best), None
        else:
            self._check_finite(self._split(self.carry.totals), self.step)
            tree, score = self.carry, self.books[0].score
        for one in self.books:
            one.flush()  # before the checkpoint counts, its curves must be safe
        meta = {
            "feed": self.feed.state(),
            "seconds": self._seconds(),
            "members": [one.meta() for one in self.books],
        }
        try:
            self.saved.save(self.step, tree, meta, score)
            self.saved_step = self.step
        except errors.NonFiniteError:
            if self.together:
                raise  # the replay is of one run
            raise diagnose.explain(self.program, self.saved, self.step, self._warn) from None

    def _fail_the_broken(self) -> None:
        """Mark the members that are not finite, and put zeros in their place."""
        totals = jax.device_get(self.carry.totals)
        self._check_finite([_member(totals, i) for i in range(len(self.books))], self.step)
        sound = self.program.sound(self.carry.state)
        for i, one in self._live():
            if not sound[i]:
                one.failed = (self.step, f"The state had NaN by step {self.step}.")
        # Sums may be NaN where the state is sound; those who only fill up are cleared likewise.
        sound &= [_finite(_member(totals, i)) for i in range(len(sound))]
        if not sound.all():
            self.carry = self.program.cleared(sound, self.carry)
        # A state with NaN may have been evaluated, and been the best.
        sound = self.program.sound(self.best)
        if not sound.all():
            self.best = self.program.cleared(sound, self.best)


def _member(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda x: x[i], tree)


def _finite(sums: Any) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(sums))


def _tagged(group: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{group}/{name}": value for name, value in values.items()}


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of members, what the terminal shows: each number's mean."""
    if len(values) == 1:
        return dict(values[0])
    return {
        name: float(np.mean([one[name] for one in values if name in one]))
        for name in (values[0] if values else ())
    }
