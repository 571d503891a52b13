"""A sweep from what was asked for to what came of it: rounds of settings, their groups, the report.

The sweep's folder has a record like a run's, so that it is resumed like one.
"""

import collections
import functools
import inspect
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.console
import rich.text

from jaxdl import cluster, errors, hyperparameters, options, run
from jaxdl.sweep import (
    ensemble,
    execute,
    fanout,
    plan,
    populate,
    reading,
    report,
    search,
    space,
)
from jaxdl.train import event_file, lock, progress, record, stop
from jaxdl.train import mesh as meshes

BATCH = 16  # settings that a search proposes at a time, so that they can run together
Elsewhere = fanout.Elsewhere


class Asked(NamedTuple):
    """What a user asked for, as the record keeps it.

    sweep: the words of --sweep, None for the experiment's own `sweep()`.
    """

    sweep: Sequence[str] | None = None
    samples: int | None = None
    seeds: int | None = None
    search: str | None = None
    population: str | None = None

    def recorded(self) -> dict[str, Any]:
        """Beside the hyperparameters, under names that none of them can have."""
        plain = {"--sweep": self.sweep and list(self.sweep), **self._asdict()}
        del plain["sweep"]
        return {"--" + name.lstrip("-"): value for name, value in plain.items()}

    @classmethod
    def read(cls, hyperparameters: Mapping[str, Any]) -> "Asked | None":
        """What a record says; None where it is no sweep's."""
        found = {name[2:]: value for name, value in hyperparameters.items() if name[:2] == "--"}
        return cls(**found) if found else None


class Campaign(NamedTuple):
    """A sweep about to be run, or gone on with."""

    experiment: execute.Experiment
    space: space.Space
    asked: Asked
    folder: pathlib.Path
    quiet: bool = False
    elsewhere: Elsewhere | None = None
    ensemble: bool = False

    @property
    def seeds(self) -> list[int]:
        """One run of each setting for each of these."""
        first = self.experiment.base.seed
        return list(range(first, first + (self.asked.seeds or 1)))


class Outcome(NamedTuple):
    """status: "completed", or "stopped" by a signal. members: group by group."""

    status: str
    members: list[report.Member]


def run_all(campaign: Campaign) -> Outcome:
    """Run what has not been run yet, and report; a folder with the beginning is gone on with."""
    base = campaign.experiment.base
    recorded = base._replace(hyperparameters={**base.hyperparameters, **campaign.asked.recorded()})
    began = time.perf_counter()
    first = campaign.experiment.make({})
    _check(campaign, first)
    with stop.Catcher() as stopping:
        kept = record.claim(campaign.folder, recorded, {"digest": None})
        console = rich.console.Console(quiet=campaign.quiet, highlight=False)
        with lock.Lock(campaign.folder):
            finished, parts, failed = _rounds(campaign, first, stopping, console)
            rows = [_row(member) for part in parts for member in part.members]
            status = "completed" if finished else "stopped"
            _report(campaign, first, rows, console)
            console.print(_summary(rows, time.perf_counter() - began), soft_wrap=True)
            result = {"status": status, "runs": len(rows)}
            if finished and campaign.ensemble:
                result["ensembles"] = _ensembles(campaign, first, parts, console)
            record.write(campaign.folder, kept | {"result": result})
    if failed is not None:
        raise failed
    if not finished:
        console.print(f"Stopped. Go on with: {_again(campaign)}", soft_wrap=True)
    return Outcome(status, rows)


def _again(campaign: Campaign) -> str:
    """The command that goes on with it, in the same way."""
    words = ["python", "-m", "jaxdl.launch", "--resume", str(campaign.folder)]
    if campaign.experiment.mesh is not None:
        sizes = campaign.experiment.mesh.items()
        words += ["--mesh", ",".join(f"{axis}={size}" for axis, size in sizes)]
    if campaign.elsewhere is not None:
        where = campaign.elsewhere
        words += ["--slurm", where.settings] if where.kind == "slurm" else []
        words += ["--jobs", str(where.jobs)]
    words += ["--ensemble"] if campaign.ensemble else []
    words += ["--histograms"] if campaign.experiment.histograms else []
    return shlex.join(words)


