"""A trained run, from its folder alone: what analysis, export and notebooks read."""

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdl import errors, experiment, hyperparameters, learner, options
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.train import program as programs
from jaxdl.train import record, states


class Trained(NamedTuple):
    """A run rebuilt from its folder, with the state of its best evaluation.

    launched: with the hyperparameters of that evaluation, where breeding has changed them.
    step: after which the state was. program: its step and its shapes, on this machine's devices.
    """

    folder: pathlib.Path
    launched: record.Launched
    run: runs.Run
    program: programs.Program
    step: int
    state: Any

    def predictor(self, thing: str) -> Callable[[Any, Any], Any]:
        """The learner's `predict`, compiled; errors.InputError where it has none.

        thing: what needs it, such as "An explanation".
        """
        predict = self.run.learner.predict
        if predict is None:
            raise errors.InputError(
                f"{thing} must be of a learner with `predict`, got a run of "
                f"{self.launched.experiment}, whose learner has none."
            )
        return jax.jit(predict)

    def test(self, name: str | None = None) -> batches.Pass:
        """The data of a test, of the first one where none is named."""
        tests = self.run.tests
        if name is not None and name not in tests:
            have = ", ".join(tests) or "none"
            raise errors.InputError(f"--test must be one of the run's tests, {have}, got {name}.")
        if not tests:
            raise errors.InputError(f"The run in {self.folder} must have a test, got none.")
        return tests[name or next(iter(tests))]


def find(given: str | os.PathLike[str], logdir: str | os.PathLike[str] = "runs") -> pathlib.Path:
    """The folder of a run; of the newest one in `logdir` where `given` is "last"."""
    return options.run_folder(os.fspath(given), pathlib.Path(logdir), None, "The run")


def load(folder: str | os.PathLike[str]) -> Trained:
    """The run of a folder, made from its own copy of the experiment, and its best state.

    errors.InputError: no run, a whole sweep, no copy of its experiment, or no checkpoint yet.
    """
    folder = pathlib.Path(folder)
    launched = record.read(folder)
    if any(name.startswith("--") for name in launched.hyperparameters):
        raise errors.InputError(
            f"The run must be one of a sweep's, got the folder of a whole sweep, {folder}.\n"
            "Its runs are the folders in it."
        )
    source = folder / record.SOURCE
    if not source.is_file():
        raise errors.InputError(
            f"The run in {folder} must have {record.SOURCE}, the experiment as launched, got none. "
            "An experiment from a notebook's cell has none: write it into a file."
        )
    file = experiment.File(source)
    run, program = _made(file, launched)
    best = states.best(folder, program.shape)
    if best.values:
        launched = launched._replace(hyperparameters={**launched.hyperparameters, **best.values})
        run, program = _made(file, launched)
    return Trained(folder, launched, run, program, best.step, best.state)


def _made(file: experiment.File, launched: record.Launched) -> tuple[runs.Run, programs.Program]:
    """The run of these hyperparameters, and its program."""
    known = hyperparameters.of(file.function)
    values = hyperparameters.revived(launched.hyperparameters, known, launched.experiment)
    arguments = hyperparameters.assemble(file.function, values)
    run = experiment.build(file.function, arguments, launched.experiment, launched.source)
    feed = batches.opened(run.train, launched.seed)
    program = programs.Program(run, launched.seed, feed.first())
    feed.close()
    return run, program


def examples(data: batches.Pass, count: int | None = None) -> learner.Batch:
    """The first examples of a pass as one batch on the host, all where no number is given."""
    return joined([jax.device_get(batch) for batch in each(data, count)], count)


def each(data: batches.Pass, count: int | None = None) -> Iterator[learner.Batch]:
    """The batches of a pass, no further than the one with the last of so many examples."""
    if count is not None and count < 1:
        raise errors.InputError(f"The number of examples must be at least 1, got {count}.")
    have = 0
    for select, given in data.once():
        batch = jax.jit(select)(given, 0)
        yield batch
        have += next(len(x) for x in jax.tree.leaves(batch) if x.ndim)
        if count is not None and have >= count:
            return


def joined(parts: list[Any], count: int | None = None) -> Any:
    """Pytrees of arrays as one, of the first examples; a scalar is that of the first tree.

    Trees whose arrays differ in more than their first axis from those of the first are left out.
    """
    if not parts:
        raise errors.InputError("A test must have examples, got none.")
    shapes = [[x.shape[1:] for x in jax.tree.leaves(part)] for part in parts]
    alike = [part for part, shape in zip(parts, shapes, strict=True) if shape == shapes[0]]

    def join(first: np.ndarray, *others: np.ndarray) -> np.ndarray:
        return np.concatenate([first, *others])[:count] if first.ndim else first

    return jax.tree.map(join, *alike)
