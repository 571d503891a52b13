"""The loop: the only one. It runs chunks of steps and, between them, the events of a run.

The loop knows steps, metrics and files; it never sees a loss, a model or a gradient. Here a run's
folder is claimed and opened, and closed at the end; between: jaxdl/train/training.py.

It drives one run, or the members of a sweep together: then every array has a leading axis of
members, and each member keeps books of its own (jaxdl/train/books.py).
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxdl import cluster, errors
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.train import books as bookkeeping
from jaxdl.train import (
    card,
    checkpoint,
    dispatch,
    lock,
    peers,
    profiler,
    progress,
    record,
    stepfolder,
    stop,
    training,
)
from jaxdl.train import population as populations
from jaxdl.train import program as programs

Result = bookkeeping.Result
Kept = training.Kept


class Entry(NamedTuple):
    """A member of a group: what it runs, where, and what was launched."""

    run: runs.Run
    folder: pathlib.Path
    launched: record.Launched


def train(
    run: runs.Run,
    folder: pathlib.Path,
    launched: record.Launched,
    *,
    profile: tuple[int, int] | None = None,
    quiet: bool = False,
    program: programs.Program | None = None,
    terminal: progress.Progress | None = None,
) -> Result:
    """Run to the end, or to a signal; a folder that holds the beginning of this run is resumed.

    profile: a trace of JAX's profiler from one step to another goes into the run's folder.
    program: the run's functions, where it is a member of a sweep that runs one after another: all
    have the same. Then an error that is not the run's own does not count as its end.
    terminal: in place of one that says all there is to say.
    errors.NonFiniteError: a metric or the state is no number any more.
    errors.InputError: the folder holds another run. errors.StorageError: it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(stop.Catcher())  # before all: nothing may be half done
        feed = batches.opened(run.train, launched.seed)
        stack.callback(feed.close)
        member = program is not None
        program = program or programs.Program(run, launched.seed, feed.first())
        feed.onto(program.mesh)
        kept = _claimed(folder, launched, program)
        with _all_or_none() as first:
            if first:
                stack.enter_context(lock.Lock(folder))
        saved = stack.enter_context(checkpoint.Checkpoints(folder / "checkpoints", run.keep))
        if terminal is None:
            batch_size = None if run.train is None else run.train.batch_size
            terminal = progress.Progress(run.steps, batch_size, quiet or not cluster.leader())
        terminal.say(card.title(launched, program, folder), "bold")
        books = bookkeeping.Books(run, folder, launched, kept, cluster.leader())
        stack.callback(books.close)
        runner = training.Training(program, feed, saved, [books], terminal, member)
        runner.restore()
        if runner.done and record.is_done(kept):
            return runner.shown(runner.results(runner.ending))[0]
        traced = stack.enter_context(profiler.Trace(folder, profile))
        with terminal:
            runner.open(traced)
            signal = runner.loop(stopping)
        return runner.finish(signal)[0]


def train_together(
    entries: Sequence[Entry],
    folder: pathlib.Path,
    program: programs.Program,
    feed: batches.Feed,
    terminal: progress.Progress,
    population: populations.Population | None = None,
    before: populations.Before | None = None,
) -> list[Result]:
    """Run the members of a group in one program, to the end or to a signal.

    folder: where the group's checkpoints lie. program, feed: of all members, in the same order;
    there may be more members than entries: these only fill up the program's shape.
    A member that is no number any more is marked failed, and the others go on.
    population: how they learn from one another; before: from where they go on, in a later rung.
    errors.InputError: another process runs them, or a folder holds other runs.
    errors.StorageError: a folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(stop.Catcher())
        with _all_or_none() as first:
            if first:
                with stepfolder.reported(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock.Lock(folder))
        keep = entries[0].run.keep
        saved = stack.enter_context(checkpoint.Checkpoints(folder / "checkpoints", keep))
        books = []
        for i, entry in enumerate(entries):
            group = os.path.relpath(folder, entry.folder)
            place = {"group": group, "members": program.members, "index": i}
            kept = _claimed(entry.folder, entry.launched, program, place) | {"member": place}
            books.append(bookkeeping.Books(*entry, kept, cluster.leader()))
            stack.callback(books[-1].close)
        runner = training.Training(program, feed, saved, books, terminal, True, population)
        runner.restore(before)
        with profiler.Trace(folder, None) as traced:
            runner.open(traced)
            signal = runner.loop(stopping)
        return runner.finish(signal)


def _claimed(
    folder: pathlib.Path,
    launched: record.Launched,
    program: programs.Program,
    member: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The record of the folder; the program takes over the layout that it was begun with."""
    described = {"digest": program.digest(), **program.layout._asdict()}
    kept = None
    with _all_or_none() as first:
        if first:
            kept = record.claim(folder, launched, described, member)
    kept = json.loads(cluster.broadcast(json.dumps(kept)))
    program.layout = dispatch.Layout(kept["program"]["strategy"], kept["program"]["chunk"])
    return kept


@contextlib.contextmanager
def _all_or_none() -> Iterator[bool]:
    """Whether this is the process that is to do it; what it raises, all of them raise."""
    several = peers.Peers("run", (errors.InputError, errors.StorageError))
    with several.together():
        yield several.first
