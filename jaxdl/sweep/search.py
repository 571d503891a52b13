"""Search: settings are proposed from how the ones before them did, by Optuna (Akiba et al., 2019).

Proposals come in batches, so that the members of one still train in one program.
"""

import math
import random
import types
import warnings
from collections.abc import Sequence
from typing import Any

from jaxdl import errors, experiment
from jaxdl.sweep import space as spaces

FLAG = "--search"
ALGORITHMS = {
    "tpe": "tree of Parzen estimators (Bergstra et al., 2011)",
    "cmaes": "CMA-ES (Hansen and Ostermeier, 2001), for two numbers or more",
    "random": "random draws",
}

_REDRAWS = 8  # of a proposal that has been tried before; then it is drawn from the whole space


class Search:
    """Proposes settings with `ask` and learns with `tell` how they did.

    What `ask` proposes is a function of the seed and of the calls before it: a resumed sweep makes
    the same calls again, with the values of the members that have finished. For "tpe" and "random"
    it is enough to `tell` the whole history; "cmaes" then begins a new population around it.

    algorithm: one of ALGORITHMS. samples: how many settings in all. highest: whether the highest
    value is the best. Raises errors.InputError where Optuna is missing or the algorithm unknown,
    or where the space has nothing that it can search.
    """

    def __init__(
        self, space: spaces.Space, algorithm: str, samples: int, seed: int, highest: bool
    ) -> None:
        _check(space, algorithm, samples)
        self._optuna = _imported(algorithm)
        self._space, self._algorithm = space, algorithm
        self._samples, self._seed = samples, seed
        self._axes = {name: _ordered(axis) for name, axis in space.axes.items()}
        self._distributions = {n: self._distribution(axis) for n, axis in self._axes.items()}
        self._running: dict[spaces.Setting, Any] = {}  # -> its trial
        self._known: dict[spaces.Setting, None] = {}
        direction = "maximize" if highest else "minimize"
        self._study = self._optuna.create_study(direction=direction, sampler=self._sampler())

    def ask(self, count: int) -> list[spaces.Setting]:
        """The next settings, none of them proposed before.

        They are fewer than `count` where `samples` are reached or the space has no new ones.
        """
        # A new sampler for each batch: its random numbers depend on nothing but what is known.
        self._study.sampler = self._sampler()
        generator = random.Random(self._batch_seed())
        found = []
        for _ in range(min(count, self._samples - len(self._known))):
            setting = self._proposed() or self._space.draw(generator, self._known)
            if setting is None:
                break
            self._start(setting)
            found.append(setting)
        return found

    def tell(self, settings: Sequence[spaces.Setting], values: Sequence[float | None]) -> None:
        """How settings did: a value each, None or one that is not finite for a failure.

        Settings that were not asked for, those of an earlier launch, are learned from as well.
        """
        trials = self._optuna.trial.TrialState
        for setting in settings:
            if setting not in self._running:
                self._start(setting)
        for setting, value in zip(settings, values, strict=True):
            trial = self._running.pop(setting)
            if value is None or not math.isfinite(value):
                # Optuna forgets a FAIL and would propose its neighbours again; PRUNED counts as
                # worse than whatever has a value.
                self._study.tell(trial, state=trials.PRUNED)
            else:
                self._study.tell(trial, float(value))

    def _proposed(self) -> spaces.Setting | None:
        """A setting of the sampler's that is new; None where it only finds known ones."""
        for _ in range(_REDRAWS):
            probe = self._study.ask(self._distributions)
            setting = self._decoded(probe.params)
            self._study.tell(probe, state=self._optuna.trial.TrialState.FAIL)
            if setting not in self._known:
                return setting
        return None

    def _start(self, setting: spaces.Setting) -> None:
        """A trial of exactly this setting, which a batch's other proposals keep away from."""
        self._study.enqueue_trial(self._encoded(setting))
        self._running[setting] = self._study.ask(self._distributions)
        self._known[setting] = None

    def _sampler(self) -> Any:
        samplers, seed = self._optuna.samplers, self._batch_seed()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            if self._algorithm == "tpe":
                return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
            if self._algorithm == "cmaes":
                return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            return samplers.RandomSampler(seed=seed)

    def _batch_seed(self) -> int:
        return random.Random(f"{self._seed} {len(self._known)}").getrandbits(32)

    def _distribution(self, axis: spaces.Axis) -> Any:
        distributions = self._optuna.distributions
        if isinstance(axis, spaces.Range):
            log = axis.scale == "log"
            if axis.whole:
                return distributions.IntDistribution(int(axis.low), int(axis.high), log=log)
            return distributions.FloatDistribution(axis.low, axis.high, log=log)
        count = len(_listed(axis))
        if _numeric(axis):
            return distributions.IntDistribution(0, count - 1)
        return distributions.CategoricalDistribution(range(count))

    def _decoded(self, params: dict[str, Any]) -> spaces.Setting:
        return spaces.Setting(
            {
                name: axis.rounded(params[name])
                if isinstance(axis, spaces.Range)
                else _listed(axis)[params[name]]
                for name, axis in self._axes.items()
            }
        )

    def _encoded(self, setting: spaces.Setting) -> dict[str, Any]:
        return {
            name: setting[name]
            if isinstance(axis, spaces.Range)
            else _listed(axis).index(setting[name])
            for name, axis in self._axes.items()
        }


def _check(space: spaces.Space, algorithm: str, samples: int) -> None:
    if algorithm not in ALGORITHMS:
        close = experiment.nearest(algorithm, ALGORITHMS)
        hint = f" Did you mean {close}?" if close else ""
        names = ", ".join(ALGORITHMS)
        raise errors.InputError(f"{FLAG} must be one of {names}, got {algorithm!r}.{hint}")
    if samples < 1:
        raise errors.InputError(f"--samples must be at least 1, got {samples}.")
    if not space.axes:
        raise errors.InputError(f"{FLAG} must come with --sweep, which says what it searches.")
    numbers = [name for name, axis in space.axes.items() if _numeric(axis)]
    if algorithm == "cmaes" and len(numbers) < 2:
        raise errors.InputError(
            f"{FLAG} cmaes must have at least two numbers to vary, got "
            f"{', '.join(numbers) or 'none'}. Choose {FLAG} tpe."
        )


def _imported(algorithm: str) -> types.ModuleType:
    try:
        import optuna

        if algorithm == "cmaes":
            import cmaes  # noqa: F401 - Optuna would ask for it in the middle of the sweep
    except ImportError as error:
        raise errors.InputError(
            f"{FLAG} must have Optuna, which is not installed: {error}.\n"
            'Install it with: pip install "jaxdl[search]"'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _ordered(axis: spaces.Axis) -> spaces.Axis:
    """Numbers from low to high: what is good near one of them is likely good near the next."""
    if not isinstance(axis, spaces.Range) and _numeric(axis):
        return tuple(sorted(_listed(axis)))
    return axis


def _numeric(axis: spaces.Axis) -> bool:
    return isinstance(axis, spaces.Range) or (
        len(_listed(axis)) > 1 and all(type(value) in (int, float) for value in _listed(axis))
    )


def _listed(axis: spaces.Axis) -> tuple[Any, ...]:
    assert not isinstance(axis, spaces.Range)
    return axis.values if isinstance(axis, spaces.Choice) else axis
