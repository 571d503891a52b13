"""Learning a latent-variable model by a bound of its likelihood.

Kingma and Welling, "Auto-encoding variational Bayes" (2013). The weight beta: Higgins et al.,
"beta-VAE" (2017). The tighter bound: Burda, Grosse and Salakhutdinov, "Importance weighted
autoencoders" (2015). A conditional VAE is the same learner of a model with classes, whose batches
have the labels as "target".

What is logged, all in nats an example:
- elbo: the evidence lower bound, -(reconstruction + kl), whatever is minimised.
- reconstruction: -E log p(x | z) under the posterior; what the code leaves unsaid.
- kl: of the posterior from the prior; what the code says. At 0 the code is ignored.
- active_units: how many units of the code say something: the mean of their posterior varies over
  the examples by more than 0.01 (Burda et al., section 2).
- iwae (evaluation): the importance-weighted bound of `test_draws` codes, closer to log p(x).
- loss: what is minimised: reconstruction + beta kl, or minus the importance-weighted bound of the
  codes drawn.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdl import errors, learner, metrics, summary
from jaxdl.learners import gradient
from jaxdl.models import vae

ACTIVE = 0.01  # the variance above which a unit is active (Burda et al., section 2)
Scores = Callable[[gradient.Variables, Any, Any], learner.Metrics]  # (variables, batch, key)
TOGETHER = 25  # codes that an evaluation decodes at a time: 500 of 360 digits at once take 46 MB


class Draws(NamedTuple):
    """What codes drawn from the posterior say of each example."""

    posterior: vae.Posterior
    likelihood: Float[Array, "s b"]  # log p(x | z)
    weight: Float[Array, "s b"]  # log p(x, z) - log q(z | x)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ActiveUnits:
    """How many units of a code vary over the examples, from sums over them of shape (latent,)."""

    total: Any
    squares: Any
    count: Any

    @classmethod
    def of(cls, mean: Float[Array, "b d"]) -> "ActiveUnits":
        """Sums of the posterior's means."""
        return cls(mean.sum(0), (mean**2).sum(0), jnp.float32(len(mean)))

    def value(self) -> float:
        """The number of units whose variance is above 0.01."""
        if not self.count:
            return float("nan")
        mean, square = np.asarray(self.total) / self.count, np.asarray(self.squares) / self.count
        return float((square - mean**2 > ACTIVE).sum())


def evidence(
    model: vae.VAE,
    optimizer: optax.GradientTransformation,
    *,
    beta: gradient.Scalar = 1.0,
    draws: int = 1,
    test_draws: int = 64,
    scores: Scores | None = None,
    **options: Any,
) -> learner.Learner:
    """A learner that raises the evidence lower bound of `batch["input"]`.

    beta: weight of the divergence; above 1 fewer units are used, for plainer things.
    draws, test_draws: codes drawn for each example in a step and in an evaluation.
    scores: further metrics of an evaluation.
    options: clip, microbatches, average and freeze, see `gradient.minimise`.
    """
    if isinstance(beta, float | int) and beta < 0:
        raise errors.InputError(f"beta must be at least 0, got {beta}.")

    def loss(drawn: Draws) -> Float[Array, "b"]:
        return beta * drawn.posterior.divergence().sum(-1) - drawn.likelihood.mean(0)

    return _bounded(model, optimizer, loss, draws, test_draws, scores, options)


def importance_weighted(
    model: vae.VAE,
    optimizer: optax.GradientTransformation,
    *,
    draws: int = 5,
    test_draws: int = 64,
    scores: Scores | None = None,
    **options: Any,
) -> learner.Learner:
    """A learner that raises the importance-weighted bound, log 1/k sum_i p(x, z_i) / q(z_i | x).

    With one draw it is the evidence lower bound, its divergence estimated; each more tightens it.
    draws, test_draws, scores, options: as those of `evidence`.
    """

    def loss(drawn: Draws) -> Float[Array, "b"]:
        return -importance_bound(drawn.weight)

    return _bounded(model, optimizer, loss, draws, test_draws, scores, options)


def importance_bound(weight: Float[Array, "s b"]) -> Float[Array, "b"]:
    """The log of the mean weight of each example's draws."""
    return jax.nn.logsumexp(weight, axis=0) - math.log(len(weight))


