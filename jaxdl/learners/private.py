"""Learning from examples without telling about any of them: DP-SGD.

Abadi et al., "Deep learning with differential privacy" (2016): every example's gradient is clipped,
and their sum gets noise. How private that is: jaxdl/learners/accountant.py.

Logged in training (for the owner of the data: these numbers are not private):

loss, accuracy: of the batch, with the parameters before the step.
gradient_norm: the mean norm of an example's gradient, before clipping.
clipped: the share of examples whose gradient was larger than the clipping norm.
participants: how many examples were in a step.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxdl import errors, learner, metrics
from jaxdl.learners import gradient
from jaxdl.nn import limits


class State(NamedTuple):
    """Parameters, the optimizer's moments, and how many steps have been paid for."""

    params: Any
    optimizer: Any
    steps: jax.Array


class Privacy(NamedTuple):
    """clip: the largest norm of what one participant adds to a sum.

    noise: the standard deviation of each number's noise, over `clip`.
    """

    clip: gradient.Scalar
    noise: gradient.Scalar


def supervised(
    model: Any,
    loss: gradient.Loss,
    optimizer: optax.GradientTransformation,
    *,
    privacy: Privacy,
    participation: gradient.Scalar = 1.0,
    scores: gradient.Loss | None = None,
) -> learner.Learner:
    """Follows the mean of clipped gradients of single examples, and noise.

    participation: the chance of each example of a batch to be in the step. The accountant's bound
    is for batches of all examples, of which each is in by this chance; shuffled batches with all of
    their examples are common, and only about as private.
    """
    check(privacy, participation)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        params = gradient.only_params(gradient.initial(model, key, batch["input"], train=False))
        return State(params, optimizer.init(params), jnp.int32(0))

    def objective(params: Any, batch: Any, key: Any) -> tuple[jax.Array, learner.Metrics]:
        outputs, _ = gradient.applied(model, {"params": params}, key, batch["input"], train=True)
        measured = loss(outputs, batch)
        return measured["loss"].total / measured["loss"].count, measured

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        taking_part_key, noise_key, dropout_key = jax.random.split(key, 3)
        size = len(jax.tree.leaves(batch)[0])
        taking_part = jax.random.bernoulli(taking_part_key, participation, (size,))
        slopes, measured = per_example(objective, state.params, batch, dropout_key)
        mean, norms = noised_mean(slopes, taking_part, participation * size, privacy, noise_key)
        updates, moments = optimizer.update(mean, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        measured |= observed(norms, taking_part, privacy, "gradient_norm")
        return State(params, moments, state.steps + 1), measured

    return learner.Learner(init, step, *judged(model, loss, scores))


def per_example(objective: Any, params: Any, batch: Any, key: Any) -> tuple[Any, learner.Metrics]:
    """The gradient of each example by itself, leaves (b, ...), and the metrics of the batch.

    objective: (params, batch of one, key) -> its loss, and metrics.
    """

    def one(example: Any, key: Any) -> Any:
        batch = jax.tree.map(lambda x: x[None], example)
        return jax.grad(objective, has_aux=True)(params, batch, key)

    size = len(jax.tree.leaves(batch)[0])
    slopes, measured = jax.vmap(one)(batch, jax.random.split(key, size))
    return slopes, jax.tree.map(lambda x: x.sum(0), measured)


def noised_mean(
    parts: Any, taking_part: Bool[Array, "b"], expected: Any, privacy: Privacy, key: learner.Key
) -> tuple[Any, Float[Array, "b"]]:
    """The clipped sum of those who take part, with noise, over their expected number.

    parts: a tree with leaves (b, ...). Returns the mean, and each part's norm before clipping.
    The number itself must not be used: it tells whether somebody was there.
    """
    norms = jax.vmap(optax.tree.norm)(parts)
    shrunk = taking_part * jnp.minimum(1.0, privacy.clip / jnp.maximum(norms, 1e-12))
    total = jax.tree.map(lambda x: jnp.tensordot(shrunk, x, 1), parts)
    noise = optax.tree.random_like(key, total)
    scale = privacy.noise * privacy.clip
    return jax.tree.map(lambda x, n: (x + scale * n) / expected, total, noise), norms


def observed(
    norms: Float[Array, "b"], taking_part: Bool[Array, "b"], privacy: Privacy | None, name: str
) -> learner.Metrics:
    """What a user watches: the norms, how many took part, and how many of them were clipped."""
    found = {name: metrics.Mean.of(norms, taking_part)}
    found["participants"] = metrics.Mean.of(taking_part.sum())
    if privacy is not None:
        found["clipped"] = metrics.Mean.of(norms > privacy.clip, taking_part)
    return found


def judged(model: Any, loss: gradient.Loss, scores: gradient.Loss | None) -> tuple[Any, Any]:
    """A learner's `evaluate` and `predict`, of a state that has a model's `params`."""

    def evaluate(state: Any, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        outputs = predict(state, batch)
        return loss(outputs, batch) | (scores(outputs, batch) if scores else {})

    def predict(state: Any, batch: learner.Batch) -> Any:
        return model.apply({"params": state.params}, batch["input"], train=False)

    return evaluate, predict


def check(privacy: Privacy | None, participation: gradient.Scalar) -> None:
    """Refuse what cannot be meant; a traced number cannot be looked at."""
    if isinstance(participation, float | int) and not 0 < participation <= 1:
        raise errors.InputError(f"participation must lie in (0, 1], got {participation}.")
    if privacy is None:
        return
    limits.positive("The clipping norm", privacy.clip)
    if isinstance(privacy.noise, float | int) and privacy.noise < 0:
        raise errors.InputError(f"The noise must not be negative, got {privacy.noise}.")
