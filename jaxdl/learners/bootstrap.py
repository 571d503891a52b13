"""Learning representations from one's own, without negative examples: BYOL.

Grill et al., "Bootstrap your own latent: a new approach to self-supervised learning" (2020). From
one view a student predicts the teacher's projection of the other; the teacher is the student's
moving average. Nothing but these dynamics, and batch normalisation in the encoder and the heads,
keeps all representations from becoming the same: with layer normalisation they collapse.

Logged in training:
loss: 2 - 2 cosine of prediction and target, 0 to 4.
spread: how far the projections are from collapse, see `views.spread`.
An evaluation gives the scores of the features, see jaxdl/losses/probe.py.
"""

from typing import Any

import jax
import optax
from jaxtyping import Array, Float

from jaxdl import learner, metrics
from jaxdl.learners import gradient, teacher, views
from jaxdl.losses import probe


def byol(
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    augment: views.Augment,
    scores: probe.Scores,
    decay: gradient.Scalar = 0.99,
    **options: Any,
) -> learner.Learner:
    """A learner that predicts a teacher's projection of another view.

    model: a `joint_embedding.JointEmbedding` with a predictor; `predict` gives its features.
    augment: makes a random view of each of `batch["input"]`.
    scores: (features, batch) -> metrics of an evaluation, such as `probe.few_shot()`.
    decay: of the teacher, in [0, 1].
    options: those of `gradient.minimise`.
    """

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        return teacher.begun(gradient.initial(model, key, batch["input"], train=False))

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        student, guide = teacher.apart(variables)
        view_key, student_key, guide_key = jax.random.split(key, 3)
        both = views.two(augment, batch["input"], view_key)
        embedded, after = gradient.applied(model, student, student_key, both, train=True)
        target, _ = gradient.applied(model, guide, guide_key, both, train=True)
        losses = distance(embedded.prediction, views.swapped(target.projection))
        measured = {
            "loss": metrics.Mean.of(losses),
            "spread": metrics.Mean.of(views.spread(embedded.projection)),
        }
        return measured, after | {"teacher": variables["teacher"]}

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Any:
        student, _ = teacher.apart(variables)
        return model.apply(student, batch["input"], train=False).features

    taught = gradient.minimise(
        begin,
        objective,
        optimizer,
        evaluate=lambda variables, batch, key: scores(predict(variables, batch), batch),
        predict=predict,
        **options,
    )
    return teacher.followed(taught, decay)


def distance(prediction: Float[Array, "b d"], target: Float[Array, "b d"]) -> Float[Array, "b"]:
    """Squared distance of the unit vectors, 2 - 2 cosine (equation 2)."""
    return 2 - 2 * (views.unit(prediction) * views.unit(target)).sum(-1)
