"""The members of a sweep as a population, whose members learn from one another.

The rules are those of jaxdl/train/population.py. Breeding runs all members in one program, to the
end. Halving runs rung after rung, each in a program of as many members as are left, as a member
that is only masked out would be computed all the same:

<sweep>/groups/<n>/<rung>/  checkpoints of the members of a rung; decision.json, of how many members
                            its program is, to which a resume keeps
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from jaxdl import errors
from jaxdl import run as runs
from jaxdl.sweep import execute, plan, race, space
from jaxdl.train import checkpoint, loop, population, progress, record, stop
from jaxdl.train import program as programs

KINDS = {
    "pbt": "population-based training (Jaderberg et al., 2017)",
    "halving": "successive halving (Jamieson and Talwalkar, 2016)",
}
Kind = Literal["pbt", "halving"]

QUANTILES = 1001  # of a range, its ends among them: five decades in steps of one percent


class Going(NamedTuple):
    """A group that runs as a population. folder: for its checkpoints."""

    experiment: execute.Experiment
    run: runs.Run
    family: programs.Family
    members: Sequence[execute.Member]
    folder: pathlib.Path
    quiet: bool
    stopping: stop.Catcher


def priors(axes: Mapping[str, space.Axis]) -> dict[str, list[float]]:
    """Of each hyperparameter what the sweep draws from, sorted: of a range QUANTILES of it."""
    found = {}
    for name, axis in axes.items():
        if isinstance(axis, space.Range):
            values = [axis.at(i / (QUANTILES - 1)) for i in range(QUANTILES)]
        else:
            values = axis.values if isinstance(axis, space.Choice) else axis
        found[name] = sorted(map(float, values))
    return found


def check(kind: str, made: plan.Make, settings: Sequence[space.Setting], seeds: int) -> None:
    """errors.InputError: these runs cannot share a program, or cannot be judged on the way."""
    if kind not in KINDS:
        raise errors.InputError(f"--population must be one of {', '.join(KINDS)}, got {kind!r}.")
    if len(settings) * seeds < 2:
        raise errors.InputError("--population must have at least two runs, got one.")
    groups = plan.groups(made, settings)
    varied = {name for name in settings[0] if len({s[name] for s in settings}) > 1}
    fixed = sorted(varied - set(groups[0].varied))
    if kind == "pbt":
        fixed += [name for name in sorted(varied) if type(settings[0][name]) is not float]
    if len(groups) > 1 or fixed:
        raise errors.InputError(
            "--population must vary numbers that go into arithmetic alone"
            f"{' (pbt: floats)' if kind == 'pbt' else ''}, got {fixed[0] if fixed else 'others'}. "
            "Sweep over it without --population."
        )
    if kind == "pbt" and not varied:
        raise errors.InputError("--population pbt must vary a float; add --sweep.")
    run = made(settings[0])
    if plan.streamed(run) or plan.read_tests(run):
        raise errors.InputError("--population must be of data in memory, got a stream.")
    if run.monitor is None:
        raise errors.InputError("--population must have a monitored metric; set Run.monitor.")
    if run.patience is not None:
        raise errors.InputError(
            f"--population must be of runs without patience, got {run.patience}. It ends runs too."
        )


def run(
    kind: str,
    axes: Mapping[str, space.Axis],
    going: Going,
    say: Callable[..., None],
) -> bool:
    """Run the members that have not ended; False where a signal came between."""
    if all(member.status for member in going.members):
        return True
    if going.stopping.requested is not None:
        return False
    say(f"{len(going.members)} runs as a population, by {KINDS[kind]}")
    if kind == "halving":
        return _halved(going)
    everybody = range(len(going.members))
    drawn = priors({name: axes[name] for name in going.family.values[0]})  # those that vary
    _train(going, list(everybody), 0, population.Breeding(drawn), None)
    return all(member.status for member in going.members)


def _halved(going: Going) -> bool:
    """Rung after rung. One that a later one has begun from is not looked at again: its members have
    gone on since.
    """
    run, alive, before = going.run, list(range(len(going.members))), None
    for number, rung in enumerate(population.rungs(len(alive), run.steps, run.eval_every or 1)):
        at = going.folder / str(number)
        if not _holds(going.folder / str(number + 1)):
            if going.stopping.requested is not None:
                return False
            results = _train(going, alive, number, rung, before)
            over = all(result.step >= rung.until or result.status == "failed" for result in results)
            if not over:
                return False
        left = [i for i in alive if not _over(going.members[i], rung.until)]
        if not left:
            break
        rows = [alive.index(i) for i in left]
        before = population.Before(at, _size(going, number, len(alive)), rows)
        alive = left
    return True


def _train(
    going: Going,
    places: Sequence[int],
    number: int,
    rule: population.Population,
    before: population.Before | None,
) -> list[Any]:
    """The members at these places in one program, as far as the rule goes."""
    experiment, run, family, members, folder, quiet, _ = going
    mine = programs.Family(
        family.make, [family.seeds[i] for i in places], [family.values[i] for i in places]
    )
    program, feed = execute.joined(run, mine, _size(going, number, len(places)))
    entries = [
        loop.Entry(execute.own_run(experiment, program.run, m), m.folder, m.launched)
        for m in (members[i] for i in places)
    ]
    batch_size = None if run.train is None else run.train.batch_size * len(places)
    with progress.Progress(run.steps, batch_size, quiet) as terminal:
        return loop.train_together(
            entries, folder / str(number), program, feed, terminal, rule, before
        )


def _size(going: Going, number: int, members: int) -> int:
    """Of how many members a rung's program is: as it was begun, be it on other devices."""
    folder = going.folder / str(number)
    decision = race.kept(folder)
    if decision is None:
        size = race.filled(members, execute.shards(going.run))
        decision = race.Decision(True, size, "a population")
        race.keep(folder, decision)
    return decision.wave


def _holds(folder: pathlib.Path) -> bool:
    """Whether a rung has begun to be saved."""
    with checkpoint.Checkpoints(folder / "checkpoints") as saved:
        return bool(saved.steps())


def _over(member: execute.Member, until: int) -> bool:
    """Whether it ended by this step, and did not go on."""
    result = (record.load(member.folder) or {}).get("result") or {}
    return result.get("status") in record.ENDED and result.get("step", 0) <= until
