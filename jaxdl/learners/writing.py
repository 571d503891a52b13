"""Examining a learner by what it writes, not only by how well it tells the next word.

Logged in evaluations, beside what the learner itself logs:
whole: the share of sequences written without a mistake.
What else comes of all that is written, such as BLEU, has the names of its functions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from jaxdl import learner, metrics
from jaxdl.learners import gradient

# of {"written", "wanted": (n, t)}, all that was written in an evaluation, padded
Finish = Callable[[dict[str, Any]], float]


def examined(
    taught: learner.Learner,
    write: Callable[[Any, Any], Any],
    finish: Mapping[str, Finish],
) -> learner.Learner:
    """The learner, whose evaluation also writes.

    write: (variables, batch["input"]) -> tokens, of the shape of `batch["target"]`, padded alike.
    finish: name -> what comes of all tokens, on the host: BLEU, say, which is no mean of batches.
    """

    def evaluate(state: Any, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        written, wanted = write(gradient.variables(state), batch["input"]), batch["target"]
        pairs = {"written": written, "wanted": wanted}
        collected = {name: metrics.Collected(pairs, of) for name, of in finish.items()}
        whole = metrics.Mean.of(jnp.all(written == wanted, axis=-1))
        return taught.evaluate(state, batch, key) | {"whole": whole} | collected

    return taught._replace(evaluate=evaluate)
