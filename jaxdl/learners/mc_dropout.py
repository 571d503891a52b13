"""Monte Carlo dropout: a network learnt with dropout keeps it on, and averages what it then says.

Gal and Ghahramani, "Dropout as a Bayesian approximation" (2016): each mask is a draw from an
approximate posterior.

Logged in evaluation: the scores of the mixture of the draws (jaxdl/losses/likelihood.py), and
deterministic/loss and the like: what the network says with dropout off, as it is commonly used.
"""

from typing import Any

import jax
import optax

from jaxdl import errors, learner
from jaxdl.learners import gradient
from jaxdl.losses import likelihood as likelihoods
from jaxdl.nn import limits


def supervised(
    model: Any,
    likelihood: likelihoods.Likelihood,
    optimizer: optax.GradientTransformation,
    *,
    draws: int = 32,
    **options: Any,
) -> learner.Learner:
    """Follows the gradient of the likelihood's loss; evaluates with `draws` masks of dropout.

    model: with dropout above 0, and without batch statistics, which would be those of the test.
    options: of `gradient.minimise`. predict: with masks that are always the same.
    """
    limits.at_least(1, "The draws of dropout", draws)
    rate = getattr(model, "dropout", None)
    if isinstance(rate, float | int) and rate == 0:
        raise errors.InputError(
            f"The model's dropout must be above 0, else all draws are one, got {rate}."
        )
    plain = gradient.supervised(model, likelihood.loss, optimizer, **options)

    def init(key: learner.Key, batch: learner.Batch) -> gradient.State:
        gradient.only_params(gradient.initial(model, key, batch["input"], train=False))
        return plain.init(key, batch)

    def outputs(state: gradient.State, batch: learner.Batch, key: learner.Key) -> Any:
        def one(key: learner.Key) -> Any:
            variables = gradient.variables(state)
            return gradient.applied(model, variables, key, batch["input"], train=True)[0]

        return jax.vmap(one)(jax.random.split(key, draws))

    def evaluate(state: gradient.State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        found = likelihood.scores(outputs(state, batch, key), batch)
        if "target" in batch:
            alone = plain.evaluate(state, batch, key)
            found |= {f"deterministic/{name}": metric for name, metric in alone.items()}
        return found

    def predict(state: gradient.State, batch: learner.Batch) -> Any:
        return likelihood.mixture(outputs(state, batch, jax.random.key(0)))

    return learner.Learner(init, plain.step, evaluate, predict)
