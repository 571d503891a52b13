"""The runs of a sweep as one model: their predictions averaged (Lakshminarayanan et al. 2017).

Only runs of one shape go into one ensemble, the best state of each.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
    loaded = [states.best(folder, shape).state for folder in folders]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *loaded)


def judge(run: runs.Run, stacked: Any, test: batches.Pass) -> Judged:
    """How the ensemble of these states does on a test."""
    predict = run.learner.predict
    if predict is None:
        raise errors.InputError("An ensemble must have a learner with `predict`, got one without.")
    together = jax.jit(jax.vmap(predict, in_axes=(0, None)))
    outputs, targets = [], []
    for select, data in test.once():
        batch = select(data, 0)
        outputs.append(np.asarray(together(stacked, batch), np.float64))
        targets.append(np.asarray(batch["target"]))
    every, target = np.concatenate(outputs, axis=1), np.concatenate(targets)
    if np.issubdtype(target.dtype, np.integer):
        return _of_classes(every, target)
    return _of_numbers(every, target)


def _of_classes(logits: np.ndarray, target: np.ndarray) -> Judged:
    classes = logits.shape[-1]
    logits, target = logits.reshape(len(logits), -1, classes), target.reshape(-1)
    logits = logits - logits.max(-1, keepdims=True)
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    rows = np.arange(len(target))
    mean = chances.mean(0)
    chosen = chances.argmax(-1)
    # Of all pairs of members: examples on which their classes differ.
    counts = np.stack([(chosen == k).sum(0) for k in range(classes)])
    members = len(chances)
    agreeing = (counts * (counts - 1)).sum(0) / max(1, members * (members - 1))
    return Judged(
        members=members,
        loss=float(-np.log(np.maximum(mean[rows, target], 1e-300)).mean()),
        accuracy=float((mean.argmax(-1) == target).mean()),
        mean_loss=float(-np.log(np.maximum(chances[:, rows, target], 1e-300)).mean()),
        mean_accuracy=float((chosen == target).mean()),
        disagreement=float(1 - agreeing.mean()) if members > 1 else 0.0,
    )


def _of_numbers(outputs: np.ndarray, target: np.ndarray) -> Judged:
    target = target.reshape(outputs.shape[1:])
    mean = outputs.mean(0)
    return Judged(
        members=len(outputs),
        loss=float(((mean - target) ** 2).mean()),
        accuracy=None,
        mean_loss=float(((outputs - target) ** 2).mean()),
        mean_accuracy=None,
        disagreement=float(np.sqrt(((outputs - mean) ** 2).mean())),
    )


def cells(judged: Judged) -> tuple[str, str, str]:
    """Loss, accuracy and disagreement in words; beside them what a member alone has on average."""

    def beside(ours: float | None, alone: float | None) -> str:
        if ours is None or alone is None:
            return "-"
        return f"{progress.number(ours)} (alone {progress.number(alone)})"

    return (
        beside(judged.loss, judged.mean_loss),
        beside(judged.accuracy, judged.mean_accuracy),
        progress.number(judged.disagreement),
    )
