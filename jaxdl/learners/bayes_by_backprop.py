"""Bayes by backprop: a Gaussian for every weight in the place of a number.

Blundell, Cornebise, Kavukcuoglu and Wierstra, "Weight uncertainty in neural networks" (2015), with
a Gaussian prior, for which the divergence has a closed form. What is maximised is the evidence's
lower bound, E_q[log p(targets | weights)] - KL(q || prior), with q a product of Gaussians; such a q
has too small deviations where weights are correlated.

Logged in training:

loss: minus the bound, in nats for each example of the training data.
nll: its first part, minus the mean log-likelihood of an example, in nats.
kl: its second part, the divergence of all weights together, in nats.
deviation: the mean standard deviation of a weight.

Logged in evaluation: the scores of the mixture of draws, see jaxdl/losses/likelihood.py.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdl import learner, metrics
from jaxdl.learners import gradient
from jaxdl.losses import likelihood as likelihoods
from jaxdl.nn import limits


def supervised(
    model: Any,
    likelihood: likelihoods.Likelihood,
    optimizer: optax.GradientTransformation,
    *,
    examples: int,
    prior: gradient.Scalar = 1.0,
    deviation: gradient.Scalar = 0.02,
    draws: int = 1,
    test_draws: int = 32,
    **options: Any,
) -> learner.Learner:
    """Weights as Gaussians, q = N(mean, softplus(spread)^2), that maximise the evidence's bound.

    examples: how many the training data have; the divergence is shared among them.
    prior: standard deviation of the prior N(0, prior^2) of every parameter.
    deviation: what those of q begin with. draws: of all weights, in a step; test_draws: in an
    evaluation. predict: of draws that are always the same. options: of `gradient.minimise`.
    """
    limits.at_least(1, "The number of training examples", examples)
    limits.at_least(1, "The draws of a posterior", (draws, test_draws))
    for name, number in (("prior", prior), ("first deviation", deviation)):
        limits.positive(f"The {name} of weights", number)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        def one(key: learner.Key) -> learner.Metrics:
            weights_key, dropout_key = jax.random.split(key)
            weights = draw(variables["params"], weights_key)
            inputs = batch["input"]
            found = gradient.applied(model, {"params": weights}, dropout_key, inputs, train=True)
            return likelihood.loss(found[0], batch)

        measured = jax.vmap(one)(jax.random.split(key, draws))
        measured = jax.tree.map(lambda x: x.sum(0), measured)
        nll, divergence = measured["loss"], kl(variables["params"], prior)
        bound = metrics.Mean(nll.total + divergence / examples * nll.count, nll.count)
        shown = {"nll": nll, "kl": metrics.Mean.of(divergence)}
        shown["deviation"] = _mean_deviation(variables["params"])
        return measured | {"loss": bound} | shown, {}

    def outputs(variables: gradient.Variables, batch: learner.Batch, key: learner.Key) -> Any:
        def one(key: learner.Key) -> Any:
            weights = draw(variables["params"], key)
            return model.apply({"params": weights}, batch["input"], train=False)

        return jax.vmap(one)(jax.random.split(key, test_draws))

    return gradient.minimise(
        functools.partial(_begun, model, deviation),
        objective,
        optimizer,
        evaluate=lambda v, batch, key: likelihood.scores(outputs(v, batch, key), batch),
        predict=lambda v, batch: likelihood.mixture(outputs(v, batch, jax.random.key(0))),
        **options,
    )


def _begun(
    model: Any, deviation: gradient.Scalar, key: learner.Key, batch: learner.Batch
) -> gradient.Variables:
    """The model's first parameters as means, all with this deviation."""
    variables = gradient.initial(model, key, batch["input"], train=False)
    mean = gradient.only_params(variables)
    inverse = deviation + jnp.log(-jnp.expm1(-deviation))  # of softplus
    spread = jax.tree.map(lambda x: jnp.full_like(x, inverse), mean)
    return {"params": {"mean": mean, "spread": spread}}


def draw(posterior: Any, key: learner.Key) -> Any:
    """Weights drawn from q: mean + softplus(spread) * noise."""
    means, structure = jax.tree.flatten(posterior["mean"])
    spreads = jax.tree.leaves(posterior["spread"])
    keys = jax.random.split(key, len(means))
    drawn = [
        mean + jax.nn.softplus(spread) * jax.random.normal(key, mean.shape, mean.dtype)
        for mean, spread, key in zip(means, spreads, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def kl(posterior: Any, prior: gradient.Scalar) -> jax.Array:
    """KL(q || N(0, prior^2)) of all weights, in nats:
    sum of log(prior / s) + (s^2 + mean^2) / (2 prior^2) - 1/2, with s the deviation.
    """

    def one(mean: jax.Array, spread: jax.Array) -> jax.Array:
        ratio = jax.nn.softplus(spread) / prior
        return (0.5 * (ratio**2 + (mean / prior) ** 2 - 1) - jnp.log(ratio)).sum()

    parts = jax.tree.map(one, posterior["mean"], posterior["spread"])
    return jnp.stack(jax.tree.leaves(parts)).sum()


def _mean_deviation(posterior: Any) -> metrics.Mean:
    flat = [jnp.ravel(jax.nn.softplus(spread)) for spread in jax.tree.leaves(posterior["spread"])]
    return metrics.Mean.of(jnp.concatenate(flat))
