"""A sweep from what was asked for to what came of it: rounds of settings, their groups, the report.

The sweep's folder has a record like a run's, so that it is resumed like one.
"""

import collections
import functools
import inspect
import json
import pathlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import rich.console
import rich.text

from jaxdl import errors, hyperparameters, options, run, submit, values
from jaxdl import experiment as files
from jaxdl.sweep import ensemble, execute, plan, race, reading, report, search, space
from jaxdl.train import event_file, lock, progress, record, stop

BATCH = 16  # settings that a search proposes at a time, so that they can run together
DECISION = "decision.json"  # how a group runs, in its folder
GROUP = "group.json"  # what it is, for a process of its own


class Asked(NamedTuple):
    """What a user asked for, as the record keeps it.

    sweep: the words of --sweep, None for the experiment's own `sweep()`.
    """

    sweep: Sequence[str] | None = None
    samples: int | None = None
    seeds: int | None = None
    search: str | None = None

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


class Elsewhere(NamedTuple):
    """Where groups run side by side: "local" processes or "slurm" jobs, so many at once."""

    kind: Literal["local", "slurm"]
    jobs: int
    settings: str = ""


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
    hyperparameters = {**base.hyperparameters, **campaign.asked.recorded()}
    began = time.perf_counter()
    first = campaign.experiment.make({})
    _check(campaign, first)
    with stop.Catcher() as stopping:
        kept = record.claim(
            campaign.folder, base._replace(hyperparameters=hyperparameters), {"digest": None}
        )
        console = rich.console.Console(quiet=campaign.quiet, highlight=False)
        with lock.Lock(campaign.folder):
            finished, parts = _rounds(campaign, first, stopping, console)
            rows = [_row(member) for part in parts for member in part.members]
            status = "completed" if finished else "stopped"
            _report(campaign, first, rows, console)
            console.print(_summary(rows, time.perf_counter() - began), soft_wrap=True)
            result = {"status": status, "runs": len(rows)}
            if finished and campaign.ensemble:
                result["ensembles"] = _ensembles(campaign, parts, console)
            record.write(campaign.folder, kept | {"result": result})
    if not finished:
        again = f"python -m jaxdl.launch --resume {shlex.quote(str(campaign.folder))}"
        console.print(f"Stopped. Go on with: {again}", soft_wrap=True)
    return Outcome(status, rows)


def _check(campaign: Campaign, first: run.Run) -> None:
    """What would be refused later, before there is a folder."""
    if campaign.seeds[-1] > options.LARGEST_SEED:
        raise errors.InputError(
            f"--seed and --seeds must make seeds of at most {options.LARGEST_SEED}, "
            f"got {campaign.seeds[0]} and {len(campaign.seeds)}."
        )
    if campaign.asked.search is None:
        campaign.space.settings(campaign.asked.samples, campaign.experiment.base.seed)
    elif first.monitor is None:
        raise errors.InputError("A search must have a monitored metric; set Run.monitor.")
    else:
        _search(campaign, first)
    if campaign.ensemble and first.learner.predict is None:
        raise errors.InputError("--ensemble must have a learner with `predict`, got one without.")


def _rounds(
    campaign: Campaign, first: run.Run, stopping: stop.Catcher, console: rich.console.Console
) -> tuple[bool, list["_Part"]]:
    """Whether all have been run, and the groups."""
    done: list[_Part] = []
    for number, (settings, tell) in enumerate(_proposed(campaign, first)):
        groups = plan.groups(campaign.experiment.make, settings)
        title, shared = _headline(campaign, settings, groups)
        console.print(rich.text.Text(title, style="bold"), soft_wrap=True)
        console.print(shared, soft_wrap=True)
        parts = [_Part(campaign, group, f"{number}.{i}") for i, group in enumerate(groups)]
        done += parts
        if campaign.elsewhere is not None:
            finished = _side_by_side(campaign.elsewhere, parts, console, stopping)
        else:
            finished = all(part.run(console, stopping) for part in parts)
        if not finished:
            return False, done
        tell([member for part in parts for member in part.members])
    return True, done


class _Part:
    """A group of a sweep, with a folder for what it must remember."""

    def __init__(self, campaign: Campaign, group: plan.Group, name: str) -> None:
        self.campaign, self.group = campaign, group
        self.folder = campaign.folder / "groups" / name
        self.members = execute.members(
            campaign.experiment, group.settings, campaign.seeds, campaign.folder
        )

    def run(self, console: rich.console.Console, stopping: stop.Catcher) -> bool:
        """Run it, the way it has begun if it has; False where a signal came between."""
        return execute.run(
            self.campaign.experiment,
            self.group,
            self.members,
            self.folder,
            self._decision(),
            lambda line, style="": console.print(line, style=style, soft_wrap=True),
            self.campaign.quiet,
            stopping,
            lambda decision: _write(self.folder / DECISION, decision._asdict()),
        )

    def _decision(self) -> race.Decision | None:
        try:
            return race.Decision(**json.loads((self.folder / DECISION).read_text()))
        except (OSError, ValueError, TypeError):
            return None  # not made yet, or half written: it is made anew