def samples(
    model: vae.VAE, shape: tuple[int, ...], count: int | None = None
) -> Callable[[gradient.State, learner.Key], summary.Image]:
    """A summary: means of p(x | z) for codes from the prior, as images of `shape`.

    count: how many; None is 64, and of a conditional model a row of as many as there are classes
        for each of them. Its classes stand one after another, in shares as equal as can be.
    """
    if count is None:
        count = 64 if model.classes is None else model.classes**2
    label = None if model.classes is None else np.arange(count) * model.classes // count

    @jax.jit
    def pixels(state: gradient.State, key: learner.Key) -> Array:
        asked = None if label is None else jnp.asarray(label, jnp.int32)
        return generated(model, gradient.variables(state), key, count, asked).reshape(-1, *shape)

    return lambda state, key: summary.Image(pixels(state, key))


def generated(
    model: vae.VAE, variables: gradient.Variables, key: learner.Key, count: int, label: Any = None
) -> Float[Array, "count n"]:
    """Means of p(x | z) for `count` codes from the prior, their elements in one row."""
    z = jax.random.normal(key, (count, model.latent))
    return _asked(model, "decode", variables, z, label)


def _bounded(
    model: vae.VAE,
    optimizer: optax.GradientTransformation,
    loss: Callable[[Draws], Float[Array, "b"]],
    draws: int,
    test_draws: int,
    scores: Scores | None,
    options: dict[str, Any],
) -> learner.Learner:
    """A learner that minimises a loss of each example's draws."""
    for name, number in (("draws", draws), ("test_draws", test_draws)):
        if number < 1:
            raise errors.InputError(f"{name} must be at least 1, got {number}.")

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        x = batch["input"]
        noise = jnp.zeros((1, x.shape[0], model.latent))
        return gradient.initial(model, key, x, noise, _label(model, batch), train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        x, (noise_key, key) = batch["input"], jax.random.split(key)
        noise = jax.random.normal(noise_key, (draws, len(x), model.latent))
        (posterior, likelihood), statistics = gradient.applied(
            model, variables, key, x, noise, _label(model, batch), train=True
        )
        drawn = _weighed(posterior, posterior.drawn(noise), likelihood)
        return _measured(drawn, loss), statistics

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        draws_key, scores_key = jax.random.split(key)
        drawn = _examined(model, variables, batch, draws_key, test_draws)
        bound = {"iwae": metrics.Mean.of(importance_bound(drawn.weight))}
        further = scores(variables, batch, scores_key) if scores else {}
        return _measured(drawn, loss) | bound | further

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Array:
        """The mean of p(x | z) at the posterior's mean, in the input's shape."""
        x, label = batch["input"], _label(model, batch)
        posterior = _asked(model, "encode", variables, x, label)
        return _asked(model, "decode", variables, posterior.mean, label).reshape(x.shape)

    return gradient.minimise(
        begin, objective, optimizer, evaluate=evaluate, predict=predict, **options
    )


def _asked(model: vae.VAE, method: str, variables: gradient.Variables, *inputs: Any) -> Any:
    """What a method of the model gives outside training."""
    return model.apply(variables, *inputs, method=method)


def _label(model: vae.VAE, batch: learner.Batch) -> Any:
    return None if model.classes is None else batch["target"]


def _weighed(
    posterior: vae.Posterior, z: Float[Array, "s b d"], likelihood: Float[Array, "s b"]
) -> Draws:
    zero = jnp.zeros((1, 1, 1))
    prior = vae.normal_log_density(z, zero, zero).sum(-1)
    return Draws(posterior, likelihood, likelihood + prior - posterior.log_density(z))


def _examined(
    model: vae.VAE, variables: gradient.Variables, batch: learner.Batch, key: Any, draws: int
) -> Draws:
    """Many draws for each example, decoded some at a time."""
    x, label = batch["input"], _label(model, batch)
    posterior = _asked(model, "encode", variables, x, label)

    def one(key: learner.Key) -> tuple[Array, Array]:
        z = posterior.drawn(jax.random.normal(key, (1, x.shape[0], model.latent)))
        likelihood = _asked(model, "log_likelihood", variables, x, z, label)
        drawn = _weighed(posterior, z, likelihood)
        return drawn.likelihood[0], drawn.weight[0]

    keys = jax.random.split(key, draws)
    likelihood, weight = jax.lax.map(one, keys, batch_size=min(TOGETHER, draws))
    return Draws(posterior, likelihood, weight)


def _measured(drawn: Draws, loss: Callable[[Draws], Float[Array, "b"]]) -> learner.Metrics:
    divergence = drawn.posterior.divergence().sum(-1)
    reconstruction = -drawn.likelihood.mean(0)
    return {
        "loss": metrics.Mean.of(loss(drawn)),
        "elbo": metrics.Mean.of(-(reconstruction + divergence)),
        "reconstruction": metrics.Mean.of(reconstruction),
        "kl": metrics.Mean.of(divergence),
        "active_units": ActiveUnits.of(jax.lax.stop_gradient(drawn.posterior.mean)),
    }
