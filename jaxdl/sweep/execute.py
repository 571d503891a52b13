"""Runs a sweep: group after group, each the faster way, every member with a folder of its own.

<sweep>/run.json               what was asked for
<sweep>/<setting>[,seed=<n>]/  a member: its record and its curves, as of any run
<sweep>/groups/<n>/            decision.json, a group's way, to which a resume keeps; checkpoints of
                               members that run together
<sweep>/results.csv, settings/ jaxdl/sweep/report.py
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jaxdl import errors, hyperparameters, values
from jaxdl import experiment as files
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.sweep import plan, race, space
from jaxdl.train import loop, progress, record, stop, watch
from jaxdl.train import mesh as meshes
from jaxdl.train import program as programs

DEVICES_FLAG = "xla_force_host_platform_device_count"
MOST_CORES = 8  # a small sweep would fill more with members that nobody asked for
Say = Callable[..., None]
Compiled = dict[Any, tuple[race.Decision, programs.Program]]  # by the shape of a group


class Member(NamedTuple):
    """One run of a sweep."""

    setting: space.Setting
    seed: int
    folder: pathlib.Path
    launched: record.Launched

    @property
    def status(self) -> str | None:
        """How it ended, None where it has not."""
        status = ((record.load(self.folder) or {}).get("result") or {}).get("status")
        return status if status in record.ENDED else None

    @property
    def bred(self) -> dict[str, float]:
        """As of `record.bred`."""
        return record.bred(record.load(self.folder) or {})

    @property
    def varied(self) -> dict[str, Any]:
        """What tells it from other members, in words for a terminal."""
        several = self.folder.name != self.setting.label  # seeds
        return {**self.setting, **({"seed": self.seed} if several else {})}


class Experiment(NamedTuple):
    """What a sweep varies: an experiment's function, the hyperparameters it is given, its record.

    mesh: in place of the run's own, if not None. histograms: which of them each run shows,
    see train/watch.py.
    """

    function: Callable[..., Any]
    given: Mapping[str, Any]
    base: record.Launched
    mesh: Mapping[str, int] | None = None
    histograms: Sequence[str] = ()

    def make(self, setting: plan.Values) -> runs.Run:
        """The run with these in place of the base's values."""
        arguments = hyperparameters.assemble(self.function, {**self.given, **setting})
        run = files.build(self.function, arguments, self.base.experiment, self.base.source)
        run = watch.added(run, self.histograms)
        return run if self.mesh is None else dataclasses.replace(run, mesh=self.mesh)


def members(
    experiment: Experiment,
    settings: Sequence[space.Setting],
    seeds: Sequence[int],
    folder: pathlib.Path,
) -> list[Member]:
    """The runs of some settings, setting by setting, each with a folder in the sweep's."""
    found = []
    for setting in settings:
        for seed in seeds:
            parts = [setting.label] if setting else []
            parts += [f"seed={seed}"] if len(seeds) > 1 or not setting else []
            plain = {name: values.plain(value) for name, value in setting.items()}
            launched = experiment.base._replace(
                hyperparameters={**experiment.base.hyperparameters, **plain}, seed=seed
            )
            found.append(Member(setting, seed, folder / ",".join(parts), launched))
    return found


