"""The runs of a sweep as one model: their predictions averaged (Lakshminarayanan et al. 2017).

Only runs of one shape go into one ensemble, the best state of each.
"""

import contextlib
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import rich.box
import rich.table
import rich.text

from jaxdl import errors
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.train import program, progress, states


class Judged(NamedTuple):
    """What an ensemble does on a test, beside what its members do on average.

    classes: loss is the cross-entropy of the mean probabilities, accuracy of their largest;
    disagreement: the share of examples on which two members differ, over all pairs.
    numbers: loss is the mean squared error of the mean; disagreement: the members' standard
    deviation around it, the root of its mean square.
    """

    members: int
    loss: float
    accuracy: float | None
    mean_loss: float
    mean_accuracy: float | None
    disagreement: float


def load(run: runs.Run, folders: Sequence[pathlib.Path]) -> Any:
    """The best states of runs of one shape, stacked: each leaf has a leading axis of members."""
    feed = batches.opened(run.train, 0)
    shape = program.Program(run, 0, feed.first()).shape
    feed.close()
    loaded = [found.state for found in states.each_best(folders, shape)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *loaded)


def judge(
    make: Callable[[Mapping[str, Any]], runs.Run],
    numbers: Sequence[Mapping[str, Any]],
    stacked: Any,
    name: str,
) -> Judged:
    """How the ensemble of these states does on a test of this name.

    make: the run of some numbers, which may be traced. numbers: each member's.
    errors.InputError: no `predict`, or it or the test is of another kind than `Judged` says.
    """

    def predict(state: Any, values: Mapping[str, Any], batch: Any) -> Any:
        return make(values).learner.predict(state, batch)  # type: ignore[misc]

    run = make(numbers[0])
    check(run, name)
    columns = {n: jnp.stack([jnp.asarray(own[n]) for own in numbers]) for n in numbers[0]}
    together = jax.jit(jax.vmap(predict, in_axes=(0, 0, None)))
    sums, classes = np.zeros(6), True
    for select, data in run.tests[name].once():
        batch = select(data, 0)
        target = np.asarray(batch["target"])
        classes = np.issubdtype(target.dtype, np.integer)
        outputs = np.asarray(together(stacked, columns, batch), np.float64)
        sums += _of_classes(outputs, target) if classes else _of_numbers(outputs, target)
    loss, accuracy, mean_loss, mean_accuracy, disagreement = (sums[1:] / sums[0]).tolist()
    return Judged(
        members=len(numbers),
        loss=loss,
        accuracy=accuracy if classes else None,
        mean_loss=mean_loss,
        mean_accuracy=mean_accuracy if classes else None,
        disagreement=disagreement if classes else math.sqrt(disagreement),
    )


def tests(run: runs.Run) -> list[str]:
    """The names of the tests with a `target`, which an ensemble can be judged on.

    errors.InputError: there is none.
    """
    found = [name for name in run.tests if _has_target(_first(run, name))]
    if not found:
        raise errors.InputError(
            "An ensemble must be judged on batches with a `target`, "
            f"got none in the tests {', '.join(run.tests) or '(there are none)'}."
        )
    return found


def check(run: runs.Run, name: str) -> None:
    """errors.InputError unless `judge` can do so on this test: found out by tracing.

    With targets of shape t, classes are integers and `predict` gives logits of shape
    (*t, classes); numbers are floats and it gives t, or t but for a trailing 1 of either.
    """
    predict, key = run.learner.predict, jax.random.key(0)
    if predict is None:
        raise errors.InputError("An ensemble must have a learner with `predict`, got one without.")
    batch = _first(run, name)
    if not _has_target(batch):
        raise errors.InputError("An ensemble must be judged on batches with a `target`.")
    with contextlib.closing(batches.opened(run.train, 0)) as feed:
        first = None if run.train is None else run.train.select(feed.first(), 0)
    outputs = jax.eval_shape(lambda: predict(run.learner.init(key, first), batch))
    shape = np.shape(batch["target"])
    classes = np.issubdtype(batch["target"].dtype, np.integer)
    got = " and ".join(str(leaf.shape) for leaf in jax.tree.leaves(outputs)) or "nothing"
    if isinstance(outputs, jax.ShapeDtypeStruct):
        if classes and outputs.ndim and outputs.shape[:-1] == shape:
            return
        if not classes and _bare(outputs.shape) == _bare(shape):
            return
    wanted = f"logits of shape ({', '.join(map(str, shape))}, classes)" if classes else shape
    raise errors.InputError(
        f"An ensemble's `predict` must give {wanted} for targets of shape {shape}, "
        f"got {got} on {name}."
    )


