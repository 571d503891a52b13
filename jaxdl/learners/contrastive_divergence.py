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
- free_energy: the mean F(v). Falling further for the training data than for the test's, it tells of
  overfitting (Hinton's guide, section 6).
- pseudo_likelihood, of an evaluation, units of 0 or 1: of each example, log p(unit | the others) of
  one observed unit drawn at random, times how many there are (Besag 1975; scikit-learn's
  score_samples).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Shaped

from jaxdl import errors, learner, metrics, summary
from jaxdl.learners import gradient
from jaxdl.models import rbm
from jaxdl.nn import layout, limits

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
    rule = _Rule(model, sweeps, chains, scores)
    return gradient.minimise(
        rule.begin,
        rule.objective,
        optimizer,
        evaluate=rule.evaluate,
        predict=rule.predict,
        **options,
    )


@dataclasses.dataclass(frozen=True)
class _Rule:
    """What `machine` is asked for, and what `gradient.minimise` needs of it."""

    model: rbm.RBM
    sweeps: int
    chains: int | None
    scores: Scores | None

    def begin(self, key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        """The first parameters, and where the chains stand."""
        v = layout.rows(batch["input"])
        variables = dict(self.model.init(key, v))
        if self.chains is not None:
            start = jax.random.choice(jax.random.fold_in(key, 1), v, (self.chains,))
            variables["chains"] = {"visible": start}
        return variables

    def objective(
        self, variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        """The gap between the free energies of data and chains, and the chains' new ends."""
        params, v, observed = variables["params"], layout.rows(batch["input"]), _observed(batch)
        if self.chains is not None and observed is not None:
            raise errors.InputError(
                "Chains that go on must meet examples without missing elements, got a batch with "
                "`observed`. Leave `chains` at None."
            )
        start = v if self.chains is None else variables["chains"]["visible"]
        end = walked(self.model, params, start, key, self.sweeps, observed)
        end = jax.lax.stop_gradient(end)
        free = energy(self.model, params, v)
        gap = free.mean() - energy(self.model, params, end).mean()
        measured = {
            "loss": metrics.Mean(gap * len(v), jnp.float32(len(v))),
            "reconstruction_error": _reconstruction_error(self.model, params, batch),
            "free_energy": metrics.Mean.of(free),
        }
        return measured, {} if self.chains is None else {"chains": {"visible": end}}

    def evaluate(
        self, variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        """What is known of examples without a step, and the scores asked for."""
        params, v = variables["params"], layout.rows(batch["input"])
        unit_key, scores_key = jax.random.split(key)
        measured = {
            "reconstruction_error": _reconstruction_error(self.model, params, batch),
            "free_energy": metrics.Mean.of(energy(self.model, params, v)),
        }
        if self.model.kind == "bernoulli":
            likelihood = pseudo_likelihood(self.model, params, v, unit_key, _observed(batch))
            measured["pseudo_likelihood"] = metrics.Mean.of(likelihood)
        return measured | (self.scores(params, batch, scores_key) if self.scores else {})

    def predict(
        self, variables: gradient.Variables, batch: learner.Batch
    ) -> Float[Array, "b hidden"]:
        """The hidden units' probabilities."""
        return rbm.call(self.model, variables["params"], "__call__", layout.rows(batch["input"]))


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
    model: rbm.RBM,
    params: Any,
    v: Float[Array, "b visible"],
    key: learner.Key,
    observed: Shaped[Array, "b visible"] | None = None,
) -> Float[Array, "b"]:
    """Of units of 0 or 1: an unbiased guess of sum_i log p(v_i | the other units), over the units
    observed where some are missing.
    """
    seen = jnp.ones(v.shape, bool) if observed is None else observed > 0
    unit = jax.random.categorical(key, jnp.where(seen, 0.0, -jnp.inf))[:, None]
    other = jnp.where(jnp.arange(v.shape[1])[None] == unit, 1 - v, v)
    gap = energy(model, params, other) - energy(model, params, v)
    return seen.sum(1) * jax.nn.log_sigmoid(gap)


def filters(params: Any, height: int, width: int) -> summary.Image:
    """Each hidden unit's weights as an image: grey is 0, white the largest of all."""
    weights = np.asarray(params["kernel"]).T.reshape(-1, height, width, 1)
    return summary.Image(0.5 + 0.5 * weights / max(1e-12, np.abs(weights).max()))


def fantasies(
    model: rbm.RBM, params: Any, key: learner.Key, height: int, width: int, sweeps: int = 1000
) -> summary.Image:
    """What the model believes in: means of 25 chains' visible units, so many sweeps from noise."""
    means = _believed(model, params, key, sweeps)
    return summary.Image(means.reshape(-1, height, width, 1))


@functools.partial(jax.jit, static_argnums=(0, 3))  # compiled once, not at every evaluation
def _believed(model: rbm.RBM, params: Any, key: Any, sweeps: int) -> Float[Array, "b visible"]:
    silent = jnp.zeros((25, model.hidden))
    start = rbm.call(model, params, "visible_sample", silent, key)
    end = walked(model, params, start, jax.random.fold_in(key, 1), sweeps)
    return rbm.call(model, params, "reconstruction", end)


def _observed(batch: learner.Batch) -> Any:
    return layout.rows(batch["observed"]) if "observed" in batch else None


def _reconstruction_error(model: rbm.RBM, params: Any, batch: learner.Batch) -> metrics.Mean:
    v = layout.rows(batch["input"])
    square = jnp.square(v - rbm.call(model, params, "reconstruction", v))
    return metrics.Mean.of(square, _observed(batch))
