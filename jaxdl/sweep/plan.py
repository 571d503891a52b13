"""Which runs of a sweep can share one compiled program: found out by tracing.

A hyperparameter that only goes into arithmetic (a learning rate, a weight decay, the seed) can be a
value in the program; one that shapes it (a width, a batch size, a branch in Python) cannot. The
experiment itself tells: it is called with a tracer in the hyperparameter's place, and what it
returns is traced through `init`, `step` and `evaluate`.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.core
import jax.extend.core
import jax.numpy as jnp

from jaxdl import run as runs
from jaxdl import values
from jaxdl.data import batches
from jaxdl.sweep import space

Values = Mapping[str, Any]  # flat name -> value, of a setting
Make = Callable[[Values], runs.Run]  # the experiment, with these in place of the base's values

# What all runs of one program must have in common, beside the learner's shapes.
SHARED = ("steps", "log_every", "eval_every", "save_every", "keep", "monitor", "patience")
SHARED += ("strategy", "chunk", "expect", "mesh", "rules")


class Group(NamedTuple):
    """Settings that share one program, and the names of what differs between them."""

    varied: tuple[str, ...]
    settings: list[space.Setting]

    @property
    def label(self) -> str:
        """What all of them have, as "width=64"; empty where that is nothing."""
        return ", ".join(f"{name}={values.written(value)}" for name, value in self._fixed)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Equal for groups that one program can serve."""
        # In words: 1, 1.0 and True are equal to Python, and yet other programs.
        return self.varied, tuple((name, repr(value)) for name, value in self._fixed)

    @property
    def _fixed(self) -> list[tuple[str, Any]]:
        return [(n, v) for n, v in self.settings[0].items() if n not in self.varied]

    def made(self, make: Make, numbers: Values) -> runs.Run:
        """The run of these numbers, which may be traced, in place of the first setting's."""
        return make({**self.settings[0], **numbers})


def groups(make: Make, settings: Sequence[space.Setting]) -> list[Group]:
    """The settings, in as few groups as tracing allows; their order is kept within a group.

    errors.InputError: the experiment refuses the first of a group's settings, or the lowest or the
    highest of a parameter's values.
    """
    if not settings:
        return []
    names = [name for name in settings[0] if _numeric([s[name] for s in settings])]
    varied: list[str] = []
    for name in names:
        if traces(make, settings[0], [*varied, name]):
            varied.append(name)
    for name in varied:  # a tracer passes what the experiment refuses of a plain number
        for extreme in (min, max):
            make(extreme(settings, key=lambda setting, name=name: setting[name]))
    shapes: dict[Any, list[space.Setting]] = {}
    streams: dict[Any, bool] = {}
    for setting in settings:
        shape: Any = Group(tuple(varied), [setting]).shape
        if varied and shape not in streams:
            streams[shape] = streamed(make(setting))
        if varied and streams[shape]:
            shape = shape, _kinds_of_stream(make, setting)
        shapes.setdefault(shape, []).append(setting)
    found = []
    for members in shapes.values():
        if members[0] is not settings[0] or not varied:  # else it has just been traced
            check(make, members[0])
        # What shapes this group may also decide what its values may do.
        if members[0] is settings[0] or not varied or traces(make, members[0], varied):
            found.append(Group(tuple(varied), members))
        else:
            found += [Group((), [setting]) for setting in members]
    return found


def check(make: Make, setting: Values) -> None:
    """Trace the run of a setting, to the end of its first step; nothing is compiled.

    errors.InputError: the experiment, or what it is made of, refuses it.
    """
    run = make(setting)
    with contextlib.closing(batches.opened(run.train, 0)) as feed:
        jax.eval_shape(lambda data: _trace(run, data, {}), feed.first())


def streamed(run: runs.Run) -> bool:
    """Whether the host makes the training data; else it is in memory, or there is none."""
    return run.train is not None and not hasattr(run.train, "together")