def run(
    experiment: Experiment,
    group: plan.Group,
    mine: Sequence[Member],
    folder: pathlib.Path,
    decision: race.Decision | None,
    say: Say,
    quiet: bool,
    stopping: stop.Catcher,
    decided: Callable[[race.Decision], None] = lambda decision: None,
    compiled: Compiled | None = None,
) -> bool:
    """Run the members of a group that have not ended; False where a signal came between.

    folder: where the checkpoints of members that run together lie. decision: of an earlier launch;
    else the ways race, and `decided` is told which won. compiled: the programs of earlier groups,
    as of a search's rounds; one of the same shape is used again.
    """
    if all(member.status for member in mine):
        return True
    if stopping.requested is not None:
        return False
    first, family = gathered(experiment, group, mine)
    ways = race.Ways(
        functools.partial(_alone, first, family),
        functools.partial(joined, first, family),
        shards(first),
    )
    if compiled is None or plan.streamed(first):
        compiled = {}  # what a stream gives, a group's shape does not tell
    earlier, program = compiled.get(group.shape, (None, None))
    if decision is None:
        if earlier is None or _wasteful(earlier, len(mine)):
            decision, program = race.decide(first, len(mine), ways)
        else:
            decision = earlier
        decided(decision)
    elif decision != earlier:
        program = None
    if stopping.requested is not None:
        return False
    say(_headline(group, mine, decision))
    if program is None:
        program = (joined(first, family, decision.wave) if decision.together else ways.alone())[0]
    compiled[group.shape] = decision, program
    if not decision.together:
        return _one_after_another(experiment, program, family, mine, say, quiet, stopping)
    return _together(experiment, program, family, mine, folder, say, quiet, stopping)


def gathered(
    experiment: Experiment, group: plan.Group, mine: Sequence[Member]
) -> tuple[runs.Run, programs.Family]:
    """The run of a group's first setting, and its members as what shares its functions."""
    make = functools.partial(group.made, experiment.make)
    numbers = [{name: m.setting[name] for name in group.varied} for m in mine]
    first = experiment.make(group.settings[0])
    return first, programs.Family(make, [m.seed for m in mine], numbers)


def _wasteful(decision: race.Decision, members: int) -> bool:
    """Whether more than half of a wave would only fill it up."""
    return decision.together and decision.wave > 2 * members


def _alone(run: runs.Run, family: programs.Family) -> tuple[programs.Program, batches.Feed]:
    """The program of the first member, and its feed: as of a run that is not of a sweep."""
    if "member" in (run.mesh or {}):
        run = dataclasses.replace(run, mesh=None)
    feed = batches.opened(run.train, family.seeds[0])
    return programs.Program(run, family.seeds[0], feed.first(), family), feed


def joined(
    run: runs.Run, family: programs.Family, size: int
) -> tuple[programs.Program, batches.Feed]:
    """The program of a wave of members, and the feed of the first wave."""
    mesh = _spread(run)
    if mesh is not None and size % shards(run):
        mesh = {"member": 1}  # begun on other devices, or too large for so many at once
    theirs, feed = _wave(run, family, size)
    run = dataclasses.replace(run, mesh=mesh)
    return programs.Program(run, theirs.seeds[0], feed.first(), theirs, together=True), feed


