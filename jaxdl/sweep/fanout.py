"""Groups of a sweep: in this process, or side by side, each in a process or job of its own.

<sweep>/groups/<n>/group.json     what the group is, for its process
<sweep>/groups/<n>/decision.json  how it runs
<sweep>/groups/logs/<job>/        what its process printed
"""

import functools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import rich.console
import rich.text

from jaxdl import errors, hyperparameters, submit, values
from jaxdl import experiment as files
from jaxdl.sweep import execute, plan, populate, race, space
from jaxdl.train import record, stop

GROUP = "group.json"
# Of JAX: where compiled programs are kept between processes, and from what size on.
CACHE = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
Say = Callable[[str], None]


class Elsewhere(NamedTuple):
    """Where groups run side by side: "local" processes or "slurm" jobs, so many at once."""

    kind: Literal["local", "slurm"]
    jobs: int
    settings: str = ""


class Part(NamedTuple):
    """A group of a sweep. folder: for what it must remember, <sweep>/groups/<n>. population: how
    its members learn from one another, and within which values.
    """

    experiment: execute.Experiment
    group: plan.Group
    seeds: Sequence[int]
    folder: pathlib.Path
    quiet: bool = False
    population: tuple[str, Mapping[str, space.Axis]] | None = None

    @property
    def members(self) -> list[execute.Member]:
        """Its runs, in the sweep's folder."""
        sweep = self.folder.parent.parent
        return execute.members(self.experiment, self.group.settings, self.seeds, sweep)

    def run(
        self,
        console: rich.console.Console,
        stopping: stop.Catcher,
        compiled: execute.Compiled | None = None,
    ) -> bool:
        """Run it, the way it has begun if it has; False where a signal came between."""
        if self.population is not None:
            return self._populated(self.population, console, stopping)
        return execute.run(
            self.experiment,
            self.group,
            self.members,
            self.folder,
            race.kept(self.folder),
            lambda line, style="": console.print(line, style=style, soft_wrap=True),
            self.quiet,
            stopping,
            functools.partial(race.keep, self.folder),
            compiled,
        )

    def _populated(
        self,
        population: tuple[str, Mapping[str, space.Axis]],
        console: rich.console.Console,
        stopping: stop.Catcher,
    ) -> bool:
        members = self.members
        run, family = execute.gathered(self.experiment, self.group, members)
        going = populate.Going(
            self.experiment, run, family, members, self.folder, self.quiet, stopping
        )
        return populate.run(*population, going, console.print)


class Came(NamedTuple):
    """What came of groups. finished: all. error: of the first that failed."""

    finished: bool
    error: Exception | None = None


def check(where: Elsewhere) -> None:
    """errors.InputError: no such job can run here, or it would run its group more than once."""
    if where.kind == "slurm":
        _check_once(where)
    submit.check(where.kind, "--jobs N runs groups side by side")


def _check_once(where: Elsewhere) -> None:
    parameters = submit.parameters(where.settings)
    for name in ("nodes", "tasks_per_node"):
        if parameters.get(name, 1) > 1:
            raise errors.InputError(
                "--slurm of a sweep must have one node and one task for each group, "
                f"got {name}={parameters[name]}."
            )


def one_by_one(
    parts: Sequence[Part],
    console: rich.console.Console,
    stopping: stop.Catcher,
    compiled: execute.Compiled | None,
) -> Came:
    """Run the groups in this process; one that fails does not keep the others."""
    failed, finished = None, True
    for part in parts:
        try:
            finished = part.run(console, stopping, compiled) and finished
        except Exception as error:
            failed = failed or error
            line = f"  {_named(part)}: {type(error).__name__}: {error}".splitlines()[0]
            console.print(rich.text.Text(line, style="red"), soft_wrap=True)
    return Came(finished and failed is None, failed)


def side_by_side(
    where: Elsewhere, parts: Sequence[Part], say: Say, stopping: Callable[[], bool]
) -> Came:
    """Run the groups that have not ended; one that fails does not keep the others."""
    todo = [part for part in parts if not all(member.status for member in part.members)]
    if not todo:
        return Came(True)
    for part in todo:
        record.put_new(part.folder / GROUP, _described(part))
    jobs = submit.map(
        submit.executor(where.kind, todo[0].folder.parent / "logs" / "%j", where.settings),
        Job(),
        [str(part.folder) for part in todo],
        where.jobs,
        lambda i, job: say(
            f"  {_named(todo[i])}: job {job.job_id} has ended, output in {job.paths.folder}"
        ),
        stopping,
    )
    if stopping():
        return Came(all(member.status for part in todo for member in part.members))
    came = [_came(part, job) for part, job in zip(todo, jobs, strict=True)]
    failed = [one.error for one in came if one.error is not None]
    return Came(all(one.finished for one in came), failed[0] if failed else None)