def read_tests(run: runs.Run) -> list[str]:
    """The tests that are not in memory: what they give may hang on a value, unseen by tracing, so
    that each member reads its own.
    """
    return [name for name, test in run.tests.items() if not isinstance(test, batches.InOrder)]


def _kinds_of_stream(make: Make, setting: Values) -> Any:
    """Structure, shapes and dtypes of a stream's data, which a value may shape."""
    with contextlib.closing(batches.opened(make(setting).train, 0)) as feed:
        return _kinds(jax.eval_shape(lambda data: data, feed.first()))


def traces(make: Make, setting: Values, names: Sequence[str]) -> bool:
    """Whether these hyperparameters may be values in the program of this setting."""
    plain = make(setting)
    feed = batches.opened(plain.train, 0)
    try:
        data = feed.first()
        tests = {name: batches.first(test) for name, test in plain.tests.items()}

        def whole(numbers: Values) -> Any:
            run = make({**setting, **numbers})
            if not _alike(run, plain):
                raise TypeError("these hyperparameters are not for the learner alone")
            return _trace(run, data, tests)

        try:
            # Of weak type, as in Python. Integers of more than 32 bits are refused.
            numbers = {name: jnp.asarray(setting[name]) for name in names}
            traced = jax.eval_shape(whole, numbers)
            shared = tests.keys() - read_tests(plain)
            if any(_reaches_test(make, setting, numbers, name, tests[name][1]) for name in shared):
                return False
        except Exception:  # whatever a tracer meets: a branch, a shape, NumPy, optax's own checks
            return False
        return _kinds(traced) == _kinds(jax.eval_shape(lambda: whole({})))
    finally:
        feed.close()


def _trace(run: runs.Run, data: Any, tests: Mapping[str, Any]) -> Any:
    """All that a program of this run computes."""
    key = jax.random.key(0)
    batch = None if run.train is None else run.train.select(data, 0)
    state = run.learner.init(key, batch)
    state, measured = run.learner.step(state, batch, key)
    scores = [run.learner.evaluate(state, select(at, 0), key) for select, at in tests.values()]
    return state, measured, scores


def _alike(run: runs.Run, plain: runs.Run) -> bool:
    """Whether only the learner and what is done to a batch may differ between two runs."""
    if any(getattr(run, name, None) != getattr(plain, name, None) for name in SHARED):
        return False
    if (run.train is None) != (plain.train is None) or run.tests.keys() != plain.tests.keys():
        return False
    for mine, theirs in ((run.train, plain.train), *zip_values(run.tests, plain.tests)):
        if mine is None or theirs is None:
            continue
        if getattr(mine, "batch_size", None) != getattr(theirs, "batch_size", None):
            return False
        arrays = jax.tree.leaves(getattr(mine, "arrays", ()))
        if mine.size != theirs.size or any(isinstance(x, jax.core.Tracer) for x in arrays):
            return False
    return True


def zip_values(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """The values of two mappings with the same keys, key by key."""
    return [(first[name], second[name]) for name in first]


def _reaches_test(make: Make, setting: Values, numbers: Values, name: str, data: Any) -> bool:
    """Whether the values change the examples of a test in memory, which members share."""

    def examples(traced: Values) -> Any:
        test = make({**setting, **traced}).tests[name]
        select, _ = batches.first(test)
        return jax.tree.leaves(select(data, 0))

    jaxpr = jax.make_jaxpr(examples)(numbers).jaxpr
    needed = {v for v in jaxpr.outvars if not isinstance(v, jax.extend.core.Literal)}
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            needed.update(v for v in equation.invars if not isinstance(v, jax.extend.core.Literal))
    return not needed.isdisjoint(jaxpr.invars)


def _kinds(tree: Any) -> Any:
    """Structure, shapes and dtypes."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _numeric(values: Sequence[Any]) -> bool:
    """Whether these are numbers, all of one type and 32 bits, and not all the same."""
    kinds = {type(value) for value in values}
    if kinds not in ({int}, {float}) or len(set(values)) < 2:
        return False
    return kinds == {float} or all(-(2**31) <= value < 2**31 for value in values)
