"""Cross-validation: as many members as folds, each examined on what it has not learnt from.

Stone, "Cross-validatory choice and assessment of statistical predictions" (1974). The members learn
side by side, so that one run has the score of all of the data. `splits.folds` makes the data.

Logged in training: what the members log, summed over them. Logged in evaluation: the scores of the
predictions of all test examples, each by the member of its fold.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import errors, learner
from jaxdl.learners import gradient
from jaxdl.nn import layout


def of(taught: learner.Learner, *scores: gradient.Loss, folds: int) -> learner.Learner:
    """A learner whose state holds a state of `taught` for each fold.

    Entries of training batches are (b, folds, ...), those of test batches (b, ...) with the "fold"
    (b,) of each example, whose member `predict` asks alone.
    scores: (outputs, batch) -> metrics of an evaluation, such as a loss.
    """
    predict = taught.predict
    if predict is None:
        raise errors.InputError("A cross-validation must be of a learner with `predict`.")
    if folds < 2:
        raise errors.InputError(f"A cross-validation's folds must be at least 2, got {folds}.")
    everybody = jax.vmap(predict, in_axes=(0, None))

    def init(key: learner.Key, batch: learner.Batch) -> Any:
        return jax.vmap(taught.init)(jax.random.split(key, folds), _apart(batch, folds))

    def step(state: Any, batch: learner.Batch, key: learner.Key) -> tuple[Any, learner.Metrics]:
        keys = jax.random.split(key, folds)
        state, measured = jax.vmap(taught.step)(state, _apart(batch, folds), keys)
        return state, jax.tree.map(lambda x: x.sum(0), measured)

    def held_out(state: Any, batch: learner.Batch) -> Any:
        fold = batch["fold"]
        outputs = everybody(state, {name: x for name, x in batch.items() if name != "fold"})
        return jax.tree.map(lambda x: x[fold, jnp.arange(fold.shape[0])], outputs)

    def evaluate(state: Any, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        outputs = held_out(state, batch)
        return {name: found for score in scores for name, found in score(outputs, batch).items()}

    return learner.Learner(init, step, evaluate, held_out)


def _apart(batch: learner.Batch, folds: int) -> learner.Batch:
    """The batches of the folds, along a leading axis."""
    for x in jax.tree.leaves(batch):
        if x.ndim < 2 or x.shape[1] != folds:
            raise errors.InputError(
                f"A cross-validation's batch must be (b, {folds}, ...), got {list(x.shape)}. "
                "splits.folds makes such data."
            )
    return jax.tree.map(lambda x: layout.constrain(x.swapaxes(0, 1), None, "batch"), batch)