def _check(campaign: Campaign, first: run.Run) -> None:
    """What would be refused later, before there is a folder."""
    if cluster.count() > 1:
        raise errors.InputError(
            f"A sweep must run in one process, got {cluster.count()}. "
            "--jobs N runs its groups side by side, --slurm as jobs."
        )
    mesh = campaign.experiment.mesh or {}
    if "member" in mesh and len(mesh) > 1:
        raise errors.InputError("--mesh of a sweep must have the axis member alone, or not at all.")
    if campaign.seeds[-1] > options.LARGEST_SEED:
        raise errors.InputError(
            f"--seed and --seeds must make seeds of at most {options.LARGEST_SEED}, "
            f"got {campaign.seeds[0]} and {len(campaign.seeds)}."
        )
    if campaign.asked.search is None:
        asked, seeds = campaign.asked, len(campaign.seeds)
        settings = campaign.space.settings(asked.samples, campaign.experiment.base.seed)
        if asked.population is not None:
            if campaign.elsewhere is not None:
                raise errors.InputError("A population must run here, got --jobs or --slurm.")
            populate.check(asked.population, campaign.experiment.make, settings, seeds)
    elif first.monitor is None:
        raise errors.InputError("A search must have a monitored metric; set Run.monitor.")
    else:
        _search(campaign, first)
    if campaign.elsewhere is not None:
        fanout.check(campaign.elsewhere)  # which has devices of its own
    else:
        meshes.make(first.mesh)
    if campaign.ensemble:
        if first.learner.predict is None:
            raise errors.InputError(
                "--ensemble must have a learner with `predict`, got one without."
            )
        for test in ensemble.tests(first):
            ensemble.check(first, test)


def _rounds(
    campaign: Campaign, first: run.Run, stopping: stop.Catcher, console: rich.console.Console
) -> tuple[bool, list[fanout.Part], Exception | None]:
    """Whether all have been run, the groups, and why one could not be."""
    done: list[fanout.Part] = []
    compiled: execute.Compiled | None = {} if campaign.asked.search else None
    at, quiet, kind = campaign.folder / "groups", campaign.quiet, campaign.asked.population
    population = None if kind is None else (kind, campaign.space.axes)
    for number, (settings, tell) in enumerate(_proposed(campaign, first)):
        if stopping.requested is not None:
            return False, done, None
        groups = plan.groups(campaign.experiment.make, _accepted(campaign, settings, console))
        if not groups:
            tell([])
            continue
        title, shared = _headline(campaign, settings, groups)
        console.print(rich.text.Text(title, style="bold"), soft_wrap=True)
        console.print(shared, soft_wrap=True)
        parts = [
            fanout.Part(
                campaign.experiment,
                group,
                campaign.seeds,
                at / f"{number}.{i}",
                quiet,
                population,
            )
            for i, group in enumerate(groups)
        ]
        done += parts
        if campaign.elsewhere is not None:
            came = fanout.side_by_side(
                campaign.elsewhere,
                parts,
                lambda line: console.print(line, soft_wrap=True),
                lambda: stopping.requested is not None,
            )
        else:
            came = fanout.one_by_one(parts, console, stopping, compiled)
        if not came.finished:
            return False, done, came.error
        tell([member for part in parts for member in part.members])
    return True, done, None


def _accepted(
    campaign: Campaign, settings: list[space.Setting], console: rich.console.Console
) -> list[space.Setting]:
    """All; of a search those that the experiment accepts, which cannot know its rules."""
    if campaign.asked.search is None:
        return settings
    found = []
    for setting in settings:
        try:
            plan.check(campaign.experiment.make, setting)
        except errors.InputError as error:
            line = f"  {setting.label}: refused. {str(error).splitlines()[0]}"
            console.print(rich.text.Text(line, style="yellow"), soft_wrap=True)
        else:
            found.append(setting)
    return found


def resumed(folder: pathlib.Path) -> Asked | None:
    """What the sweep in a folder was asked for; None where it holds a run of its own.

    errors.InputError: it holds a member of a sweep, which its sweep alone can go on with.
    """
    parent = folder.resolve().parent
    outer = record.load(parent) if (parent / record.FILE).is_file() else None
    if outer is not None and Asked.read(outer["hyperparameters"]) is not None:
        raise errors.InputError(
            f"--resume must be the folder of a whole sweep, got a member, {folder}.\n"
            f"Resume {os.path.relpath(parent)}."
        )
    return Asked.read(record.read(folder).hyperparameters)


def asked_space(asked: Asked, function: Callable[..., Any]) -> space.Space:
    """What is to vary: by the command line, or by the experiment's own `sweep()`."""
    known = hyperparameters.of(function)
    if asked.sweep:
        return reading.read(asked.sweep, known)
    own = getattr(inspect.unwrap(function), "__globals__", {}).get(reading.FUNCTION)
    if callable(own) and (asked.sweep is not None or asked.samples or asked.search):
        return reading.of(own(), known)
    if asked.sweep is not None or asked.samples or asked.search:
        raise errors.InputError(
            "A sweep must name what varies: --sweep width=64,128, or define `def sweep()` in "
            "the experiment's file."
        )
    return space.Space({})


Tell = Callable[[Sequence[execute.Member]], None]


