"""Contrastive divergence: a restricted Boltzmann machine lowers the free energy of the data, and
raises that of what a short Markov chain makes of them.

G. Hinton, "Training products of experts by minimizing contrastive divergence" (2002). Persistent
chains: T. Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood
gradient" (2008). The update is the gradient of mean F(v) of the data minus mean F(v) of the ends of
the chains, which are held fixed; F is in jaxdl/models/rbm.py.

Metrics:
- loss, of a step: that difference. It is no likelihood: near 0 the chains look like the data, or
  have not moved; it may rise while the model improves.
- reconstruction_error: the mean squared difference between the data and their reconstruction.
- free_energy, of an evaluation: the mean F(v). Falling further for the training data than for the
  test's, it tells of overfitting.
- pseudo_likelihood, of an evaluation, units of 0 or 1: of each example, log p(unit | the others) of
  one unit drawn at random, times how many there are (Besag 1975; scikit-learn's score_samples).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdl import learner, metrics, summary
from jaxdl.learners import gradient
from jaxdl.models import rbm
from jaxdl.nn import limits

# (params, batch, key) -> further metrics of an evaluation
Scores = Callable[[Any, Any, Any], learner.Metrics]


def machine(
    model: rbm.RBM,
    optimizer: optax.GradientTransformation,
    *,
    sweeps: int = 1,
    chains: int | None = None,
    scores: Scores | None = None,
    **options: Any,
) -> learner.Learner:
    """A learner of the distribution of `batch["input"]`, whatever its shape.

    A batch may have `observed`, of the input's shape: 1 where an element was seen and 0 where it is
    missing and `input` is 0; then chains have no other elements either (Salakhutdinov et al. 2007).
    sweeps: of Gibbs sampling that a chain makes in a step, the k of CD-k.
    chains: how many go on from where they stood; None: one for each example, which begins there.
    options: of `gradient.minimise`.
    predict: the hidden units' probabilities, (b, hidden).
    """
    limits.at_least(1, "Contrastive divergence's sweeps", sweeps)
    limits.at_least(1, "Contrastive divergence's chains", chains)

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        v = flat(batch["input"])
        variables = dict(model.init(key, v))
        if chains is not None:
            start = jax.random.choice(jax.random.fold_in(key, 1), v, (chains,))
            variables["chains"] = {"visible": start}
        return variables

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        params, v = variables["params"], flat(batch["input"])
        start = v if chains is None else variables["chains"]["visible"]
        end = jax.lax.stop_gradient(walked(model, params, start, key, sweeps, _observed(batch)))
        gap = energy(model, params, v).mean() - energy(model, params, end).mean()
        measured = {
            "loss": metrics.Mean(gap * len(v), jnp.float32(len(v))),
            "reconstruction_error": _reconstruction_error(model, params, batch),
        }
        return measured, {} if chains is None else {"chains": {"visible": end}}

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        params, v = variables["params"], flat(batch["input"])
        measured = {
            "reconstruction_error": _reconstruction_error(model, params, batch),
            "free_energy": metrics.Mean.of(energy(model, params, v)),
        }
        if model.kind == "bernoulli":
            likelihood = pseudo_likelihood(model, params, v, key)
            measured["pseudo_likelihood"] = metrics.Mean.of(likelihood)
        return measured | (scores(params, batch, key) if scores else {})

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Float[Array, "b hidden"]:
        return rbm.call(model, variables["params"], "__call__", flat(batch["input"]))

    return gradient.minimise(
        begin, objective, optimizer, evaluate=evaluate, predict=predict, **options
    )


def flat(inputs: Any) -> Float[Array, "b visible"]:
    """Examples as rows of visible units."""
    inputs = jnp.asarray(inputs)
    return inputs.reshape(len(inputs), -1)


def energy(model: rbm.RBM, params: Any, v: Float[Array, "b visible"]) -> Float[Array, "b"]:
    """The free energy of each example."""
    return rbm.call(model, params, "free_energy", v)


def walked(
    model: rbm.RBM,
    params: Any,
    start: Float[Array, "b visible"],
    key: learner.Key,
    sweeps: int,
    observed: Float[Array, "b visible"] | None = None,
) -> Float[Array, "b visible"]:
    """The ends of chains of Gibbs sampling, of observed elements alone where some are missing."""

    def sweep(i: Any, v: Any) -> Any:
        v = rbm.call(model, params, "gibbs", v, jax.random.fold_in(key, i))
        return v if observed is None else v * observed

    return jax.lax.fori_loop(0, sweeps, sweep, start)


def pseudo_likelihood(
    model: rbm.RBM, params: Any, v: Float[Array, "b visible"], key: learner.Key
) -> Float[Array, "b"]:
    """Of units of 0 or 1: an unbiased guess of sum_i log p(v_i | the other units)."""
    unit = jax.random.randint(key, (len(v), 1), 0, v.shape[1])
    other = jnp.where(jnp.arange(v.shape[1])[None] == unit, 1 - v, v)
    gap = energy(model, params, other) - energy(model, params, v)
    return v.shape[1] * jax.nn.log_sigmoid(gap)


def filters(params: Any, height: int, width: int) -> summary.Image:
    """Each hidden unit's weights as an image: grey is 0, white the largest of all."""
    weights = np.asarray(params["kernel"]).T.reshape(-1, height, width, 1)
    return summary.Image(0.5 + 0.5 * weights / max(1e-12, np.abs(weights).max()))


def fantasies(
    model: rbm.RBM, params: Any, key: learner.Key, height: int, width: int, sweeps: int = 1000
) -> summary.Image:
    """What the model believes in: means of 25 chains' visible units, so many sweeps from noise."""
    silent = jnp.zeros((25, model.hidden))
    start = rbm.call(model, params, "visible_sample", silent, key)
    end = walked(model, params, start, jax.random.fold_in(key, 1), sweeps)
    means = rbm.call(model, params, "reconstruction", end)
    return summary.Image(means.reshape(-1, height, width, 1))


def _observed(batch: learner.Batch) -> Any:
    return flat(batch["observed"]) if "observed" in batch else None


def _reconstruction_error(model: rbm.RBM, params: Any, batch: learner.Batch) -> metrics.Mean:
    v = flat(batch["input"])
    square = jnp.square(v - rbm.call(model, params, "reconstruction", v))
    return metrics.Mean.of(square, _observed(batch))