def _first(run: runs.Run, name: str) -> Any:
    """The first batch of a test."""
    select, data = batches.first(run.tests[name])
    return select(data, 0)


def _has_target(batch: Any) -> bool:
    return isinstance(batch, Mapping) and "target" in batch


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    """Without a trailing 1."""
    return tuple(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape)


def _of_classes(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The number of examples, and the sums over them of what `Judged` holds, in its order."""
    members, classes = len(logits), logits.shape[-1]
    logits, target = logits.reshape(members, -1, classes), target.reshape(-1)
    logits = logits - logits.max(-1, keepdims=True)
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    rows = np.arange(len(target))
    mean = chances.mean(0)
    chosen = chances.argmax(-1)
    # Of all pairs of members: examples on which their classes are the same.
    counts = np.stack([(chosen == k).sum(0) for k in range(classes)])
    pairs = members * (members - 1)
    differing = 1 - (counts * (counts - 1)).sum(0) / pairs if pairs else np.zeros(len(target))
    return np.array(
        [
            len(target),
            -np.log(np.maximum(mean[rows, target], 1e-300)).sum(),
            (mean.argmax(-1) == target).sum(),
            -np.log(np.maximum(chances[:, rows, target], 1e-300)).mean(0).sum(),
            (chosen == target).mean(0).sum(),
            differing.sum(),
        ]
    )


def _of_numbers(outputs: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Likewise; without an accuracy, and the squares of disagreement."""
    target = target.reshape(outputs.shape[1:])
    mean = outputs.mean(0)
    error, alone = ((mean - target) ** 2).sum(), ((outputs - target) ** 2).mean(0).sum()
    spread = ((outputs - mean) ** 2).mean(0).sum()
    return np.array([target.size, error, 0.0, alone, 0.0, spread])


def table(judged: Mapping[tuple[str, str], Judged], run: runs.Run) -> rich.table.Table:
    """A row for each group and test; in parentheses what a member has on average.

    run: one of them, for what the reader must know beside.
    """
    several = len({group for group, _ in judged}) > 1
    with_accuracy = any(row.accuracy is not None for row in judged.values())
    found = rich.table.Table(box=rich.box.SIMPLE, title_justify="left", caption_justify="left")
    found.title = "ensembles of the best states (a member alone, on average)"
    found.caption = rich.text.Text("\n".join(_notes(judged, run)))
    for name in (["settings"] if several else []) + ["members", "test"]:
        found.add_column(name, justify="left" if name == "settings" else "right")
    for name in ["loss", *(["accuracy"] if with_accuracy else []), "disagree"]:
        found.add_column(name, justify="right", no_wrap=True)
    for (group, test), row in judged.items():
        cells = [group] if several else []
        cells += [str(row.members), test, _beside(row.loss, row.mean_loss)]
        cells += [_beside(row.accuracy, row.mean_accuracy)] if with_accuracy else []
        found.add_row(*map(rich.text.Text, [*cells, progress.number(row.disagreement)]))
    return found


def _notes(judged: Mapping[tuple[str, str], Judged], run: runs.Run) -> list[str]:
    """On what was not judged, and on what was judged by itself."""
    notes, names = [], {name for _, name in judged}
    if left := [name for name in run.tests if name not in names]:
        notes.append(f"Without a target, and not judged: {', '.join(left)}.")
    if run.monitor is not None and (test := run.monitor.tag.split("/")[0]) in names:
        notes.append(f"Chosen by {run.monitor.tag}: on {test} both numbers are a little too good.")
    return notes


def _beside(ours: float | None, alone: float | None) -> str:
    if ours is None or alone is None:
        return "-"
    return f"{progress.number(ours)} ({progress.number(alone)})"