def _came(part: Part, job: Any) -> Came:
    """What came of one job; no look at SLURM's accounting, which not every site has."""
    kind, text = errors.FaultError, "its job was lost."
    if job.paths.result_pickle.exists():
        fault = job.exception()
        if fault is None:
            result = job.result()
            if result is None or isinstance(result, str):
                return Came(result is None)
            kind, text = getattr(errors, result[0]), result[1]
        else:
            text = _last_line(str(fault))
    return Came(False, kind(f"{_named(part)}: {text}\nIts output: {job.paths.stderr}"))


def _last_line(fault: str) -> str:
    """Of a traceback, which submitit puts between lines of dashes."""
    trace = fault.split("\n------", 2)[1] if fault.count("\n------") > 1 else fault
    return trace.strip().splitlines()[-1]


def _named(part: Part) -> str:
    return part.group.label or "the one group"


def _described(part: Part) -> dict[str, Any]:
    """A group for `_revived`, beside what the sweep's own record holds."""
    settings = [
        {name: values.plain(value) for name, value in setting.items()}
        for setting in part.group.settings
    ]
    return {
        "varied": part.group.varied,
        "settings": settings,
        "seeds": list(part.seeds),
        "mesh": part.experiment.mesh,
        "histograms": list(part.experiment.histograms),
        "cache": {name: getattr(jax.config, name, None) for name in CACHE},
    }


class Job(submit.Requeued):
    """Runs the group of a folder in a process of its own: the name of the signal that came between,
    or what a user can mend as the name of its class and its message.

    After the time limit it is queued again, and by SLURM where that preempts it.
    """

    def run(self, folder: str) -> str | tuple[str, str] | None:
        """folder: <sweep>/groups/<n>."""
        try:
            return run_part(pathlib.Path(folder))
        except errors.UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return type(error).__name__, str(error)

    def stopped(self, result: Any) -> bool:
        """Whether a signal came between."""
        return isinstance(result, str)

    def preempted(self, result: Any) -> bool:
        """Whether it was SLURM, or `scancel`, and not the launcher."""
        on_slurm = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"
        return on_slurm and self.stopped(result) and result != submit.ASKED


def run_part(folder: pathlib.Path) -> str | None:
    """Run the group of this folder; the name of the signal that came between, if one did."""
    from jaxdl.sweep import local  # needs submitit, which a job has

    with stop.Catcher() as stopping:
        local.end_with_launcher()
        part = _read(folder)
        console = rich.console.Console(highlight=False)
        finished = part.run(console, stopping)
    return None if finished else str(stopping.requested)


def _read(folder: pathlib.Path) -> Part:
    """The group of a folder, with JAX as its launcher has set it."""
    try:
        kept = json.loads((folder / GROUP).read_text())
    except (OSError, ValueError) as error:
        raise errors.StorageError(f"{folder / GROUP} must be readable: {error}.") from error
    if getattr(jax.config, CACHE[0], None) is None:
        for name, value in kept["cache"].items():
            if value is not None:
                jax.config.update(name, value)
    if kept["mesh"] is None:
        execute.share_cores()
    return _revived(folder, kept)


def _revived(folder: pathlib.Path, kept: Mapping[str, Any]) -> Part:
    """The group of a folder, from its description and the sweep's record."""
    sweep = folder.parent.parent
    recorded = record.read(sweep)
    plain = {n: v for n, v in recorded.hyperparameters.items() if not n.startswith("--")}
    copy = sweep.absolute() / record.SOURCE
    function = files.File(copy, recorded.experiment).function
    parameters = hyperparameters.of(function)
    given = hyperparameters.revived(plain, parameters, recorded.experiment)
    base = recorded._replace(hyperparameters=plain, source=copy)
    known = {parameter.name: parameter for parameter in parameters}
    settings = []
    for words in kept["settings"]:
        setting = {name: known[name].default for name in words}
        setting |= hyperparameters.revived(words, parameters, recorded.experiment)
        settings.append(space.Setting(setting))
    experiment = execute.Experiment(function, given, base, kept["mesh"], kept.get("histograms", ()))
    return Part(experiment, plan.Group(tuple(kept["varied"]), settings), kept["seeds"], folder)