def _proposed(campaign: Campaign, first: run.Run) -> Iterator[tuple[list[space.Setting], Tell]]:
    """Settings, round by round; a search is told how each round's members did."""
    asked, seed = campaign.asked, campaign.experiment.base.seed
    if asked.search is None:
        yield campaign.space.settings(asked.samples, seed), lambda members: None
        return
    searching = _search(campaign, first)
    while settings := searching.ask(BATCH):

        def tell(members: Sequence[execute.Member], settings: Any = settings) -> None:
            searching.tell(settings, [_score(members, setting) for setting in settings])

        yield settings, tell


def _search(campaign: Campaign, first: run.Run) -> search.Search:
    asked = campaign.asked
    assert asked.search and asked.samples and first.monitor  # checked before
    seed, highest = campaign.experiment.base.seed, first.monitor.highest
    return search.Search(campaign.space, asked.search, asked.samples, seed, highest)


def _ensembles(
    campaign: Campaign,
    first: run.Run,
    parts: Sequence[fanout.Part],
    console: rich.console.Console,
) -> dict[str, Any]:
    """The best states of runs of one shape as one model, on each test."""
    alike: dict[Any, list[fanout.Part]] = {}  # a search has parts of one shape in several rounds
    for part in parts:
        alike.setdefault((part.group.label, part.group.varied), []).append(part)
    judged: dict[tuple[str, str], ensemble.Judged] = {}
    for (label, varied), some in alike.items():
        sound = [m for part in some for m in part.members if m.status in record.SUCCEEDED]
        if not sound:
            continue
        make = functools.partial(some[0].group.made, campaign.experiment.make)
        numbers = [{n: m.setting[n] for n in varied} | m.bred for m in sound]
        made = make(numbers[0])
        stacked = ensemble.load(made, [member.folder for member in sound])
        for test in ensemble.tests(made):
            judged[label or "all", test] = ensemble.judge(make, numbers, stacked, test)
    if judged:
        console.print(ensemble.table(judged, first))
    return {f"{label}/{test}": found._asdict() for (label, test), found in judged.items()}


def _score(members: Sequence[execute.Member], setting: space.Setting) -> float | None:
    """The mean over seeds of the best value, None where a seed has none or did not finish."""
    rows = [_row(member) for member in members if member.setting == setting]
    found = [row.best[1] for row in rows if row.best and row.status in record.SUCCEEDED]
    return sum(found) / len(found) if found and len(found) == len(rows) else None


def _headline(
    campaign: Campaign, settings: Sequence[space.Setting], groups: Sequence[plan.Group]
) -> tuple[str, str]:
    """What is about to run, and in how many programs."""
    seeds = len(campaign.seeds)
    count = sum(len(group.settings) for group in groups) * seeds
    text = f"{campaign.experiment.base.experiment} · {count:,} run{'s' if count > 1 else ''}"
    if len(settings) > 1 and seeds > 1:
        text += f": {len(settings):,} settings × {seeds} seeds"
    varied = max((group.varied for group in groups), key=len)
    values = ", ".join([*varied, *(["seed"] if seeds > 1 else [])])
    shared = "one program" if len(groups) == 1 else f"{len(groups)} programs"
    if count > len(groups):
        shared += f", in which {values} may vary"
    return f"{text} · {campaign.folder}", shared


def _row(member: execute.Member) -> report.Member:
    """What a member left in its folder."""
    kept = (record.load(member.folder) or {}).get("result") or {}
    best = kept.get("best")
    curves = event_file.scalars(member.folder, kept.get("step", 0)) if kept else {}
    return report.Member(
        label=member.setting.label,
        setting=member.setting,
        seed=member.seed,
        status=kept.get("status", "stopped"),
        step=kept.get("step", 0),
        seconds=kept.get("seconds", 0.0),
        best=None if best is None or best[1] is None else (best[0], best[1]),  # null: infinite
        metrics={tag: value for tag, value in kept.get("metrics", {}).items() if value is not None},
        history={tag: _columns(points) for tag, points in curves.items()},
        folder=member.folder,
        bred=member.bred,
    )


def _columns(points: Sequence[tuple[int, float]]) -> tuple[Any, Any]:
    steps, numbers = zip(*points, strict=True) if points else ((), ())
    return np.array(steps), np.array(numbers)


def _summary(rows: Sequence[report.Member], seconds: float) -> str:
    counts = collections.Counter(row.status for row in rows)
    runs = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    return f"runs:     {runs or 'none'}, in {progress.duration(seconds)}"


def _report(
    campaign: Campaign,
    first: run.Run,
    rows: Sequence[report.Member],
    console: rich.console.Console,
) -> None:
    monitor = first.monitor
    tag, highest = (monitor.tag, monitor.highest) if monitor else (None, False)
    report.write_table(campaign.folder, rows, tag, highest)
    report.write_bands(campaign.folder, report.bands(rows))
    table = report.table(rows, tag, highest)
    console.print(table)
    console.print(f"table:    {campaign.folder / report.FILE}", soft_wrap=True)
    console.print(f"curves:   tensorboard --logdir {campaign.folder}", soft_wrap=True)
