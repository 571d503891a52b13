"""Deep ensembles: the same model learnt several times, its predictions averaged.

Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation using
deep ensembles" (2017). Runs that were launched by themselves make one as well: `--ensemble`.

Logged in training: what the members log, summed over them. Logged in evaluation: the scores of
their mixture, see jaxdl/losses/likelihood.py.
"""

from typing import Any

import jax

from jaxdl import errors, learner
from jaxdl.losses import likelihood as likelihoods
from jaxdl.nn import layout


def of(
    taught: learner.Learner, likelihood: likelihoods.Likelihood, *, members: int
) -> learner.Learner:
    """A learner whose state holds `members` states of another one, which learn together.

    Each begins with a key of its own and learns from a part of every batch of its own, so that
    members see the data in different orders; the batch size is a multiple of `members`.
    """
    if members < 1:
        raise errors.InputError(f"An ensemble's members must be at least 1, got {members}.")
    predict = taught.predict
    if predict is None:
        raise errors.InputError("An ensemble must be of a learner with `predict`.")
    outputs = jax.vmap(predict, in_axes=(0, None))

    def init(key: learner.Key, batch: learner.Batch) -> Any:
        return jax.vmap(taught.init)(
            jax.random.split(key, members), layout.parts(batch, members, "An ensemble's members")
        )

    def step(state: Any, batch: learner.Batch, key: learner.Key) -> tuple[Any, learner.Metrics]:
        keys = jax.random.split(key, members)
        state, measured = jax.vmap(taught.step)(
            state, layout.parts(batch, members, "An ensemble's members"), keys
        )
        return state, jax.tree.map(lambda x: x.sum(0), measured)

    def evaluate(state: Any, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        return likelihood.scores(outputs(state, batch), batch)

    return learner.Learner(
        init, step, evaluate, lambda state, batch: likelihood.mixture(outputs(state, batch))
    )