def _side_by_side(
    where: Elsewhere, parts: Sequence[_Part], console: rich.console.Console, stopping: stop.Catcher
) -> bool:
    """Run groups in processes or jobs of their own, which read from the folder what they are."""
    todo = [part for part in parts if not all(member.status for member in part.members)]
    for part in todo:
        settings = [
            {name: values.plain(value) for name, value in setting.items()}
            for setting in part.group.settings
        ]
        _write(part.folder / GROUP, {"varied": part.group.varied, "settings": settings})
    if not todo:
        return True
    logs = todo[0].campaign.folder / "groups" / "logs" / "%j"
    jobs = submit.map(
        submit.executor(where.kind, logs, where.settings),
        run_part,
        [str(part.folder) for part in todo],
        where.jobs,
        lambda i, job: console.print(
            f"  {todo[i].group.label or 'the one group'}: job {job.job_id} has ended, "
            f"output in {logs.with_name(job.job_id)}",
            soft_wrap=True,
        ),
        lambda: stopping.requested is not None,
    )
    if stopping.requested is not None:
        return all(member.status for part in todo for member in part.members)
    return all(job.result() for job in jobs)


def run_part(folder: str) -> bool:
    """Run the group of this folder, in a process of its own; False where a signal came between."""
    path = pathlib.Path(folder)
    campaign = revived(path.parent.parent)
    kept = json.loads((path / GROUP).read_text())
    known = {p.name: p for p in hyperparameters.of(campaign.experiment.function)}
    settings = []
    for plain in kept["settings"]:
        setting = {name: known[name].default for name in plain}
        setting |= hyperparameters.revived(plain, known.values(), "the experiment")
        settings.append(space.Setting(setting))
    group = plan.Group(tuple(kept["varied"]), settings)
    console = rich.console.Console(highlight=False)
    with stop.Catcher() as stopping:
        return _Part(campaign, group, path.name).run(console, stopping)


def resumed(folder: pathlib.Path) -> Asked | None:
    """What the sweep in a folder was asked for; None where it holds a run of its own.

    errors.InputError: it holds a member of a sweep, which its sweep alone can go on with.
    """
    outer = record.load(folder.parent) if (folder.parent / record.FILE).is_file() else None
    if outer is not None and Asked.read(outer["hyperparameters"]) is not None:
        raise errors.InputError(
            f"--resume must be the folder of a whole sweep, got a member, {folder}.\n"
            f"Resume {folder.parent}."
        )
    return Asked.read(record.read(folder).hyperparameters)


def revived(folder: pathlib.Path) -> Campaign:
    """The sweep in a folder, as it was asked for."""
    recorded = record.read(folder)
    asked = Asked.read(recorded.hyperparameters)
    if asked is None:
        raise errors.InputError(f"The folder {folder} must be a sweep's, got a run's.")
    plain = {n: v for n, v in recorded.hyperparameters.items() if not n.startswith("--")}
    copy = folder.absolute() / record.SOURCE
    function = files.File(copy, recorded.experiment).function
    known = hyperparameters.of(function)
    given = hyperparameters.revived(plain, known, recorded.experiment)
    base = recorded._replace(hyperparameters=plain, source=copy)
    made = execute.Experiment(function, given, base)
    return Campaign(made, asked_space(asked, function), asked, folder)


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


def _write(path: pathlib.Path, content: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    except OSError as error:
        raise errors.StorageError(
            f"The sweep's folder must be writable, got {path}: {error.strerror}."
        ) from error


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
    campaign: Campaign, parts: Sequence[_Part], console: rich.console.Console
) -> dict[str, Any]:
    """The best states of runs of one shape as one model, on each test."""
    alike: dict[Any, list[_Part]] = {}  # a search has parts of one shape in several rounds
    for part in parts:
        alike.setdefault((part.group.label, part.group.varied), []).append(part)
    judged: dict[tuple[str, str], ensemble.Judged] = {}
    for (label, varied), some in alike.items():
        sound = [m for part in some for m in part.members if m.status in report.FINISHED]
        if not sound:
            continue
        make = functools.partial(some[0].group.made, campaign.experiment.make)
        numbers = [{name: member.setting[name] for name in varied} for member in sound]
        made = make(numbers[0])
        stacked = ensemble.load(made, [member.folder for member in sound])
        for test in made.tests:
            judged[label or "all", test] = ensemble.judge(make, numbers, stacked, test)
    if judged:
        console.print(ensemble.table(judged))
    return {f"{label}/{test}": found._asdict() for (label, test), found in judged.items()}


def _score(members: Sequence[execute.Member], setting: space.Setting) -> float | None:
    """The mean over seeds of the best value, None where a seed failed."""
    rows = [_row(member) for member in members if member.setting == setting]
    found = [row.best[1] for row in rows if row.best and row.status in report.FINISHED]
    return sum(found) / len(found) if len(found) == len(rows) else None


def _headline(
    campaign: Campaign, settings: Sequence[space.Setting], groups: Sequence[plan.Group]
) -> tuple[str, str]:
    """What is about to run, and in how many programs."""
    seeds = len(campaign.seeds)
    count = len(settings) * seeds
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
        best=None if best is None else (best[0], best[1]),
        metrics={tag: value for tag, value in kept.get("metrics", {}).items() if value is not None},
        history={tag: _columns(points) for tag, points in curves.items()},
        folder=member.folder,
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