def share_cores() -> None:
    """Let the CPU's cores be devices for members that run together, before JAX has started.

    XLA runs small batched products on one core. Members exchange nothing, so that no device waits
    for another: simulated devices that do can hang.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    count = getattr(jax.config, "jax_num_cpu_devices", -1)
    chosen = count != -1 or DEVICES_FLAG in os.environ.get("XLA_FLAGS", "")
    if not chosen:
        with contextlib.suppress(RuntimeError):  # JAX has started, and keeps the devices it has
            jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


def shards(run: runs.Run) -> int:
    """How many devices there are for members that run together."""
    return meshes.make(_spread(run)).shape.get("member", 1)


def _spread(run: runs.Run) -> Mapping[str, int] | None:
    """Members that run together are shared out among the devices, not cut over them."""
    return run.mesh if run.mesh is not None or jax.device_count() == 1 else {"member": -1}


def _headline(group: plan.Group, mine: Sequence[Member], decision: race.Decision) -> str:
    named = f"{group.label}: " if group.label else ""
    if len(mine) == 1:
        return f"{named}one run"
    way = "one after another"
    if decision.together:
        way = "together, shown by their mean"
        if decision.wave < len(mine):
            way = f"in waves of {decision.wave}, as memory allows, shown by their mean"
    return f"{named}{len(mine)} runs {way} ({decision.why})"


# --- one after another


def _one_after_another(
    experiment: Experiment,
    solo: programs.Program,
    family: programs.Family,
    mine: Sequence[Member],
    say: Say,
    quiet: bool,
    stopping: stop.Catcher,
) -> bool:
    for i, member in enumerate(mine):
        if member.status:
            continue
        if stopping.requested is not None:
            return False
        run = own_run(experiment, solo.run, member)
        feed = batches.opened(run.train, member.seed)
        theirs = programs.Family(family.make, [member.seed], [family.values[i]])
        program = solo.serving(theirs, feed.first())
        feed.close()
        try:
            batch_size = None if run.train is None else run.train.batch_size
            line = progress.Line(run.steps, batch_size, quiet, _named(member))
            result = loop.train(run, member.folder, member.launched, program=program, terminal=line)
        except errors.NonFiniteError as error:
            say(f"  {_named(member)}: failed. {str(error).splitlines()[0]}", "yellow")
            continue
        if result.status == "stopped":
            return False
        say(f"  {_named(member)}: {_outcome(run, result)}")
    return True


def own_run(experiment: Experiment, shared: runs.Run, member: Member) -> runs.Run:
    """The group's run, with what the host computes, and may depend on values, as the member has it.

    Examples in memory stay the group's: what becomes of them is in the program, where the values
    are; and compiled evaluations hang on the group's tests.
    """
    streamed = plan.streamed(shared)
    read = plan.read_tests(shared)
    if not (shared.summaries or streamed or read):
        return shared
    own = experiment.make(member.setting)
    return dataclasses.replace(
        shared,
        train=own.train if streamed else shared.train,
        tests={**shared.tests, **{name: own.tests[name] for name in read}},
        summaries=own.summaries,
    )


def _named(member: Member) -> str:
    return ", ".join(f"{n}={values.written(v)}" for n, v in member.varied.items())


def _outcome(run: runs.Run, result: Any) -> str:
    if result.best is None or run.monitor is None:
        return result.status
    return f"{run.monitor.tag} {progress.number(result.best[1])} at step {result.best[0]}"


# --- together


def _wave(
    run: runs.Run, family: programs.Family, size: int, start: int = 0
) -> tuple[programs.Family, batches.Feed]:
    """The family and the feed of `size` members from one on; the last one fills a wave up."""
    last = len(family.seeds) - 1
    places = [min(place, last) for place in range(start, start + size)]
    seeds, numbers = [family.seeds[p] for p in places], [family.values[p] for p in places]
    if run.train is None:
        feed, axes = batches.Nothing(), None
    else:
        source: Any = run.train  # that examples in memory can do so, the race has asked
        feed, axes = source.together(seeds)
    return programs.Family(family.make, seeds, numbers, axes), feed


def _together(
    experiment: Experiment,
    program: programs.Program,
    family: programs.Family,
    mine: Sequence[Member],
    folder: pathlib.Path,
    say: Say,
    quiet: bool,
    stopping: stop.Catcher,
) -> bool:
    size = len(program.family.seeds)
    for number, start in enumerate(range(0, len(mine), size)):
        some = mine[start : start + size]
        if all(member.status for member in some):
            continue
        if stopping.requested is not None:
            return False
        theirs, feed = _wave(program.run, family, size, start)
        entries = [
            loop.Entry(own_run(experiment, program.run, m), m.folder, m.launched) for m in some
        ]
        batch_size = None if program.run.train is None else program.run.train.batch_size * len(some)
        terminal = progress.Progress(program.run.steps, batch_size, quiet)
        mate = program.serving(theirs, feed.first())
        with terminal:
            results = loop.train_together(entries, folder / str(number), mate, feed, terminal)
        for member, result in zip(some, results, strict=True):
            if result.status == "failed":
                say(f"  {_named(member)}: failed by step {result.step}, no longer finite", "yellow")
        if any(result.status == "stopped" for result in results):
            return False
    return True
