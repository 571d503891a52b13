"""`--histograms`: the weights, gradients and activations of any run, shown at each evaluation."""

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jaxdl import errors, learner, summary
from jaxdl import run as runs
from jaxdl.analysis import histograms
from jaxdl.data import batches

MOST = 64  # examples, the first of the first test


def added(run: runs.Run, names: Sequence[str]) -> runs.Run:
    """The run with these of `histograms.of` behind its own summaries; nothing else changes, nor do
    the keys of the others. Examples are read when they are first needed, so tracers may be in it.
    """

    taught, test = run.learner, _first_test(run)  # not the run, which holds its data

    @functools.cache
    def made() -> dict[str, histograms.Show]:
        examples = None
        if test is not None:
            select, data = batches.first(test)
            examples = jax.jit(functools.partial(_first, select))(data)
        return histograms.of(taught, examples)

    def show(name: str, state: Any, key: Any) -> Mapping[str, summary.Buckets]:
        try:
            return made()[name](state, key)
        except errors.UserError as error:  # of a setting that lacks what the defaults have
            _note(name, error)
            return {}

    shown = {name: functools.partial(show, name) for name in names}
    return dataclasses.replace(run, summaries={**run.summaries, **shown})


def suited(run: runs.Run, seed: int, quiet: bool = False) -> list[str]:
    """Which of `histograms.of` the run has; what it has not is told on stderr, and why: gradients
    need `params` and a test's mean `loss`, activations a `predict` of modules.
    """
    first = None
    if run.train is not None:
        with contextlib.closing(batches.opened(run.train, seed)) as feed:
            first = jax.eval_shape(run.train.select, feed.first(), 0)
    key = jax.random.key(seed)
    state = jax.eval_shape(run.learner.init, key, first)
    names = []
    for name, arrays in histograms.ARRAYS.items():
        try:
            given = None
            if name != "weights":
                test = _first_test(run)
                if test is None:
                    raise errors.InputError("They must be of a test's first examples, got no test.")
                select, data = batches.first(test)
                given = jax.eval_shape(functools.partial(_first, select), data)
            jax.eval_shape(functools.partial(arrays, run.learner), state, given, key)
            names.append(name)
        except Exception as error:  # whatever the learner's own functions raise
            if not quiet:
                _note(name, error)
    return names


def _note(name: str, error: Exception) -> None:
    told = errors.in_a_line(error)
    if not isinstance(error, errors.UserError):
        told = f"The learner must take the test's examples, got {told}"
    print(f"note: no histograms of {name}. {told}", file=sys.stderr)


def _first_test(run: runs.Run) -> batches.Pass | None:
    return next(iter(run.tests.values()), None)


def _first(select: batches.Select, data: Any) -> learner.Batch:
    return jax.tree.map(lambda x: x[:MOST] if x.ndim else x, select(data, 0))
