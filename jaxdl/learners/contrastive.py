"""Contrastive learning of representations: SimCLR.

Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual
representations" (2020); its loss, NT-Xent, is the N-pair loss of Sohn (2016) with cosines.

Logged in training:
loss: NT-Xent in nats; that of chance is log(2b - 1) for batches of b.
accuracy: how often an example's other view is the nearest of the 2b - 1 other views.
spread: how far the projections are from collapse, see `views.spread`.
An evaluation gives the scores of the features, see jaxdl/losses/probe.py.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import learner, metrics
from jaxdl.learners import gradient, views
from jaxdl.losses import classification, probe
from jaxdl.nn import limits


def simclr(
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    augment: views.Augment,
    scores: probe.Scores,
    temperature: gradient.Scalar = 0.5,
    **options: Any,
) -> learner.Learner:
    """A learner that tells the two views of an example from those of all others in the batch.

    model: a `joint_embedding.JointEmbedding`; `predict` gives its features.
    augment: makes a random view of each of `batch["input"]`.
    scores: (features, batch) -> metrics of an evaluation, such as `probe.few_shot()`.
    options: those of `gradient.minimise`. The parts of `microbatches` are contrasted each by
        itself.
    """
    limits.positive("temperature", temperature)

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        return gradient.initial(model, key, batch["input"], train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        both = views.two(augment, batch["input"], jax.random.fold_in(key, 0))
        embedded, after = gradient.applied(
            model, variables, jax.random.fold_in(key, 1), both, train=True
        )
        measured = nt_xent(embedded.projection, temperature)
        return measured | {"spread": metrics.Mean.of(views.spread(embedded.projection))}, after

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Any:
        return model.apply(variables, batch["input"], train=False).features

    return gradient.minimise(
        begin,
        objective,
        optimizer,
        evaluate=lambda variables, batch, key: scores(predict(variables, batch), batch),
        predict=predict,
        **options,
    )


def nt_xent(z: Float[Array, "two_b d"], temperature: gradient.Scalar) -> learner.Metrics:
    """The normalised, temperature-scaled cross-entropy of Chen et al. (2020), equation 1.

    z: rows i and b + i are the two views of example i. Each row is a query; of all other rows, its
    other view is the right answer: -log(exp(s_ij / τ) / Σ_{k ≠ i} exp(s_ik / τ)), s the cosine.
    """
    units = views.unit(z.astype(jnp.float32))
    rows = len(z)
    cosines = jnp.matmul(units, units.T, precision=jax.lax.Precision.HIGHEST)
    itself = jnp.eye(rows, dtype=bool)
    logits = jnp.where(itself, -jnp.inf, cosines / temperature)
    other = jnp.roll(jnp.arange(rows), rows // 2)
    return classification.cross_entropy(logits, {"target": other})
