"""Populations beside random search, at equal compute: which finds the better network.

    python tools/benchmark_population.py               # a minute or two; --small is a trial

The network of digits_mlp, of digits cut into training, validation and test by the repeat's seed;
its learning rate is drawn from log(1e-5, 1) and its weight decay from log(1e-6, 10), and the budget
is 8,000 steps. Random search trains eight settings for 1,000 steps each; the short one 20 settings
for 400, the first eight of which are those. Breeding begins with the short one's settings and has
its steps (Jaderberg et al. 2017 have populations of 20 and more); halving begins with 32, the first
eight of which are random search's, and computes fewer steps in all. The best member is the one with
the lowest validation loss at any of 20 evaluations; what counts is the test's loss and accuracy
there. Five repeats, with splits, settings and seeds of their own. `steps of members` are those of
the members' curves, less where some diverged; in halving's programs, which devices share, another
may only fill up the shape.

Measured on one of two CPU cores, 2026-11-28, in 80 s, the mean test loss (sd) of repeats 0 to 4:
random search 0.128 (0.025), the short one 0.126 (0.021), breeding 0.115 (0.016), better than random
search in four repeats; halving 0.120 (0.022), better in two and the same in one, with 5,600 steps
in the place of 8,000. Budget and rule were chosen on repeats from 100 on; of 100 to 104 (`--first
100`) these are 0.118 (0.030), 0.117 (0.030), 0.111 (0.019) and 0.113 (0.024). Five repeats tell
little: from one repeat to another the differences vary by more than their means. In 16 of those
repeats breeding with only eight members, of 1,000 steps, was hardly better than random search,
0.129 and 0.131; halving was a little worse than random search of 20 settings of 1,000 steps.

The exit code is 1 where the mean test loss of a population is not below random search's.
"""

import dataclasses
import pathlib
import sys
import tempfile
from typing import NamedTuple

import numpy as np
import optax
import rich.box
import rich.console
import rich.table
import tyro

from jaxdl import command
from jaxdl.data import batches, digits, splits
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.run import Lowest, Run
from jaxdl.sweep import campaign, execute, report, space
from jaxdl.train import record

SPACE = {"learning_rate": space.log(1e-5, 1.0), "weight_decay": space.log(1e-6, 10.0)}
EVALUATIONS = 20


class Way(NamedTuple):
    """population: None is random search. steps: of each member that goes on to the end."""

    population: str | None
    members: int
    steps: int


WAYS = {
    "random search": Way(None, 8, 1000),
    "short random": Way(None, 20, 400),
    "breeding": Way("pbt", 20, 400),
    "halving": Way("halving", 32, 1000),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare the ways."""

    repeats: int = 5
    """Splits, settings and seeds."""
    first: int = 0
    """The number of the first repeat: settings are chosen on others than are reported."""
    small: bool = False
    """Two repeats of few steps: whether it runs, not what is better."""


class Found(NamedTuple):
    """What a way's best member does on the test, and the steps of members that were computed."""

    loss: float
    accuracy: float
    compute: int


def digits_search(
    learning_rate: float = 1e-3, weight_decay: float = 0.0, split: int = 0, steps: int = 1000
) -> Run:
    """The network of experiments/digits_mlp.py, with a validation part to choose by."""
    rest, test = digits.load(1 / 3, split)
    train, valid = splits.stratified(rest["input"], rest["target"], 0.5, split)
    model = mlp.MLP(features=(64, 64), classes=10)
    optimizer = optax.adamw(learning_rate, weight_decay=weight_decay)
    return Run(
        learner=gradient.supervised(model, classification.cross_entropy, optimizer),
        train=batches.shuffled(train, 64),
        tests={"valid": batches.once(valid, 512), "test": batches.once(test, 1024)},
        steps=steps,
        log_every=steps // EVALUATIONS,
        eval_every=steps // EVALUATIONS,
        save_every=steps // 2,
        monitor=Lowest("valid/loss"),
    )


def search(way: str, repeat: int, folder: pathlib.Path, small: bool) -> Found:
    """Run one way, once."""
    population, members, steps = WAYS[way]
    if small:
        members, steps = max(2, members // 5), steps // 10
    given = {"split": repeat, "steps": steps}
    base = record.Launched("digits_search", None, given, repeat, "benchmark_population.py")
    experiment = execute.Experiment(digits_search, given, base)
    asked = campaign.Asked((), members, population=population)
    going = campaign.Campaign(experiment, space.Space(SPACE), asked, folder, quiet=True)
    outcome = campaign.run_all(going)
    sound = [m for m in outcome.members if m.best is not None and m.status in record.SUCCEEDED]
    best = min(sound, key=lambda member: member.best[1] if member.best else np.inf)
    assert best.best is not None
    return Found(
        _at(best, "test/loss", best.best[0]),
        _at(best, "test/accuracy", best.best[0]),
        sum(member.step for member in outcome.members),
    )


def _at(member: report.Member, tag: str, step: int) -> float:
    steps, values = member.history[tag]
    return float(values[list(steps).index(step)])


def _deviation(sample: np.ndarray) -> float:
    return float(sample.std(ddof=1)) if len(sample) > 1 else 0.0


def main(options: Options) -> int:
    """The exit code."""
    console = rich.console.Console()
    execute.share_cores()
    command.set_up()
    found: dict[str, list[Found]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2 if options.small else options.repeats):
            repeat = options.first + number
            for way in WAYS:
                at = pathlib.Path(folder) / f"{way} {repeat}"
                found[way].append(search(way, repeat, at, options.small))
                console.print(f"{repeat} {way:<14} {found[way][-1]}", highlight=False)
    table = rich.table.Table(box=rich.box.SIMPLE)
    for head in ("", "test loss", "sd", "test accuracy", "sd", "steps of members", "repeats won"):
        table.add_column(head, justify="right")
    random = found["random search"]
    for way, results in found.items():
        loss, accuracy, compute = (np.array(x, np.float64) for x in zip(*results, strict=True))
        won = sum(mine.loss < other.loss for mine, other in zip(results, random, strict=True))
        numbers = f"{loss.mean():.4f}", f"{_deviation(loss):.4f}"
        numbers += f"{accuracy.mean():.4f}", f"{_deviation(accuracy):.4f}"
        table.add_row(way, *numbers, f"{compute.mean():,.0f}", f"{won} of {len(results)}")
    console.print(table)
    means = {way: np.mean([one.loss for one in results]) for way, results in found.items()}
    beaten = all(
        mean < means["random search"] for way, mean in means.items() if WAYS[way].population
    )
    return 0 if beaten or options.small else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
