"""Learning representations by distilling a teacher that is one's own average: DINO.

Caron et al., "Emerging properties in self-supervised vision transformers" (2021). Student and
teacher sort each view into soft clusters; the student is taught the teacher's sorting of the other
views. Centring keeps the teacher from one cluster for all, sharpening (a low temperature) from all
clusters for each: together they prevent collapse.

Logged in training, entropies in nats, at most log(clusters):
loss: cross-entropy of the student's clusters against the teacher's.
teacher_entropy: mean entropy of the teacher's outputs; log(clusters) is collapse to uniform.
mean_entropy: entropy of the teacher's mean output; 0 is collapse to one cluster.
spread: how far the student's features are from collapse, see `views.spread`.
An evaluation gives the scores of the features, see jaxdl/losses/probe.py.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import learner, metrics
from jaxdl.learners import gradient, teacher, views
from jaxdl.losses import probe
from jaxdl.nn import limits


class Temperatures(NamedTuple):
    """How sharp the student's and the teacher's predictions are, and how slowly the centre moves
    that is taken off the teacher's logits.
    """

    student: gradient.Scalar
    teacher: gradient.Scalar
    centre_decay: gradient.Scalar


def dino(
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    augment: views.Augment,
    scores: probe.Scores,
    local: Sequence[views.Augment] = (),
    decay: gradient.Scalar = 0.99,
    temperature: gradient.Scalar = 0.1,
    teacher_temperature: gradient.Scalar = 0.04,
    centre_decay: gradient.Scalar = 0.9,
    **options: Any,
) -> learner.Learner:
    """A learner that sorts views as the average of itself sorts other views of the same.

    model: a `joint_embedding.JointEmbedding` whose projector is a head of clusters, such as
        `joint_embedding.Prototypes`; `predict` gives the features of the teacher, which are better
        than the student's (section 5.1).
    augment: makes a random view of each of `batch["input"]`; two are seen by student and teacher.
    local: each makes one more view, smaller or poorer, which only the student sees (multi-crop).
    scores: (features, batch) -> metrics of an evaluation, such as `probe.few_shot()`.
    decay: of the teacher, in [0, 1].
    centre_decay: of the moving mean of the teacher's logits that is taken off them.
    options: those of `gradient.minimise`.
    """
    limits.positive("temperature", temperature)
    limits.positive("teacher_temperature", teacher_temperature)
    limits.share("centre_decay", centre_decay)

    heat = Temperatures(temperature, teacher_temperature, centre_decay)

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        student = gradient.initial(model, key, batch["input"], train=False)
        embedded = model.apply(student, batch["input"][:1], train=False)
        centre = jnp.zeros_like(embedded.projection[0])
        return teacher.begun(student) | {"centre": centre}

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Any:
        _, guide = teacher.apart(variables)
        return model.apply(guide, batch["input"], train=False).features

    taught = gradient.minimise(
        begin,
        functools.partial(objective, model, augment, tuple(local), heat),
        optimizer,
        evaluate=lambda variables, batch, key: scores(predict(variables, batch), batch),
        predict=predict,
        **options,
    )
    return teacher.followed(taught, decay)


def objective(
    model: Any,
    augment: views.Augment,
    local: tuple[views.Augment, ...],
    heat: Temperatures,
    variables: gradient.Variables,
    batch: learner.Batch,
    key: learner.Key,
) -> tuple[learner.Metrics, gradient.Variables]:
    """The cross-entropies of the student's views with the teacher's, and the teacher's new centre
    (algorithm 1).
    """
    centre = variables["centre"]
    student, guide = teacher.apart(variables)
    view_key, student_key, guide_key, *keys = jax.random.split(key, 3 + len(local))
    both = views.two(augment, batch["input"], view_key)
    more = [make(batch["input"], k) for make, k in zip(local, keys, strict=True)]
    seen = jnp.concatenate([both, *more])
    embedded, after = gradient.applied(model, student, student_key, seen, train=True)
    target, _ = gradient.applied(model, guide, guide_key, both, train=True)
    sorted_as = jax.nn.softmax((target.projection - centre[None]) / heat.teacher)
    losses = cross_entropies(embedded.projection / heat.student, sorted_as)
    moved = centre + (1 - heat.centre_decay) * (target.projection.mean(0) - centre)
    measured = {
        "loss": metrics.Mean.of(losses),
        "teacher_entropy": metrics.Mean.of(_entropy(sorted_as)),
        "mean_entropy": metrics.Mean.of(_entropy(sorted_as.mean(0))),
        "spread": metrics.Mean.of(views.spread(embedded.features)),
    }
    return measured, after | {"teacher": variables["teacher"], "centre": moved}


def cross_entropies(
    logits: Float[Array, "views_b k"], target: Float[Array, "two_b k"]
) -> Float[Array, "b"]:
    """Of each example, the mean over all pairs of different views (equation 3).

    logits: the student's, of all views one after another. target: the teacher's probabilities of
    the first two.
    """
    taught = target.reshape(2, -1, target.shape[-1])
    log_probability = jax.nn.log_softmax(logits).reshape(-1, *taught.shape[1:])
    crossed = -jnp.einsum("tbk,sbk->tsb", taught, log_probability)
    different = jnp.arange(2)[:, None] != jnp.arange(len(log_probability))[None]
    return (crossed * different[..., None]).sum((0, 1)) / different.sum()


def _entropy(probability: Float[Array, "*b k"]) -> Float[Array, "*b"]:
    return jax.scipy.special.entr(probability).sum(-1)
