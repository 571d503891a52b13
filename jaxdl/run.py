"""What an experiment returns: one frozen description of a run, checked as it is made."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from jaxdl import errors, learner, summary
from jaxdl.data import batches
from jaxdl.nn import limits

Shown = summary.Shown
Show = Callable[[Any, Any], Shown | Mapping[str, Shown]]  # of (state, key)
Strategy = Literal["auto", "unrolled", "rolled", "single"]


@dataclasses.dataclass(frozen=True)
class _Score:
    """A score that a metric of a test is to reach.

    best: by the best evaluation, where a learner forgets what it could; else by the last.
    share: so large a share of the seeds must reach it, each by itself; None: their mean must.
    """

    tag: str
    value: float
    _: dataclasses.KW_ONLY
    best: bool = False
    share: float | None = None
    highest: ClassVar[bool]

    def __post_init__(self) -> None:
        limits.share(f"The share of seeds that reach {self.tag}", self.share)

    def of(self, history: Any) -> float:
        """What counts, of the metric's values over a run's evaluations."""
        if not self.best:
            return float(history[-1])
        best = np.nanmax if self.highest else np.nanmin
        return math.nan if np.all(np.isnan(history)) else float(best(history))

    def met(self, value: float) -> bool:
        """Whether a value of the metric reaches the score; NaN never does."""
        return value >= self.value if self.highest else value <= self.value

    def reached(self, values: Sequence[float]) -> bool:
        """Whether the values of several seeds do."""
        if self.share is None:
            return self.met(float(np.mean(values)))
        return sum(map(self.met, values)) >= self.share * len(values) - 1e-9

    def __str__(self) -> str:
        return f"{self.tag} {'≥' if self.highest else '≤'} {self.value:g}"


class AtLeast(_Score):
    """A score to reach, of a metric where more is better: AtLeast("test/accuracy", 0.98)."""

    highest = True


class AtMost(_Score):
    """A score to reach, of a metric where less is better: AtMost("test/loss", 0.1)."""

    highest = False


@dataclasses.dataclass(frozen=True)
class Highest:
    """The best evaluation is the one with the highest value of this metric."""

    tag: str
    highest = True


@dataclasses.dataclass(frozen=True)
class Lowest:
    """The best evaluation is the one with the lowest value of this metric."""

    tag: str
    highest = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A training run as a pure function of a key: what learns, from what, for how long.

    learner: the three pure functions, see jaxdl/learner.py.
    train: a source of batches (jaxdl/data/batches.py, streams.py); None for a learner that makes
        its own experience.
    tests: name -> data for evaluation; its metrics are logged as "name/metric".
    steps: how many steps to learn for.
    log_every, eval_every, save_every: steps between events; None chooses from `steps`: about 50
        points on the training curves (at least every 100 steps), about 10 evaluations, a
        checkpoint with each evaluation.
    keep: how many of the latest checkpoints stay; the best one stays too.
    monitor: which evaluation is the best, Highest("test/accuracy") or Lowest("test/loss"); None
        takes the first metric of `expect`, else the loss of the first test.
    patience: stop after so many evaluations without a better one; None never does.
    names: what explanations call the inputs' parts: tokens by their number, the features of a
        table, the variables of a series.
    summaries: tag -> function (state, key) -> what is shown at an evaluation: an Image, a Text or
        another kind of jaxdl/summary.py, a float, or several of them by name, as "tag/name".
    expect: the score this run is to reach, or several, for the README's table and tools/scores.py.
    strategy: how steps run on the device, see jaxdl/train/dispatch.py.
    chunk: the most steps in one dispatch; None chooses by the cost of a step.
    mesh: axis -> devices, of data, fsdp and tensor, one of which may be -1: what is left. None is
        all devices on `data`, and on CPU one device. See jaxdl/train/mesh.py.
    rules: (pattern, axes) of where parameters lie on the mesh, such as `gpt.RULES`: a regular
        expression for the path, and a mesh axis or None for each dimension. The first that is found
        counts; without one, the largest dimension goes over `fsdp`.
    """

    learner: learner.Learner
    train: batches.Source | None
    steps: int
    tests: Mapping[str, batches.Pass] = dataclasses.field(default_factory=dict)
    log_every: int | None = None
    eval_every: int | None = None
    save_every: int | None = None
    keep: int = 2
    monitor: Highest | Lowest | None = None
    patience: int | None = None
    names: Sequence[str] = ()
    summaries: Mapping[str, Show] = dataclasses.field(default_factory=dict)
    expect: AtLeast | AtMost | Sequence[AtLeast | AtMost] | None = None
    strategy: Strategy = "auto"
    chunk: int | None = None
    mesh: Mapping[str, int] | None = None
    rules: Sequence[tuple[str, tuple[str | None, ...]]] = ()

    def __post_init__(self) -> None:
        self._check_kinds()
        for name in ("steps", "log_every", "eval_every", "save_every", "keep", "patience", "chunk"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, numbers.Integral):
                raise errors.InputError(f"Run.{name} must be an integer, got {value!r}.")
            if value is not None and value < 1:
                raise errors.InputError(f"Run.{name} must be at least 1, got {value}.")
        if self.strategy not in ("auto", "unrolled", "rolled", "single"):
            raise errors.InputError(
                f"Run.strategy must be auto, unrolled, rolled or single, got {self.strategy!r}."
            )
        self._fill_intervals()
        if self.monitor is None and self.expected:
            first = self.expected[0]
            kind = Highest if first.highest else Lowest
            object.__setattr__(self, "monitor", kind(first.tag))
        elif self.monitor is None and self.tests:
            object.__setattr__(self, "monitor", Lowest(f"{next(iter(self.tests))}/loss"))
        self._check_monitor()
        for score in self.expected:
            self._check_tag("The expected metric", score.tag)

    @property
    def expected(self) -> tuple[AtLeast | AtMost, ...]:
        """All that is expected."""
        if self.expect is None or isinstance(self.expect, AtLeast | AtMost):
            return () if self.expect is None else (self.expect,)
        return tuple(self.expect)

    def _check_kinds(self) -> None:
        if not isinstance(self.learner, learner.Learner):
            raise errors.InputError(
                "Run.learner must be a jaxdl.learner.Learner, "
                f"got {type(self.learner).__name__}; functions in jaxdl/learners/ return one."
            )
        if self.train is not None and not hasattr(self.train, "open"):
            raise errors.InputError(
                "Run.train must be a source such as batches.shuffled(data, batch_size), "
                f"got {type(self.train).__name__}."
            )
        if not isinstance(self.tests, Mapping):
            raise errors.InputError(
                'Run.tests must be a mapping such as {"test": batches.once(data, batch_size)}, '
                f"got {type(self.tests).__name__}."
            )
        for name, test in self.tests.items():
            if not hasattr(test, "once"):
                raise errors.InputError(
                    f"Run.tests[{name!r}] must be a pass such as batches.once(data, batch_size), "
                    f"got {type(test).__name__}."
                )
            if "/" in name:
                raise errors.InputError(f"A test's name must have no slash, got {name!r}.")
            if name in ("train", "speed"):
                raise errors.InputError(f"A test must not be called {name!r}, a name in use.")

    def _fill_intervals(self) -> None:
        log = self.log_every or _log_interval(self.steps, (self.eval_every, self.save_every))
        evaluate = self.eval_every or log * max(1, self.steps // (10 * log))
        object.__setattr__(self, "log_every", log)
        object.__setattr__(self, "eval_every", evaluate)
        object.__setattr__(self, "save_every", self.save_every or evaluate)

    def _check_monitor(self) -> None:
        if self.patience is not None and self.monitor is None:
            raise errors.InputError("Run.patience must come with a monitor or a test to watch.")
        if self.monitor is None:
            return
        self._check_tag("The monitored metric", self.monitor.tag)

    def _check_tag(self, thing: str, tag: str) -> None:
        if not any(tag.startswith(f"{test}/") for test in self.tests):
            names = ", ".join(self.tests) or "none"
            raise errors.InputError(f"{thing} must be one of a test (tests: {names}), got {tag!r}.")


def _log_interval(steps: int, given: tuple[int | None, ...]) -> int:
    """About 50 logs in a run; beside intervals that were given, a divisor of them if one is near,
    so that chunks of steps can be long without straddling an event.
    """
    wish = min(100, max(1, steps // 50))
    common = math.gcd(*(every for every in given if every))
    near = [n for n in range(max(1, wish // 4), 4 * wish + 1) if common and common % n == 0]
    return min(near, key=lambda n: abs(n - wish), default=wish)
